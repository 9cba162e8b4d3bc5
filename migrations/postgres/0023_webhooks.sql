-- Where owners want to be told of their events.
CREATE TABLE webhooks (
    -- Its id.
    id TEXT PRIMARY KEY,
    -- Whose it is.
    owner_id TEXT NOT NULL REFERENCES owners (id),
    -- Where events are sent.
    url TEXT NOT NULL,
    -- Which ones, separated by commas; empty: all.
    kinds TEXT NOT NULL,
    -- What signs them, encrypted.
    secret BYTEA NOT NULL,
    -- The secret before, encrypted.
    previous_secret BYTEA,
    -- Until when it signs too; milliseconds since 1970.
    previous_until BIGINT,
    -- Whether it gets events.
    state TEXT NOT NULL CHECK (state IN ('waiting', 'active', 'disabled')),
    -- The number of the owner's last event that is done with.
    after_seq BIGINT NOT NULL CHECK (after_seq >= 0),
    -- How often the next event was sent in vain.
    attempts BIGINT NOT NULL CHECK (attempts >= 0),
    -- Deliveries in vain in a row.
    failures BIGINT NOT NULL CHECK (failures >= 0),
    -- Nothing is sent before; milliseconds since 1970.
    due_at BIGINT NOT NULL,
    -- When it was made; milliseconds since 1970.
    created_at BIGINT NOT NULL,
    -- Who sends to it now.
    held_by TEXT,
    -- Until when; milliseconds since 1970.
    held_until BIGINT,
    CHECK ((previous_secret IS NULL) = (previous_until IS NULL)),
    CHECK ((held_by IS NULL) = (held_until IS NULL))
);

CREATE INDEX webhooks_by_owner ON webhooks (owner_id, id);
CREATE INDEX webhooks_by_due_at ON webhooks (due_at, id) WHERE state = 'active';

-- What was sent to them, and what came of it.
CREATE TABLE webhook_deliveries (
    -- Which webhook.
    webhook_id TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    -- Its place in the log.
    seq BIGINT NOT NULL CHECK (seq > 0),
    -- When; milliseconds since 1970.
    at BIGINT NOT NULL,
    -- The number of the event; none for a ping.
    event_seq BIGINT,
    -- The type of the event, or ping.
    kind TEXT NOT NULL,
    -- How many times it has been sent with this one.
    attempt BIGINT NOT NULL CHECK (attempt > 0),
    -- The status of the answer, when there was one.
    status BIGINT,
    -- What came of it.
    outcome TEXT NOT NULL,
    PRIMARY KEY (webhook_id, seq)
);

CREATE INDEX webhook_deliveries_by_at ON webhook_deliveries (at);

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
    secret BLOB NOT NULL,
    -- The secret before, encrypted.
    previous_secret BLOB,
    -- Until when it signs too; milliseconds since 1970.
    previous_until INTEGER,
    -- Whether it gets events.
    state TEXT NOT NULL CHECK (state IN ('waiting', 'active', 'disabled')),
    -- The number of the owner's last event that is done with.
    after_seq INTEGER NOT NULL CHECK (after_seq >= 0),
    -- How often the next event was sent in vain.
    attempts INTEGER NOT NULL CHECK (attempts >= 0),
    -- Deliveries in vain in a row.
    failures INTEGER NOT NULL CHECK (failures >= 0),
    -- Nothing is sent before; milliseconds since 1970.
    due_at INTEGER NOT NULL,
    -- When it was made; milliseconds since 1970.
    created_at INTEGER NOT NULL,
    -- Who sends to it now.
    held_by TEXT,
    -- Until when; milliseconds since 1970.
    held_until INTEGER,
    CHECK ((previous_secret IS NULL) = (previous_until IS NULL)),
    CHECK ((held_by IS NULL) = (held_until IS NULL))
) STRICT;

CREATE INDEX webhooks_by_owner ON webhooks (owner_id, id);
CREATE INDEX webhooks_by_due_at ON webhooks (due_at, id) WHERE state = 'active';

-- What was sent to them, and what came of it.
CREATE TABLE webhook_deliveries (
    -- Which webhook.
    webhook_id TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    -- Its place in the log.
    seq INTEGER NOT NULL CHECK (seq > 0),
    -- When; milliseconds since 1970.
    at INTEGER NOT NULL,
    -- The number of the event; none for a ping.
    event_seq INTEGER,
    -- The type of the event, or ping.
    kind TEXT NOT NULL,
    -- How many times it has been sent with this one.
    attempt INTEGER NOT NULL CHECK (attempt > 0),
    -- The status of the answer, when there was one.
    status INTEGER,
    -- What came of it.
    outcome TEXT NOT NULL,
    PRIMARY KEY (webhook_id, seq)
) STRICT;

CREATE INDEX webhook_deliveries_by_at ON webhook_deliveries (at);

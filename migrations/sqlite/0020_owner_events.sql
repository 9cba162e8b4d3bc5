-- How many events each owner has had. Its row is the last lock of a transaction that has something to tell.
CREATE TABLE owner_event_counters (
    -- Whose events.
    owner_id TEXT PRIMARY KEY REFERENCES owners (id),
    -- The number of the last one.
    last_seq INTEGER NOT NULL CHECK (last_seq > 0)
) STRICT;

-- What owners are told about, each owner's numbered without a gap.
CREATE TABLE owner_events (
    -- Whose it is.
    owner_id TEXT NOT NULL REFERENCES owner_event_counters (owner_id),
    -- Its place in the owner's feed.
    seq INTEGER NOT NULL CHECK (seq > 0),
    -- Its name, the same wherever it is told.
    id TEXT NOT NULL UNIQUE,
    -- What happened.
    kind TEXT NOT NULL,
    -- When; milliseconds since 1970.
    at INTEGER NOT NULL,
    -- The machine it is about, if it is about one.
    instance_id TEXT,
    -- The work that brought it about, if some did.
    operation_id TEXT,
    -- More about it, as a JSON object; never a secret.
    data TEXT NOT NULL,
    PRIMARY KEY (owner_id, seq)
) STRICT;

CREATE INDEX owner_events_by_at ON owner_events (at);

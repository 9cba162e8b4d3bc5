-- Durable pieces of work.
CREATE TABLE operations (
    -- Operation id; also the mark by which its machine is found at the provider.
    id TEXT PRIMARY KEY,
    -- What kind of work.
    kind TEXT NOT NULL,
    -- Version of data; a build leaves alone what it does not know.
    format INTEGER NOT NULL CHECK (format > 0),
    -- For whom.
    owner_id TEXT NOT NULL REFERENCES owners (id),
    -- On which instance; a top-up has none.
    instance_id TEXT REFERENCES instances (id),
    -- Where it stands.
    state TEXT NOT NULL CHECK (state IN ('running', 'succeeded', 'failed', 'stuck')),
    -- The present step while it runs; where it stopped when it is stuck.
    step TEXT,
    -- Set before the step's effect is attempted; milliseconds since 1970.
    begun_at INTEGER,
    -- How often the present step has been tried.
    attempt INTEGER CHECK (attempt >= 0),
    -- Not to be touched before; milliseconds since 1970.
    run_at INTEGER,
    -- What it remembers between steps; JSON.
    data TEXT NOT NULL,
    -- SHA-256 of the canonical request.
    request_sha256 BLOB NOT NULL CHECK (length(request_sha256) = 32),
    -- Why it failed, or what is unclear.
    failure_code TEXT,
    -- Since when its money may have moved without our knowing, as in data; milliseconds since 1970.
    settlement_unknown_since INTEGER,
    -- Since when it no longer holds its instance, as in data; milliseconds since 1970.
    hold_released_at INTEGER,
    -- Which replica works on it.
    lease_holder TEXT,
    -- Until when; milliseconds since 1970.
    lease_until INTEGER,
    -- Counts holders; a stale one is recognised by it.
    lease_epoch INTEGER NOT NULL CHECK (lease_epoch >= 0),
    -- When it was opened; milliseconds since 1970.
    created_at INTEGER NOT NULL,
    -- When it came to rest; milliseconds since 1970.
    finished_at INTEGER,
    CHECK ((step IS NOT NULL) = (state IN ('running', 'stuck'))),
    CHECK ((run_at IS NOT NULL) = (state = 'running')),
    CHECK ((attempt IS NOT NULL) = (state = 'running')),
    CHECK (begun_at IS NULL OR state = 'running'),
    CHECK ((failure_code IS NOT NULL) = (state IN ('failed', 'stuck'))),
    CHECK ((lease_holder IS NULL) = (lease_until IS NULL))
) STRICT;

-- At most one open operation holds an instance.
CREATE UNIQUE INDEX operations_one_open ON operations (instance_id)
WHERE state IN ('running', 'stuck') AND hold_released_at IS NULL;
CREATE INDEX operations_due ON operations (run_at) WHERE state = 'running';
CREATE INDEX operations_unresolved ON operations (created_at, id) WHERE state IN ('running', 'stuck');
CREATE INDEX operations_by_instance ON operations (instance_id, created_at);
CREATE INDEX operations_hanging ON operations (owner_id, request_sha256) WHERE state = 'running';

-- What happened to each operation; lines are only ever added.
CREATE TABLE operation_events (
    -- To which operation.
    operation_id TEXT NOT NULL REFERENCES operations (id),
    -- Position in the operation's log, from 0.
    seq INTEGER NOT NULL CHECK (seq >= 0),
    -- When; milliseconds since 1970.
    at INTEGER NOT NULL,
    -- Which replica wrote it.
    holder TEXT NOT NULL,
    -- What happened, such as settle.begun.
    name TEXT NOT NULL,
    -- More about it; JSON.
    detail TEXT NOT NULL,
    PRIMARY KEY (operation_id, seq)
) STRICT;

CREATE TRIGGER operation_events_no_update BEFORE UPDATE ON operation_events
BEGIN
    SELECT RAISE(ABORT, 'operation_events only grows');
END;

CREATE TRIGGER operation_events_no_delete BEFORE DELETE ON operation_events
BEGIN
    SELECT RAISE(ABORT, 'operation_events only grows');
END;

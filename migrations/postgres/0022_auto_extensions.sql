-- Machines whose owners want them extended from credits before their time ends.
CREATE TABLE auto_extensions (
    -- Which machine.
    instance_id TEXT PRIMARY KEY REFERENCES instances (id),
    -- By how many hours each time.
    hours BIGINT NOT NULL CHECK (hours > 0),
    -- What all extensions together may cost; micro-dollars.
    max_total_micros BIGINT NOT NULL CHECK (max_total_micros > 0),
    -- What they have cost so far; micro-dollars.
    spent_micros BIGINT NOT NULL CHECK (spent_micros >= 0),
    -- The API key that wanted it, whose budget is charged; none when a wallet did.
    api_key_id TEXT,
    -- When to extend, or to try again; milliseconds since 1970. None while nothing can come of it.
    due_at BIGINT,
    -- Tries in vain for the present end.
    failures BIGINT NOT NULL CHECK (failures >= 0),
    -- Why it failed, as its owner was last told.
    told TEXT
);

CREATE INDEX auto_extensions_by_due_at ON auto_extensions (due_at, instance_id);

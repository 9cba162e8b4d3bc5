-- Prepaid value: what each purchase put on an instance, and what became of it. Consumed oldest first.
CREATE TABLE prepaid_lots (
    -- On which instance.
    instance_id TEXT NOT NULL REFERENCES instances (id),
    -- Counts the instance's lots, from 0.
    seq INTEGER NOT NULL CHECK (seq >= 0),
    -- The operation that brought it.
    operation_id TEXT NOT NULL REFERENCES operations (id),
    -- How it came to be: somebody paid, or it holds what was left of other lots at a new rate.
    origin TEXT NOT NULL CHECK (origin IN ('purchase', 'conversion')),
    -- Its value when whole; micro-dollars.
    amount_micros INTEGER NOT NULL CHECK (amount_micros >= 0),
    -- What an hour cost; micro-dollars.
    rate_hour_micros INTEGER NOT NULL CHECK (rate_hour_micros > 0),
    -- Begin of the time it pays for; milliseconds since 1970.
    starts_at INTEGER NOT NULL,
    -- End of the time it pays for; milliseconds since 1970.
    ends_at INTEGER NOT NULL CHECK (ends_at >= starts_at),
    -- When it ended before its time; milliseconds since 1970.
    closed_at INTEGER,
    -- What was left of it then; micro-dollars.
    left_micros INTEGER CHECK (left_micros BETWEEN 0 AND amount_micros),
    PRIMARY KEY (instance_id, seq),
    CHECK ((closed_at IS NULL) = (left_micros IS NULL))
) STRICT;

CREATE TRIGGER prepaid_lots_only_close BEFORE UPDATE ON prepaid_lots
WHEN OLD.closed_at IS NOT NULL
    OR NEW.closed_at IS NULL
    OR NEW.instance_id <> OLD.instance_id
    OR NEW.seq <> OLD.seq
    OR NEW.operation_id <> OLD.operation_id
    OR NEW.origin <> OLD.origin
    OR NEW.amount_micros <> OLD.amount_micros
    OR NEW.rate_hour_micros <> OLD.rate_hour_micros
    OR NEW.starts_at <> OLD.starts_at
    OR NEW.ends_at <> OLD.ends_at
BEGIN
    SELECT RAISE(ABORT, 'an open lot can be closed, and nothing else');
END;

CREATE TRIGGER prepaid_lots_no_delete BEFORE DELETE ON prepaid_lots
BEGIN
    SELECT RAISE(ABORT, 'prepaid_lots only grows');
END;

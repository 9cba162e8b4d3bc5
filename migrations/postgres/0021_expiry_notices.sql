-- When the owner of a machine is to be told next that its prepaid time ends.
CREATE TABLE expiry_notices (
    -- Which machine.
    instance_id TEXT PRIMARY KEY REFERENCES instances (id),
    -- The end that is told of; milliseconds since 1970.
    expires_at BIGINT NOT NULL,
    -- How many hours before that end.
    hours_left BIGINT NOT NULL CHECK (hours_left IN (72, 24, 1)),
    -- When that is; milliseconds since 1970.
    due_at BIGINT NOT NULL
);

CREATE INDEX expiry_notices_by_due_at ON expiry_notices (due_at, instance_id);

-- Machines that run already: 72 hours are 259200000 milliseconds.
INSERT INTO expiry_notices (instance_id, expires_at, hours_left, due_at)
SELECT id, expires_at, 72, expires_at - 259200000
FROM instances
WHERE state = 'active';

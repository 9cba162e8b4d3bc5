-- Duties that one replica does at a time.
CREATE TABLE leases (
    -- Name of the duty.
    name TEXT PRIMARY KEY,
    -- Which replica does it.
    holder TEXT NOT NULL,
    -- Until when; milliseconds since 1970.
    held_until BIGINT NOT NULL,
    -- Counts changes of the holder, from 1.
    epoch BIGINT NOT NULL CHECK (epoch > 0)
);

-- What providers sold, and when: a price that was current a moment ago is still honoured.
CREATE TABLE catalogs (
    -- Whose catalogue.
    provider TEXT NOT NULL,
    -- Counts changes, from 1.
    revision INTEGER NOT NULL CHECK (revision > 0),
    -- The catalogue as JSON.
    body TEXT NOT NULL,
    -- When it was first seen; milliseconds since 1970.
    first_seen_at INTEGER NOT NULL,
    -- When it was last seen unchanged; milliseconds since 1970.
    confirmed_at INTEGER NOT NULL CHECK (confirmed_at >= first_seen_at),
    PRIMARY KEY (provider, revision)
) STRICT;

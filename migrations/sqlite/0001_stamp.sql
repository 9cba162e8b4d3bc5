-- What this database is for. One row, written at first use.
CREATE TABLE database_stamp (
    -- Always 1: there is one row.
    id INTEGER PRIMARY KEY CHECK (id = 1),
    -- 'dev': simulated money; 'test': rehearsals against stand-ins; 'live': real money. None opens another's database.
    mode TEXT NOT NULL CHECK (mode IN ('dev', 'test', 'live')),
    -- When it was first used; milliseconds since 1970.
    created_at INTEGER NOT NULL,
    -- How often readiness was proven by a write.
    write_checks INTEGER NOT NULL DEFAULT 0
) STRICT;

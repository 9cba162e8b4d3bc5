-- Machines at providers that no live instance explains. Nothing is deleted at the first sight of it.
CREATE TABLE suspects (
    -- Who runs it.
    provider TEXT NOT NULL,
    -- The machine.
    machine_id TEXT NOT NULL,
    -- The operation whose mark it carries; it may be unknown to this database.
    operation_id TEXT NOT NULL,
    -- When it was first found unexplained; milliseconds since 1970.
    first_seen_at INTEGER NOT NULL,
    -- When it was last found so; milliseconds since 1970.
    last_seen_at INTEGER NOT NULL,
    -- In how many rounds it was found so.
    rounds INTEGER NOT NULL CHECK (rounds > 0),
    PRIMARY KEY (provider, machine_id)
) STRICT;

-- Destructions that no owner asked for; too many of them in a short time stop the workers.
CREATE TABLE unasked_destructions (
    -- Counts them.
    id INTEGER PRIMARY KEY,
    -- When; milliseconds since 1970.
    at INTEGER NOT NULL,
    -- Why, in a word.
    cause TEXT NOT NULL,
    -- Which instance or machine.
    subject TEXT NOT NULL
) STRICT;

CREATE INDEX unasked_destructions_by_at ON unasked_destructions (at);

-- While there is a row, nothing is destroyed without its owner's asking: the database may be older than the world.
CREATE TABLE quarantine (
    -- There is at most one.
    id INTEGER PRIMARY KEY CHECK (id = 1),
    -- Since when; milliseconds since 1970.
    since INTEGER NOT NULL,
    -- Why, for the operator.
    cause TEXT NOT NULL
) STRICT;

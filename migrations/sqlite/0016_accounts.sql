-- What is known of our account at each provider.
CREATE TABLE provider_accounts (
    -- The provider.
    provider TEXT PRIMARY KEY,
    -- The account that our machines are in: the first that was seen, or that an operator accepted.
    account_id TEXT,
    -- Another account that the provider showed instead; nothing is concluded about machines then.
    other_id TEXT,
    -- Since when it refuses our credentials; milliseconds since 1970.
    refused_since INTEGER,
    -- Whether it lets the account make machines.
    state TEXT CHECK (state IN ('open', 'warned', 'locked')),
    -- What the account can still spend; micro-dollars.
    funds_micros INTEGER CHECK (funds_micros >= 0),
    -- How many machines it may have.
    machine_limit INTEGER CHECK (machine_limit >= 0),
    -- When the provider last told; milliseconds since 1970.
    looked_at INTEGER,
    CHECK (other_id IS NULL OR (account_id IS NOT NULL AND other_id <> account_id)),
    CHECK ((state IS NULL) = (looked_at IS NULL))
) STRICT;

-- Machines that have another plan at their provider than the instance says.
CREATE TABLE plan_drifts (
    -- The instance.
    instance_id TEXT PRIMARY KEY REFERENCES instances (id),
    -- The plan that the provider shows.
    plan_id TEXT NOT NULL,
    -- Since when; milliseconds since 1970.
    first_seen_at INTEGER NOT NULL,
    -- In how many looks in a row.
    looks INTEGER NOT NULL CHECK (looks > 0)
) STRICT;

CREATE INDEX plan_drifts_by_age ON plan_drifts (first_seen_at);

-- Machines we sold.
CREATE TABLE instances (
    -- Instance id; the public API calls it an order.
    id TEXT PRIMARY KEY,
    -- Whose it is.
    owner_id TEXT NOT NULL REFERENCES owners (id),
    -- Who runs it.
    provider TEXT NOT NULL,
    -- Its size.
    plan_id TEXT NOT NULL,
    -- Where it runs.
    region_id TEXT NOT NULL,
    -- Its image.
    os_id TEXT NOT NULL,
    -- The customer's name for it.
    label TEXT NOT NULL,
    -- What the customer pays an hour; micro-dollars.
    rate_hour_micros BIGINT NOT NULL CHECK (rate_hour_micros > 0),
    -- Hours of the first purchase.
    prepaid_hours BIGINT NOT NULL CHECK (prepaid_hours > 0),
    -- Hours of all extensions.
    extended_hours BIGINT NOT NULL DEFAULT 0 CHECK (extended_hours >= 0),
    -- What the customer paid in all, extensions included; micro-dollars.
    price_micros BIGINT NOT NULL CHECK (price_micros >= 0),
    -- How the customer gets in.
    access TEXT NOT NULL CHECK (access IN ('ssh_key', 'password')),
    -- Public address, once known.
    ip_address TEXT,
    -- Where it is in its life.
    state TEXT NOT NULL CHECK (state IN ('pending', 'provisioning', 'active', 'destroying', 'destroyed', 'failed')),
    -- The machine at its provider, once there is one.
    provider_instance_id TEXT,
    -- End of the prepaid time, once there is a machine; milliseconds since 1970.
    expires_at BIGINT,
    -- Why it ends or ended.
    end_reason TEXT,
    -- Why it was never delivered.
    failure_code TEXT,
    -- When its end was verified, or its failure known; milliseconds since 1970.
    ended_at BIGINT,
    -- Since when the provider has it stopped on its own account; milliseconds since 1970.
    suspended_since BIGINT,
    -- How often in a row the provider did not know the machine.
    misses BIGINT NOT NULL DEFAULT 0 CHECK (misses >= 0),
    -- Since when; milliseconds since 1970.
    missing_since BIGINT,
    -- While it is active: when to look at the machine next; milliseconds since 1970.
    watch_at BIGINT NOT NULL DEFAULT 0,
    -- When it was claimed; milliseconds since 1970.
    created_at BIGINT NOT NULL,
    UNIQUE (provider, provider_instance_id),
    CHECK ((provider_instance_id IS NULL) = (expires_at IS NULL)),
    CHECK (state NOT IN ('pending', 'failed') OR provider_instance_id IS NULL),
    CHECK (state NOT IN ('active', 'destroying', 'destroyed') OR provider_instance_id IS NOT NULL),
    CHECK ((end_reason IS NOT NULL) = (state IN ('destroying', 'destroyed'))),
    CHECK ((ended_at IS NOT NULL) = (state IN ('destroyed', 'failed'))),
    CHECK ((failure_code IS NOT NULL) = (state = 'failed')),
    CHECK ((missing_since IS NULL) = (misses = 0))
);

-- Ids grow with time, so this is the order of a list, and each page of it is one walk.
CREATE INDEX instances_by_owner ON instances (owner_id, id);
CREATE INDEX instances_by_expiry ON instances (state, expires_at);
CREATE INDEX instances_watched ON instances (watch_at, id) WHERE state = 'active';

-- Sums over all live instances that a rule depends on; counting rows could not keep two replicas apart.
CREATE TABLE counters (
    -- 'instances': how many there are; 'hourly_micros': what their owners pay an hour, in micro-dollars.
    name TEXT PRIMARY KEY,
    -- The sum now.
    value BIGINT NOT NULL CHECK (value >= 0)
);

INSERT INTO counters (name, value) VALUES ('instances', 0), ('hourly_micros', 0);

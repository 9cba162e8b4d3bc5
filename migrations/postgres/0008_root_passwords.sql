-- Root passwords, encrypted, each readable once.
CREATE TABLE root_passwords (
    -- Of which instance.
    instance_id TEXT PRIMARY KEY REFERENCES instances (id),
    -- The encrypted password until it is taken or its time is over.
    sealed BYTEA,
    -- When it was stored; milliseconds since 1970.
    stored_at BIGINT NOT NULL,
    -- When it was taken or its time was over; milliseconds since 1970.
    taken_at BIGINT,
    CHECK (sealed IS NOT NULL OR taken_at IS NOT NULL)
);

CREATE INDEX root_passwords_unread ON root_passwords (stored_at) WHERE taken_at IS NULL;

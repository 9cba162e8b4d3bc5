-- The plan that an instance is to have, while it is being changed.
ALTER TABLE instances ADD COLUMN resize_plan_id TEXT;
-- What the customer will pay an hour then; micro-dollars.
ALTER TABLE instances ADD COLUMN resize_rate_micros BIGINT CHECK (resize_rate_micros > 0);
-- End of the prepaid time with that plan; milliseconds since 1970.
ALTER TABLE instances ADD COLUMN resize_expires_at BIGINT;
-- Whether its owner may not destroy it before lifting the protection.
ALTER TABLE instances ADD COLUMN is_protected BIGINT NOT NULL DEFAULT 0 CHECK (is_protected IN (0, 1));

-- The challenge that a payment answers, where the protocol has challenges (MPP).
ALTER TABLE payments ADD COLUMN challenge_id TEXT;
-- Who pays by card has no wallet. SQLite lifts a NOT NULL by way of another column.
ALTER TABLE payments ADD COLUMN payer_wallet TEXT;
UPDATE payments SET payer_wallet = payer;
ALTER TABLE payments DROP COLUMN payer;
ALTER TABLE payments RENAME COLUMN payer_wallet TO payer;

-- A challenge buys one thing, as a proof does: two transfers cannot be presented for one challenge.
CREATE UNIQUE INDEX payments_one_challenge ON payments (challenge_id) WHERE state <> 'declined';
-- What a payer has under way, whoever gets it.
CREATE INDEX payments_claimed_by_payer ON payments (payer) WHERE state = 'claimed';

-- The keys that buyers got who showed nothing but a payment.
CREATE TABLE management_keys (
    -- The purchase that made it. Deferred: both are written in one transaction.
    operation_id TEXT PRIMARY KEY REFERENCES operations (id) DEFERRABLE INITIALLY DEFERRED,
    -- The key.
    api_key_id TEXT NOT NULL UNIQUE REFERENCES api_keys (id),
    -- Its text, encrypted, until it is first used or its time is over.
    sealed BLOB,
    -- When it was made; milliseconds since 1970.
    stored_at INTEGER NOT NULL
) STRICT;

CREATE INDEX management_keys_by_age ON management_keys (stored_at) WHERE sealed IS NOT NULL;

-- The names that buyers gave to their purchases who showed nothing but a credential: one name of a
-- paying wallet, one purchase. Its owner's own names are others.
CREATE TABLE payer_request_keys (
    -- The paying wallet, as in payments.
    payer TEXT NOT NULL,
    -- The name, with its kind in front.
    request_key TEXT NOT NULL,
    -- SHA-256 of the canonical request.
    request_sha256 BLOB NOT NULL CHECK (length(request_sha256) = 32),
    -- The purchase. Deferred: the name may be bound before the operation is written.
    operation_id TEXT NOT NULL REFERENCES operations (id) DEFERRABLE INITIALLY DEFERRED,
    -- When the name may be given again; milliseconds since 1970.
    forget_at INTEGER NOT NULL,
    PRIMARY KEY (payer, request_key)
) STRICT;

CREATE INDEX payer_request_keys_by_forget_at ON payer_request_keys (forget_at);

-- Such names stood among those of the owner of the paying wallet, for purchases that are not that owner's.
INSERT INTO payer_request_keys (payer, request_key, request_sha256, operation_id, forget_at)
SELECT payments.payer, names.request_key, names.request_sha256, names.operation_id, names.forget_at
FROM request_keys AS names
JOIN operations ON operations.id = names.operation_id
JOIN payments ON payments.operation_id = names.operation_id
WHERE operations.owner_id <> names.owner_id AND payments.payer IS NOT NULL;

DELETE FROM request_keys
WHERE EXISTS (
    SELECT 1 FROM operations
    WHERE operations.id = request_keys.operation_id
        AND operations.owner_id <> request_keys.owner_id);

-- The names that clients give to their purchases: one name of an owner, one purchase.
CREATE TABLE request_keys (
    -- Whose name it is.
    owner_id TEXT NOT NULL REFERENCES owners (id),
    -- The name, with its kind in front.
    request_key TEXT NOT NULL,
    -- SHA-256 of the canonical request.
    request_sha256 BLOB NOT NULL CHECK (length(request_sha256) = 32),
    -- The purchase. Deferred: the name may be bound before the operation is written.
    operation_id TEXT NOT NULL REFERENCES operations (id) DEFERRABLE INITIALLY DEFERRED,
    -- When the name may be given again; milliseconds since 1970.
    forget_at INTEGER NOT NULL,
    PRIMARY KEY (owner_id, request_key)
) STRICT;

CREATE INDEX request_keys_by_forget_at ON request_keys (forget_at);

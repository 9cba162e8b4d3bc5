-- Who our customers are, and how they prove it.
CREATE TABLE owners (
    -- Owner id.
    id TEXT PRIMARY KEY,
    -- When the owner was first seen; milliseconds since 1970.
    created_at BIGINT NOT NULL
);

-- Which wallet belongs to whom.
CREATE TABLE wallets (
    -- Family of chains, as in CAIP-2.
    namespace TEXT NOT NULL CHECK (namespace IN ('eip155', 'solana')),
    -- Canonical address: lower-case hex or base58.
    address TEXT NOT NULL,
    -- Deferred: the wallet's key decides which of two racing replicas makes the owner.
    owner_id TEXT NOT NULL REFERENCES owners (id) DEFERRABLE INITIALLY DEFERRED,
    -- When the wallet was first seen; milliseconds since 1970.
    created_at BIGINT NOT NULL,
    PRIMARY KEY (namespace, address)
);

CREATE INDEX wallets_by_owner ON wallets (owner_id);

-- Keys that act for an owner.
CREATE TABLE api_keys (
    -- Key id, as shown in lists.
    id TEXT PRIMARY KEY,
    -- For whom the key acts.
    owner_id TEXT NOT NULL REFERENCES owners (id),
    -- The customer's name for it.
    label TEXT,
    -- HMAC-SHA-256 of the key's text.
    key_mac BYTEA NOT NULL UNIQUE CHECK (length(key_mac) = 32),
    -- The last four characters of the key's text.
    last4 TEXT NOT NULL,
    -- When it was created; milliseconds since 1970.
    created_at BIGINT NOT NULL,
    -- Since when it no longer works; milliseconds since 1970.
    revoked_at BIGINT
);

CREATE INDEX api_keys_by_owner ON api_keys (owner_id);

-- Nonces of signed requests. Each is good for one.
CREATE TABLE auth_nonces (
    -- Family of chains of the signing wallet.
    namespace TEXT NOT NULL CHECK (namespace IN ('eip155', 'solana')),
    -- The signing wallet.
    address TEXT NOT NULL,
    -- What it signed.
    nonce TEXT NOT NULL,
    -- When it was spent; milliseconds since 1970.
    spent_at BIGINT NOT NULL,
    -- When a signature with it is too old anyway; milliseconds since 1970.
    forget_at BIGINT NOT NULL,
    PRIMARY KEY (namespace, address, nonce)
);

CREATE INDEX auth_nonces_by_forget_at ON auth_nonces (forget_at);

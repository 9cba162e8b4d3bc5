-- Who our customers are, and how they prove it.
CREATE TABLE owners (
    -- Owner id.
    id TEXT PRIMARY KEY,
    -- How many live instances it has; its places are taken and given back here.
    live_instances INTEGER NOT NULL DEFAULT 0 CHECK (live_instances >= 0),
    -- When the owner was first seen; milliseconds since 1970.
    created_at INTEGER NOT NULL
) STRICT;

-- Which wallet belongs to whom.
CREATE TABLE wallets (
    -- Family of chains, as in CAIP-2.
    namespace TEXT NOT NULL CHECK (namespace IN ('eip155', 'solana')),
    -- Canonical address: lower-case hex or base58.
    address TEXT NOT NULL,
    -- Deferred: the wallet's key decides which of two racing replicas makes the owner.
    owner_id TEXT NOT NULL REFERENCES owners (id) DEFERRABLE INITIALLY DEFERRED,
    -- When the wallet was first seen; milliseconds since 1970.
    created_at INTEGER NOT NULL,
    PRIMARY KEY (namespace, address)
) STRICT;

CREATE INDEX wallets_by_owner ON wallets (owner_id);

-- Keys that act for an owner.
CREATE TABLE api_keys (
    -- Key id, as shown in lists.
    id TEXT PRIMARY KEY,
    -- For whom the key acts.
    owner_id TEXT NOT NULL REFERENCES owners (id),
    -- The customer's name for it.
    label TEXT,
    -- The customer's name for the request that made it; a repeat makes no second key.
    request_key TEXT,
    -- HMAC-SHA-256 of the key's text.
    key_mac BLOB NOT NULL UNIQUE CHECK (length(key_mac) = 32),
    -- The last four characters of the key's text.
    last4 TEXT NOT NULL,
    -- What it may do: read, manage, spend, joined by commas.
    scopes TEXT NOT NULL,
    -- How many credits it may spend in all; none means no limit of its own; micro-dollars.
    budget_micros INTEGER CHECK (budget_micros >= 0),
    -- How many credits it has spent; micro-dollars.
    spent_micros INTEGER NOT NULL DEFAULT 0 CHECK (spent_micros >= 0),
    -- When it was created; milliseconds since 1970.
    created_at INTEGER NOT NULL,
    -- From when on it no longer works by itself; milliseconds since 1970.
    expires_at INTEGER,
    -- Since when it no longer works because it was revoked; milliseconds since 1970.
    revoked_at INTEGER,
    CHECK (budget_micros IS NULL OR spent_micros <= budget_micros)
) STRICT;

CREATE INDEX api_keys_by_owner ON api_keys (owner_id);
CREATE UNIQUE INDEX api_keys_by_request_key ON api_keys (owner_id, request_key);

-- Nonces of signed requests. Each is good for one.
CREATE TABLE auth_nonces (
    -- Family of chains of the signing wallet.
    namespace TEXT NOT NULL CHECK (namespace IN ('eip155', 'solana')),
    -- The signing wallet.
    address TEXT NOT NULL,
    -- What it signed.
    nonce TEXT NOT NULL,
    -- When it was spent; milliseconds since 1970.
    spent_at INTEGER NOT NULL,
    -- When a signature with it is too old anyway; milliseconds since 1970.
    forget_at INTEGER NOT NULL,
    PRIMARY KEY (namespace, address, nonce)
) STRICT;

CREATE INDEX auth_nonces_by_forget_at ON auth_nonces (forget_at);

-- Accounts of ours that send to a chain. Whoever writes the row chooses the next nonce; nobody else can until it commits.
CREATE TABLE sending_lanes (
    -- The chain and the account.
    lane TEXT PRIMARY KEY CHECK (length(lane) BETWEEN 1 AND 160),
    -- The nonce of its next transaction; chains without nonces leave it at 0.
    next_nonce BIGINT NOT NULL CHECK (next_nonce >= 0),
    -- When it was first used; milliseconds since 1970.
    created_at BIGINT NOT NULL,
    -- When it was last locked; milliseconds since 1970.
    used_at BIGINT NOT NULL
);

-- What we signed for a chain, written down before it is sent.
CREATE TABLE chain_transactions (
    -- As the chain writes it.
    hash TEXT PRIMARY KEY CHECK (length(hash) > 0),
    -- Who sends it.
    lane TEXT NOT NULL REFERENCES sending_lanes (lane),
    -- The account's nonce, where the chain has them.
    nonce BIGINT CHECK (nonce >= 0),
    -- Why it is sent.
    purpose TEXT NOT NULL CHECK (purpose IN ('settle', 'permit', 'pull', 'sweep', 'fill')),
    -- The proof key of the payment it settles.
    proof_key TEXT,
    -- Names payments that must not overlap; none once the payment has let go.
    payment_group TEXT,
    -- The signed bytes, exactly as they are sent.
    raw BYTEA NOT NULL CHECK (length(raw) > 0),
    -- The most it can cost; in the chain's small unit of fees.
    max_cost BIGINT NOT NULL CHECK (max_cost >= 0),
    -- The last block height at which it is valid, where the chain has such a limit.
    valid_until BIGINT CHECK (valid_until >= 0),
    -- What is known of it.
    state TEXT NOT NULL CHECK (state IN ('open', 'mined', 'failed', 'void')),
    -- The block that includes it.
    block BIGINT CHECK (block >= 0),
    -- When it was signed; milliseconds since 1970.
    created_at BIGINT NOT NULL,
    -- When it was first known to be no longer open; milliseconds since 1970.
    concluded_at BIGINT,
    CHECK (payment_group IS NULL OR proof_key IS NOT NULL),
    CHECK ((block IS NOT NULL) = (state IN ('mined', 'failed'))),
    CHECK ((concluded_at IS NOT NULL) = (state <> 'open'))
);

-- A nonce may be signed several times, with higher fees; the chain includes one of them.
CREATE UNIQUE INDEX chain_transactions_one_included ON chain_transactions (lane, nonce)
WHERE state IN ('mined', 'failed') AND nonce IS NOT NULL;
CREATE INDEX chain_transactions_by_nonce ON chain_transactions (lane, nonce)
WHERE nonce IS NOT NULL;
CREATE INDEX chain_transactions_by_proof ON chain_transactions (proof_key, created_at)
WHERE proof_key IS NOT NULL;
-- -1 stands for none: the two databases do not agree where it comes in an order.
CREATE INDEX chain_transactions_open ON chain_transactions (lane, COALESCE(nonce, -1), created_at, hash)
WHERE state = 'open';
CREATE INDEX chain_transactions_by_group ON chain_transactions (lane, payment_group, created_at)
WHERE payment_group IS NOT NULL;
CREATE INDEX chain_transactions_by_lane ON chain_transactions (lane, concluded_at);
CREATE INDEX chain_transactions_forgettable ON chain_transactions (concluded_at)
WHERE state <> 'open' AND payment_group IS NULL;

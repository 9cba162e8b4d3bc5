-- Payment proofs, each bound to the one thing it buys.
CREATE TABLE payments (
    -- Payment id.
    id TEXT PRIMARY KEY,
    -- The one thing it buys.
    operation_id TEXT NOT NULL UNIQUE REFERENCES operations (id),
    -- Who gets what it buys.
    owner_id TEXT NOT NULL REFERENCES owners (id),
    -- How the money travels.
    rail TEXT NOT NULL,
    -- What the payment network itself makes unique.
    proof_key TEXT NOT NULL,
    -- The wallet that pays.
    payer TEXT NOT NULL,
    -- The price; micro-dollars.
    price_micros INTEGER NOT NULL CHECK (price_micros >= 0),
    -- The price in the token's smallest unit; decimal text.
    asset_atomic TEXT NOT NULL,
    -- Decimals of the token.
    asset_decimals INTEGER NOT NULL CHECK (asset_decimals BETWEEN 0 AND 255),
    -- After this moment an unsettled proof can never settle; milliseconds since 1970.
    void_after INTEGER NOT NULL,
    -- When it was bound; milliseconds since 1970.
    claimed_at INTEGER NOT NULL,
    -- Where it stands.
    state TEXT NOT NULL CHECK (state IN ('claimed', 'settled', 'declined', 'refunded')),
    -- Everything needed to settle it, encrypted; only while it is claimed.
    sealed_proof BLOB,
    -- The transaction or reference that shows that the money arrived.
    reference TEXT,
    -- Index of the transfer's log entry in that transaction, when known.
    log_index INTEGER CHECK (log_index >= 0),
    -- When we learned that the money arrived; milliseconds since 1970.
    settled_at INTEGER,
    -- The payment network's reason when no money moved.
    decline_code TEXT,
    -- The ledger row of the refund.
    refund_transfer_id TEXT REFERENCES ledger_transfers (id) DEFERRABLE INITIALLY DEFERRED,
    CHECK ((sealed_proof IS NOT NULL) = (state = 'claimed')),
    CHECK ((reference IS NOT NULL) = (state IN ('settled', 'refunded'))),
    CHECK ((settled_at IS NOT NULL) = (state IN ('settled', 'refunded'))),
    CHECK (log_index IS NULL OR reference IS NOT NULL),
    CHECK ((decline_code IS NOT NULL) = (state = 'declined')),
    CHECK ((refund_transfer_id IS NOT NULL) = (state = 'refunded'))
) STRICT;

-- A proof buys one thing, unless it certainly bought nothing.
CREATE UNIQUE INDEX payments_one_claim ON payments (proof_key) WHERE state <> 'declined';
-- One arrival of money serves one payment. A transaction may hold several arrivals, so this can only
-- be said where a chain was read; elsewhere the proof's own key must do.
CREATE UNIQUE INDEX payments_one_evidence ON payments (rail, reference, log_index)
WHERE reference IS NOT NULL AND log_index IS NOT NULL;

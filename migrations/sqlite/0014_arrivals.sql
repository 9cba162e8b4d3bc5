-- How far what arrives at addresses of ours has been read.
CREATE TABLE arrival_sources (
    -- The chain, the token and the addresses.
    source TEXT PRIMARY KEY CHECK (length(source) BETWEEN 1 AND 500),
    -- Where the next read begins; only the rail understands it.
    read_from TEXT NOT NULL CHECK (length(read_from) BETWEEN 1 AND 500),
    -- When it was first read; milliseconds since 1970.
    started_at INTEGER NOT NULL,
    -- Up to when everything final was read, by the chain's clock; milliseconds since 1970.
    read_up_to INTEGER NOT NULL,
    -- What arrived in transfers too small for a row each and is not booked yet; atomic units, decimal text.
    small_atomic TEXT NOT NULL,
    -- How many those are.
    small_transfers INTEGER NOT NULL CHECK (small_transfers >= 0)
) STRICT;

-- Which rails are paid there, each since when.
CREATE TABLE arrival_rails (
    -- The rail.
    rail TEXT PRIMARY KEY,
    -- Where its money arrives.
    source TEXT NOT NULL REFERENCES arrival_sources (source),
    -- Since when that is known; milliseconds since 1970.
    since INTEGER NOT NULL
) STRICT;

-- Money that a chain shows to have reached an address of ours, each transfer once.
CREATE TABLE arrivals (
    -- Arrival id.
    id TEXT PRIMARY KEY,
    -- Where it was seen.
    source TEXT NOT NULL REFERENCES arrival_sources (source),
    -- The rail that it is booked under.
    rail TEXT NOT NULL,
    -- The transaction.
    reference TEXT NOT NULL,
    -- Its place in the transaction or its block.
    log_index INTEGER NOT NULL CHECK (log_index >= 0),
    -- Who sent it; none when it stands for many small ones.
    payer TEXT,
    -- How much, in the token's smallest unit; decimal text.
    asset_atomic TEXT NOT NULL,
    -- Decimals of the token.
    asset_decimals INTEGER NOT NULL CHECK (asset_decimals BETWEEN 0 AND 255),
    -- What it is worth; micro-dollars.
    amount_micros INTEGER NOT NULL CHECK (amount_micros >= 0),
    -- How many transfers it stands for.
    transfers INTEGER NOT NULL CHECK (transfers > 0),
    -- When it was final at the latest, by the chain's clock; milliseconds since 1970.
    at INTEGER NOT NULL,
    -- Where it belongs.
    state TEXT NOT NULL CHECK (state IN ('waiting', 'matched', 'unmatched', 'assigned')),
    -- The payment whose money it is.
    payment_id TEXT REFERENCES payments (id),
    -- Whose credit an operator made it.
    owner_id TEXT REFERENCES owners (id),
    -- Why, in the operator's words.
    note TEXT,
    UNIQUE (source, reference, log_index),
    CHECK ((payment_id IS NOT NULL) = (state = 'matched')),
    CHECK ((owner_id IS NOT NULL) = (state = 'assigned')),
    CHECK ((note IS NOT NULL) = (state = 'assigned'))
) STRICT;

-- Payments that their chain took back after they had settled, until they are in it again.
CREATE TABLE reverted_payments (
    -- The payment.
    payment_id TEXT PRIMARY KEY REFERENCES payments (id),
    -- Since when; milliseconds since 1970.
    since INTEGER NOT NULL
) STRICT;

-- A transfer is caused by an operation, or by an arrival that no operation asked for. SQLite changes no
-- column, so the table is made again with the same rows.
CREATE TABLE kept_ledger_transfers AS SELECT * FROM ledger_transfers;
DROP TABLE ledger_transfers;

-- Every movement of money; a correction is another transfer.
CREATE TABLE ledger_transfers (
    -- Transfer id.
    id TEXT PRIMARY KEY,
    -- Where the money comes from.
    debit_account TEXT NOT NULL,
    -- Where it goes.
    credit_account TEXT NOT NULL,
    -- How much; micro-dollars.
    amount_micros INTEGER NOT NULL CHECK (amount_micros > 0),
    -- Why.
    reason TEXT NOT NULL,
    -- The work that caused it, if any did.
    operation_id TEXT REFERENCES operations (id),
    -- The arrival that caused it, which no work asked for.
    arrival_id TEXT REFERENCES arrivals (id),
    -- When it was written; milliseconds since 1970.
    created_at INTEGER NOT NULL,
    -- The credits account on one of the sides.
    credits_account TEXT,
    -- The transfer's number among those of that account, from 1.
    credits_seq INTEGER CHECK (credits_seq > 0),
    -- What that account holds after it; micro-dollars.
    balance_after_micros INTEGER CHECK (balance_after_micros >= 0),
    -- SHA-256 over the hash of the transfer before it and everything this one says.
    chain_hash BLOB CHECK (length(chain_hash) = 32),
    UNIQUE (operation_id, reason),
    UNIQUE (arrival_id, reason),
    CHECK ((operation_id IS NULL) <> (arrival_id IS NULL)),
    UNIQUE (credits_account, credits_seq),
    CHECK (debit_account <> credit_account),
    CHECK (
        CASE reason
            WHEN 'sale' THEN debit_account LIKE 'clearing:%' AND credit_account = 'sales'
            WHEN 'topup' THEN debit_account LIKE 'clearing:%' AND credit_account LIKE 'credits:%'
            WHEN 'spend' THEN debit_account LIKE 'credits:%' AND credit_account = 'sales'
            WHEN 'spend_reversal' THEN debit_account = 'sales' AND credit_account LIKE 'credits:%'
            WHEN 'payment_refund' THEN debit_account = 'sales' AND credit_account LIKE 'credits:%'
            WHEN 'early_destroy' THEN debit_account = 'sales' AND credit_account LIKE 'credits:%'
            WHEN 'lost_machine' THEN debit_account = 'sales' AND credit_account LIKE 'credits:%'
            WHEN 'operator_refund' THEN debit_account = 'suspense' AND credit_account LIKE 'credits:%'
            WHEN 'unmatched' THEN debit_account LIKE 'clearing:%' AND credit_account = 'suspense'
            WHEN 'unmatched_reversal' THEN debit_account = 'suspense' AND credit_account LIKE 'clearing:%'
            WHEN 'dispute' THEN debit_account LIKE 'credits:%' AND credit_account = 'suspense'
            ELSE FALSE
        END
    ),
    CHECK (
        (credits_account IS NOT NULL)
        = (debit_account LIKE 'credits:%' OR credit_account LIKE 'credits:%')
    ),
    CHECK (credits_account IS NULL OR credits_account IN (debit_account, credit_account)),
    CHECK ((credits_account IS NULL) = (credits_seq IS NULL)),
    CHECK ((credits_account IS NULL) = (balance_after_micros IS NULL)),
    CHECK ((credits_account IS NULL) = (chain_hash IS NULL))
) STRICT;

INSERT INTO ledger_transfers (
    id, debit_account, credit_account, amount_micros, reason, operation_id, created_at,
    credits_account, credits_seq, balance_after_micros, chain_hash
)
SELECT id, debit_account, credit_account, amount_micros, reason, operation_id, created_at,
    credits_account, credits_seq, balance_after_micros, chain_hash
FROM kept_ledger_transfers
ORDER BY rowid;
DROP TABLE kept_ledger_transfers;

CREATE TRIGGER ledger_transfers_no_update BEFORE UPDATE ON ledger_transfers
BEGIN
    SELECT RAISE(ABORT, 'ledger_transfers only grows');
END;

CREATE TRIGGER ledger_transfers_no_delete BEFORE DELETE ON ledger_transfers
BEGIN
    SELECT RAISE(ABORT, 'ledger_transfers only grows');
END;

-- One arrival is the money of one payment.
CREATE UNIQUE INDEX arrivals_one_payment ON arrivals (payment_id) WHERE payment_id IS NOT NULL;
CREATE INDEX arrivals_by_reference ON arrivals (reference);
CREATE INDEX arrivals_by_state ON arrivals (state, at, id) WHERE state <> 'matched';
CREATE INDEX payments_by_reference ON payments (reference) WHERE reference IS NOT NULL;
CREATE INDEX payments_undecided ON payments (rail) WHERE state = 'claimed';

-- How far what arrives at addresses of ours has been read.
CREATE TABLE arrival_sources (
    -- The chain, the token and the addresses.
    source TEXT PRIMARY KEY CHECK (length(source) BETWEEN 1 AND 500),
    -- Where the next read begins; only the rail understands it.
    read_from TEXT NOT NULL CHECK (length(read_from) BETWEEN 1 AND 500),
    -- When it was first read; milliseconds since 1970.
    started_at BIGINT NOT NULL,
    -- Up to when everything final was read, by the chain's clock; milliseconds since 1970.
    read_up_to BIGINT NOT NULL,
    -- What arrived in transfers too small for a row each and is not booked yet; atomic units, decimal text.
    small_atomic TEXT NOT NULL,
    -- How many those are.
    small_transfers BIGINT NOT NULL CHECK (small_transfers >= 0)
);

-- Which rails are paid there, each since when.
CREATE TABLE arrival_rails (
    -- The rail.
    rail TEXT PRIMARY KEY,
    -- Where its money arrives.
    source TEXT NOT NULL REFERENCES arrival_sources (source),
    -- Since when that is known; milliseconds since 1970.
    since BIGINT NOT NULL
);

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
    log_index BIGINT NOT NULL CHECK (log_index >= 0),
    -- Who sent it; none when it stands for many small ones.
    payer TEXT,
    -- How much, in the token's smallest unit; decimal text.
    asset_atomic TEXT NOT NULL,
    -- Decimals of the token.
    asset_decimals BIGINT NOT NULL CHECK (asset_decimals BETWEEN 0 AND 255),
    -- What it is worth; micro-dollars.
    amount_micros BIGINT NOT NULL CHECK (amount_micros >= 0),
    -- How many transfers it stands for.
    transfers BIGINT NOT NULL CHECK (transfers > 0),
    -- When it was final at the latest, by the chain's clock; milliseconds since 1970.
    at BIGINT NOT NULL,
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
);

-- Payments that their chain took back after they had settled, until they are in it again.
CREATE TABLE reverted_payments (
    -- The payment.
    payment_id TEXT PRIMARY KEY REFERENCES payments (id),
    -- Since when; milliseconds since 1970.
    since BIGINT NOT NULL
);

-- A transfer is caused by an operation, or by an arrival that no operation asked for.
ALTER TABLE ledger_transfers
ALTER COLUMN operation_id DROP NOT NULL,
ADD COLUMN arrival_id TEXT REFERENCES arrivals (id),
ADD CONSTRAINT ledger_transfers_one_cause CHECK ((operation_id IS NULL) <> (arrival_id IS NULL)),
ADD CONSTRAINT ledger_transfers_once_per_arrival UNIQUE (arrival_id, reason),
DROP CONSTRAINT ledger_transfers_check1,
ADD CONSTRAINT ledger_transfers_accounts CHECK (
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
    );

-- One arrival is the money of one payment.
CREATE UNIQUE INDEX arrivals_one_payment ON arrivals (payment_id) WHERE payment_id IS NOT NULL;
CREATE INDEX arrivals_by_reference ON arrivals (reference);
CREATE INDEX arrivals_by_state ON arrivals (state, at, id) WHERE state <> 'matched';
CREATE INDEX payments_by_reference ON payments (reference) WHERE reference IS NOT NULL;
CREATE INDEX payments_undecided ON payments (rail) WHERE state = 'claimed';

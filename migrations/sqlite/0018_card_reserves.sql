-- Buyers who ask a bank for the money of a payment.
CREATE TABLE card_disputes (
    -- The rail of the payment.
    rail TEXT NOT NULL,
    -- The payment network's name of it.
    reference TEXT NOT NULL CHECK (length(reference) BETWEEN 1 AND 255),
    -- The payment.
    payment_id TEXT NOT NULL REFERENCES payments (id),
    -- Whose purchase it was.
    owner_id TEXT NOT NULL REFERENCES owners (id),
    -- How much is asked for; micro-dollars.
    amount_micros INTEGER NOT NULL CHECK (amount_micros >= 0),
    -- The network's own word for where it is.
    status TEXT NOT NULL,
    -- What became of it.
    state TEXT NOT NULL CHECK (state IN ('open', 'won', 'lost')),
    -- When it was opened, by the network's clock; milliseconds since 1970.
    opened_at INTEGER NOT NULL,
    -- When we learned of it; milliseconds since 1970.
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (rail, reference)
) STRICT;

-- Up to when the disputes of an account at a payment network were read.
CREATE TABLE card_dispute_reads (
    -- The rail.
    rail TEXT NOT NULL,
    -- The account, as the network names it.
    account TEXT NOT NULL,
    -- Up to when; milliseconds since 1970.
    read_up_to INTEGER NOT NULL,
    PRIMARY KEY (rail, account)
) STRICT;

-- Credit that is set aside because the payment it came by goes back to its buyer, or may have to.
CREATE TABLE card_reserves (
    -- Reserve id.
    id TEXT PRIMARY KEY,
    -- The payment.
    payment_id TEXT NOT NULL REFERENCES payments (id),
    -- Whose credit it was.
    owner_id TEXT NOT NULL REFERENCES owners (id),
    -- The rail of the payment.
    rail TEXT NOT NULL,
    -- Why.
    kind TEXT NOT NULL CHECK (kind IN ('refund', 'dispute')),
    -- The operator's name of a refund; the payment network's name of a dispute.
    name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    -- How much; micro-dollars.
    amount_micros INTEGER NOT NULL CHECK (amount_micros > 0),
    -- Why, in the operator's words.
    note TEXT NOT NULL,
    -- The account at the payment network that was first asked for a refund.
    account TEXT,
    -- When it was set aside; milliseconds since 1970.
    created_at INTEGER NOT NULL,
    -- Where it is.
    state TEXT NOT NULL CHECK (state IN ('held', 'paid', 'released')),
    -- The network's name of what it did.
    reference TEXT,
    -- Why it is the owner's credit again.
    code TEXT,
    CHECK ((reference IS NOT NULL) = (state = 'paid')),
    CHECK ((code IS NOT NULL) = (state = 'released'))
) STRICT;

-- A transfer is caused by an operation, by an arrival that no operation asked for, or by a reserve.
-- SQLite changes no column, so the table is made again with the same rows.
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
    -- What was set aside or given back, because of which it was written.
    reserve_id TEXT REFERENCES card_reserves (id),
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
    UNIQUE (reserve_id, reason),
    CHECK ((operation_id IS NOT NULL) + (arrival_id IS NOT NULL) + (reserve_id IS NOT NULL) = 1),
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
            WHEN 'card_refund' THEN debit_account LIKE 'credits:%' AND credit_account = 'suspense'
            WHEN 'reserve_paid' THEN debit_account = 'suspense' AND credit_account LIKE 'clearing:%'
            WHEN 'reserve_released' THEN debit_account = 'suspense' AND credit_account LIKE 'credits:%'
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
    id, debit_account, credit_account, amount_micros, reason, operation_id, arrival_id, created_at,
    credits_account, credits_seq, balance_after_micros, chain_hash
)
SELECT id, debit_account, credit_account, amount_micros, reason, operation_id, arrival_id, created_at,
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

-- Under one name one refund of a payment is made.
CREATE UNIQUE INDEX card_reserves_one_refund ON card_reserves (payment_id, name) WHERE kind = 'refund';
CREATE INDEX card_reserves_by_payment ON card_reserves (payment_id);
CREATE INDEX card_reserves_held ON card_reserves (rail, kind, created_at, id) WHERE state = 'held';
CREATE INDEX card_reserves_by_time ON card_reserves (kind, created_at, id);
CREATE INDEX card_disputes_by_payment ON card_disputes (payment_id);
CREATE INDEX card_disputes_open ON card_disputes (opened_at) WHERE state = 'open';

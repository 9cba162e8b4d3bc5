-- Accounts whose balance a rule depends on; the others are sums over transfers.
CREATE TABLE ledger_accounts (
    -- Account name: credits:<owner>.
    id TEXT PRIMARY KEY,
    -- What left the account; micro-dollars.
    debits_micros INTEGER NOT NULL CHECK (debits_micros >= 0),
    -- What arrived; micro-dollars.
    credits_micros INTEGER NOT NULL,
    -- What of both was a spending and its reversal; micro-dollars.
    reversed_micros INTEGER NOT NULL CHECK (reversed_micros BETWEEN 0 AND debits_micros),
    -- How many transfers touched the account; the number of the last one.
    last_seq INTEGER NOT NULL CHECK (last_seq >= 0),
    -- The hash of the last one; zeros before the first.
    last_hash BLOB NOT NULL CHECK (length(last_hash) = 32),
    -- Nobody spends what is not there.
    CHECK (credits_micros >= debits_micros)
) STRICT;

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
    -- The work that caused it.
    operation_id TEXT NOT NULL REFERENCES operations (id),
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

CREATE TRIGGER ledger_transfers_no_update BEFORE UPDATE ON ledger_transfers
BEGIN
    SELECT RAISE(ABORT, 'ledger_transfers only grows');
END;

CREATE TRIGGER ledger_transfers_no_delete BEFORE DELETE ON ledger_transfers
BEGIN
    SELECT RAISE(ABORT, 'ledger_transfers only grows');
END;

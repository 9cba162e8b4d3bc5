-- Accounts whose balance a rule depends on; the others are sums over transfers.
CREATE TABLE ledger_accounts (
    -- Account name: credits:<owner>.
    id TEXT PRIMARY KEY,
    -- What left the account; micro-dollars.
    debits_micros INTEGER NOT NULL CHECK (debits_micros >= 0),
    -- What arrived; micro-dollars.
    credits_micros INTEGER NOT NULL,
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
    UNIQUE (operation_id, reason),
    CHECK (debit_account <> credit_account)
) STRICT;

CREATE TRIGGER ledger_transfers_no_update BEFORE UPDATE ON ledger_transfers
BEGIN
    SELECT RAISE(ABORT, 'ledger_transfers only grows');
END;

CREATE TRIGGER ledger_transfers_no_delete BEFORE DELETE ON ledger_transfers
BEGIN
    SELECT RAISE(ABORT, 'ledger_transfers only grows');
END;

-- Accounts whose balance a rule depends on; the others are sums over transfers.
CREATE TABLE ledger_accounts (
    -- Account name: credits:<owner>.
    id TEXT PRIMARY KEY,
    -- What left the account; micro-dollars.
    debits_micros BIGINT NOT NULL CHECK (debits_micros >= 0),
    -- What arrived; micro-dollars.
    credits_micros BIGINT NOT NULL,
    -- Nobody spends what is not there.
    CHECK (credits_micros >= debits_micros)
);

-- Every movement of money; a correction is another transfer.
CREATE TABLE ledger_transfers (
    -- Transfer id.
    id TEXT PRIMARY KEY,
    -- Where the money comes from.
    debit_account TEXT NOT NULL,
    -- Where it goes.
    credit_account TEXT NOT NULL,
    -- How much; micro-dollars.
    amount_micros BIGINT NOT NULL CHECK (amount_micros > 0),
    -- Why.
    reason TEXT NOT NULL,
    -- The work that caused it.
    operation_id TEXT NOT NULL REFERENCES operations (id),
    -- When it was written; milliseconds since 1970.
    created_at BIGINT NOT NULL,
    UNIQUE (operation_id, reason),
    CHECK (debit_account <> credit_account)
);

CREATE FUNCTION ledger_transfers_refuse_change() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    RAISE EXCEPTION 'ledger_transfers only grows';
END;
$$;

CREATE TRIGGER ledger_transfers_no_change BEFORE UPDATE OR DELETE ON ledger_transfers
FOR EACH ROW EXECUTE FUNCTION ledger_transfers_refuse_change();

CREATE TRIGGER ledger_transfers_no_truncate BEFORE TRUNCATE ON ledger_transfers
FOR EACH STATEMENT EXECUTE FUNCTION ledger_transfers_refuse_change();

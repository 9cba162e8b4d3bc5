//! M1 to M7: the books.

use super::Question;

/// `TransferReason::allows` in SQL, as in the table's own check.
macro_rules! allowed {
    () => {
        "CASE reason
        WHEN 'sale' THEN debit_account LIKE 'clearing:%' AND credit_account = 'sales'
        WHEN 'topup' THEN debit_account LIKE 'clearing:%' AND credit_account LIKE 'credits:%'
        WHEN 'spend' THEN debit_account LIKE 'credits:%' AND credit_account = 'sales'
        WHEN 'spend_reversal' THEN debit_account = 'sales' AND credit_account LIKE 'credits:%'
        WHEN 'payment_refund' THEN debit_account = 'sales' AND credit_account LIKE 'credits:%'
        WHEN 'early_destroy' THEN debit_account = 'sales' AND credit_account LIKE 'credits:%'
        WHEN 'lost_machine' THEN debit_account = 'sales' AND credit_account LIKE 'credits:%'
        WHEN 'operator_refund'
            THEN debit_account = 'suspense' AND credit_account LIKE 'credits:%'
        WHEN 'unmatched' THEN debit_account LIKE 'clearing:%' AND credit_account = 'suspense'
        WHEN 'unmatched_reversal'
            THEN debit_account = 'suspense' AND credit_account LIKE 'clearing:%'
        WHEN 'dispute' THEN debit_account LIKE 'credits:%' AND credit_account = 'suspense'
        WHEN 'card_refund' THEN debit_account LIKE 'credits:%' AND credit_account = 'suspense'
        WHEN 'reserve_paid' THEN debit_account = 'suspense' AND credit_account LIKE 'clearing:%'
        WHEN 'reserve_released'
            THEN debit_account = 'suspense' AND credit_account LIKE 'credits:%'
        ELSE FALSE
    END"
    };
}

/// What gives an owner back what was sold. An operator's refund is not among it: the money it stands
/// for never became a sale.
macro_rules! given_back {
    () => {
        "('spend_reversal', 'payment_refund', 'early_destroy', 'lost_machine')"
    };
}

/// What moved in one direction.
macro_rules! moved {
    ($side:literal, $accounts:literal) => {
        concat!(
            "COALESCE(SUM(CASE WHEN ",
            $side,
            "_account ",
            $accounts,
            " THEN amount_micros ELSE 0 END), 0)"
        )
    };
}

/// What moved to some accounts, less what moved from them.
macro_rules! balance {
    ($accounts:literal) => {
        concat!(
            moved!("credit", $accounts),
            " - ",
            moved!("debit", $accounts)
        )
    };
}

const ALLOWED: &str = concat!(
    "SELECT 'transfer ' || id || ' moves ' || amount_micros || ' from ' || debit_account
    || ' to ' || credit_account || ' for ' || reason
FROM ledger_transfers
WHERE amount_micros <= 0 OR debit_account = credit_account OR NOT (",
    allowed!(),
    ")
LIMIT 100"
);

const ACCOUNT_SUMS: &str = "SELECT 'account ' || accounts.id || ' has credits '
    || accounts.credits_micros || ', debits ' || accounts.debits_micros || ', reversed '
    || accounts.reversed_micros || ', transfers ' || accounts.last_seq || '; its transfers say '
    || COALESCE(sums.credits, 0) || ', ' || COALESCE(sums.debits, 0) || ', '
    || COALESCE(sums.reversed, 0) || ', ' || COALESCE(sums.transfers, 0) || ' up to number '
    || COALESCE(sums.last_seq, 0)
FROM ledger_accounts AS accounts
LEFT JOIN (
    SELECT credits_account,
        SUM(CASE WHEN credit_account = credits_account THEN amount_micros ELSE 0 END) AS credits,
        SUM(CASE WHEN debit_account = credits_account THEN amount_micros ELSE 0 END) AS debits,
        SUM(CASE WHEN reason IN ('spend_reversal', 'reserve_released')
            THEN amount_micros ELSE 0 END) AS reversed,
        COUNT(*) AS transfers, MAX(credits_seq) AS last_seq
    FROM ledger_transfers
    WHERE credits_account IS NOT NULL
    GROUP BY credits_account
) AS sums ON sums.credits_account = accounts.id
WHERE accounts.credits_micros <> COALESCE(sums.credits, 0)
    OR accounts.debits_micros <> COALESCE(sums.debits, 0)
    OR accounts.reversed_micros <> COALESCE(sums.reversed, 0)
    OR accounts.last_seq <> COALESCE(sums.transfers, 0)
    OR accounts.last_seq <> COALESCE(sums.last_seq, 0)
LIMIT 100";

const LAST_BALANCES: &str = "SELECT 'account ' || accounts.id || ' holds '
    || (accounts.credits_micros - accounts.debits_micros) || '; its transfer '
    || accounts.last_seq || ' says ' || COALESCE(last.balance_after_micros, 0)
FROM ledger_accounts AS accounts
LEFT JOIN ledger_transfers AS last
    ON last.credits_account = accounts.id AND last.credits_seq = accounts.last_seq
WHERE accounts.credits_micros - accounts.debits_micros <> COALESCE(last.balance_after_micros, 0)
LIMIT 100";

const TRANSFERS_OF_NO_ACCOUNT: &str = "SELECT 'transfer ' || id || ' of ' || amount_micros
    || ' from ' || debit_account || ' to ' || credit_account || ' is on no account'
FROM ledger_transfers AS transfers
WHERE (debit_account LIKE 'credits:%' OR credit_account LIKE 'credits:%')
    AND NOT EXISTS (
        SELECT 1 FROM ledger_accounts AS accounts
        WHERE accounts.id = transfers.credits_account
            AND accounts.id IN (transfers.debit_account, transfers.credit_account))
LIMIT 100";

/// Nothing comes from nowhere: what arrived over the rails is somewhere else now.
const CONSERVED: &str = concat!(
    "SELECT 'arrived ' || arrived || '; credits ' || credits || ', sales ' || sales
    || ', suspense ' || suspense
FROM (
    SELECT -(",
    balance!("LIKE 'clearing:%'"),
    ") AS arrived, ",
    balance!("LIKE 'credits:%'"),
    " AS credits, ",
    balance!("= 'sales'"),
    " AS sales, ",
    balance!("= 'suspense'"),
    " AS suspense
    FROM ledger_transfers
) AS sums
WHERE arrived <> credits + sales + suspense"
);

const ACCOUNTS_AGREE: &str = concat!(
    "SELECT 'the credits accounts hold ' || held || '; their transfers say ' || moved
FROM (
    SELECT COALESCE(SUM(credits_micros - debits_micros), 0) AS held FROM ledger_accounts
) AS accounts
CROSS JOIN (
    SELECT ",
    balance!("LIKE 'credits:%'"),
    " AS moved FROM ledger_transfers
) AS transfers
WHERE held <> moved"
);

const ONCE_PER_REASON: &str =
    "SELECT 'operation ' || COALESCE(operation_id, arrival_id, reserve_id)
    || ' has ' || COUNT(*) || ' transfers for ' || reason || ', in all ' || SUM(amount_micros)
FROM ledger_transfers
GROUP BY COALESCE(operation_id, arrival_id, reserve_id), reason
HAVING COUNT(*) > 1
LIMIT 100";

const NOT_MORE_BACK_THAN_PAID: &str = concat!(
    "SELECT 'for ' || thing || ' was paid ' || paid || ' and given back ' || returned
FROM (
    SELECT COALESCE(operations.instance_id, operations.id) AS thing,
        SUM(CASE WHEN reason IN ('sale', 'topup', 'spend') THEN amount_micros ELSE 0 END) AS paid,
        SUM(CASE WHEN reason IN ",
    given_back!(),
    " THEN amount_micros ELSE 0 END) AS returned
    FROM ledger_transfers
    JOIN operations ON operations.id = ledger_transfers.operation_id
    GROUP BY COALESCE(operations.instance_id, operations.id)
) AS sums
WHERE returned > paid
LIMIT 100"
);

const NOTHING_BACK_FOR_A_SUCCESS: &str = "SELECT 'operation ' || operations.id
    || ' succeeded, and transfer ' || transfers.id || ' gave ' || transfers.amount_micros
    || ' back for it'
FROM operations
JOIN ledger_transfers AS transfers ON transfers.operation_id = operations.id
WHERE operations.state = 'succeeded'
    AND transfers.reason IN ('payment_refund', 'spend_reversal', 'operator_refund')
LIMIT 100";

const OPERATOR_REFUNDS: &str =
    "SELECT 'transfer ' || transfers.id || ' is an operator''s refund of '
    || transfers.amount_micros || ' for ' || COALESCE(transfers.operation_id, transfers.arrival_id)
    || '; what it stands for was ' || COALESCE(payments.price_micros, arrivals.amount_micros, 0)
FROM ledger_transfers AS transfers
LEFT JOIN payments ON payments.operation_id = transfers.operation_id
LEFT JOIN arrivals ON arrivals.id = transfers.arrival_id
WHERE transfers.reason = 'operator_refund'
    AND transfers.amount_micros > COALESCE(payments.price_micros, arrivals.amount_micros, 0)
LIMIT 100";

const LOTS_ARE_THE_PRICE: &str = "SELECT 'instance ' || instances.id || ' is ' || instances.state
    || ' and cost ' || instances.price_micros || '; its lots hold ' || COALESCE(sums.bought, 0)
FROM instances
LEFT JOIN (
    SELECT instance_id,
        SUM(CASE WHEN origin = 'purchase' THEN amount_micros ELSE 0 END) AS bought
    FROM prepaid_lots
    GROUP BY instance_id
) AS sums ON sums.instance_id = instances.id
WHERE COALESCE(sums.bought, 0)
    <> CASE WHEN instances.state IN ('active', 'destroying', 'destroyed')
        THEN instances.price_micros ELSE 0 END
LIMIT 100";

const NOTHING_IS_LEFT_OF_WHAT_IS_OVER: &str = "SELECT 'instance ' || instances.id || ' is '
    || instances.state || ' and still holds lot ' || lots.seq || ' of ' || lots.amount_micros
FROM instances
JOIN prepaid_lots AS lots ON lots.instance_id = instances.id AND lots.closed_at IS NULL
WHERE instances.state IN ('destroying', 'destroyed', 'failed')
LIMIT 100";

/// What a conversion took over is in its own lot, so it counts once.
const ENDINGS: &str =
    "SELECT 'instance ' || returned.instance_id || ' gave back ' || returned.amount
    || '; what was left of its lots was ' || COALESCE(lots.remainder, 0)
FROM (
    SELECT operations.instance_id, SUM(amount_micros) AS amount
    FROM ledger_transfers
    JOIN operations ON operations.id = ledger_transfers.operation_id
    WHERE reason IN ('early_destroy', 'lost_machine')
    GROUP BY operations.instance_id
) AS returned
LEFT JOIN (
    SELECT instance_id, SUM(COALESCE(left_micros, 0))
        - SUM(CASE WHEN origin = 'conversion' THEN amount_micros ELSE 0 END) AS remainder
    FROM prepaid_lots
    GROUP BY instance_id
) AS lots ON lots.instance_id = returned.instance_id
WHERE returned.amount > COALESCE(lots.remainder, 0)
LIMIT 100";

const CONVERSIONS: &str =
    "SELECT 'lot ' || new.seq || ' of instance ' || new.instance_id || ' holds '
    || new.amount_micros || '; what was left of the lots before it was '
    || COALESCE(SUM(old.left_micros), 0)
FROM prepaid_lots AS new
LEFT JOIN prepaid_lots AS old
    ON old.instance_id = new.instance_id AND old.seq < new.seq AND old.closed_at = new.starts_at
WHERE new.origin = 'conversion'
GROUP BY new.instance_id, new.seq, new.amount_micros
HAVING new.amount_micros > COALESCE(SUM(old.left_micros), 0)
LIMIT 100";

pub(super) const QUESTIONS: &[Question] = &[
    Question {
        promise: "M1",
        sql: ALLOWED,
    },
    Question {
        promise: "M2",
        sql: ACCOUNT_SUMS,
    },
    Question {
        promise: "M2",
        sql: LAST_BALANCES,
    },
    Question {
        promise: "M2",
        sql: TRANSFERS_OF_NO_ACCOUNT,
    },
    Question {
        promise: "M4",
        sql: CONSERVED,
    },
    Question {
        promise: "M4",
        sql: ACCOUNTS_AGREE,
    },
    Question {
        promise: "M6",
        sql: ONCE_PER_REASON,
    },
    Question {
        promise: "M6",
        sql: NOT_MORE_BACK_THAN_PAID,
    },
    Question {
        promise: "M6",
        sql: NOTHING_BACK_FOR_A_SUCCESS,
    },
    Question {
        promise: "M6",
        sql: OPERATOR_REFUNDS,
    },
    Question {
        promise: "M7",
        sql: LOTS_ARE_THE_PRICE,
    },
    Question {
        promise: "M7",
        sql: NOTHING_IS_LEFT_OF_WHAT_IS_OVER,
    },
    Question {
        promise: "M7",
        sql: ENDINGS,
    },
    Question {
        promise: "M7",
        sql: CONVERSIONS,
    },
];

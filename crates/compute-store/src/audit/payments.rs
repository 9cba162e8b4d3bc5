//! M3 and P1 to P4: what was paid, and what it bought. R1: the clients' names.

use super::Question;

const EVERY_PAYMENT_ARRIVED_ONCE: &str = "SELECT 'payment ' || payments.id || ' of '
    || payments.price_micros || ' over ' || payments.rail || ' is ' || payments.state
    || '; operation ' || payments.operation_id || ' has ' || (
        SELECT COUNT(*) FROM ledger_transfers AS inflows
        WHERE inflows.operation_id = payments.operation_id AND inflows.reason IN ('sale', 'topup'))
    || ' inflows'
FROM payments
WHERE payments.state IN ('settled', 'refunded')
    AND (
        1 <> (
            SELECT COUNT(*) FROM ledger_transfers AS inflows
            WHERE inflows.operation_id = payments.operation_id
                AND inflows.reason IN ('sale', 'topup'))
        OR NOT EXISTS (
            SELECT 1 FROM ledger_transfers AS inflows
            WHERE inflows.operation_id = payments.operation_id
                AND inflows.reason IN ('sale', 'topup')
                AND inflows.debit_account = 'clearing:' || payments.rail
                AND inflows.amount_micros = payments.price_micros))
LIMIT 100";

const AN_INFLOW_IS_WHAT_WAS_BOUGHT: &str = "SELECT 'transfer ' || inflows.id || ' is a '
    || inflows.reason || ' of a ' || operations.kind
FROM ledger_transfers AS inflows
JOIN operations ON operations.id = inflows.operation_id
WHERE inflows.reason IN ('sale', 'topup', 'spend')
    AND NOT (
        (inflows.reason = 'topup' AND operations.kind = 'topup')
        OR (inflows.reason IN ('sale', 'spend') AND operations.kind IN ('provision', 'extend')))
LIMIT 100";

const EVERY_INFLOW_IS_A_PAYMENT: &str = "SELECT 'transfer ' || inflows.id || ' of '
    || inflows.amount_micros || ' from ' || inflows.debit_account || ' for operation '
    || inflows.operation_id || ' has no settled payment'
FROM ledger_transfers AS inflows
WHERE inflows.reason IN ('sale', 'topup')
    AND NOT EXISTS (
        SELECT 1 FROM payments
        WHERE payments.operation_id = inflows.operation_id
            AND payments.state IN ('settled', 'refunded')
            AND 'clearing:' || payments.rail = inflows.debit_account
            AND payments.price_micros = inflows.amount_micros)
LIMIT 100";

/// The proof itself stays out of a finding.
const A_PROOF_BUYS_ONE_THING: &str = "SELECT 'one proof binds ' || COUNT(*)
    || ' payments, among them ' || MIN(id) || ' and ' || MAX(id)
FROM payments
WHERE state <> 'declined'
GROUP BY proof_key
HAVING COUNT(*) > 1
LIMIT 100";

/// Operations that somebody paid for, be it in credits.
macro_rules! paid {
    () => {
        "(
    SELECT operation_id FROM payments WHERE state IN ('settled', 'refunded')
    UNION
    SELECT operation_id FROM ledger_transfers WHERE reason = 'spend'
)"
    };
}

const NOTHING_IS_DELIVERED_UNPAID: &str = concat!(
    "SELECT 'instance ' || instances.id || ' is ' || instances.state || ' and was not paid for'
FROM instances
LEFT JOIN (
    SELECT operations.instance_id
    FROM operations
    JOIN ",
    paid!(),
    " AS paid ON paid.operation_id = operations.id
    WHERE operations.kind = 'provision'
    GROUP BY operations.instance_id
) AS bought ON bought.instance_id = instances.id
WHERE instances.state IN ('provisioning', 'active', 'destroying', 'destroyed')
    AND bought.instance_id IS NULL
LIMIT 100"
);

const NOTHING_IS_SERVED_UNPAID: &str = concat!(
    "SELECT 'operation ' || operations.id || ' is a ' || operations.state || ' ' || operations.kind
    || ' and was not paid for'
FROM operations
LEFT JOIN ",
    paid!(),
    " AS paid ON paid.operation_id = operations.id
WHERE operations.kind IN ('provision', 'extend', 'topup')
    AND (
        operations.state = 'succeeded'
        OR (operations.state IN ('running', 'stuck') AND operations.step <> 'settle'))
    AND paid.operation_id IS NULL
LIMIT 100"
);

const A_FAILURE_COSTS_NOTHING: &str = "SELECT 'payment ' || payments.id || ' of '
    || payments.price_micros || ' is settled, and operation ' || operations.id || ' failed'
FROM operations
JOIN payments ON payments.operation_id = operations.id
WHERE operations.state = 'failed' AND payments.state = 'settled'
LIMIT 100";

const A_REFUND_IS_THE_PRICE: &str = "SELECT 'payment ' || payments.id || ' of '
    || payments.price_micros || ' is refunded, without a transfer that says so'
FROM payments
WHERE payments.state = 'refunded'
    AND NOT EXISTS (
        SELECT 1 FROM ledger_transfers AS refunds
        WHERE refunds.id = payments.refund_transfer_id
            AND refunds.operation_id = payments.operation_id
            AND refunds.reason = 'payment_refund'
            AND refunds.credit_account = 'credits:' || payments.owner_id
            AND refunds.amount_micros = payments.price_micros)
LIMIT 100";

const A_FAILURE_COSTS_NO_CREDITS: &str = "SELECT 'operation ' || operations.id
    || ' failed and keeps ' || spends.amount_micros || ' of ' || spends.debit_account
FROM operations
JOIN ledger_transfers AS spends
    ON spends.operation_id = operations.id AND spends.reason = 'spend'
WHERE operations.state = 'failed'
    AND NOT EXISTS (
        SELECT 1 FROM ledger_transfers AS reversals
        WHERE reversals.operation_id = operations.id
            AND reversals.reason = 'spend_reversal'
            AND reversals.credit_account = spends.debit_account
            AND reversals.amount_micros = spends.amount_micros)
LIMIT 100";

const NAMES_ARE_OF_OWN_PURCHASES: &str = "SELECT 'a name of owner ' || names.owner_id
    || ' stands for operation ' || names.operation_id || ', which is not that owner''s'
FROM request_keys AS names
WHERE NOT EXISTS (
    SELECT 1 FROM operations
    WHERE operations.id = names.operation_id AND operations.owner_id = names.owner_id)
LIMIT 100";

const NAMES_OF_PAYERS_ARE_OF_WHAT_THEY_PAY: &str = "SELECT 'a name of payer ' || names.payer
    || ' stands for operation ' || names.operation_id || ', which that wallet does not pay'
FROM payer_request_keys AS names
WHERE NOT EXISTS (
    SELECT 1 FROM payments
    WHERE payments.operation_id = names.operation_id AND payments.payer = names.payer)
LIMIT 100";

pub(super) const QUESTIONS: &[Question] = &[
    Question {
        promise: "M3",
        sql: AN_INFLOW_IS_WHAT_WAS_BOUGHT,
    },
    Question {
        promise: "M3",
        sql: EVERY_PAYMENT_ARRIVED_ONCE,
    },
    Question {
        promise: "M3",
        sql: EVERY_INFLOW_IS_A_PAYMENT,
    },
    Question {
        promise: "P1",
        sql: A_PROOF_BUYS_ONE_THING,
    },
    Question {
        promise: "P3",
        sql: NOTHING_IS_DELIVERED_UNPAID,
    },
    Question {
        promise: "P3",
        sql: NOTHING_IS_SERVED_UNPAID,
    },
    Question {
        promise: "P4",
        sql: A_FAILURE_COSTS_NOTHING,
    },
    Question {
        promise: "P4",
        sql: A_REFUND_IS_THE_PRICE,
    },
    Question {
        promise: "P4",
        sql: A_FAILURE_COSTS_NO_CREDITS,
    },
    Question {
        promise: "R1",
        sql: NAMES_ARE_OF_OWN_PURCHASES,
    },
    Question {
        promise: "R1",
        sql: NAMES_OF_PAYERS_ARE_OF_WHAT_THEY_PAY,
    },
];

//! M10: what chains show to have arrived is a settled payment's, or in suspense.

use super::Question;

/// What no payment explains is in suspense once; what one explains is not.
const SUSPENSE_HOLDS_WHAT_NOTHING_EXPLAINS: &str = "SELECT 'arrival ' || arrivals.id || ' of '
    || arrivals.amount_micros || ' is ' || arrivals.state || '; suspense holds '
    || COALESCE(sums.held, 0) || ' for it'
FROM arrivals
LEFT JOIN (
    SELECT arrival_id,
        SUM(CASE reason WHEN 'unmatched' THEN amount_micros
            WHEN 'unmatched_reversal' THEN -amount_micros ELSE 0 END) AS held
    FROM ledger_transfers
    WHERE arrival_id IS NOT NULL
    GROUP BY arrival_id
) AS sums ON sums.arrival_id = arrivals.id
WHERE COALESCE(sums.held, 0)
    <> CASE WHEN arrivals.state IN ('unmatched', 'assigned')
        THEN arrivals.amount_micros ELSE 0 END
LIMIT 100";

const WHAT_IS_ASSIGNED_IS_CREDIT: &str = "SELECT 'arrival ' || arrivals.id || ' of '
    || arrivals.amount_micros || ' is assigned to ' || arrivals.owner_id
    || ', without a transfer that says so'
FROM arrivals
LEFT JOIN ledger_transfers AS credits
    ON credits.arrival_id = arrivals.id AND credits.reason = 'operator_refund'
WHERE arrivals.state = 'assigned'
    AND (
        credits.id IS NULL
        OR credits.credit_account <> 'credits:' || arrivals.owner_id
        OR credits.amount_micros <> arrivals.amount_micros)
LIMIT 100";

const AN_ARRIVAL_IS_THE_PAYMENT: &str = "SELECT 'arrival ' || arrivals.id || ' of '
    || arrivals.asset_atomic || ' in ' || arrivals.reference || ' is taken for payment '
    || arrivals.payment_id || ', which is ' || COALESCE(payments.state, 'not there') || ' and '
    || COALESCE(payments.asset_atomic, '0') || ' in ' || COALESCE(payments.reference, 'none')
FROM arrivals
LEFT JOIN payments ON payments.id = arrivals.payment_id
WHERE arrivals.state = 'matched'
    AND (
        payments.id IS NULL
        OR payments.state NOT IN ('settled', 'refunded')
        OR payments.reference <> arrivals.reference
        OR payments.asset_atomic <> arrivals.asset_atomic)
LIMIT 100";

/// Of payments that were claimed since their rail's addresses are watched; what is known to be gone
/// from its chain is another matter, and told elsewhere. An hour is the promise, and
/// more than our clock and the chain's differ.
const EVERY_PAYMENT_WAS_SEEN: &str = "SELECT 'payment ' || payments.id || ' of '
    || payments.price_micros || ' over ' || payments.rail || ' settled in '
    || payments.reference || ', and the chain shows no such arrival'
FROM payments
JOIN arrival_rails ON arrival_rails.rail = payments.rail
JOIN arrival_sources ON arrival_sources.source = arrival_rails.source
LEFT JOIN arrivals ON arrivals.payment_id = payments.id
LEFT JOIN reverted_payments ON reverted_payments.payment_id = payments.id
WHERE payments.state IN ('settled', 'refunded')
    AND payments.claimed_at >= arrival_rails.since
    AND payments.settled_at < arrival_sources.read_up_to - 3600000
    AND arrivals.id IS NULL
    AND reverted_payments.payment_id IS NULL
LIMIT 100";

pub(super) const QUESTIONS: &[Question] = &[
    Question {
        promise: "M10",
        sql: SUSPENSE_HOLDS_WHAT_NOTHING_EXPLAINS,
    },
    Question {
        promise: "M10",
        sql: WHAT_IS_ASSIGNED_IS_CREDIT,
    },
    Question {
        promise: "M10",
        sql: AN_ARRIVAL_IS_THE_PAYMENT,
    },
    Question {
        promise: "M10",
        sql: EVERY_PAYMENT_WAS_SEEN,
    },
];

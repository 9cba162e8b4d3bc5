//! M6: what is set aside for payments that go back, and what the ledger says of it.

use super::Question;

/// What the ledger moved for one reserve and one reason.
macro_rules! moved {
    ($reason:literal) => {
        concat!(
            "COALESCE((SELECT SUM(rows.amount_micros) FROM ledger_transfers AS rows
            WHERE rows.reserve_id = reserves.id AND rows.reason = ",
            $reason,
            "), 0)"
        )
    };
}

const A_RESERVE_IS_IN_THE_BOOKS: &str = concat!(
    "SELECT 'reserve ' || id || ' of ' || amount_micros || ' is ' || state || '; the ledger took '
    || taken || ', paid ' || paid || ' and released ' || released
FROM (
    SELECT reserves.id, reserves.amount_micros, reserves.state, ",
    moved!("CASE reserves.kind WHEN 'refund' THEN 'card_refund' ELSE 'dispute' END"),
    " AS taken, ",
    moved!("'reserve_paid'"),
    " AS paid, ",
    moved!("'reserve_released'"),
    " AS released
    FROM card_reserves AS reserves
) AS reserves
WHERE taken <> amount_micros
    OR paid <> CASE WHEN state = 'paid' THEN amount_micros ELSE 0 END
    OR released <> CASE WHEN state = 'released' THEN amount_micros ELSE 0 END
LIMIT 100"
);

const NO_MORE_GOES_BACK_THAN_WAS_PAID: &str = "SELECT 'of payment ' || payments.id || ' of '
    || payments.price_micros || ', which is ' || payments.state || ', ' || sums.amount
    || ' is set aside or went back'
FROM payments
JOIN (
    SELECT payment_id, SUM(amount_micros) AS amount
    FROM card_reserves
    WHERE state <> 'released'
    GROUP BY payment_id
) AS sums ON sums.payment_id = payments.id
WHERE sums.amount > payments.price_micros OR payments.state NOT IN ('settled', 'refunded')
LIMIT 100";

const A_DECIDED_DISPUTE_HOLDS_NOTHING: &str = "SELECT 'dispute ' || disputes.reference || ' is '
    || disputes.state || ', and reserve ' || reserves.id || ' is held'
FROM card_disputes AS disputes
JOIN card_reserves AS reserves
    ON reserves.payment_id = disputes.payment_id AND reserves.name = disputes.reference
WHERE disputes.state <> 'open' AND reserves.kind = 'dispute' AND reserves.state = 'held'
LIMIT 100";

pub(super) const QUESTIONS: &[Question] = &[
    Question {
        promise: "M6",
        sql: A_RESERVE_IS_IN_THE_BOOKS,
    },
    Question {
        promise: "M6",
        sql: NO_MORE_GOES_BACK_THAN_WAS_PAID,
    },
    Question {
        promise: "M6",
        sql: A_DECIDED_DISPUTE_HOLDS_NOTHING,
    },
];

//! The laws of prepaid value.

use proptest::prelude::*;

use super::*;

const START: Timestamp = Timestamp::from_millis(1_000_000_000);

fn operation(number: u128) -> OperationId {
    OperationId::from_uuid(uuid::Uuid::from_u128(number))
}

fn usd(micros: i64) -> Usd {
    Usd::from_micros(micros).unwrap()
}

fn rate(micros: i64) -> HourlyRate {
    HourlyRate::from_micros(micros).unwrap()
}

fn hours(number: u32) -> Hours {
    Hours::new(number).unwrap()
}

fn after(hours: u32) -> Timestamp {
    START.plus(Span::from_hours(hours))
}

/// 24 hours at 0.01 dollars, bought at the start.
fn a_day() -> Prepaid {
    Prepaid::bought(
        operation(1),
        usd(240_000),
        rate(10_000),
        hours(24),
        after(24),
    )
}

#[test]
fn only_what_was_never_paid_for_is_empty() {
    assert!(Prepaid::default().is_empty());
    assert!(!a_day().is_empty());
    assert!(!a_day().close(after(1)).is_empty());
}

#[test]
fn value_goes_with_time_and_rounds_down() {
    let prepaid = a_day();
    assert_eq!(prepaid.left(START).unwrap(), usd(240_000));
    assert_eq!(
        prepaid.left(START.minus(Span::from_hours(1))).unwrap(),
        usd(240_000)
    );
    assert_eq!(prepaid.left(after(6)).unwrap(), usd(180_000));
    let a_moment_later = after(6).plus(Span::from_millis(1));
    assert_eq!(prepaid.left(a_moment_later).unwrap(), usd(179_999));
    assert_eq!(prepaid.left(after(24)).unwrap(), Usd::ZERO);
}

#[test]
fn an_extension_starts_where_the_paid_time_ends() {
    let prepaid = a_day()
        .extend(operation(2), usd(480_000), rate(20_000), hours(24))
        .unwrap();
    assert_eq!(prepaid.expires_at(), Some(after(48)));
    assert_eq!(prepaid.paid().unwrap(), usd(720_000));
    // The older and cheaper hours are consumed first.
    assert_eq!(prepaid.left(after(12)).unwrap(), usd(600_000));
    assert_eq!(prepaid.left(after(36)).unwrap(), usd(240_000));
    assert_eq!(
        Prepaid::default().extend(operation(2), usd(1), rate(1), hours(24)),
        Err(MoneyError::OutOfRange)
    );
}

#[test]
fn a_conversion_keeps_every_dollar() {
    let converted = a_day()
        .convert(operation(2), rate(40_000), after(12))
        .unwrap();
    assert_eq!(converted.left(after(12)).unwrap(), usd(120_000));
    assert_eq!(converted.expires_at(), Some(after(15)));
    assert_eq!(
        converted.paid().unwrap(),
        usd(240_000),
        "nothing was paid for it"
    );
    let closed = converted.lots()[0].closed;
    assert_eq!(
        closed,
        Some(Closing {
            at: after(12),
            left: usd(120_000)
        })
    );
}

#[test]
fn an_early_end_charges_the_minimum_at_the_highest_rate() {
    let policy = EarlyDestroy::Credit { min_hours: 24 };
    let of = |prepaid: &Prepaid, now| prepaid.ending(policy, now).unwrap();
    // A day bought and ended at once: the minimum is all of it.
    assert_eq!(of(&a_day(), START).credit, Usd::ZERO);
    let two_days = a_day()
        .extend(operation(2), usd(240_000), rate(10_000), hours(24))
        .unwrap();
    assert_eq!(of(&two_days, START).credit, usd(240_000));
    assert_eq!(of(&two_days, START).left, usd(480_000));
    assert_eq!(of(&two_days, after(36)).credit, usd(120_000));
    // Once it was dearer, the minimum is dearer, too.
    let dearer = a_day()
        .extend(operation(2), usd(240_000), rate(15_000), hours(24))
        .unwrap();
    assert_eq!(of(&dearer, START).credit, usd(120_000));
    assert_eq!(
        two_days
            .ending(EarlyDestroy::Forfeit, START)
            .unwrap()
            .credit,
        Usd::ZERO
    );
}

#[test]
fn a_closed_lot_is_worth_nothing() {
    let closed = a_day().close(after(6));
    assert_eq!(closed.left(after(6)).unwrap(), Usd::ZERO);
    assert_eq!(closed.expires_at(), None);
    assert_eq!(closed.clone().close(after(7)), closed, "once is enough");
}

#[test]
fn value_too_small_for_a_millisecond_is_kept_as_value_only() {
    let tiny = Prepaid::bought(operation(1), usd(1), rate(1), hours(24), after(24));
    let converted = tiny
        .convert(operation(2), rate(1_000_000_000_000), START)
        .unwrap();
    assert_eq!(converted.expires_at(), Some(START));
    assert_eq!(converted.left(START).unwrap(), Usd::ZERO);
}

/// Something that happens to an instance, `wait` milliseconds after the last thing.
#[derive(Debug, Clone)]
enum Move {
    Extend { rate: i64, hours: u32 },
    Resize { rate: i64 },
    Wait,
}

fn moves() -> impl Strategy<Value = Vec<(i64, Move)>> {
    let rates = 1..50_000_000_i64;
    let one = prop_oneof![
        (rates.clone(), 24..4_320_u32).prop_map(|(rate, hours)| Move::Extend { rate, hours }),
        rates.prop_map(|rate| Move::Resize { rate }),
        Just(Move::Wait),
    ];
    proptest::collection::vec((0..200_000_000_i64, one), 0..24)
}

proptest! {
    /// Whatever prices do and however an instance is extended and resized, ending it gives back at
    /// most what was paid less what its consumed time cost, and the minimum stays charged.
    #[test]
    fn no_sequence_of_moves_makes_money(
        first_rate in 1..50_000_000_i64,
        first_hours in 24..4_320_u32,
        moves in moves(),
        min_hours in 0..48_u32,
    ) {
        let amount = usd(first_rate * i64::from(first_hours));
        let mut now = START;
        let mut prepaid = Prepaid::bought(
            operation(1), amount, rate(first_rate), hours(first_hours), after(first_hours));
        let mut paid = amount;
        for (number, (wait, step)) in (2_u128..).zip(moves) {
            let before = prepaid.left(now).unwrap();
            now = now.plus(Span::from_millis(wait));
            prop_assert!(prepaid.left(now).unwrap() <= before, "time never adds value");
            let left = prepaid.left(now).unwrap();
            prepaid = match step {
                Move::Wait => prepaid,
                Move::Extend { rate: micros, hours: number_of } => {
                    if prepaid.expires_at().is_none_or(|end| end <= now) { break }
                    let price = usd(micros * i64::from(number_of));
                    paid = paid.checked_add(price).unwrap();
                    let end = prepaid.expires_at().unwrap();
                    let longer = prepaid
                        .extend(operation(number), price, rate(micros), hours(number_of))
                        .unwrap();
                    prop_assert_eq!(longer.left(now).unwrap(), left.checked_add(price).unwrap());
                    prop_assert_eq!(
                        longer.expires_at(), Some(end.plus(Span::from_hours(number_of))));
                    longer
                }
                Move::Resize { rate: micros } => {
                    let converted = prepaid.convert(operation(number), rate(micros), now).unwrap();
                    let kept = converted.left(now).unwrap();
                    prop_assert!(kept <= left);
                    // Less than one millisecond of the target rate is lost, and only as time.
                    let time = converted.expires_at().unwrap().since(now).millis();
                    let exact = i128::from(left.micros()) * 3_600_000;
                    let bought = i128::from(time) * i128::from(micros);
                    prop_assert!(bought <= exact && exact < bought + i128::from(micros));
                    converted
                }
            };
        }
        prop_assert_eq!(prepaid.paid().unwrap(), paid);
        let ending = prepaid.ending(EarlyDestroy::Credit { min_hours }, now).unwrap();
        prop_assert!(ending.credit <= ending.left && ending.left <= paid);
        let highest = prepaid.lots().iter().map(|lot| lot.rate.micros()).max().unwrap();
        let minimum = paid.micros().min(highest * i64::from(min_hours));
        prop_assert!(ending.credit.micros() <= paid.micros() - minimum);
        let closed = prepaid.close(now);
        prop_assert_eq!(closed.left(now).unwrap(), Usd::ZERO);
    }
}

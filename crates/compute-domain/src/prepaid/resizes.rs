//! Ten thousand lives of machines that are resized again and again, with extensions and price changes
//! in between. The value never grows, hardly shrinks, and there-and-back gains nothing.

use super::fortune::Dice;
use super::*;

const SEQUENCES: u64 = 10_000;
const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

impl Dice {
    /// From a cent a month to a hundred dollars an hour.
    fn rate(&mut self) -> HourlyRate {
        let magnitude = 10_i64.pow(1 + u32::try_from(self.below(7)).unwrap());
        HourlyRate::from_micros(magnitude + self.below(9 * magnitude)).unwrap()
    }

    fn hours(&mut self) -> Hours {
        let most = i64::from(Hours::MAX - Hours::MIN) + 1;
        Hours::new(Hours::MIN + u32::try_from(self.below(most)).unwrap()).unwrap()
    }
}

fn operation(number: i64) -> OperationId {
    OperationId::from_uuid(uuid::Uuid::from_u128(u128::try_from(number).unwrap()))
}

fn price(rate: HourlyRate, hours: Hours) -> Usd {
    Usd::from_micros(rate.micros() * i64::from(hours.get())).unwrap()
}

/// What the time of the open lots is worth at their rates, in units of a micro-dollar millisecond an hour.
fn worth_of_time(prepaid: &Prepaid, now: Timestamp) -> i128 {
    let open = prepaid.open().map(|lot| {
        let from = lot.from.max(now);
        let millis = i128::from(lot.to.since(from).millis().max(0));
        millis * i128::from(lot.rate.micros())
    });
    open.sum()
}

/// Resizes, and says what must hold of every resize.
fn resize(before: &Prepaid, number: i64, rate: HourlyRate, now: Timestamp) -> Prepaid {
    let left = before.left(now).unwrap();
    let after = before
        .clone()
        .convert(operation(number), rate, now)
        .unwrap();
    let worth = i128::from(left.micros()) * MILLIS_PER_HOUR;
    // All of it, unless it does not last a millisecond.
    let is_nothing = worth < i128::from(rate.micros());
    let expected = if is_nothing { Usd::ZERO } else { left };
    assert_eq!(after.left(now).unwrap(), expected);
    let lost = worth - worth_of_time(&after, now);
    assert!(
        (0..i128::from(rate.micros())).contains(&lost),
        "less than a millisecond of the new rate is lost: {lost}"
    );
    after
}

#[test]
fn ten_thousand_sequences_of_resizes_make_and_lose_nothing() {
    let (mut resizes, mut back) = (0_u32, 0_u32);
    for sequence in 0..SEQUENCES {
        let mut dice = Dice(sequence);
        let (rate, hours) = (dice.rate(), dice.hours());
        let mut now = START;
        let end = now.plus(Span::from_hours(hours.get()));
        let mut prepaid = Prepaid::bought(operation(0), price(rate, hours), rate, hours, end);
        let mut present = rate;
        let mut paid = price(rate, hours).micros();
        for number in 1..=20 {
            let until_end = prepaid.expires_at().unwrap().since(now).millis();
            now = now.plus(Span::from_millis(
                dice.below(until_end.clamp(1, 40_000_000)),
            ));
            let value = prepaid.left(now).unwrap();
            if value == Usd::ZERO {
                break;
            }
            if dice.below(4) == 0 {
                let (rate, hours) = (dice.rate(), dice.hours());
                let amount = price(rate, hours);
                paid += amount.micros();
                prepaid = prepaid
                    .extend(operation(number), amount, rate, hours)
                    .unwrap();
                continue;
            }
            let rate = dice.rate();
            let after = resize(&prepaid, number, rate, now);
            // Back at the same moment, and at the old rate: never later than before.
            let returned = resize(&after, number, present, now);
            let is_of_one_rate = prepaid
                .open()
                .filter(|lot| lot.to > now)
                .all(|lot| lot.rate == present);
            if is_of_one_rate {
                back += 1;
                assert!(
                    returned.expires_at() <= prepaid.expires_at(),
                    "there and back"
                );
            }
            assert!(returned.left(now).unwrap() <= value, "there and back");
            // The same rate is no way to a longer life either.
            if is_of_one_rate {
                let same = resize(&prepaid, number, present, now);
                assert!(same.expires_at() <= prepaid.expires_at());
            }
            (prepaid, present) = (after, rate);
            resizes += 1;
            assert!(prepaid.left(now).unwrap().micros() <= paid);
        }
    }
    assert!(resizes > 50_000 && back > 20_000, "{resizes} {back}");
}

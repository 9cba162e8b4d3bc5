//! One owner over a million steps: paying, buying, extending, resizing, ending, being refunded, while
//! prices change and time goes by. Whatever happens, what the owner has is never more than what it
//! paid in, less what its machines' consumed time cost.

use super::*;
use crate::ledger::TransferReason;

const STEPS: u32 = 1_000_000;
const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// Splitmix64: the same steps in every run.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, bound: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let number = i64::try_from((mixed ^ (mixed >> 31)) >> 1).unwrap();
        number % bound
    }
}

/// An owner and what it has.
struct Owner {
    dice: Dice,
    now: Timestamp,
    credits: i64,
    paid_in: i64,
    machines: Vec<Prepaid>,
    operations: u128,
    seen: [u32; 8],
}

impl Owner {
    fn operation(&mut self) -> OperationId {
        self.operations += 1;
        OperationId::from_uuid(uuid::Uuid::from_u128(self.operations))
    }

    /// Today's price: anything from next to nothing to very dear.
    fn rate(&mut self) -> HourlyRate {
        let magnitude = 10_i64.pow(u32::try_from(self.dice.below(8)).unwrap());
        HourlyRate::from_micros(1 + self.dice.below(9 * magnitude)).unwrap()
    }

    fn hours(&mut self) -> Hours {
        let most = i64::from(Hours::MAX - Hours::MIN) + 1;
        Hours::new(Hours::MIN + u32::try_from(self.dice.below(most)).unwrap()).unwrap()
    }

    /// Pays with credits when there are enough, else with a payment. Says whether it is delivered:
    /// what is not, is given back in full.
    fn pay(&mut self, price: i64) -> bool {
        let from_credits = self.credits >= price && self.dice.below(2) == 0;
        if from_credits {
            self.credits -= price;
        } else {
            self.paid_in += price;
        }
        let is_delivered = self.dice.below(5) != 0;
        if !is_delivered {
            let reason = if from_credits {
                TransferReason::SpendReversal
            } else {
                TransferReason::PaymentRefund
            };
            self.give_back(reason, price);
        }
        is_delivered
    }

    fn give_back(&mut self, reason: TransferReason, amount: i64) {
        assert!(reason.is_giving_back() && amount >= 0);
        self.credits += amount;
    }

    fn step(&mut self) {
        let number = usize::try_from(self.dice.below(8)).unwrap();
        self.seen[number] += 1;
        let some = usize::try_from(self.dice.below(16)).unwrap();
        let machine = self.machines.get(some).cloned();
        match (number, machine) {
            (0, _) => {
                let amount = 1 + self.dice.below(1_000_000_000);
                self.paid_in += amount;
                self.credits += amount;
            }
            (1, _) if self.machines.len() < 16 => self.buy(),
            (2, Some(machine)) => self.extend(some, machine),
            (3, Some(machine)) => {
                let (operation, rate) = (self.operation(), self.rate());
                let before = machine.left(self.now).unwrap();
                if let Ok(converted) = machine.convert(operation, rate, self.now) {
                    assert!(converted.left(self.now).unwrap() <= before);
                    self.machines[some] = converted;
                }
            }
            (4, Some(machine)) => {
                let min_hours = u32::try_from(self.dice.below(48)).unwrap();
                let policy = match self.dice.below(4) {
                    0 => EarlyDestroy::Forfeit,
                    _ => EarlyDestroy::Credit { min_hours },
                };
                let ending = machine.ending(policy, self.now).unwrap();
                self.give_back(TransferReason::EarlyDestroy, ending.credit.micros());
                self.machines.swap_remove(some);
            }
            (5, Some(machine)) => {
                let left = machine.left(self.now).unwrap();
                assert_eq!(machine.close(self.now).left(self.now).unwrap(), Usd::ZERO);
                self.give_back(TransferReason::LostMachine, left.micros());
                self.machines.swap_remove(some);
            }
            _ => {
                let wait = Span::from_millis(self.dice.below(40_000_000));
                self.now = self.now.plus(wait);
                let now = self.now;
                let is_over = |machine: &Prepaid| machine.expires_at().is_none_or(|end| end <= now);
                self.machines.retain(|machine| !is_over(machine));
            }
        }
    }

    fn buy(&mut self) {
        let (rate, hours) = (self.rate(), self.hours());
        let price = rate.micros() * i64::from(hours.get());
        if !self.pay(price) {
            return;
        }
        let (operation, amount) = (self.operation(), Usd::from_micros(price).unwrap());
        let end = self.now.plus(Span::from_hours(hours.get()));
        let bought = Prepaid::bought(operation, amount, rate, hours, end);
        self.machines.push(bought);
    }

    fn extend(&mut self, number: usize, machine: Prepaid) {
        let (rate, hours) = (self.rate(), self.hours());
        let price = rate.micros() * i64::from(hours.get());
        if machine.lots().len() > 40 || !self.pay(price) {
            return;
        }
        let (operation, amount) = (self.operation(), Usd::from_micros(price).unwrap());
        match machine.extend(operation, amount, rate, hours) {
            Ok(longer) => self.machines[number] = longer,
            Err(_) => self.give_back(TransferReason::PaymentRefund, price),
        }
    }

    /// Everything that the owner could still get out.
    fn fortune(&self) -> i64 {
        let left = self.machines.iter().map(|machine| machine.left(self.now));
        self.credits + left.map(|left| left.unwrap().micros()).sum::<i64>()
    }
}

#[test]
fn a_million_steps_leave_nobody_with_more_than_was_paid_in() {
    let mut owner = Owner {
        dice: Dice(1),
        now: START,
        credits: 0,
        paid_in: 0,
        machines: Vec::new(),
        operations: 0,
        seen: [0; 8],
    };
    for step in 0..STEPS {
        let (before, paid_before) = (owner.fortune(), owner.paid_in);
        owner.step();
        let gained = owner.fortune() - before;
        let paid = owner.paid_in - paid_before;
        assert!(gained <= paid, "step {step}: {gained} gained for {paid}");
        assert!(
            owner.credits >= 0 && owner.fortune() <= owner.paid_in,
            "step {step}"
        );
        // Long lives are cut, so that amounts stay amounts of money.
        if owner.paid_in > 900_000_000_000_000 {
            owner.paid_in -= owner.credits.min(owner.paid_in);
            owner.credits = 0;
        }
    }
    assert!(
        owner.seen.iter().all(|count| *count > STEPS / 16),
        "{:?}",
        owner.seen
    );
}

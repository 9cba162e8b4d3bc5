//! From rounds to figures.

use std::fmt;
use std::time::Duration;

use super::round::Round;
use super::scenario::Scenario;

/// A ratio in hundredths, rounded up, so that a bound is never kept by rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ratio(u128);

impl Ratio {
    pub(super) const fn from_hundredths(hundredths: u128) -> Self {
        Self(hundredths)
    }

    /// `value` / `base`; a base of nothing counts as one unit.
    pub(super) fn of(value: u128, base: u128) -> Self {
        Self(value.saturating_mul(100).div_ceil(base.max(1)))
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

/// All rounds of the server, or all of the floor.
#[derive(Debug, Default)]
pub(super) struct Side {
    latencies: Vec<Duration>,
    elapsed: Duration,
    processor: Duration,
    /// Processor time per request of each round.
    rounds: Vec<u128>,
}

impl Side {
    pub(super) fn add(&mut self, round: Round) {
        self.rounds
            .push(per_request(round.processor, round.latencies.len()));
        self.elapsed = self.elapsed.saturating_add(round.elapsed);
        self.processor = self.processor.saturating_add(round.processor);
        self.latencies.extend(round.latencies);
    }

    fn count(&self) -> u128 {
        u128::try_from(self.latencies.len()).unwrap_or(u128::MAX)
    }

    fn per_second(&self) -> u128 {
        self.count().saturating_mul(1_000_000) / self.elapsed.as_micros().max(1)
    }

    /// The latencies must be sorted.
    fn percentile(&self, percent: usize) -> u128 {
        let last = self.latencies.len().saturating_sub(1);
        let index = last.saturating_mul(percent) / 100;
        self.latencies.get(index).map_or(0, Duration::as_micros)
    }

    /// Nanoseconds of processor time per request.
    fn processor_per_request(&self) -> u128 {
        per_request(self.processor, self.latencies.len())
    }

    fn print(&self, name: &str) {
        println!(
            "  {name}: {} requests, {}/s, p50 {} µs, p99 {} µs, processor {} ns/request",
            self.count(),
            self.per_second(),
            self.percentile(50),
            self.percentile(99),
            self.processor_per_request(),
        );
    }
}

fn per_request(processor: Duration, requests: usize) -> u128 {
    processor.as_nanos() / u128::try_from(requests).unwrap_or(u128::MAX).max(1)
}

/// Prints a comparison; false when the bound of the scenario is broken.
pub(super) fn report(scenario: &Scenario, ours: &mut Side, bare: &mut Side) -> bool {
    ours.latencies.sort_unstable();
    bare.latencies.sort_unstable();
    let processor = Ratio::of(ours.processor_per_request(), bare.processor_per_request());
    let rounds = ours
        .rounds
        .iter()
        .zip(&bare.rounds)
        .map(|(ours, bare)| Ratio::of(*ours, *bare));
    let (least, most) = rounds.fold((processor, processor), |(least, most), ratio| {
        (least.min(ratio), most.max(ratio))
    });
    println!("{}", scenario.name);
    ours.print("server");
    bare.print(scenario.against);
    println!(
        "  ratio : throughput {}, p50 {}, p99 {}, processor {processor} (rounds {least} to {most})",
        Ratio::of(ours.per_second(), bare.per_second()),
        Ratio::of(ours.percentile(50), bare.percentile(50)),
        Ratio::of(ours.percentile(99), bare.percentile(99)),
    );
    let p99 = Ratio::of(ours.percentile(99), bare.percentile(99));
    let bounds = [
        ("processor", processor, scenario.bound),
        ("p99", p99, scenario.p99_bound),
    ];
    let mut kept = true;
    for (what, own, bound) in bounds {
        if let Some(bound) = bound {
            kept &= is_kept(what, own, bound);
        }
    }
    kept
}

fn is_kept(what: &str, own: Ratio, bound: Ratio) -> bool {
    let kept = own <= bound;
    let verdict = if kept { "kept" } else { "BROKEN" };
    println!("  bound : {what} at most {bound}: {verdict}");
    kept
}

/// The middle value; zero of none.
pub(super) fn median(values: &mut [Duration]) -> Duration {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_round_up_and_print_two_digits() {
        assert_eq!(Ratio::of(2001, 1000).to_string(), "2.01");
        assert_eq!(Ratio::of(5, 100).to_string(), "0.05");
        assert_eq!(Ratio::of(1, 0).to_string(), "1.00");
        assert!(Ratio::of(2, 1) <= Ratio::from_hundredths(200));
    }

    #[test]
    fn a_side_sums_its_rounds() {
        let round = |micros| Round {
            latencies: vec![Duration::from_micros(micros); 50],
            elapsed: Duration::from_secs(1),
            processor: Duration::from_millis(1),
        };
        let mut side = Side::default();
        side.add(round(10));
        side.add(round(30));
        side.latencies.sort_unstable();
        assert_eq!(side.per_second(), 50);
        assert_eq!((side.percentile(0), side.percentile(99)), (10, 30));
        assert_eq!(side.processor_per_request(), 20_000);
    }

    #[test]
    fn the_median_is_the_middle_value() {
        let mut values = [3, 1, 2].map(Duration::from_millis);
        assert_eq!(median(&mut values), Duration::from_millis(2));
    }
}

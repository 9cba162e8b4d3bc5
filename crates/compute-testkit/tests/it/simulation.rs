//! A few seeds of the simulation, so that every change runs it at all; `cargo xtask sim` runs many.

use compute_testkit::simulation::{Bug, RunOptions, fail_points, run};

/// Seeds that once broke a promise, with what was wrong then.
const REGRESSIONS: &[(u64, &str)] = &[];

fn is_kept(seed: u64) {
    let report = run(seed, &RunOptions::default());
    assert_eq!(report.violation, None, "{report}");
}

#[test]
fn a_few_seeds_keep_all_promises() {
    // The eighth is calm.
    (1..=8).for_each(is_kept);
}

#[test]
fn seeds_that_broke_a_promise_keep_it_now() {
    for (seed, _) in REGRESSIONS {
        is_kept(*seed);
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    let (first, second) = (
        run(3, &RunOptions::default()),
        run(3, &RunOptions::default()),
    );
    assert_eq!(first, second);
    assert_ne!(first.hash, run(4, &RunOptions::default()).hash);
}

#[test]
fn a_planted_bug_is_found() {
    let options = RunOptions {
        bug: Bug::parse("wrong-decimals"),
        tells: false,
    };
    let mut reports = (1..=20).map(|seed| run(seed, &options));
    assert!(reports.any(|report| report.violation.is_some()));
}

#[test]
fn bugs_have_names_of_their_own() {
    for bug in Bug::all() {
        assert_eq!(Bug::parse(&bug.to_string()), Some(bug));
    }
    assert!(Bug::all().len() >= 15);
}

#[test]
fn every_step_has_its_fail_points() {
    // Eleven kinds of step, of which seven have an effect, in six kinds of operation.
    assert_eq!(fail_points().len(), 65);
}

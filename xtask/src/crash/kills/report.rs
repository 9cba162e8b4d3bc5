//! What a run did, for people and for `cargo xtask faults`.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};

use super::book::Counts;
use super::evidence::Evidence;
use super::killer::Killer;
use crate::cargo;

/// Chapters of the catalogue whose faults are counted: crashes, payments, hosts, concurrency. The
/// chapter on providers, F100 to F129, is only printed.
fn is_counted(id: &str) -> bool {
    !id.starts_with("F10") && !id.starts_with("F11") && !id.starts_with("F12")
}

/// Leaves the counts of a runner in the folder of all runners.
pub(in crate::crash) fn write(runner: &str, faults: &BTreeMap<&'static str, u64>) -> Result<()> {
    let folder = cargo::target_dir().join("faults");
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let mut counted = faults.clone();
    counted.retain(|id, _| is_counted(id));
    let file = folder.join(format!("{runner}.json"));
    let json = serde_json::to_string_pretty(&counted).context("write counts as JSON")?;
    fs::write(&file, json).with_context(|| format!("write {}", file.display()))
}

/// Prints everything that was counted, and returns the number of kills.
pub(super) fn print(killer: &Killer<'_>, evidence: &Evidence, counts: &Counts) -> u32 {
    let deaths = &killer.deaths;
    println!(
        "kills: {} at random, {} at {} places, {} in recovery; the slowest of {} starts took {} ms",
        deaths.at_random,
        deaths.at_places(),
        deaths.by_place.len(),
        deaths.in_recovery,
        killer.starts,
        killer.slowest.as_millis()
    );
    for (place, count) in &deaths.by_place {
        println!("  {count:>4} {place}");
    }
    println!(
        "requests: {}, {} without an answer; acknowledged {}, refused {}, refunded {}, declined {}; \
         {} by credential, {} with nothing else",
        counts.requests,
        counts.broken,
        counts.acknowledged,
        counts.refused,
        counts.refunded,
        counts.declined,
        counts.by_credential,
        counts.anonymous
    );
    println!(
        "at rest: {} orders, {} active; {} top-ups, {} settlements, {} machines made",
        evidence.orders.len(),
        evidence.active().count(),
        evidence.topups.len(),
        evidence.settlements.len(),
        evidence.machines.made
    );
    let faults: Vec<String> = counts
        .faults
        .iter()
        .map(|(id, count)| format!("{id} {count}"))
        .collect();
    println!("faults: {}", faults.join(", "));
    deaths.total()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_providers_are_not_for_the_list() {
        assert!(is_counted("F001") && is_counted("F131") && is_counted("F087"));
        assert!(!is_counted("F100") && !is_counted("F110"));
    }
}

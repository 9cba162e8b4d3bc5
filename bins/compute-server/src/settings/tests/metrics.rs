//! Where metrics may be shown.

use super::*;

#[test]
fn metrics_are_on_loopback_unless_it_is_said_otherwise() {
    let config = check(&good()).unwrap();
    assert!(config.metrics.enabled && config.metrics.is_usual());
    let anywhere = "[metrics]\nlisten = \"0.0.0.0:9464\"\n";
    assert!(problems(&(good() + anywhere)).contains("metrics.listen"));
    let permitted = good() + anywhere + "allow_remote = true\n";
    assert!(!check(&permitted).unwrap().metrics.is_usual());
}

#[test]
fn counting_has_a_sane_pace() {
    for (line, key) in [
        ("every = \"10ms\"", "metrics.every"),
        ("every = \"2h\"", "metrics.every"),
        ("sums_every = \"5s\"", "metrics.sums_every"),
    ] {
        let found = problems(&format!("{}[metrics]\n{line}\n", good()));
        assert!(found.contains(key), "{found}");
    }
}

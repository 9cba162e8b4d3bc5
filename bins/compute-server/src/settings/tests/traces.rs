//! Where traces may be sent.

use super::*;

#[test]
fn there_are_no_traces_unless_a_collector_is_named() {
    assert!(check(&good()).unwrap().traces.is_none());
    let unnamed = "[traces]\nsample_permille = 10\ntoken = \"COLLECTOR\"\n";
    assert!(check(&(good() + unnamed)).unwrap().traces.is_none());
    let named = "[traces]\nendpoint = \"http://127.0.0.1:4318\"\n";
    let traces = check(&(good() + named)).unwrap().traces.unwrap();
    assert_eq!(traces.endpoint.expose(), "http://127.0.0.1:4318");
    assert_eq!(traces.service_name, "compute-server");
    assert_eq!(traces.sample_permille, 1_000);
}

#[test]
fn traces_that_could_not_be_sent_are_refused() {
    for (line, key) in [
        (
            "endpoint = \"http://collector.example:4318\"",
            "traces.endpoint",
        ),
        ("endpoint = \"collector:4318\"", "traces.endpoint"),
        ("token = \"two words\"", "traces.token"),
        ("token_file = \"/nowhere\"", "traces.token_file"),
        ("sample_permille = 1001", "traces.sample_permille"),
        ("sample_permille = 0.5", "traces.sample_permille"),
        ("service_name = \"\"", "traces.service_name"),
    ] {
        let found = problems(&format!("{}[traces]\n{line}\n", good()));
        assert!(found.contains(key), "{line}: {found}");
        assert!(!found.contains("words"), "{found}");
    }
}

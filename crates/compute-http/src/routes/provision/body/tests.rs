use http::HeaderValue;
use http::header::CONTENT_TYPE;
use proptest::prelude::*;

use super::*;

const SSH_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti me@host";

fn read(body: &str) -> Result<Wish, ApiError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Wish::read(
        &headers,
        &Bytes::from(body.to_owned()),
        &Settings::for_tests(),
    )
}

fn order(body: &str) -> ProvisionRequest {
    match read(body) {
        Ok(Wish::Order(request, _)) => *request,
        other => panic!("{body}: {other:?}"),
    }
}

/// Code and field of the refusal.
fn refusal(body: &str) -> (String, Option<&'static str>) {
    let error = read(body).expect_err(body);
    let field = match &error {
        ApiError::Shape { field, .. } => *field,
        _ => None,
    };
    assert_eq!(error.row().status, 400, "{body}");
    (error.row().code.into_owned(), field)
}

fn with(member: &str) -> String {
    format!("{{\"plan\":\"vc2-1c-1gb\",\"region\":\"ewr\",\"os_id\":2284,{member}}}")
}

#[test]
fn the_least_request_gets_the_published_defaults() {
    let request = order("{\"plan\":\"vc2-1c-1gb\",\"region\":\"ewr\",\"os_id\":2284}");
    assert_eq!(request.os.as_str(), "2284");
    assert_eq!(request.label.as_str(), "x402-instance");
    assert_eq!(request.hours.get(), 720);
    assert_eq!(request.network.as_str(), "base");
    assert!(request.hostname.is_none() && request.ssh_keys.is_empty());
}

#[test]
fn a_full_request_is_read() {
    let request = order(&format!(
        "{{\"plan\":\"do:s-1vcpu-1gb\",\"region\":\"nyc3\",\"os_id\":\"ubuntu-24-04-x64\",\
          \"label\":\"web\",\"hostname\":\"Web-1\",\"prepaid_hours\":24,\"network\":\"solana\",\
          \"ssh_public_key\":\"{SSH_KEY}\",\"provider\":\"digitalocean\",\"use_credits\":false}}"
    ));
    assert_eq!(request.os.as_str(), "ubuntu-24-04-x64");
    assert_eq!(request.hostname.unwrap().as_str(), "web-1");
    assert_eq!(
        request.ssh_keys.iter().next().unwrap().as_str(),
        SSH_KEY.trim_end_matches(" me@host")
    );
    assert_eq!(request.provider, Some(ProviderId::DigitalOcean));
}

#[test]
fn an_empty_body_is_a_probe_whatever_its_type() {
    let probe = Wish::read(&HeaderMap::new(), &Bytes::new(), &Settings::for_tests());
    assert!(matches!(probe, Ok(Wish::Probe)));
}

#[test]
fn a_body_of_another_type_is_415() {
    let read = Wish::read(
        &HeaderMap::new(),
        &Bytes::from("{}"),
        &Settings::for_tests(),
    );
    assert_eq!(read.unwrap_err().row().status, 415);
}

#[test]
fn what_is_missing_is_named() {
    assert_eq!(refusal("{}"), ("invalid_request".into(), Some("plan")));
    assert_eq!(
        refusal("{\"plan\":\"a\"}"),
        ("invalid_request".into(), Some("region"))
    );
    let without_os = "{\"plan\":\"a\",\"region\":\"b\"}";
    assert_eq!(
        refusal(without_os),
        ("invalid_request".into(), Some("os_id"))
    );
}

#[test]
fn hours_are_whole_and_in_bounds() {
    for hours in ["0", "23", "4321", "9223372036854775808"] {
        let refused = refusal(&with(&format!("\"prepaid_hours\":{hours}")));
        assert_eq!(
            refused,
            ("invalid_request".into(), Some("prepaid_hours")),
            "{hours}"
        );
    }
    for hours in [
        "-1", "24.5", "24.0", "2.4e1", "\"24\"", "true", "[]", "1e400",
    ] {
        let refused = refusal(&with(&format!("\"prepaid_hours\":{hours}")));
        assert_eq!(refused.0, "invalid_request", "{hours}");
    }
    assert_eq!(order(&with("\"prepaid_hours\":4320")).hours.get(), 4320);
}

#[test]
fn what_is_not_sold_is_refused_by_name() {
    for (member, code) in [
        (
            "\"ai_machine\":{\"model_id\":\"m\"}",
            "ai_machine_not_supported",
        ),
        ("\"deploy_node\":{}", "deploy_node_not_supported"),
        ("\"ssh_key_id\":\"k\"", "ssh_key_id_not_supported"),
        ("\"ssh_key_ids\":[\"k\"]", "ssh_key_id_not_supported"),
        ("\"auto_extend\":true", "not_supported"),
        ("\"duration_months\":1", "not_supported"),
    ] {
        assert_eq!(refusal(&with(member)).0, code, "{member}");
    }
    assert_eq!(refusal(&with("\"colour\":\"red\"")).0, "invalid_request");
}

#[test]
fn how_it_is_paid_is_read() {
    let paying = |member: &str| match read(&with(member)) {
        Ok(Wish::Order(_, paying)) => paying,
        other => panic!("{member}: {other:?}"),
    };
    assert_eq!(paying("\"label\":\"x\""), Paying::default());
    assert!(paying("\"use_credits\":true").use_credits);
    assert!(!paying("\"use_credits\":false").use_credits);
    for maximum in ["12.5", "\"12.50\""] {
        let read = paying(&format!("\"max_total_usd\":{maximum}")).max_total;
        assert_eq!(read.map(|usd| usd.micros()), Some(12_500_000), "{maximum}");
    }
    for maximum in [
        "-1",
        "1e3",
        "\"1e3\"",
        "1.0000001",
        "true",
        "[]",
        "99999999999",
    ] {
        let refused = refusal(&with(&format!("\"max_total_usd\":{maximum}")));
        assert_eq!(
            refused,
            ("invalid_request".into(), Some("max_total_usd")),
            "{maximum}"
        );
    }
    assert_eq!(refusal(&with("\"use_credits\":1")).0, "invalid_request");
    assert_eq!(
        refusal(&with("\"use_credits\":\"true\"")).0,
        "invalid_request"
    );
}

#[test]
fn texts_that_could_hide_something_are_refused() {
    for (member, field) in [
        ("\"label\":\"a\\nb\"", "label"),
        ("\"label\":\"\"", "label"),
        ("\"label\":\"\\u202e\"", "label"),
        ("\"hostname\":\"a b\"", "hostname"),
        (
            "\"ssh_public_key\":\"ssh-ed25519 AAAA\\nssh-ed25519 BBBB\"",
            "ssh_public_key",
        ),
        ("\"provider\":\"aws\"", "provider"),
    ] {
        let refused = refusal(&with(member));
        assert_eq!(refused, ("invalid_request".into(), Some(field)), "{member}");
    }
}

#[test]
fn names_that_cannot_exist_are_unknown() {
    let long = "x".repeat(10_000);
    for (body, code) in [
        (
            format!("{{\"plan\":\"{long}\",\"region\":\"ewr\",\"os_id\":1}}"),
            "unknown_plan",
        ),
        (
            "{\"plan\":\"\",\"region\":\"ewr\",\"os_id\":1}".to_owned(),
            "unknown_plan",
        ),
        (
            "{\"plan\":\"a\",\"region\":\"e r\",\"os_id\":1}".to_owned(),
            "unknown_region",
        ),
        (
            "{\"plan\":\"a\",\"region\":\"b\",\"os_id\":\"\"}".to_owned(),
            "unknown_image",
        ),
        (with("\"network\":\"BASE!\""), "unknown_network"),
    ] {
        assert_eq!(refusal(&body).0, code, "{body:.60}");
    }
}

proptest! {
    // No body makes the parser panic.
    #[test]
    fn arbitrary_bodies_are_read_or_refused(body in "\\PC{0,200}") {
        let _ = read(&body);
    }
}

const KEYS: [&str; 2] = [
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE1x3mP/UVbZfIt8BsWc8Sh5rzPmcPMdkmXIiOPwPGXI",
];

#[test]
fn one_key_and_several_are_one_list() {
    let [a, b] = KEYS;
    for (members, expected) in [
        (format!("\"ssh_public_key\":\"{a} me\""), vec![a]),
        (format!("\"ssh_public_keys\":[\"{b}\",\"{a}\"]"), vec![b, a]),
        (
            format!("\"ssh_public_key\":\"{a}\",\"ssh_public_keys\":[\"{b}\",\"{a} again\"]"),
            vec![a, b],
        ),
        ("\"ssh_public_keys\":[]".to_owned(), vec![]),
    ] {
        let order = order(&with(&members));
        let keys: Vec<_> = order.ssh_keys.iter().map(|key| key.as_str()).collect();
        assert_eq!(keys, expected, "{members}");
    }
    let twice = with(&format!("\"ssh_public_keys\":[\"{a}\\n{b}\"]"));
    assert_eq!(
        refusal(&twice),
        ("invalid_request".into(), Some("ssh_public_keys"))
    );
}

#[test]
fn user_data_is_taken_as_it_is_and_within_its_bounds() {
    let order = order(&with(r##""user_data":"#cloud-config\npackages: [git]\n""##));
    let data = order.user_data.as_ref().unwrap();
    assert_eq!(data.expose(), "#cloud-config\npackages: [git]\n");
    assert!(!format!("{order:?}").contains("packages"));
    for text in ["", "  ", "a\\u0000b", &"a".repeat(32 * 1024 + 1)] {
        let refused = refusal(&with(&format!("\"user_data\":\"{text}\"")));
        assert_eq!(refused, ("invalid_request".into(), Some("user_data")));
    }
}

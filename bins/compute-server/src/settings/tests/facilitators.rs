//! Facilitators: one by itself or a list, and how they know us.

use compute_rail_facilitator::Access;
use compute_x402::Method;

use super::*;

/// A throwaway key: its seed is the hash of a public text.
const ED25519: &str =
    "OdN/3Kt4GAUjWtNNJjSmaNgHhDHWk3oQCDVmGZklD5PKivUqvRsjBrCjxRQWhUm+HqmVCjnaq0E74PtIN/yn0g==";

/// A key of the other kind, made in the same way.
const PEM: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgCh6XYZPqU7gRPZ/T
/UdUtKYIkvwRa4AD7QX+6lA1tk+hRANCAATZkjAU/pdzHkOo8nOc86zNnn4k+RKN
I21f/HOU4sxIADTBvlIDauuaWJMAG9piGMFMigH1jYKLO6oMHF+0rnqM
-----END PRIVATE KEY-----
";

const SINGLE: &str = r#"facilitator_url = "https://facilitator.example""#;

/// The good configuration with these lines for its facilitators.
fn with(lines: &str) -> String {
    good().replace(SINGLE, lines)
}

fn check_refused(lines: &str, expected: &str) {
    let found = problems(&with(lines));
    assert!(found.contains(expected), "{lines}: {found}");
    assert!(
        !found.contains("hunter2") && !found.contains(ED25519),
        "{found}"
    );
}

#[test]
fn a_key_of_cdp_is_read_from_a_text_or_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, PEM).unwrap();
    let id = "facilitator_cdp_key_id = \"organizations/1/apiKeys/2\"";
    let one_line = PEM.replace('\n', "\\\\n");
    for secret in [
        format!("facilitator_cdp_key_secret = {ED25519:?}"),
        format!("facilitator_cdp_key_secret = \"{one_line}\""),
        format!("facilitator_cdp_key_secret = {PEM:?}"),
        format!("facilitator_cdp_key_secret_file = {file:?}"),
    ] {
        let config = check(&with(&format!("{SINGLE}\n{id}\n{secret}"))).unwrap();
        let [facilitator] = config.rails[0].facilitators() else {
            panic!("{config:?}")
        };
        assert!(matches!(facilitator.access, Access::Cdp(_)), "{secret}");
    }
}

#[test]
fn a_bad_key_of_cdp_is_named_without_its_value() {
    let id = "facilitator_cdp_key_id = \"some-id\"";
    let bad = "facilitator_cdp_key_secret = \"hunter2\"";
    let good = format!("facilitator_cdp_key_secret = {ED25519:?}");
    let key = |name: &str| format!("rails.base.facilitator_{name}: ");
    for (lines, expected) in [
        (format!("{id}\n{bad}"), key("cdp_key_secret") + "must be"),
        (id.to_owned(), key("cdp_key_secret") + "is needed"),
        (good.clone(), key("cdp_key_id") + "is needed"),
        (
            format!("facilitator_cdp_key_id = \"two words\"\n{good}"),
            key("cdp_key_id") + "must be",
        ),
        (
            format!("{id}\n{good}\nfacilitator_cdp_audience = [\"\"]"),
            key("cdp_audience") + "must not",
        ),
        (
            format!("{id}\n{good}\nfacilitator_token = \"hunter2\""),
            key("token") + "is given besides",
        ),
        (
            format!("{id}\n{good}\nfacilitator_cdp_key_secret_file = \"nowhere\""),
            key("cdp_key_secret") + "is given twice",
        ),
    ] {
        check_refused(&format!("{SINGLE}\n{lines}"), &expected);
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "hunter2").unwrap();
    let lines = format!("{SINGLE}\n{id}\nfacilitator_cdp_key_secret_file = {file:?}");
    let expected = key("cdp_key_secret_file") + "must be";
    check_refused(&lines, &expected);
}

const NODE: &str = r#"rpc_url = "https://rpc.example""#;

#[test]
fn a_facilitator_settles_permits_through_permit2_for_the_treasury() {
    let megaeth = |lines: &str| {
        good().replace("chain = \"eip155:8453\"", "chain = \"eip155:4326\"\n") + lines
    };
    let config = check(&megaeth("")).unwrap();
    let rail = &config.rails[0];
    let Method::Permit { paths, .. } = rail.terms.method() else {
        panic!("by permit")
    };
    assert!(paths.permit2_separator().is_some());
    assert_eq!(paths.spender(), None, "nobody is approved directly");
    let treasury = "0x1111111111111111111111111111111111111111";
    assert_eq!((rail.pay_to.as_str(), rail.decimals), (treasury, 18));
    assert_eq!(rail.facilitators().len(), 1);
    let found = problems(&megaeth("permit2 = false\n"));
    assert!(
        found.contains("rails.base.permit2: must be true"),
        "{found}"
    );
}

#[test]
fn several_facilitators_keep_their_order() {
    let list = format!(
        r#"facilitators = [
            {{ url = "https://a.example/x", cdp_key_id = "id", cdp_key_secret = "{ED25519}" }},
            {{ url = "https://b.example", token = "hunter2" }},
            {{ url = "http://127.0.0.1:4030" }},
        ]"#
    );
    let config = check(&with(&format!("{NODE}\n{list}"))).unwrap();
    let facilitators = config.rails[0].facilitators();
    let urls: Vec<&str> = facilitators.iter().map(|it| it.url.as_str()).collect();
    let expected = [
        "https://a.example/x",
        "https://b.example",
        "http://127.0.0.1:4030",
    ];
    assert_eq!(urls, expected);
    assert!(matches!(facilitators[0].access, Access::Cdp(_)));
    assert!(matches!(facilitators[1].access, Access::Bearer(_)));
    assert!(matches!(facilitators[2].access, Access::Open));

    check_refused(&list, "rails.base.rpc_url: is needed with several");
    let both = format!("{NODE}\n{SINGLE}\n{list}");
    check_refused(&both, "rails.base.facilitators: is given besides");
    let tables = "[[rails.base.facilitators]]\nurl = \"https://a.example\"";
    assert!(check(&with(tables)).is_ok());
}

#[test]
fn a_wrong_element_of_the_list_is_named_with_its_origin() {
    for (element, expected) in [
        (
            "{ token = \"hunter2\" }",
            "facilitators[1].url: is needed (/",
        ),
        (
            "{ url = \"http://hunter2@b.example\" }",
            "facilitators[1].url: must be https://",
        ),
        (
            "{ url = \"https://b.example\", cdp_key_id = \"id\", cdp_key_secret = \"hunter2\" }",
            "facilitators[1].cdp_key_secret: must be",
        ),
        (
            "{ url = \"https://b.example\", tokne = \"hunter2\" }",
            "facilitators: must be: list of",
        ),
        ("\"hunter2\"", "facilitators: must be: list of"),
    ] {
        let list = format!("{NODE}\nfacilitators = [{{ url = \"https://a.example\" }}, {element}]");
        check_refused(&list, &format!("rails.base.{expected}"));
    }
}

#[test]
fn the_effective_configuration_hides_what_facilitators_know_us_by() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("compute.toml");
    let list = format!(
        r#"facilitators = [
            {{ url = "https://a.example/hunter2", cdp_key_id = "id", cdp_key_secret = "{ED25519}" }},
            {{ url = "https://b.example", token = "hunter2" }},
        ]"#
    );
    std::fs::write(&file, with(&format!("{NODE}\n{list}"))).unwrap();
    let loaded = Loaded::read(Reader::open(Some(&file)));
    let lines = loaded.effective();
    let (_, shown, _) = lines
        .iter()
        .find(|(key, _, _)| key == "rails.base.facilitators")
        .unwrap();
    let expected = "[{ url = \"https://a.example/…\", cdp_key_id = \"id\", \
        cdp_key_secret = (hidden) }, { url = \"https://b.example\", token = (hidden) }]";
    assert_eq!(shown, expected);
    let seen = format!("{lines:?} {:?}", loaded.settings);
    assert!(!seen.contains("hunter2") && !seen.contains(ED25519));
}

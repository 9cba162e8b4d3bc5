use super::*;

fn read(body: &str) -> Result<ApiKeyTerms, ApiError> {
    let body = Bytes::from(body.to_owned());
    CreateBody::read(&HeaderMap::new(), &body, &Settings::for_tests())
        .map(|CreateBody(terms)| terms)
}

#[test]
fn without_a_word_a_key_is_for_everything_and_has_no_end() {
    for body in ["", "{}", "{\"label\":null}"] {
        let terms = read(body).unwrap();
        assert_eq!(terms.label, None, "{body}");
        assert_eq!(terms.scopes, Scopes::ALL, "{body}");
        assert_eq!((terms.budget, terms.expires_at), (None, None), "{body}");
    }
}

/// A number that went wrong becomes `null` in some clients; it must not become a key without limits.
#[test]
fn a_limit_that_is_null_is_no_limit_left_out() {
    for member in ["scopes", "budget_usd", "expires_at"] {
        let body = format!("{{\"{member}\":null}}");
        assert!(read(&body).is_err(), "{body}");
    }
}

#[test]
fn every_member_is_read() {
    let terms = read(
        "{\"label\":\"my-agent\",\"scopes\":[\"spend\",\"read\"],\"budget_usd\":25.5,\
          \"expires_at\":\"2026-03-17T00:00:00Z\"}",
    )
    .unwrap();
    assert_eq!(terms.label.unwrap().as_str(), "my-agent");
    assert_eq!(terms.scopes.to_string(), "read,spend");
    assert_eq!(terms.budget.map(Usd::micros), Some(25_500_000));
    assert_eq!(terms.expires_at.unwrap().rfc3339(), "2026-03-17T00:00:00Z");
    let as_text = read("{\"budget_usd\":\"25.50\"}").unwrap();
    assert_eq!(as_text.budget.map(Usd::micros), Some(25_500_000));
}

#[test]
fn what_breaks_a_rule_is_named() {
    for (body, name) in [
        ("{\"label\":\"\"}", "label"),
        ("{\"scopes\":[]}", "scopes"),
        ("{\"scopes\":[\"read\",\"read\"]}", "scopes"),
        ("{\"scopes\":[\"write\"]}", "scopes"),
        ("{\"scopes\":[\"Read\"]}", "scopes"),
        ("{\"budget_usd\":-1}", "budget_usd"),
        ("{\"budget_usd\":1e3}", "budget_usd"),
        ("{\"budget_usd\":\"much\"}", "budget_usd"),
        ("{\"budget_usd\":1.0000001}", "budget_usd"),
        ("{\"expires_at\":\"tomorrow\"}", "expires_at"),
        ("{\"expires_at\":\"2026-03-17\"}", "expires_at"),
    ] {
        match read(body) {
            Err(ApiError::Shape { field, .. }) => assert_eq!(field, Some(name), "{body}"),
            other => panic!("{body}: {other:?}"),
        }
    }
}

#[test]
fn anything_else_is_refused() {
    for body in [
        "null",
        "[]",
        "{\"label\":1}",
        "{\"name\":\"x\"}",
        "{\"scopes\":\"read\"}",
        "{\"scopes\":[1]}",
        "{\"expires_at\":1767225600}",
        "{",
    ] {
        assert!(read(body).is_err(), "{body}");
    }
}

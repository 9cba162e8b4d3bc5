use super::*;

#[test]
fn durations_need_a_unit() {
    for (text, millis) in [
        ("250ms", 250),
        ("30s", 30_000),
        ("10 m", 600_000),
        ("7d", 604_800_000),
    ] {
        assert_eq!(parse_span(text).map(Span::millis), Some(millis), "{text}");
    }
    for text in [
        "",
        "30",
        "s",
        "-1s",
        "1.5s",
        "30 sec",
        "99999999999999999999s",
        "367d",
    ] {
        assert_eq!(parse_span(text), None, "{text}");
    }
}

#[test]
fn durations_print_in_their_largest_unit() {
    for text in ["0ms", "1500ms", "25s", "90s", "20m", "1h", "7d"] {
        assert_eq!(span_text(parse_span(text).unwrap()), text);
    }
}

#[test]
fn secrets_do_not_print() {
    let secret = Secret::new("hunter2".to_owned());
    assert!(!format!("{secret:?} {:?}", secret.shown()).contains("hunter2"));
    for (url, shown) in [
        (
            "postgres://shop:hunter2@db.example/shop",
            "postgres://db.example/…",
        ),
        ("https://rpc.example/v1/hunter2", "https://rpc.example/…"),
        ("https://rpc.example", "https://rpc.example"),
        ("sqlite:compute.db?key=hunter2", "sqlite:compute.db"),
        ("http://127.0.0.1:4030/", "http://127.0.0.1:4030/"),
        (
            "postgres://shop:hunter2@[::1]:5432/shop",
            "postgres://[::1]:5432/…",
        ),
        ("postgres://shop:hun@ter2@db/shop", "postgres://db/…"),
        ("sqlite:///srv/compute.db", "sqlite:///srv/compute.db"),
        // What cannot be read may be secret in every part.
        ("postgresql:shop:hunter2@db/shop", "(hidden)"),
        ("hunter2", "(hidden)"),
        ("postgres://shop:hunter/2@db/shop", "(hidden)"),
        ("postgres://shop:12/hunter2@db/shop", "(hidden)"),
        ("postgres://shop:hunter2", "(hidden)"),
        ("shop:hunter2@db://shop", "(hidden)"),
        ("https://hunter 2/", "(hidden)"),
        ("https://[hunter2]/", "(hidden)"),
    ] {
        assert_eq!(PrivateUrl::new(url).masked(), shown, "{url}");
    }
}

#[test]
fn amounts_are_exact() {
    for (value, micros) in [
        (Value::from("1"), Some(1_000_000)),
        (Value::from("0.000001"), Some(1)),
        (Value::from(25_u64), Some(25_000_000)),
        (Value::from(0.5), None),
        (Value::from(-1_i64), None),
        (Value::from("1e3"), None),
        (Value::from("0.0000001"), None),
        (Value::from(true), None),
    ] {
        assert_eq!(Usd::read(&value).map(Usd::micros), micros, "{value:?}");
    }
    assert_eq!(usd(2_500_000).shown().as_deref(), Some("\"2.50\""));
}

#[test]
fn numbers_from_the_environment_are_texts_where_a_text_is_asked() {
    assert_eq!(text(&Value::from(2_u64)), Some("2".to_owned()));
    assert_eq!(u32::read(&Value::from(-1_i64)), None);
    assert_eq!(u32::read(&Value::from(5_000_000_000_u64)), None);
}

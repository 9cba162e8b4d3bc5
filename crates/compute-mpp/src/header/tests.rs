use proptest::prelude::*;

use super::*;

fn find(line: &str) -> Result<Option<&str>, FieldError> {
    let found = find_credential([line.as_bytes()], []);
    found.map(|found| found.map(|text| std::str::from_utf8(text).unwrap()))
}

#[test]
fn a_credential_is_found_among_other_schemes() {
    let blanks = format!("{}\t", " ".repeat(200));
    for (line, expected) in [
        ("Payment abc", Some("abc")),
        ("pAYMENT   abc  ", Some("abc")),
        ("Payment\tabc", Some("abc")),
        ("Bearer x, Payment abc", Some("abc")),
        ("Payment abc, Bearer x", Some("abc")),
        (",, Payment abc ,", Some("abc")),
        (
            r#"Digest username="a, Payment x", qop=auth, Payment abc"#,
            Some("abc"),
        ),
        (
            r#"Digest username="a\", Payment x", Payment abc"#,
            Some("abc"),
        ),
        (&format!("Payment {blanks}abc{blanks}"), Some("abc")),
        ("Payment", Some("")),
        ("Payment ", Some("")),
        ("Payment a b", Some("a b")),
        ("Bearer Payment", None),
        ("Bearer x, payment=\"y\"", None),
        ("Bearer x, payment = y", None),
        ("Paymentabc", None),
        ("Payment-X abc", None),
        ("Digest a=\"open, Payment abc", None),
        ("", None),
    ] {
        assert_eq!(find(line), Ok(expected), "{line}");
    }
}

#[test]
fn two_credentials_are_refused_wherever_they_are() {
    let line = b"Payment a".as_slice();
    for (first, second) in [
        (vec![line, line], vec![]),
        (vec![line], vec![line]),
        (vec![], vec![line, line]),
        (vec![b"Payment a, payment b".as_slice()], vec![]),
    ] {
        assert_eq!(find_credential(first, second), Err(FieldError::Repeated));
    }
    let bearer = b"Bearer x".as_slice();
    assert_eq!(find_credential([bearer], [line]), Ok(Some(b"a".as_slice())));
}

#[test]
fn fields_are_bounded_in_size_and_in_elements() {
    let at = |bytes: usize| format!("Payment {}", "a".repeat(bytes - 8));
    assert!(find(&at(MAX_FIELD_BYTES)).is_ok());
    assert_eq!(find(&at(MAX_FIELD_BYTES + 1)), Err(FieldError::TooLarge));
    let half = "a".repeat(MAX_FIELD_BYTES / 2 + 1);
    let halves = [half.as_bytes(), half.as_bytes()];
    assert_eq!(find_credential(halves, []), Err(FieldError::TooLarge));
    assert_eq!(find(&",".repeat(257)), Err(FieldError::TooManyElements));
    assert_eq!(find(&"\"".repeat(60_000)), Err(FieldError::TooManyElements));
}

#[test]
fn text_outside_ascii_is_read_in_all_its_forms() {
    for (raw, expected) in [
        (br#"Payment a="Gr\u00f6\u00DFe""#.as_slice(), "Größe"),
        (br#"Payment a="\ud83d\ude80""#, "🚀"),
        (b"Payment a=\"Gr\xf6\"", "Grö"),
        ("Payment a=\"Grö\"".as_bytes(), "Grö"),
        (br#"Payment a="\\u00f6""#, "\\u00f6"),
        (br#"Payment a="\u00f""#, "u00f"),
    ] {
        let challenges = payment_challenges([raw]).unwrap();
        assert_eq!(challenges, [[("a".to_owned(), expected.to_owned())]]);
    }
}

#[test]
fn malformed_parameters_are_refused() {
    for line in [
        "Payment a",
        "Payment a=",
        "Payment a=\"open",
        "Payment a=\"x\"y",
        "Payment a=x y",
        "Payment a=\"x\\",
        "Payment a=\"x\", =\"y\"",
    ] {
        let read = payment_challenges([line.as_bytes()]);
        assert_eq!(read, Err(FieldError::Malformed), "{line}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(values in prop::collection::vec("[ -~]{0,40}", 1..6)) {
        let mut field = String::new();
        for value in &values {
            push_parameter(&mut field, "a", value);
        }
        let challenges = payment_challenges([field.as_bytes()]).unwrap();
        let read: Vec<_> = challenges.concat().into_iter().map(|(_, value)| value).collect();
        prop_assert_eq!(read, values);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, text in "[Pp]ayment [ -~]{0,80}") {
        let _ = find_credential([bytes.as_slice()], [text.as_bytes()]);
        let _ = payment_challenges([bytes.as_slice(), text.as_bytes()]);
    }
}

use super::table::problem_code;
use super::*;

#[test]
fn a_refused_payment_has_a_code_of_ours() {
    assert_eq!(problem_code("insufficient_funds"), "payment_insufficient");
    let expired = "invalid_exact_evm_payload_authorization_valid_before";
    assert_eq!(problem_code(expired), "payment_expired");
    assert_eq!(
        problem_code("invalid_exact_evm_payload_signature"),
        "payment_invalid"
    );
}

#[test]
fn a_failure_after_the_payment_is_a_gateway_or_availability_error() {
    for &code in FailureCode::ALL {
        let row = failure_row(code);
        let expected = match code {
            FailureCode::ProviderRejected | FailureCode::ResizeFailed => 502,
            FailureCode::PaymentDeclined => 402,
            _ => 503,
        };
        assert_eq!(
            (row.status.as_u16(), row.code.as_ref()),
            (expected, code.as_str())
        );
    }
}

#[test]
fn too_many_pings_say_when_to_try_again() {
    let wait = compute_domain::time::Span::from_secs(10);
    let error = ApiError::from(Error::TooManyPings { wait });
    let row = error.row();
    assert_eq!(
        (row.status.as_u16(), row.code.as_ref()),
        (429, "rate_limited")
    );
    assert_eq!(error.retry_after(), Some(11));
}

#[test]
fn internal_text_stays_inside() {
    let error = ApiError::internal(std::io::Error::other("password=hunter2"));
    assert!(!error.detail().contains("hunter2"));
    assert_eq!(error.row().status, StatusCode::INTERNAL_SERVER_ERROR);
}

/// The texts in quotes that look like codes.
fn quoted(source: &str) -> impl Iterator<Item = &str> {
    let texts = source.split('"').skip(1).step_by(2);
    texts.filter(|text| {
        let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        text.len() > 3 && text.bytes().all(is_word) && !text.starts_with('_')
    })
}

#[test]
fn every_code_is_explained_once() {
    use compute_engine::AuthFailure;
    use compute_mpp::ProblemType;

    let known: Vec<&str> = CODES.iter().map(|it| it.code).collect();
    let distinct: std::collections::BTreeSet<&str> = known.iter().copied().collect();
    assert_eq!(known.len(), distinct.len());
    let tables = [include_str!("table.rs"), include_str!("../error.rs")];
    // A part of codes of x402, and what became of a machine.
    let foreign = ["insufficient", "destroyed", "none"];
    for code in tables.into_iter().flat_map(quoted) {
        let is_known = distinct.contains(code) || foreign.contains(&code);
        assert!(is_known, "{code} has no line in error/codes.rs");
    }
    for code in FailureCode::ALL {
        assert!(distinct.contains(code.as_str()), "{code:?}");
    }
    for kind in ProblemType::ALL.iter().filter(|kind| kind.status() == 402) {
        let code = kind.code().replace('-', "_");
        assert!(distinct.contains(code.as_str()), "{code}");
    }
    for why in [
        AuthFailure::Required,
        AuthFailure::Invalid,
        AuthFailure::Expired,
        AuthFailure::NonceUsed,
        AuthFailure::ApiKey,
        AuthFailure::ApiKeyExpired,
    ] {
        assert!(distinct.contains(why.code()), "{}", why.code());
    }
}

#[test]
fn every_explained_code_comes_from_somewhere() {
    let sources = [
        include_str!("table.rs"),
        include_str!("../error.rs"),
        include_str!("../routes/provision/body.rs"),
        include_str!("../routes/notices.rs"),
    ];
    let written: std::collections::BTreeSet<&str> = sources.into_iter().flat_map(quoted).collect();
    for it in CODES {
        let is_elsewhere = it.status == "401"
            || FailureCode::ALL.iter().any(|code| code.as_str() == it.code)
            || compute_mpp::ProblemType::ALL
                .iter()
                .any(|kind| kind.code().replace('-', "_") == it.code);
        assert!(
            is_elsewhere || written.contains(it.code),
            "{} is never answered",
            it.code
        );
    }
}

#[test]
fn the_page_for_people_has_every_code() {
    let page = include_str!("../../../../docs/api.md");
    let begin = page.split_once("<!-- errors:begin -->\n").unwrap().1;
    let shown = begin.split_once("\n<!-- errors:end -->").unwrap().0;
    let rows = CODES.iter().map(|it| {
        format!(
            "| `{}` | {} | {} | {} |",
            it.code, it.status, it.meaning, it.remedy
        )
    });
    let head = [
        "| Code | Status | Meaning | What to do |",
        "|---|---|---|---|",
    ]
    .map(str::to_owned);
    let wanted: Vec<String> = head.into_iter().chain(rows).collect();
    assert_eq!(
        shown,
        wanted.join("\n"),
        "put this between the marks of docs/api.md"
    );
}

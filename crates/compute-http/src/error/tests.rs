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
fn internal_text_stays_inside() {
    let error = ApiError::internal(std::io::Error::other("password=hunter2"));
    assert!(!error.detail().contains("hunter2"));
    assert_eq!(error.row().status, StatusCode::INTERNAL_SERVER_ERROR);
}

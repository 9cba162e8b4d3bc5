//! What the log says about requests that failed.

use compute_domain::id::InstanceId;
use compute_engine::Error;

use crate::error::ApiError;
use crate::request_id::RequestId;

/// How much a failure is the operator's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gravity {
    /// A human must look.
    Fault,
    /// The client was not served, and nothing is broken by it.
    Coped,
    /// It happens every day, or is reported elsewhere.
    Routine,
}

/// Faults of ours are logged once, here, with the whole chain of causes.
pub(crate) fn log(error: &ApiError, id: &RequestId) {
    let row = error.row();
    let request_id = id.as_str();
    if !row.status.is_server_error() {
        tracing::debug!(request.id = request_id, code = %row.code, "request refused");
        return;
    }
    let cause = cause_of(error);
    let order = order_of(error).map(tracing::field::display);
    match gravity(error) {
        Gravity::Fault => {
            tracing::error!(request.id = request_id, instance.id = order, code = %row.code, cause, "request failed");
        }
        Gravity::Coped => {
            tracing::warn!(request.id = request_id, instance.id = order, code = %row.code, cause, "request was not served");
        }
        Gravity::Routine => {
            tracing::debug!(request.id = request_id, instance.id = order, code = %row.code, cause, "request was not served");
        }
    }
}

fn gravity(error: &ApiError) -> Gravity {
    match error {
        // A probe comes every few seconds; a change of the verdict is logged where it is found.
        ApiError::NotReady { .. } | ApiError::Engine(Error::PasswordNotReady) => Gravity::Routine,
        ApiError::Undelivered(failure) if failure.replayed => Gravity::Routine,
        ApiError::Undelivered(_)
        | ApiError::Overloaded
        | ApiError::Engine(Error::RailUnavailable | Error::CatalogUnavailable) => Gravity::Coped,
        _ => Gravity::Fault,
    }
}

fn cause_of(error: &ApiError) -> String {
    match error {
        ApiError::Engine(error) => chain(error),
        ApiError::NotReady { reasons } => reasons.join("; "),
        ApiError::Overloaded => "all places of limits.in_flight are taken".to_owned(),
        ApiError::Panicked => "a handler panicked".to_owned(),
        ApiError::Undelivered(failure) if failure.is_uncharged() => {
            "a purchase came to nothing; nothing was charged".to_owned()
        }
        ApiError::Undelivered(_) => {
            "a paid purchase was not delivered; its price is credited".to_owned()
        }
        // Refusals, which are not the server's fault.
        _ => String::new(),
    }
}

fn chain(error: &Error) -> String {
    let mut chain = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        chain.push_str(": ");
        chain.push_str(&cause.to_string());
        source = cause.source();
    }
    chain
}

fn order_of(error: &ApiError) -> Option<InstanceId> {
    match error {
        ApiError::Undelivered(failure) => failure.work.order,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use compute_domain::instance::FailureCode;
    use compute_domain::operation::OperationKind;

    use super::*;
    use crate::error::{Undelivered, Work};

    fn undelivered(code: FailureCode, replayed: bool) -> ApiError {
        ApiError::Undelivered(Box::new(Undelivered {
            management: None,
            code,
            work: Work {
                kind: OperationKind::Provision,
                operation: "0190a5b2-7c1d-7e3f-8a4b-5c6d7e8f9a0c".parse().unwrap(),
                order: "0190a5b2-7c1d-7e3f-8a4b-5c6d7e8f9a0b".parse().ok(),
            },
            credited: None,
            settlement: None,
            replayed,
        }))
    }

    fn check(error: &ApiError, gravity_is: Gravity, cause: &str) {
        assert!(error.row().status.is_server_error());
        assert_eq!(gravity(error), gravity_is, "{error:?}");
        assert!(cause_of(error).contains(cause), "{error:?}");
    }

    #[test]
    fn every_failure_says_what_it_is() {
        let reasons = vec![
            "no fresh catalogue".to_owned(),
            "no payment rail".to_owned(),
        ];
        check(
            &ApiError::NotReady { reasons },
            Gravity::Routine,
            "no fresh catalogue; no payment rail",
        );
        check(&ApiError::Overloaded, Gravity::Coped, "limits.in_flight");
        check(&ApiError::Panicked, Gravity::Fault, "panicked");
        let internal = ApiError::internal(std::io::Error::other("disk full"));
        check(&internal, Gravity::Fault, "disk full");
    }

    #[test]
    fn an_undelivered_order_is_named_once() {
        let first = undelivered(FailureCode::NoCapacity, false);
        check(&first, Gravity::Coped, "a paid purchase was not delivered");
        assert!(order_of(&first).is_some());
        let again = undelivered(FailureCode::NoCapacity, true);
        check(&again, Gravity::Routine, "");
        let unpaid = undelivered(FailureCode::PaymentUnreachable, false);
        check(&unpaid, Gravity::Coped, "nothing was charged");
    }
}

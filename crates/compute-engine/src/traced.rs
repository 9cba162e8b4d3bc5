//! Spans for traces. Their fields are few and named here: never a secret, a payer or an address.

use compute_domain::id::OperationId;
use compute_domain::operation::{Operation, Step};
use tracing::Span;

/// The target of spans that are meant for traces, and not for the log.
pub const TRACED: &str = "compute::traced";

/// The work on an operation by one task: in the trace of who makes the span, or else in one of its own.
pub fn operation_span(operation: OperationId) -> Span {
    tracing::info_span!(target: TRACED, "operation", operation.id = %operation)
}

/// A step of it.
pub(crate) fn step_span(operation: &Operation, step: Option<Step>) -> Span {
    let kind = operation.kind.as_str();
    let step = step.map_or("rest", |step| step.as_str());
    tracing::info_span!(
        target: TRACED, "step",
        otel.name = format!("{kind} {step}"),
        operation.id = %operation.id, operation.kind = kind, operation.step = step
    )
}

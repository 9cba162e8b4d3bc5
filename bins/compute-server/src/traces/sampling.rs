//! Which traces are sent.

use opentelemetry::trace::{Link, SpanKind, TraceContextExt as _, TraceId, TraceState};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SamplingDecision, SamplingResult, ShouldSample};

/// Thousandths in the whole.
const WHOLE: u64 = 1_000;

/// A share of all traces. Which ones goes by their ids, so that all servers choose the same; a client that names the id of
/// its own trace can choose among its own, and what it says of sampling counts for nothing.
#[derive(Debug, Clone)]
pub(super) struct Share {
    permille: u64,
}

impl Share {
    pub(super) fn new(permille: u32) -> Self {
        Self {
            permille: permille.into(),
        }
    }

    fn takes(&self, trace: TraceId) -> bool {
        let [.., a, b, c, d, e, f, g, h] = trace.to_bytes();
        u64::from_be_bytes([a, b, c, d, e, f, g, h]) % WHOLE < self.permille
    }
}

impl ShouldSample for Share {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        _name: &str,
        _kind: &SpanKind,
        _attributes: &[KeyValue],
        _links: &[Link],
    ) -> SamplingResult {
        let own = parent.map(|parent| parent.span().span_context().clone());
        let own = own.filter(|parent| parent.is_valid() && !parent.is_remote());
        let is_taken = own.map_or_else(|| self.takes(trace), |parent| parent.is_sampled());
        let decision = if is_taken {
            SamplingDecision::RecordAndSample
        } else {
            SamplingDecision::Drop
        };
        SamplingResult {
            decision,
            attributes: Vec::new(),
            trace_state: TraceState::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags};

    use super::*;

    fn decide(permille: u32, parent: Option<SpanContext>, trace: u128) -> SamplingDecision {
        let parent = parent.map(|parent| Context::new().with_remote_span_context(parent));
        let share = Share::new(permille);
        let trace = TraceId::from(trace);
        let kind = SpanKind::Internal;
        let decided = share.should_sample(parent.as_ref(), trace, "", &kind, &[], &[]);
        decided.decision
    }

    fn parent(flags: TraceFlags, is_remote: bool) -> Option<SpanContext> {
        let (trace, span) = (TraceId::from(7_u128), SpanId::from(7_u64));
        let state = TraceState::default();
        Some(SpanContext::new(trace, span, flags, is_remote, state))
    }

    #[test]
    fn a_share_of_traces_is_taken() {
        let taken = |permille| {
            let traces = 0..10_000_u128;
            let decisions = traces.map(|trace| decide(permille, None, trace));
            decisions
                .filter(|it| *it == SamplingDecision::RecordAndSample)
                .count()
        };
        assert_eq!([0, 1, 250, 1_000].map(taken), [0, 10, 2_500, 10_000]);
    }

    #[test]
    fn a_trace_is_taken_whole_and_no_client_decides() {
        let taken = SamplingDecision::RecordAndSample;
        assert_eq!(decide(0, parent(TraceFlags::SAMPLED, false), 7), taken);
        assert_ne!(
            decide(1_000, parent(TraceFlags::NOT_SAMPLED, false), 7),
            taken
        );
        assert_ne!(decide(0, parent(TraceFlags::SAMPLED, true), 7), taken);
        assert_eq!(
            decide(1_000, parent(TraceFlags::NOT_SAMPLED, true), 7),
            taken
        );
    }
}

//! What payment networks are asked, how long they take, and what they say.

use std::sync::Arc;

use async_trait::async_trait;
use compute_engine::TRACED;
use compute_engine::ports::{
    AnyRail, ArrivalPage, CardDesk, Check, ClaimedPayment, Lookup, Mpp, Protocol, Rail, RailHealth,
    RailUnavailable, Settlement, WalletBalance, X402,
};
use compute_x402::PaymentPayload;
use metrics::{counter, histogram};
use tracing::Instrument as _;
use tracing::field::Empty;

use crate::ambient::Stopwatch;

/// A rail whose calls are counted.
#[derive(Debug)]
struct MeteredRail<P: Protocol> {
    rail: Arc<dyn Rail<P>>,
    /// Its label.
    label: String,
}

/// Counts the calls of this rail.
pub(crate) fn metered(rail: AnyRail) -> AnyRail {
    let label = rail.label().to_string();
    match rail {
        AnyRail::X402(rail) => AnyRail::X402(Arc::new(MeteredRail::<X402> { rail, label })),
        AnyRail::Mpp(rail) => AnyRail::Mpp(Arc::new(MeteredRail::<Mpp> { rail, label })),
    }
}

impl<P: Protocol> MeteredRail<P> {
    async fn metered<T>(
        &self,
        call: &'static str,
        answer: impl Future<Output = T> + Send,
        outcome: impl FnOnce(&T) -> &'static str + Send,
    ) -> T {
        let span = tracing::info_span!(
            target: TRACED, "rail",
            otel.name = format!("{} {call}", self.label), otel.kind = "client",
            rail = self.label, call, outcome = Empty
        );
        let stopwatch = Stopwatch::start();
        let answer = answer.instrument(span.clone()).await;
        let outcome = outcome(&answer);
        span.record("outcome", outcome);
        let rail = self.label.clone();
        counter!(
            "compute_rail_calls_total",
            "rail" => rail.clone(), "call" => call, "outcome" => outcome
        )
        .increment(1);
        histogram!("compute_rail_call_seconds", "rail" => rail, "call" => call)
            .record(stopwatch.elapsed());
        answer
    }
}

const UNAVAILABLE: &str = "unavailable";

#[async_trait]
impl<P: Protocol> Rail<P> for MeteredRail<P> {
    fn spec(&self) -> &P::Spec {
        self.rail.spec()
    }

    async fn health(&self) -> RailHealth {
        self.metered("health", self.rail.health(), |health| match health {
            RailHealth::Ready => "ready",
            RailHealth::Withdrawn { .. } => "withdrawn",
        })
        .await
    }

    fn account(&self) -> Option<String> {
        self.rail.account()
    }

    fn wallet(&self) -> Option<WalletBalance> {
        self.rail.wallet()
    }

    async fn check(&self, proof: &P::Proof) -> Result<Check, RailUnavailable> {
        self.metered("check", self.rail.check(proof), |answer| match answer {
            Ok(Check::Fine) => "fine",
            Ok(Check::Refused { .. }) => "refused",
            Err(_) => UNAVAILABLE,
        })
        .await
    }

    async fn vouch(&self, payload: &PaymentPayload) -> Result<bool, RailUnavailable> {
        self.metered("vouch", self.rail.vouch(payload), |answer| match answer {
            Ok(true) => "yes",
            Ok(false) => "no",
            Err(_) => UNAVAILABLE,
        })
        .await
    }

    async fn settle(&self, payment: &ClaimedPayment<P>) -> Settlement {
        self.metered("settle", self.rail.settle(payment), |answer| match answer {
            Settlement::Settled(_) => "settled",
            Settlement::Declined { .. } => "declined",
            Settlement::Unknown { .. } => "unknown",
            Settlement::NotSent { .. } => "not_sent",
        })
        .await
    }

    async fn lookup(&self, payment: &ClaimedPayment<P>) -> Result<Lookup, RailUnavailable> {
        self.metered("lookup", self.rail.lookup(payment), |answer| match answer {
            Ok(Lookup::Settled(_)) => "settled",
            Ok(Lookup::NotYet) => "not_yet",
            Ok(Lookup::Never { .. }) => "never",
            Err(_) => UNAVAILABLE,
        })
        .await
    }

    fn card_desk(&self) -> Option<&dyn CardDesk> {
        self.rail.card_desk()
    }

    async fn tend(&self) {
        self.rail.tend().await;
    }

    fn arrival_source(&self) -> Option<String> {
        self.rail.arrival_source()
    }

    async fn arrivals(&self, cursor: Option<&str>) -> Result<ArrivalPage, RailUnavailable> {
        self.metered("arrivals", self.rail.arrivals(cursor), |answer| {
            answer.as_ref().map_or(UNAVAILABLE, |_| "ok")
        })
        .await
    }
}

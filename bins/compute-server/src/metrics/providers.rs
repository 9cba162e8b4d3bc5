//! Calls of providers: how many, how long, and how they ended.

use std::sync::Arc;

use async_trait::async_trait;
use compute_domain::catalog::{Catalog, Plan, PlanId, ProviderId, ProviderInstanceId, RegionId};
use compute_domain::id::OperationId;
use compute_engine::TRACED;
use compute_engine::ports::{
    ActionId, ActionState, CreateSpec, Created, Observed, Power, Provider, ProviderAccount,
    ProviderError, ResizeCheck, Stock,
};
use metrics::{counter, histogram};
use secrecy::SecretString;
use tracing::Instrument as _;
use tracing::field::Empty;

use crate::ambient::Stopwatch;

/// A provider whose calls are counted.
#[derive(Debug)]
pub(crate) struct MeteredProvider(Arc<dyn Provider>);

impl MeteredProvider {
    /// Counts the calls of this provider.
    pub(crate) fn around(provider: Arc<dyn Provider>) -> Arc<dyn Provider> {
        Arc::new(Self(provider))
    }

    async fn metered<T>(
        &self,
        call: &'static str,
        answer: impl Future<Output = Result<T, ProviderError>> + Send,
    ) -> Result<T, ProviderError> {
        let provider = self.0.id().as_str();
        let span = tracing::info_span!(
            target: TRACED, "provider",
            otel.name = format!("{provider} {call}"), otel.kind = "client",
            provider, call, outcome = Empty
        );
        let stopwatch = Stopwatch::start();
        let answer = answer.instrument(span.clone()).await;
        let outcome = answer.as_ref().err().map_or("ok", outcome);
        span.record("outcome", outcome);
        counter!(
            "compute_provider_calls_total",
            "provider" => provider, "call" => call, "outcome" => outcome
        )
        .increment(1);
        histogram!("compute_provider_call_seconds", "provider" => provider, "call" => call)
            .record(stopwatch.elapsed());
        answer
    }
}

const fn outcome(error: &ProviderError) -> &'static str {
    match error {
        ProviderError::Rejected { .. } => "rejected",
        ProviderError::NoCapacity { .. } => "no_capacity",
        ProviderError::Throttled { .. } => "throttled",
        ProviderError::Unreachable => "unreachable",
        ProviderError::Unauthorized => "unauthorized",
        ProviderError::Ambiguous(_) => "ambiguous",
    }
}

#[async_trait]
impl Provider for MeteredProvider {
    fn id(&self) -> ProviderId {
        self.0.id()
    }

    fn offers_root_password(&self) -> bool {
        self.0.offers_root_password()
    }

    async fn catalog(&self) -> Result<Catalog, ProviderError> {
        self.metered("catalog", self.0.catalog()).await
    }

    async fn stock(&self, region: &RegionId) -> Result<Option<Stock>, ProviderError> {
        self.metered("stock", self.0.stock(region)).await
    }

    async fn create(&self, spec: &CreateSpec) -> Result<Created, ProviderError> {
        self.metered("create", self.0.create(spec)).await
    }

    async fn find(&self, operation: OperationId) -> Result<Vec<Observed>, ProviderError> {
        self.metered("find", self.0.find(operation)).await
    }

    async fn observe(&self, machine: &ProviderInstanceId) -> Result<Observed, ProviderError> {
        self.metered("observe", self.0.observe(machine)).await
    }

    async fn destroy(&self, machine: &ProviderInstanceId) -> Result<(), ProviderError> {
        self.metered("destroy", self.0.destroy(machine)).await
    }

    async fn list(&self) -> Result<Vec<Observed>, ProviderError> {
        self.metered("list", self.0.list()).await
    }

    fn resizes_when_off(&self) -> bool {
        self.0.resizes_when_off()
    }

    async fn check_resize(
        &self,
        machine: &ProviderInstanceId,
        to: &Plan,
    ) -> Result<ResizeCheck, ProviderError> {
        self.metered("check_resize", self.0.check_resize(machine, to))
            .await
    }

    async fn resize(
        &self,
        machine: &ProviderInstanceId,
        to: &PlanId,
        grow_disk: bool,
    ) -> Result<Option<ActionId>, ProviderError> {
        self.metered("resize", self.0.resize(machine, to, grow_disk))
            .await
    }

    async fn action(
        &self,
        machine: &ProviderInstanceId,
        action: &ActionId,
    ) -> Result<ActionState, ProviderError> {
        self.metered("action", self.0.action(machine, action)).await
    }

    async fn power(&self, machine: &ProviderInstanceId, power: Power) -> Result<(), ProviderError> {
        self.metered("power", self.0.power(machine, power)).await
    }

    fn reinstalls(&self) -> bool {
        self.0.reinstalls()
    }

    async fn reinstall(
        &self,
        machine: &ProviderInstanceId,
    ) -> Result<Option<SecretString>, ProviderError> {
        self.metered("reinstall", self.0.reinstall(machine)).await
    }

    async fn account(&self) -> Result<ProviderAccount, ProviderError> {
        self.metered("account", self.0.account()).await
    }
}

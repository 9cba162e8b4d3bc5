//! What a scripted cloud says it has left.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use compute_domain::catalog::{PlanId, RegionId};
use compute_engine::ports::{Ambiguity, ProviderError, Stock};

/// How the cloud answers questions about its stock. At first it knows no more than its catalogue.
#[derive(Debug, Default)]
pub struct ScriptedStock(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    manner: Manner,
    calls: usize,
    is_withdrawn: bool,
}

#[derive(Debug, Clone, Default)]
enum Manner {
    #[default]
    Catalogue,
    Left(BTreeSet<PlanId>),
    Failing,
    Silent,
}

impl ScriptedStock {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on these plans are left in every region that is asked about.
    ///
    /// # Panics
    /// When a text is no id of a plan.
    #[expect(clippy::unwrap_used, reason = "tests fail by panicking")]
    pub fn leave(&self, plans: &[&str]) {
        let plans = plans.iter().map(|plan| PlanId::parse(plan).unwrap());
        self.state().manner = Manner::Left(plans.collect());
    }

    /// From now on every question fails.
    pub fn fail(&self) {
        self.state().manner = Manner::Failing;
    }

    /// From now on no question is ever answered.
    pub fn fall_silent(&self) {
        self.state().manner = Manner::Silent;
    }

    /// From the next catalogue on the plan is not sold any more.
    pub fn withdraw_plan(&self) {
        self.state().is_withdrawn = true;
    }

    pub(crate) fn is_withdrawn(&self) -> bool {
        self.state().is_withdrawn
    }

    /// How many questions there were.
    pub fn calls(&self) -> usize {
        self.state().calls
    }

    pub(crate) async fn answer(&self, region: &RegionId) -> Result<Option<Stock>, ProviderError> {
        let manner = {
            let mut state = self.state();
            state.calls += 1;
            state.manner.clone()
        };
        // Others ask while the answer is on its way.
        tokio::task::yield_now().await;
        match manner {
            Manner::Catalogue => Ok(None),
            Manner::Left(plans) => Ok(Some(Stock::from([(region.clone(), plans)]))),
            Manner::Failing => Err(ProviderError::Ambiguous(Ambiguity::ServerError(502))),
            Manner::Silent => core::future::pending().await,
        }
    }
}

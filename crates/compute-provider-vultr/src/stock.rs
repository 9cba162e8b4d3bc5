//! What is left in a region, between two looks at the whole catalogue.

use compute_domain::catalog::{PlanId, RegionId};
use compute_engine::ports::{ProviderError, Stock};

use crate::classify::Failure;
use crate::client::Client;

pub(crate) async fn read(client: &Client, region: &RegionId) -> Result<Stock, ProviderError> {
    let plans = match client.available_plans(region.as_str()).await {
        Ok(plans) => plans,
        // A region that the vendor does not know any more has nothing to sell.
        Err(Failure::NotFound | Failure::Port(ProviderError::Rejected { .. })) => Vec::new(),
        Err(failure) => return Err(failure.into()),
    };
    if plans.is_empty() {
        // A key that does not count gets the same 200 as a region where nothing is left; only a
        // request that needs a key tells them apart.
        client.check_key().await?;
    }
    let plans = plans.iter().filter_map(|id| PlanId::parse(id).ok());
    Ok(Stock::from([(region.clone(), plans.collect())]))
}

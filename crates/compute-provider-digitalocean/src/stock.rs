//! What is left, between two looks at the whole catalogue: the list of sizes tells it for all regions.

use std::collections::BTreeSet;

use compute_domain::catalog::RegionId;
use compute_engine::ports::{ProviderError, Stock};

use crate::classify::unreadable;
use crate::client::{Client, List};
use crate::convert;
use crate::wire::SizeRow;

pub(crate) async fn read(client: &Client, region: &RegionId) -> Result<Stock, ProviderError> {
    let sizes = client.list(List::all("sizes")).await?;
    if sizes.is_empty() {
        // The vendor never has nothing at all: somebody in between answered.
        return Err(unreadable().into());
    }
    let mut stock = Stock::from([(region.clone(), BTreeSet::new())]);
    for row in &sizes {
        let Ok(row) = serde_json::from_str::<SizeRow<'_>>(row.get()) else {
            continue;
        };
        let Some(plan) = convert::plan_id(&row.slug).filter(|_| row.available) else {
            continue;
        };
        let regions = row.regions.iter();
        for region in regions.filter_map(|region| RegionId::parse(region).ok()) {
            stock.entry(region).or_default().insert(plan.clone());
        }
    }
    Ok(stock)
}

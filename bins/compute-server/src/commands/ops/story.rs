//! Everything that is stored about an operation or an order.

use anyhow::Context as _;
use compute_domain::WalletAddress;
use compute_domain::id::{InstanceId, OperationId, OwnerId};
use compute_domain::instance::Instance;
use compute_domain::ledger::CreditAccount;
use compute_domain::prepaid::Prepaid;
use compute_domain::time::Timestamp;
use compute_engine::ports::{Store, TxMode};
use compute_engine::{Engine, Error, OperationView};

/// The story that `show` tells.
#[derive(Debug)]
pub(super) struct Story {
    /// When it was read.
    pub(super) now: Timestamp,
    /// The order, unless it is about a top-up.
    pub(super) order: Option<Order>,
    /// For whom it all was.
    pub(super) owner: Owner,
    /// One operation, or all of an order, oldest first.
    pub(super) operations: Vec<OperationView>,
}

/// An instance and its prepaid value.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) instance: Instance,
    pub(super) lots: Prepaid,
}

/// An owner, as far as money goes.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) id: OwnerId,
    pub(super) wallets: Vec<WalletAddress>,
    pub(super) credits: CreditAccount,
}

impl Story {
    /// Reads the story of the operation or the order with this id.
    ///
    /// # Errors
    /// When there is neither, or the database cannot be read.
    pub(super) async fn read(
        engine: &Engine,
        store: &dyn Store,
        id: OperationId,
    ) -> anyhow::Result<Self> {
        let operations = match engine.inspect(id).await {
            Ok(view) => vec![view],
            // The ids of orders look the same.
            Err(Error::NotFound) => {
                of_order(engine, store, InstanceId::from_uuid(id.uuid())).await?
            }
            Err(error) => return Err(error.into()),
        };
        let first = operations
            .first()
            .with_context(|| format!("there is no operation and no order {id}"))?;
        let owner_id = first.operation.owner;
        let instance = first.instance.clone();
        let mut tx = store.begin(TxMode::Read).await?;
        let order = match instance {
            Some(instance) => Some(Order {
                lots: tx.lots_of(instance.id).await?,
                instance,
            }),
            None => None,
        };
        let owner = Owner {
            id: owner_id,
            wallets: tx.wallets_of(owner_id).await?,
            credits: tx.credits_of(owner_id).await?,
        };
        tx.rollback().await?;
        Ok(Self {
            now: engine.now(),
            order,
            owner,
            operations,
        })
    }
}

async fn of_order(
    engine: &Engine,
    store: &dyn Store,
    id: InstanceId,
) -> anyhow::Result<Vec<OperationView>> {
    let mut tx = store.begin(TxMode::Read).await?;
    let operations = tx.operations_of(id).await?;
    tx.rollback().await?;
    let mut views = Vec::new();
    for operation in operations {
        views.push(engine.inspect(operation.id).await?);
    }
    Ok(views)
}

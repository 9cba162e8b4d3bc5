//! A marketplace on an own SQLite file, or in memory.

use std::sync::Arc;

use compute_domain::id::OperationId;
use compute_domain::instance::Instance;
use compute_domain::operation::Operation;
use compute_engine::ports::TxMode;
use compute_testkit::database::TestDatabase;
use compute_testkit::market::{Buyer, Market, now};
use compute_testkit::model_store::ModelStore;
use compute_x402::PaymentPayload;

/// The database lives as long as the marketplace.
pub(crate) struct World {
    pub(crate) market: Market,
    database: Option<TestDatabase>,
}

impl World {
    pub(crate) async fn open() -> Self {
        let database = TestDatabase::sqlite().await;
        let market = Market::open(database.store()).await;
        Self {
            market,
            database: Some(database),
        }
    }

    /// A backup of the database, to be restored later.
    pub(crate) async fn backup(&self) -> TestDatabase {
        self.database.as_ref().unwrap().backup().await
    }

    /// The database is older from now on, and the process a new one.
    pub(crate) async fn restore(&mut self, backup: TestDatabase) {
        self.market.store = backup.store();
        self.market.restart().await;
        self.database = Some(backup);
    }

    /// The same on a database in memory, for stories that are lived through a thousand times.
    pub(crate) async fn in_memory(store: ModelStore) -> Self {
        Self {
            market: Market::open(Arc::new(store)).await,
            database: None,
        }
    }

    /// A payment for the ordinary request.
    pub(crate) async fn payment(&self, buyer: &Buyer) -> PaymentPayload {
        let sheet = self.market.offer(&Market::request()).await;
        buyer.pay(&sheet, now(&self.market))
    }

    /// A machine that a buyer has bought and that runs.
    pub(crate) async fn sold(&self, buyer: &Buyer) -> Instance {
        let payment = self.payment(buyer).await;
        let bought = self.market.buy(&Market::request(), &payment).await.unwrap();
        self.instance_of(bought).await
    }

    pub(crate) async fn operation(&self, id: OperationId) -> Operation {
        let mut tx = self.market.store.begin(TxMode::Read).await.unwrap();
        tx.find_operation(id).await.unwrap().unwrap()
    }

    pub(crate) async fn instance_of(&self, id: OperationId) -> Instance {
        let instance = self.operation(id).await.instance.unwrap();
        let mut tx = self.market.store.begin(TxMode::Read).await.unwrap();
        tx.find_instance(instance).await.unwrap().unwrap()
    }

    /// All instances of a buyer, by the database.
    pub(crate) async fn instances_of(&self, buyer: &Buyer) -> Vec<Instance> {
        let mut tx = self.market.store.begin(TxMode::Read).await.unwrap();
        match tx.find_owner(&buyer.wallet()).await.unwrap() {
            Some(owner) => tx.list_instances(owner, None, 100).await.unwrap(),
            None => Vec::new(),
        }
    }
}

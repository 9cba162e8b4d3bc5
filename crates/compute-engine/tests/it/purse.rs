//! A buyer with credits: what the tests of credits, extensions and endings start from.

use compute_domain::id::{InstanceId, OperationId};
use compute_domain::instance::Instance;
use compute_domain::ledger::CreditAccount;
use compute_domain::money::Usd;
use compute_domain::request_key::RequestKey;
use compute_engine::ports::{Finding, TxMode};
use compute_engine::{Caller, Error, PurchaseTerms, Submitted};
use compute_testkit::market::{Buyer, Market, now, paid_with, with_credits};
use compute_x402::PaymentPayload;

use crate::world::World;

pub(crate) fn usd(text: &str) -> Usd {
    Usd::parse(text).unwrap()
}

pub(crate) fn named(mut terms: PurchaseTerms, key: &str) -> PurchaseTerms {
    terms
        .request_keys
        .push(RequestKey::idempotency_key(key).unwrap());
    terms
}

impl World {
    /// The buyer, signed in for one request.
    pub(crate) async fn caller(&self, buyer: &Buyer) -> Caller {
        buyer
            .sign_in(&self.market.engine, "POST", "/x")
            .await
            .unwrap()
    }

    /// Works until the work rests, or must wait.
    pub(crate) async fn finish(&self, submitted: Result<Submitted, Error>) -> OperationId {
        let submitted = submitted.unwrap();
        let operation = submitted.operation();
        self.market.engine.work(submitted).await;
        operation
    }

    /// A payment for credits.
    pub(crate) async fn topup_payment(&self, buyer: &Buyer, amount: &str) -> PaymentPayload {
        let caller = self.caller(buyer).await;
        let sheet = self
            .market
            .offer_credits(&caller, &Market::credits(amount))
            .await;
        buyer.pay(&sheet, now(&self.market))
    }

    pub(crate) async fn top_up(&self, buyer: &Buyer, amount: &str) -> OperationId {
        let payment = self.topup_payment(buyer, amount).await;
        let caller = self.caller(buyer).await;
        let request = Market::credits(amount);
        let engine = &self.market.engine;
        let submitted = engine.top_up(&caller, &request, paid_with(&payment)).await;
        self.finish(submitted).await
    }

    /// A payment for one more day.
    pub(crate) async fn time_payment(&self, buyer: &Buyer, id: InstanceId) -> PaymentPayload {
        let sheet = self.market.offer_time(id, &Market::one_more_day()).await;
        buyer.pay(&sheet, now(&self.market))
    }

    /// Shows a payment for one more day, without signing in.
    pub(crate) async fn extend_with_payment(
        &self,
        id: InstanceId,
        payment: &PaymentPayload,
    ) -> Result<Submitted, Error> {
        let (nobody, day) = (Caller::Anonymous, Market::one_more_day());
        let engine = &self.market.engine;
        engine.extend(&nobody, id, &day, paid_with(payment)).await
    }

    pub(crate) async fn extend_with_credits(
        &self,
        buyer: &Buyer,
        id: InstanceId,
    ) -> Result<Submitted, Error> {
        let caller = self.caller(buyer).await;
        let engine = &self.market.engine;
        engine
            .extend(&caller, id, &Market::one_more_day(), with_credits())
            .await
    }

    pub(crate) async fn buy_with_credits(&self, buyer: &Buyer) -> Result<Submitted, Error> {
        let caller = self.caller(buyer).await;
        let engine = &self.market.engine;
        engine
            .provision(&caller, &Market::request(), with_credits())
            .await
    }

    pub(crate) async fn account(&self, buyer: &Buyer) -> CreditAccount {
        let caller = self.caller(buyer).await;
        self.market.engine.balance(&caller).await.unwrap().account
    }

    pub(crate) async fn balance(&self, buyer: &Buyer) -> Usd {
        self.account(buyer).await.balance
    }

    pub(crate) async fn instance(&self, id: InstanceId) -> Instance {
        let mut tx = self.market.store.begin(TxMode::Read).await.unwrap();
        tx.find_instance(id).await.unwrap().unwrap()
    }

    /// Everything that is stored keeps every promise.
    pub(crate) async fn audit(&self) {
        let findings: Vec<Finding> = self.market.engine.audit().await.unwrap();
        assert_eq!(findings, []);
    }
}

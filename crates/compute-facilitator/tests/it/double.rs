//! A rail that answers by script and remembers what it was asked, a client, and payments.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use compute_domain::payment::RailLabel;
use compute_domain::time::Timestamp;
use compute_engine::StoredProof;
use compute_engine::ports::{
    Check, ClaimedPayment, Lookup, Rail, RailHealth, RailSpec, RailUnavailable, Settlement, Settler,
};
use compute_facilitator::{Service, ServiceConfig, router};
use compute_testkit::ambient::ManualClock;
use compute_wallet::{EvmAddress, EvmKey, SolanaAddress, Uint256, WalletAddress};
use compute_x402::client::{payload_for, sign};
use compute_x402::exact_evm::Authorization;
use compute_x402::facilitator::request_body;
use compute_x402::networks::BASE_USDC;
use compute_x402::{
    Amount, Offer, PaymentPayload, ProofKey, Recipient, Resource, TokenTerms, Version,
};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

pub(crate) const NOW_S: u64 = 1_767_225_600;
pub(crate) const MERCHANT: EvmAddress = EvmAddress::new([5; 20]);
pub(crate) const SOLANA_MERCHANT: SolanaAddress = SolanaAddress::new([5; 32]);
pub(crate) const SIGNER: EvmAddress = EvmAddress::new([6; 20]);
pub(crate) const TOKEN: &str = "hunter2-hunter2";

pub(crate) const RESOURCE: Resource<'static> = Resource {
    url: "https://merchant.example/paid",
    description: "something",
    mime_type: "application/json",
};

/// A rail by script.
#[derive(Debug)]
pub(crate) struct Double {
    pub(crate) spec: RailSpec,
    pub(crate) signer: WalletAddress,
    pub(crate) check: Result<Check, RailUnavailable>,
    pub(crate) vouches: Result<bool, RailUnavailable>,
    pub(crate) settlement: Settlement,
    pub(crate) asked: Mutex<Vec<String>>,
}

impl Double {
    pub(crate) fn new() -> Self {
        let token = BASE_USDC.eip3009_terms().unwrap().with_contract_wallets();
        Self {
            spec: RailSpec {
                label: RailLabel::parse("base").unwrap(),
                decimals: 6,
                token: Arc::new(token),
                pay_to: Recipient::new(EvmAddress::new([7; 20])),
                max_timeout_seconds: 300,
                settlement: "double".to_owned(),
            },
            signer: SIGNER.into(),
            check: Ok(Check::Fine),
            vouches: Ok(true),
            settlement: Settlement::Unknown {
                reason: "no script".to_owned(),
            },
            asked: Mutex::default(),
        }
    }

    fn note(&self, what: &str) {
        self.asked.lock().unwrap().push(what.to_owned());
    }
}

#[async_trait]
impl Rail for Double {
    fn spec(&self) -> &RailSpec {
        &self.spec
    }
    async fn health(&self) -> RailHealth {
        RailHealth::Ready
    }
    async fn check(&self, _: &StoredProof) -> Result<Check, RailUnavailable> {
        panic!("the shop's own way is not for others")
    }
    async fn vouch(&self, _: &PaymentPayload) -> Result<bool, RailUnavailable> {
        self.note("vouch");
        self.vouches.clone()
    }
    async fn settle(&self, _: &ClaimedPayment) -> Settlement {
        panic!("the shop's own way is not for others")
    }
    async fn lookup(&self, _: &ClaimedPayment) -> Result<Lookup, RailUnavailable> {
        panic!("the shop's own way is not for others")
    }
}

#[async_trait]
impl Settler for Double {
    fn terms_for_others(&self) -> Option<Arc<TokenTerms>> {
        Some(Arc::clone(&self.spec.token))
    }
    async fn check_for_others(&self, _: &StoredProof) -> Result<Check, RailUnavailable> {
        self.note("check");
        self.check.clone()
    }
    fn signer(&self) -> WalletAddress {
        self.signer
    }
    async fn settle_for_others(
        &self,
        _: &StoredProof,
        proof_key: &ProofKey,
    ) -> (Settlement, Option<String>) {
        self.note(&format!("settle {proof_key}"));
        (self.settlement.clone(), Some("0xabc".to_owned()))
    }
}

/// A service and its client.
pub(crate) struct Desk {
    pub(crate) rail: Arc<Double>,
    router: Router,
    pub(crate) token: Option<&'static str>,
}

impl Desk {
    pub(crate) fn new(rail: Double) -> Self {
        Self::serving(rail, 1_000)
    }

    pub(crate) fn serving(rail: Double, per_payer: u32) -> Self {
        let rail = Arc::new(rail);
        let config = ServiceConfig {
            token: Some(TOKEN.into()),
            recipients: BTreeSet::from([MERCHANT.into(), SOLANA_MERCHANT.into()]),
            per_payer_per_minute: NonZeroU32::new(per_payer).unwrap(),
        };
        let clock = Arc::new(ManualClock::at(Timestamp::from_secs(NOW_S)));
        let settlers: Vec<Arc<dyn Settler>> = vec![rail.clone()];
        Self {
            router: router(Service::new(settlers, &config, clock)),
            rail,
            token: Some(TOKEN),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.send(Request::get(path).body(Body::empty()).unwrap())
            .await
    }

    pub(crate) async fn post(&self, path: &str, body: impl ToString) -> (StatusCode, Value) {
        let mut request = Request::post(path);
        if let Some(token) = self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        self.send(request.body(Body::from(body.to_string())).unwrap())
            .await
    }

    async fn send(&self, request: Request<Body>) -> (StatusCode, Value) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.rail.asked.lock().unwrap().clone()
    }
}

pub(crate) fn buyer() -> EvmKey {
    EvmKey::from_bytes(&[1; 32]).unwrap()
}

pub(crate) fn authorization() -> Authorization {
    Authorization {
        from: buyer().address(),
        to: MERCHANT,
        value: Uint256::from(90_u128),
        valid_after: 0,
        valid_before: NOW_S + 300,
        nonce: [4; 32],
    }
}

/// What a merchant asks this service about a payment of an offer of its own.
pub(crate) fn question(version: Version, authorization: Authorization) -> Value {
    let token = Arc::new(BASE_USDC.eip3009_terms().unwrap());
    let pay_to = Recipient::new(authorization.to);
    let offer = Offer::new(Arc::clone(&token), pay_to, Amount::new(90), 300);
    let signed = sign(token.as_evm().unwrap(), authorization, &buyer());
    let payment = payload_for(version, &offer, RESOURCE, &signed);
    request_body(version, &payment, &offer, RESOURCE)
}

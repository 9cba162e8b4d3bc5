//! Customers: wallets, signed requests, and calls that get lost.

use core::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use compute_domain::id::InstanceId;
use compute_domain::id::OperationId;
use compute_domain::time::Span;
use compute_domain::time::{Entropy, Timestamp};
use compute_engine::ports::{Store, TxMode};
use compute_engine::{
    Caller, Engine, Error, ExtendRequest, Goal, OfferSheet, OperationView, ProvisionRequest,
    PurchaseTerms, TopupRequest,
};
use compute_wallet::{AuthenticatedWallet, EvmKey, Nonce, Uint256, WalletAddress};
use compute_x402::client::{payload_for, sign};
use compute_x402::exact_evm::Authorization;
use compute_x402::{PaymentPayload, Version};
use futures::channel::oneshot;
use futures::future::{Either, LocalBoxFuture, select};

use super::cluster::{Condition, World};
use super::trap;

/// How long a client waits for an answer.
const PATIENCE_MS: i64 = 120_000;

/// What is bought.
#[derive(Debug, Clone)]
pub(crate) enum Wish {
    Machine(ProvisionRequest),
    Time(InstanceId, ExtendRequest),
    Credits(TopupRequest),
}

/// What a client is told about a purchase.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) operation: OperationId,
    pub(crate) instance: Option<InstanceId>,
    pub(crate) view: Option<OperationView>,
}

/// Somebody with a wallet.
pub(crate) struct Person {
    pub(crate) number: usize,
    key: Arc<EvmKey>,
    pub(crate) instances: RefCell<Vec<InstanceId>>,
    /// Texts of API keys, as callers.
    pub(crate) api_keys: RefCell<Vec<Caller>>,
}

impl Person {
    pub(crate) fn new(number: usize, key: Arc<EvmKey>) -> Rc<Self> {
        Rc::new(Self {
            number,
            key,
            instances: RefCell::default(),
            api_keys: RefCell::default(),
        })
    }

    pub(crate) fn wallet(&self) -> WalletAddress {
        WalletAddress::Evm(self.key.address())
    }

    /// A request that this person has signed, with a nonce of its own. Recognising signatures is pure
    /// and tested elsewhere, so the engine is told what it would find.
    pub(crate) fn signed(&self, world: &World) -> Caller {
        let nonce = format!("nonce-{:016x}", world.reactor.dice.word());
        match Nonce::parse(&nonce) {
            Ok(nonce) => Caller::Wallet(AuthenticatedWallet {
                address: self.wallet(),
                nonce,
                signed_at_ms: world.reactor.millis(),
            }),
            Err(_) => Caller::Anonymous,
        }
    }

    /// A new payment for one of the offers.
    pub(crate) fn pay(&self, world: &World, sheet: &OfferSheet) -> Option<PaymentPayload> {
        let dice = &world.reactor.dice;
        let offer = if dice.chance(800) {
            sheet.offers.first()?
        } else {
            dice.pick(&sheet.offers)?
        };
        let token = offer.token().as_evm()?;
        let WalletAddress::Evm(to) = offer.pay_to() else {
            return None;
        };
        let mut nonce = [0; 32];
        dice.fill(&mut nonce);
        let now = Timestamp::from_millis(world.reactor.millis());
        let life = if dice.chance(300) {
            3_600
        } else {
            u64::from(offer.max_timeout_seconds())
        };
        let authorization = Authorization {
            from: self.key.address(),
            to,
            value: Uint256::from(offer.amount().get()),
            valid_after: 0,
            valid_before: now.secs() + life,
            nonce,
        };
        let signed = sign(token, authorization, &self.key);
        let version = if dice.chance(500) {
            Version::V1
        } else {
            Version::V2
        };
        Some(payload_for(
            version,
            offer,
            sheet.resource.as_resource(),
            &signed,
        ))
    }
}

impl World {
    /// Whose proof a payment is.
    pub(crate) fn proof_key(&self, payload: &PaymentPayload) -> Option<String> {
        let tokens = self.rails.iter().map(|rail| rail.token());
        let mut known = tokens.filter_map(|token| compute_x402::identify(payload, token).ok());
        known.next().map(|known| known.proof_key.into_string())
    }

    /// Whether the database binds this proof, now.
    pub(crate) async fn is_claimed(&self, proof_key: &str) -> bool {
        let Ok(mut tx) = self.store.begin(TxMode::Read).await else {
            return false;
        };
        matches!(tx.find_payment(proof_key).await, Ok(Some(_)))
    }

    /// A request to one of the replicas. `None`: no answer came, and nobody knows what it did.
    pub(crate) async fn call<T: 'static>(
        self: &Rc<Self>,
        label: &'static str,
        work: impl FnOnce(Arc<Engine>, u32) -> LocalBoxFuture<'static, T>,
    ) -> Option<T> {
        self.reactor.count_call();
        let way = self.reactor.dice.range(1, 60);
        self.reactor.sleep(way).await;
        let (engine, group) = {
            let replicas = self.replicas.borrow();
            let replica = self.reactor.dice.pick(&replicas)?;
            if replica.condition == Condition::Down || replica.is_guarded.get() {
                return None;
            }
            (Arc::clone(&replica.engine), replica.group)
        };
        let (told, mut heard) = oneshot::channel();
        let work = work(engine, group);
        let reactor = Arc::clone(&self.reactor);
        self.spawn_on(
            group,
            label,
            Box::pin(async move {
                let answer = work.await;
                // What it wrote stays, and nobody hears of it.
                if reactor.strikes(4) {
                    trap::die("before the answer");
                }
                // A client that has gone away does not hear it.
                let _ = told.send(answer);
            }),
        );
        let patience = self.reactor.sleep(PATIENCE_MS);
        let answer = match select(&mut heard, patience).await {
            Either::Left((answer, _)) => answer.ok(),
            Either::Right(_) => None,
        };
        let back = self.reactor.dice.range(1, 60);
        self.reactor.sleep(back).await;
        if answer.is_some() && self.reactor.strikes(20) {
            self.reactor.fault("F087");
            return None;
        }
        answer
    }

    /// A purchase, as the HTTP layer makes it: accept, work on a task of its own, wait a while.
    pub(crate) async fn buy(
        self: &Rc<Self>,
        label: &'static str,
        caller: Caller,
        wish: Wish,
        terms: PurchaseTerms,
    ) -> Option<Result<Reply, Error>> {
        let world = Rc::clone(self);
        let waits = self.reactor.dice.chance(500);
        self.call(label, move |engine, group| {
            Box::pin(async move {
                let goal = match &wish {
                    Wish::Machine(_) => Goal::Created,
                    Wish::Time(..) | Wish::Credits(_) => Goal::Rest,
                };
                let submitted = match &wish {
                    Wish::Machine(request) => engine.provision(&caller, request, terms).await,
                    Wish::Time(id, request) => engine.extend(&caller, *id, request, terms).await,
                    Wish::Credits(request) => engine.top_up(&caller, request, terms).await,
                }?;
                let (operation, instance) = (submitted.operation(), submitted.instance());
                let worker = Arc::clone(&engine);
                let work = Box::pin(async move { worker.work(submitted).await });
                world.spawn_on(group, "work", work);
                let mut view = None;
                if waits {
                    let until = engine.now().plus(Span::from_secs(25));
                    view = engine.wait(operation, goal, until).await.ok();
                }
                Ok(Reply {
                    operation,
                    instance,
                    view,
                })
            })
        })
        .await
    }
}

//! A whole marketplace in one line: engine, real store, scripted cloud and payment network, manual
//! clock; and a buyer with a wallet.

use compute_domain::setup::SshKeys;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use compute_domain::catalog::{OsId, PlanId, RegionId};
use compute_domain::id::{InstanceId, OperationId};
use compute_domain::money::{Hours, Usd};
use compute_domain::payment::RailLabel;
use compute_domain::prepaid::EarlyDestroy;
use compute_domain::text::Label;
use compute_domain::time::{Clock, Entropy, Span, Timestamp};
use compute_engine::ports::{Caps, Provider, Rail, Store};
use compute_engine::{
    Adapters, AuthTerms, Caller, DestroyGuard, Engine, EngineConfig, Error, ExtendRequest, Funding,
    OfferSheet, PaymentProof, ProvisionRequest, PurchaseTerms, SalesTerms, Sealer, SealingKey,
    Secrets, Submitted, Timing, TopupRequest,
};
use compute_wallet::{AuthClaim, EvmKey, Uint256, WalletAddress, auth_message};
use compute_x402::client::{payload_for, sign};
use compute_x402::exact_evm::Authorization;
use compute_x402::{Offer, PaymentPayload, Version};
use secrecy::SecretBox;

use crate::ambient::{ManualClock, SeededEntropy};
use crate::crash::{Crash, MortalStore};
use crate::scripted_provider::ScriptedProvider;
use crate::scripted_rail::ScriptedRail;

/// When every test begins: 2026-01-01T00:00:00Z.
pub const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// The URL that offers name.
pub const RESOURCE_URL: &str = "https://compute.example/compute/provision";

/// A marketplace under test.
#[derive(Debug)]
pub struct Market {
    /// The present process.
    pub engine: Arc<Engine>,
    /// Time.
    pub clock: ManualClock,
    /// The payment network.
    pub rail: Arc<ScriptedRail>,
    /// The cloud.
    pub provider: Arc<ScriptedProvider>,
    /// Ends the process.
    pub crash: Crash,
    /// The database, reachable even while the process is dead.
    pub store: Arc<dyn Store>,
    starts: AtomicU32,
    blocked_payers: BTreeSet<WalletAddress>,
}

impl Market {
    /// Opens a marketplace on a migrated, empty store.
    ///
    /// # Panics
    /// When the engine refuses its configuration.
    pub async fn open(store: Arc<dyn Store>) -> Self {
        let clock = ManualClock::at(START);
        let crash = Crash::default();
        let rail = Arc::new(ScriptedRail::new(clock.clone(), crash.clone()));
        let provider = Arc::new(ScriptedProvider::new(clock.clone(), crash.clone()));
        let engine = start(
            config("process-1".to_owned()),
            &store,
            &rail,
            &provider,
            &clock,
            &crash,
        )
        .await;
        Self {
            engine,
            clock,
            rail,
            provider,
            crash,
            store,
            starts: AtomicU32::new(1),
            blocked_payers: BTreeSet::new(),
        }
    }

    /// Starts a new process after a crash; the old one never comes back.
    ///
    /// # Panics
    /// When the engine refuses its configuration.
    pub async fn restart(&mut self) {
        self.crash.restart();
        self.engine = self.another_replica(&self.store).await;
    }

    /// Starts a new process that sells nothing to this wallet.
    ///
    /// # Panics
    /// When the engine refuses its configuration.
    pub async fn block(&mut self, wallet: WalletAddress) {
        self.blocked_payers.insert(wallet);
        self.restart().await;
    }

    /// Starts another replica beside the present one, with its own way to the database.
    ///
    /// # Panics
    /// When the engine refuses its configuration.
    pub async fn another_replica(&self, store: &Arc<dyn Store>) -> Arc<Engine> {
        let config = self.next_config();
        let (rail, provider) = (&self.rail, &self.provider);
        start(config, store, rail, provider, &self.clock, &self.crash).await
    }

    /// Starts another replica beside the present one, with another configuration.
    ///
    /// # Panics
    /// When the engine refuses its configuration.
    pub async fn another_replica_with(
        &self,
        change: impl FnOnce(&mut EngineConfig),
    ) -> Arc<Engine> {
        let mut config = self.next_config();
        change(&mut config);
        let (rail, provider) = (&self.rail, &self.provider);
        start(
            config,
            &self.store,
            rail,
            provider,
            &self.clock,
            &self.crash,
        )
        .await
    }

    fn next_config(&self) -> EngineConfig {
        let number = self.starts.fetch_add(1, Ordering::SeqCst) + 1;
        let mut config = config(format!("process-{number}"));
        config.sales.blocked_payers.clone_from(&self.blocked_payers);
        config
    }

    /// Lets time pass and workers work until nothing moves any more.
    ///
    /// # Panics
    /// When the database fails, or work never ends.
    #[expect(clippy::expect_used, reason = "tests fail by panicking")]
    pub async fn quiesce(&self) {
        let mut idle_rounds = 0;
        for _ in 0..2_000 {
            let worked = self.engine.drive_due().await.expect("the driver works");
            idle_rounds = if worked == 0 { idle_rounds + 1 } else { 0 };
            // Longer than the longest wait: a lease, a back-off, and a long look at a settlement.
            if idle_rounds > 12 {
                return;
            }
            self.clock.advance(Span::from_secs(60));
        }
        assert!(idle_rounds > 0, "work never ends");
    }

    /// Like [`Market::quiesce`], but stops when the process dies on the way.
    pub async fn quiesce_until_dead(&self) {
        let mut idle_rounds = 0;
        while idle_rounds <= 12 && !self.crash.is_dead() {
            let worked = self.engine.drive_due().await.unwrap_or(0);
            idle_rounds = if worked == 0 { idle_rounds + 1 } else { 0 };
            self.clock.advance(Span::from_secs(60));
        }
    }

    /// An ordinary request: one day of the smallest plan, with a root password.
    ///
    /// # Panics
    /// Never: the constants are valid.
    #[expect(clippy::unwrap_used, reason = "constants of the double")]
    pub fn request() -> ProvisionRequest {
        ProvisionRequest {
            plan: PlanId::parse("vc2-1c-1gb").unwrap(),
            region: RegionId::parse("ewr").unwrap(),
            os: OsId::parse("2284").unwrap(),
            label: Label::parse("agent").unwrap(),
            hostname: None,
            hours: Hours::new(24).unwrap(),
            network: RailLabel::parse("base").unwrap(),
            ssh_keys: SshKeys::default(),
            user_data: None,
            provider: None,
            auto_extend: None,
        }
    }

    /// What the request costs now.
    ///
    /// # Panics
    /// When the engine does not ask for payment.
    pub async fn offer(&self, request: &ProvisionRequest) -> OfferSheet {
        let unpaid = self
            .engine
            .provision(&Caller::Anonymous, request, unpaid())
            .await;
        price_in(unpaid)
    }

    /// What more time for a machine costs now.
    ///
    /// # Panics
    /// When the engine does not ask for payment.
    pub async fn offer_time(&self, id: InstanceId, request: &ExtendRequest) -> OfferSheet {
        let unpaid = self
            .engine
            .extend(&Caller::Anonymous, id, request, unpaid())
            .await;
        price_in(unpaid)
    }

    /// How credits can be bought now.
    ///
    /// # Panics
    /// When the engine does not ask for payment.
    pub async fn offer_credits(&self, caller: &Caller, request: &TopupRequest) -> OfferSheet {
        price_in(self.engine.top_up(caller, request, unpaid()).await)
    }

    /// An ordinary extension: one more day.
    ///
    /// # Panics
    /// Never: the constants are valid.
    #[expect(clippy::unwrap_used, reason = "constants of the double")]
    pub fn one_more_day() -> ExtendRequest {
        ExtendRequest {
            hours: Hours::new(24).unwrap(),
            network: RailLabel::parse("base").unwrap(),
        }
    }

    /// A request for credits.
    ///
    /// # Panics
    /// When the text is no amount.
    #[expect(clippy::unwrap_used, reason = "tests fail by panicking")]
    pub fn credits(amount: &str) -> TopupRequest {
        TopupRequest {
            amount: Usd::parse(amount).unwrap(),
            network: RailLabel::parse("base").unwrap(),
        }
    }

    /// Buys, and works until the work rests or the process dies.
    ///
    /// # Errors
    /// As [`Engine::provision`].
    pub async fn buy(
        &self,
        request: &ProvisionRequest,
        payment: &PaymentPayload,
    ) -> Result<OperationId, Error> {
        let caller = Caller::Anonymous;
        let submitted = self
            .engine
            .provision(&caller, request, paid_with(payment))
            .await?;
        let operation = submitted.operation();
        self.engine.work(submitted).await;
        Ok(operation)
    }
}

/// The terms of a request that asks for the price.
pub fn unpaid() -> PurchaseTerms {
    PurchaseTerms::plain(Funding::Unpaid, RESOURCE_URL)
}

/// The terms of a request that pays.
pub fn paid_with(payment: &PaymentPayload) -> PurchaseTerms {
    PurchaseTerms::plain(
        Funding::Payment(PaymentProof::X402(payment.clone())),
        RESOURCE_URL,
    )
}

/// The terms of a request that spends credits.
pub fn with_credits() -> PurchaseTerms {
    PurchaseTerms::plain(Funding::Credits, RESOURCE_URL)
}

/// The price in the answer to a request that did not pay.
///
/// # Panics
/// When it is another answer.
#[expect(clippy::panic, reason = "tests fail by panicking")]
pub fn price_in(unpaid: Result<Submitted, Error>) -> OfferSheet {
    match unpaid {
        Err(Error::PaymentRequired {
            sheet,
            problem: None,
        }) => *sheet,
        other => panic!("expected a price, got {other:?}"),
    }
}

/// The configuration of an engine under test.
///
/// # Panics
/// Never: the constants are valid.
#[expect(clippy::expect_used, reason = "constants of the double")]
pub fn config(holder: String) -> EngineConfig {
    EngineConfig {
        environment: "test".to_owned(),
        holder,
        sales: SalesTerms {
            markup: BTreeMap::new(),
            price_grace: Span::from_secs(300),
            catalog_max_age: Span::from_hours(24 * 365),
            default_rail: RailLabel::parse("base").expect("a label"),
            early_destroy: EarlyDestroy::Credit { min_hours: 24 },
            topup_min: usd(1),
            topup_max: usd(100_000),
            blocked_payers: BTreeSet::new(),
            switched_off: BTreeSet::new(),
            alarm_below: BTreeMap::new(),
        },
        mpp: None,
        caps: Caps {
            instances_per_owner: 20,
            instances_total: 500,
            hourly_total: None,
        },
        guard: DestroyGuard {
            count: 5,
            permille: 100,
        },
        auth: AuthTerms {
            clock_skew: Span::from_secs(300),
            nonce_ttl: Span::from_secs(900),
            max_api_keys: 3,
        },
        // A short wait for machines keeps the number of looks, and so of crash points, small.
        timing: Timing {
            ready_window: Span::from_secs(30),
            ..Timing::default()
        },
    }
}

/// The keys of an engine under test.
pub fn secrets() -> Secrets {
    let sealing = SealingKey {
        id: 1,
        key: SecretBox::new(Box::new([7; 32])),
    };
    Secrets {
        sealer: Sealer::new(sealing, Vec::new()),
        api_key_pepper: SecretBox::new(Box::new([8; 32])),
    }
}

async fn start(
    config: EngineConfig,
    store: &Arc<dyn Store>,
    rail: &Arc<ScriptedRail>,
    provider: &Arc<ScriptedProvider>,
    clock: &ManualClock,
    crash: &Crash,
) -> Arc<Engine> {
    let provider: Arc<dyn Provider> = provider.clone();
    let sold_over: Arc<dyn Rail> = rail.clone();
    // Each process draws its own numbers.
    let seed = config
        .holder
        .rsplit('-')
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or(1);
    let adapters = Adapters {
        store: Arc::new(MortalStore::new(Arc::clone(store), crash.clone())),
        providers: vec![provider],
        rails: vec![sold_over.into()],
        clock: Arc::new(clock.clone()),
        entropy: Arc::new(SeededEntropy::new(seed)),
        timer: Arc::new(clock.clone()),
    };
    let secrets = secrets();
    #[expect(clippy::expect_used, reason = "tests fail by panicking")]
    let engine = Engine::new(config, adapters, secrets).expect("the configuration is valid");
    engine.refresh_health().await;
    engine.refresh_catalog().await;
    Arc::new(engine)
}

#[expect(clippy::expect_used, reason = "tests fail by panicking")]
fn usd(dollars: i64) -> Usd {
    Usd::from_micros(dollars * 1_000_000).expect("an amount")
}

/// Somebody with a wallet.
#[derive(Debug)]
pub struct Buyer {
    key: EvmKey,
    nonces: SeededEntropy,
    signed: AtomicU64,
}

impl Buyer {
    /// A buyer with a wallet of its own per number.
    ///
    /// # Panics
    /// For number 0, which is no key.
    #[expect(clippy::expect_used, reason = "tests fail by panicking")]
    pub fn new(number: u8) -> Self {
        let key = EvmKey::from_bytes(&[number; 32]).expect("a key");
        Self {
            key,
            nonces: SeededEntropy::new(u64::from(number)),
            signed: AtomicU64::new(0),
        }
    }

    /// The buyer's wallet.
    pub fn wallet(&self) -> WalletAddress {
        WalletAddress::Evm(self.key.address())
    }

    /// Signs a new payment for the first offer of a sheet, in version 1.
    ///
    /// # Panics
    /// When there is no offer.
    #[expect(clippy::expect_used, reason = "tests fail by panicking")]
    pub fn pay(&self, sheet: &OfferSheet, now: Timestamp) -> PaymentPayload {
        let offer = sheet.offers.first().expect("an offer");
        self.pay_offer(Version::V1, offer, sheet, now)
    }

    /// Signs a new payment for an offer.
    ///
    /// # Panics
    /// When the offer pays no EVM account.
    pub fn pay_offer(
        &self,
        version: Version,
        offer: &Offer,
        sheet: &OfferSheet,
        now: Timestamp,
    ) -> PaymentPayload {
        self.pay_offer_under(self.fresh_nonce(), version, offer, sheet, now)
    }

    /// A nonce that no payment of this buyer has.
    pub fn fresh_nonce(&self) -> [u8; 32] {
        let mut nonce = [0; 32];
        self.nonces.fill(&mut nonce);
        nonce
    }

    /// Signs a payment under a nonce, which another payment may have too.
    ///
    /// # Panics
    /// When the offer pays no EVM account.
    #[expect(clippy::panic, reason = "tests fail by panicking")]
    pub fn pay_offer_under(
        &self,
        nonce: [u8; 32],
        version: Version,
        offer: &Offer,
        sheet: &OfferSheet,
        now: Timestamp,
    ) -> PaymentPayload {
        let (WalletAddress::Evm(to), Some(token)) = (offer.pay_to(), offer.token().as_evm()) else {
            panic!("an EVM offer")
        };
        let authorization = Authorization {
            from: self.key.address(),
            to,
            value: Uint256::from(offer.amount().get()),
            valid_after: 0,
            valid_before: now.secs() + u64::from(offer.max_timeout_seconds()),
            nonce,
        };
        let signed = sign(token, authorization, &self.key);
        payload_for(version, offer, sheet.resource.as_resource(), &signed)
    }

    /// Signs in for one request without a body.
    ///
    /// # Errors
    /// As [`Engine::authenticate`].
    pub async fn sign_in(
        &self,
        engine: &Engine,
        method: &str,
        path: &str,
    ) -> Result<Caller, Error> {
        let address = self.key.address().to_string();
        let timestamp = engine.now().millis().to_string();
        let nonce = format!("nonce-{:08}", self.signed.fetch_add(1, Ordering::SeqCst));
        let message = auth_message("base", &address, method, path, b"", &timestamp, &nonce);
        let signature = self.key.sign_message(message.as_bytes()).to_hex();
        let claim = AuthClaim {
            chain: "base",
            address: &address,
            signature: &signature,
            encoding: Some("hex"),
            timestamp_ms: &timestamp,
            nonce: &nonce,
            method,
            path,
            query: None,
            body: b"",
        };
        engine
            .authenticate(compute_engine::Presented::Signature(claim))
            .await
    }
}

/// The moment a market's clock shows, for tests that sign.
pub fn now(market: &Market) -> Timestamp {
    market.clock.now()
}

//! The engine: its parts, its configuration, and how it is put together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use compute_domain::catalog::ProviderId;
use compute_domain::id::OperationId;
use compute_domain::money::Usd;
use compute_domain::payment::RailLabel;
use compute_domain::prepaid::EarlyDestroy;
use compute_domain::time::{Clock, Entropy, Span, Timestamp};
use compute_pricing::Markup;
use compute_wallet::WalletAddress;
use event_listener::Event;
use secrecy::SecretBox;

use crate::catalog::ShelfHistory;
use crate::challenges::{MppTerms, Nonces, Requests};
use crate::checks::Checking;
use crate::cloud::{Closed, Cloud};
use crate::pings::Pings;
use crate::ports::{AnyRail, Caps, Courier, Provider, RailHealth, Store, Timer};
use crate::seal::Sealer;
use crate::stock::Stocks;
use crate::timing::Timing;

/// Places where progress is told.
const PROGRESS_EVENTS: usize = 64;

/// The outside world, behind ports.
#[derive(Debug)]
pub struct Adapters {
    /// The database.
    pub store: Arc<dyn Store>,
    /// The clouds, at most one per vendor.
    pub providers: Vec<Arc<dyn Provider>>,
    /// The ways to pay, in the order they are offered.
    pub rails: Vec<AnyRail>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness fit for secrets.
    pub entropy: Arc<dyn Entropy>,
    /// Waiting.
    pub timer: Arc<dyn Timer>,
}

/// By which terms things are sold.
#[derive(Debug, Clone)]
pub struct SalesTerms {
    /// Margin per provider; none means none.
    pub markup: BTreeMap<ProviderId, Markup>,
    /// How long an old price stays payable after it changed.
    pub price_grace: Span,
    /// A catalogue that was not confirmed for this long is not sold from.
    pub catalog_max_age: Span,
    /// The rail offered when the request names none.
    pub default_rail: RailLabel,
    /// What ending an instance before its time costs.
    pub early_destroy: EarlyDestroy,
    /// The least that can be topped up at once.
    pub topup_min: Usd,
    /// The most that can be topped up at once.
    pub topup_max: Usd,
    /// Wallets that nothing is sold to.
    pub blocked_payers: BTreeSet<WalletAddress>,
    /// Providers that sell no new machines. What was sold goes on, and may be extended.
    pub switched_off: BTreeSet<ProviderId>,
    /// Below how much of an account's own funds its operator hears of it.
    pub alarm_below: BTreeMap<ProviderId, Usd>,
}

/// How many machines may be destroyed without their owners' asking before somebody must look.
///
/// Within [`Timing::guard_window`] at most `count`, or `permille` of all live instances when that
/// is more. What is above it waits and raises an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DestroyGuard {
    /// This many in any case.
    pub count: u32,
    /// So many of a thousand live instances.
    pub permille: u32,
}

/// By which terms callers are recognised.
#[derive(Debug, Clone)]
pub struct AuthTerms {
    /// How far a signature's timestamp may be from our clock, either way.
    pub clock_skew: Span,
    /// How long a spent nonce is remembered; more than twice the skew.
    pub nonce_ttl: Span,
    /// Live API keys an owner may have.
    pub max_api_keys: u32,
}

/// Everything about the engine that is not an adapter or a secret.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// The installation's mark on machines: 1 to 6 lower-case letters.
    pub environment: String,
    /// This replica's name, different at every process start.
    pub holder: String,
    /// Terms of sale.
    pub sales: SalesTerms,
    /// Terms of recognition.
    pub auth: AuthTerms,
    /// By which terms challenges are made; none where nobody pays by challenges.
    pub mpp: Option<MppTerms>,
    /// How many instances there may be.
    pub caps: Caps,
    /// How many of them may be destroyed unasked.
    pub guard: DestroyGuard,
    /// Waits and windows.
    pub timing: Timing,
}

/// Keys that never reach the database.
#[derive(Debug)]
pub struct Secrets {
    /// For one-time secrets at rest.
    pub sealer: Sealer,
    /// For the keyed hashes of API keys.
    pub api_key_pepper: SecretBox<[u8; 32]>,
}

/// The engine was configured in a way that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The environment's name.
    #[error("environment must be 1 to 6 lower-case letters")]
    Environment,
    /// Two adapters claim to be the same vendor.
    #[error("provider {0} is configured twice")]
    DuplicateProvider(ProviderId),
    /// Two rails have one label.
    #[error("rail {0} is configured twice")]
    DuplicateRail(RailLabel),
    /// No amount could be topped up.
    #[error("topup_min must be above zero and at most topup_max")]
    TopupBounds,
    /// A nonce would be forgotten while its signature is still valid.
    #[error("nonce_ttl must be more than twice clock_skew")]
    NonceTtl,
}

/// The marketplace.
#[derive(Debug)]
pub struct Engine {
    pub(crate) config: EngineConfig,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) providers: BTreeMap<ProviderId, Arc<dyn Provider>>,
    /// The same, with what is known of our accounts there.
    pub(crate) clouds: BTreeMap<ProviderId, Arc<Cloud>>,
    /// Which of them sell nothing new, as the shelf shows it.
    shown: Mutex<BTreeMap<ProviderId, Closed>>,
    pub(crate) rails: Vec<AnyRail>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) timer: Arc<dyn Timer>,
    pub(crate) secrets: Secrets,
    pub(crate) shelves: RwLock<ShelfHistory>,
    pub(crate) stocks: Stocks,
    pub(crate) checking: Checking,
    pub(crate) requests: Requests,
    pub(crate) nonces: Nonces,
    pub(crate) pings: Pings,
    pub(crate) health: RwLock<BTreeMap<RailLabel, RailHealth>>,
    /// Whether the database committed when it was last asked to.
    pub(crate) stores: AtomicBool,
    /// Set once at shutdown: operations are given back instead of gone on with.
    stopping: AtomicBool,
    /// Who sends to webhooks; without one there are none.
    pub(crate) courier: Option<Arc<dyn Courier>>,
    /// Told after every commit that moves an operation, so that waiting requests look again. Many, so
    /// that a commit wakes few who wait for something else.
    progress: [Event; PROGRESS_EVENTS],
}

impl Engine {
    /// Puts the engine together. It sells nothing until [`Engine::refresh_catalog`] and
    /// [`Engine::refresh_health`] have run once.
    ///
    /// # Errors
    /// When the configuration contradicts itself.
    pub fn new(
        config: EngineConfig,
        adapters: Adapters,
        secrets: Secrets,
    ) -> Result<Self, ConfigError> {
        let name = &config.environment;
        if !(1..=6).contains(&name.len()) || !name.bytes().all(|byte| byte.is_ascii_lowercase()) {
            return Err(ConfigError::Environment);
        }
        if config.auth.nonce_ttl.millis() <= config.auth.clock_skew.millis().saturating_mul(2) {
            return Err(ConfigError::NonceTtl);
        }
        let sales = &config.sales;
        if sales.topup_min == Usd::ZERO || sales.topup_min > sales.topup_max {
            return Err(ConfigError::TopupBounds);
        }
        let mut providers: BTreeMap<ProviderId, Arc<dyn Provider>> = BTreeMap::new();
        let mut clouds = BTreeMap::new();
        for provider in adapters.providers {
            let id = provider.id();
            let (store, clock) = (Arc::clone(&adapters.store), Arc::clone(&adapters.clock));
            let cloud = Arc::new(Cloud::new(provider, store, clock));
            let provider: Arc<dyn Provider> = cloud.clone();
            providers.insert(id, provider);
            if clouds.insert(id, cloud).is_some() {
                return Err(ConfigError::DuplicateProvider(id));
            }
        }
        let mut health = BTreeMap::new();
        for rail in &adapters.rails {
            let label = rail.label().clone();
            let unknown = RailHealth::Withdrawn {
                reason: "not checked yet".to_owned(),
            };
            if health.insert(label.clone(), unknown).is_some() {
                return Err(ConfigError::DuplicateRail(label));
            }
        }
        Ok(Self {
            config,
            store: adapters.store,
            providers,
            clouds,
            shown: Mutex::default(),
            rails: adapters.rails,
            clock: adapters.clock,
            entropy: adapters.entropy,
            timer: adapters.timer,
            secrets,
            shelves: RwLock::new(ShelfHistory::default()),
            stocks: Stocks::default(),
            checking: Checking::default(),
            requests: Requests::default(),
            nonces: Nonces::default(),
            pings: Pings::default(),
            health: RwLock::new(health),
            stores: AtomicBool::new(true),
            stopping: AtomicBool::new(false),
            courier: None,
            progress: core::array::from_fn(|_| Event::new()),
        })
    }

    /// With somebody who sends to webhooks.
    #[must_use]
    pub fn with_courier(mut self, courier: Arc<dyn Courier>) -> Self {
        self.courier = Some(courier);
        self
    }

    /// The present moment, by the engine's clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Every way to pay that is configured, whether it can be paid at this moment or not.
    pub fn rails(&self) -> &[AnyRail] {
        &self.rails
    }

    /// Ends work in order: steps under way reach their commit, then their operations are given back
    /// for another replica, or the next start, to go on with.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        for event in &self.progress {
            event.notify(usize::MAX);
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Where it is told that this operation moved. Others may share the place.
    pub(crate) fn progress_of(&self, operation: OperationId) -> &Event {
        // The last byte of a UUIDv7 is random.
        let [.., last] = *operation.uuid().as_bytes();
        let [first, ..] = &self.progress;
        self.progress
            .get(usize::from(last) % PROGRESS_EVENTS)
            .unwrap_or(first)
    }

    pub(crate) fn lock_shown(&self) -> MutexGuard<'_, BTreeMap<ProviderId, Closed>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) const fn timing(&self) -> &Timing {
        &self.config.timing
    }
}

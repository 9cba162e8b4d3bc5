//! From a checked configuration to the parts of a running server.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Context as _;
use compute_domain::money::Usd;
use compute_domain::payment::RailLabel;
use compute_domain::prepaid::EarlyDestroy;
use compute_domain::time::{Entropy as _, Span};
use compute_engine::ports::{AnyRail, Caps, Provider, Store};
use compute_engine::{
    Adapters, AuthTerms, DestroyGuard, Engine, EngineConfig, MppTerms, SalesTerms, Sealer,
    SealingKey, Secrets,
};
use compute_http::{App, Mode as HttpMode, PublicUrl, Settings as HttpSettings};
use compute_store::Mode as StoreMode;
use secrecy::SecretBox;

use crate::ambient::{OsEntropy, ServerClock, TokioTimer};
use crate::courier::PublicCourier;
use crate::metrics::{MeteredCourier, MeteredProvider, metered};
use crate::running::Shop;
use crate::settings::database::{DatabaseConfig, DatabaseMode};
use crate::settings::limits::{ListenerLimits, duration};
use crate::settings::server::ServerConfig;
use crate::settings::timing::TimingConfig;

/// What a shop is made of, real or simulated.
#[derive(Debug)]
pub(crate) struct Ingredients {
    pub(crate) mode: HttpMode,
    pub(crate) public_url: PublicUrl,
    pub(crate) server: ServerConfig,
    pub(crate) auth: AuthTerms,
    pub(crate) sales: SalesTerms,
    pub(crate) secrets: Secrets,
    pub(crate) http_limits: compute_http::Limits,
    pub(crate) listener_limits: ListenerLimits,
    pub(crate) timing: TimingConfig,
    pub(crate) drives: bool,
    pub(crate) caps: Caps,
    pub(crate) guard: DestroyGuard,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<ServerClock>,
    pub(crate) providers: Vec<Arc<dyn Provider>>,
    pub(crate) rails: Vec<AnyRail>,
    pub(crate) mpp: Option<MppTerms>,
    /// Whether webhooks may be called on this machine, in clear.
    pub(crate) loopback_webhooks: bool,
}

impl Ingredients {
    /// Puts the shop together.
    ///
    /// # Errors
    /// When the engine finds a contradiction.
    pub(crate) fn assemble(self) -> anyhow::Result<Shop> {
        let default_network = self.sales.default_rail.clone();
        let network = |rail: &AnyRail| match rail {
            AnyRail::X402(rail) => {
                let spec = rail.spec();
                Some((spec.label.clone(), spec.token.network().clone()))
            }
            AnyRail::Mpp(_) => None,
        };
        let networks = self.rails.iter().filter_map(network).collect();
        let config = EngineConfig {
            environment: self.server.environment,
            holder: holder(),
            sales: self.sales,
            auth: self.auth,
            timing: self.timing.engine,
            mpp: self.mpp,
            caps: self.caps,
            guard: self.guard,
        };
        let adapters = Adapters {
            store: Arc::clone(&self.store),
            providers: self
                .providers
                .into_iter()
                .map(MeteredProvider::around)
                .collect(),
            rails: self.rails.into_iter().map(metered).collect(),
            clock: self.clock.clone(),
            entropy: Arc::new(OsEntropy),
            timer: Arc::new(TokioTimer(Arc::clone(&self.clock))),
        };
        let courier = PublicCourier::new(self.public_url.host(), self.loopback_webhooks);
        let engine = Engine::new(config, adapters, self.secrets)
            .context("put the engine together")?
            .with_courier(Arc::new(MeteredCourier(courier)));
        let engine = Arc::new(engine);
        let settings = HttpSettings {
            public_url: self.public_url,
            mode: self.mode,
            version: env!("CARGO_PKG_VERSION"),
            limits: self.http_limits,
            waits: self.timing.waits,
            default_network,
            networks,
            proxies: self.server.proxies,
            request_id_seed: u64::from_le_bytes(random()),
            bazaar: self.server.bazaar,
            issuer: self.server.issuer,
        };
        Ok(Shop {
            app: App::new(Arc::clone(&engine), settings),
            engine,
            store: self.store,
            clock: self.clock,
            limits: self.listener_limits,
            every: self.timing.every,
            drives: self.drives,
            shutdown_wait: self.timing.shutdown_wait,
            counting: None,
            is_traced: false,
        })
    }
}

/// An engine for an operator's commands: it sells nothing and reaches nobody, and its keys open
/// nothing that is sealed.
///
/// # Errors
/// When the engine finds a contradiction.
pub(crate) fn operators_engine(
    timing: &TimingConfig,
    store: Arc<dyn Store>,
    clock: &Arc<ServerClock>,
) -> anyhow::Result<Engine> {
    let cent = Usd::parse("0.01").context("name an amount")?;
    let config = EngineConfig {
        environment: "ops".to_owned(),
        holder: format!("ops-{}", holder()),
        sales: SalesTerms {
            markup: BTreeMap::new(),
            price_grace: Span::ZERO,
            catalog_max_age: Span::ZERO,
            default_rail: RailLabel::parse("none").context("name no rail")?,
            early_destroy: EarlyDestroy::Forfeit,
            topup_min: cent,
            topup_max: cent,
            blocked_payers: BTreeSet::new(),
            switched_off: BTreeSet::new(),
            alarm_below: BTreeMap::new(),
        },
        auth: AuthTerms {
            clock_skew: Span::ZERO,
            nonce_ttl: Span::from_secs(1),
            max_api_keys: 0,
        },
        caps: Caps {
            instances_per_owner: 0,
            instances_total: 0,
            hourly_total: None,
        },
        guard: DestroyGuard {
            count: 0,
            permille: 0,
        },
        timing: timing.engine.clone(),
        mpp: None,
    };
    let adapters = Adapters {
        store,
        providers: Vec::new(),
        rails: Vec::new(),
        clock: clock.clone(),
        entropy: Arc::new(OsEntropy),
        timer: Arc::new(TokioTimer(Arc::clone(clock))),
    };
    let random_key = || SecretBox::new(Box::new(random()));
    let key = SealingKey {
        id: 0,
        key: random_key(),
    };
    let secrets = Secrets {
        sealer: Sealer::new(key, Vec::new()),
        api_key_pepper: random_key(),
    };
    Engine::new(config, adapters, secrets).context("put the engine together")
}

/// This process among all replicas, now and later.
fn holder() -> String {
    format!("{}-{}", std::process::id(), hex::encode(random::<6>()))
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0_u8; N];
    OsEntropy.fill(&mut bytes);
    bytes
}

/// The settings of the store.
pub(crate) fn store_config(config: &DatabaseConfig) -> compute_store::DatabaseConfig {
    compute_store::DatabaseConfig {
        url: config.url.expose().to_owned(),
        max_connections: config.max_connections,
        acquire_timeout: duration(config.acquire_timeout),
    }
}

/// The stamp of a database.
pub(crate) const fn store_mode(mode: DatabaseMode) -> StoreMode {
    match mode {
        DatabaseMode::Live => StoreMode::Live,
        DatabaseMode::Test => StoreMode::Test,
        DatabaseMode::Dev => StoreMode::Dev,
    }
}

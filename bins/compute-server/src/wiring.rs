//! From a checked configuration to the parts of a running server.

use std::sync::Arc;

use anyhow::Context as _;
use compute_domain::time::Entropy as _;
use compute_engine::ports::{Provider, Rail, Store};
use compute_engine::{Adapters, AuthTerms, Engine, EngineConfig, SalesTerms, Secrets};
use compute_http::{App, Mode as HttpMode, PublicUrl, Settings as HttpSettings};
use compute_store::Mode as StoreMode;

use crate::ambient::{OsEntropy, ServerClock, TokioTimer};
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
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<ServerClock>,
    pub(crate) providers: Vec<Arc<dyn Provider>>,
    pub(crate) rails: Vec<Arc<dyn Rail>>,
}

impl Ingredients {
    /// Puts the shop together.
    ///
    /// # Errors
    /// When the engine finds a contradiction.
    pub(crate) fn assemble(self) -> anyhow::Result<Shop> {
        let default_network = self.sales.default_rail.clone();
        let network = |rail: &Arc<dyn Rail>| {
            (
                rail.spec().label.clone(),
                rail.spec().token.network().clone(),
            )
        };
        let networks = self.rails.iter().map(network).collect();
        let config = EngineConfig {
            environment: self.server.environment,
            holder: holder(),
            sales: self.sales,
            auth: self.auth,
            timing: self.timing.engine,
        };
        let adapters = Adapters {
            store: Arc::clone(&self.store),
            providers: self.providers,
            rails: self.rails,
            clock: self.clock.clone(),
            entropy: Arc::new(OsEntropy),
            timer: Arc::new(TokioTimer(Arc::clone(&self.clock))),
        };
        let engine =
            Engine::new(config, adapters, self.secrets).context("put the engine together")?;
        let engine = Arc::new(engine);
        let settings = HttpSettings {
            public_url: self.public_url,
            mode: self.mode,
            limits: self.http_limits,
            waits: self.timing.waits,
            default_network,
            networks,
            trusted_proxies: self.server.trusted_proxies,
            request_id_seed: u64::from_le_bytes(random()),
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
        })
    }
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

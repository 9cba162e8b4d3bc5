//! `serve`: real partners.

use std::sync::Arc;

use anyhow::Context as _;
use compute_engine::ports::{AnyRail, Provider, Rail, RailSpec, Settler};
use compute_facilitator::Service;
use compute_http::Mode;
use compute_rail_evm::{EvmConfig, EvmRail, EvmTimeouts};
use compute_rail_facilitator::{
    Facilitator, FacilitatorConfig, FacilitatorRail, Timeouts as RailTimeouts,
};
use compute_rail_solana::{SolanaConfig, SolanaRail, SolanaTimeouts};
use compute_rail_stripe::{StripeConfig, StripeRail, StripeTimeouts};
use compute_rail_tempo::{TempoConfig, TempoRail, TempoTimeouts};
use compute_store::Database;
use compute_wallet::{EvmAddress, Namespace, SolanaAddress};

use super::{ServeArguments, clouds};
use crate::ambient::{OsEntropy, ServerClock, system_time};
use crate::metrics::Allowance;
use crate::running::{Place, Shop, Side};
use crate::settings::database::DatabaseMode;
use crate::settings::facilitator::{FacilitatorServiceConfig, Recipients};
use crate::settings::mpp::{StripeConfig as StripeSettings, TempoConfig as TempoSettings};
use crate::settings::rails::{EmbeddedConfig, FeePayerConfig, RailConfig, Settlement};
use crate::settings::timing::TimingConfig;
use crate::settings::{Config, PrivateUrl};
use crate::traces::Outgoing;
use crate::wiring::Ingredients;
use crate::{settings, telemetry, traces, wiring};

/// How long a client may take to pay; clients date their payments by it (reliability rules: a price is locked for 300 s).
const MAX_TIMEOUT_SECONDS: u32 = 300;

/// The same on Solana, where a payment dies with its blockhash after 60 to 90 s.
const SOLANA_TIMEOUT_SECONDS: u32 = 90;

/// Serves until a signal to end.
///
/// # Errors
/// When the configuration has problems, or the database or the address cannot be used.
pub(crate) async fn run(arguments: ServeArguments) -> anyhow::Result<()> {
    let loaded = settings::load(arguments.config.config.as_deref())?;
    let log = loaded.settings.log.clone();
    let config = loaded.check()?;
    let (tracer, outgoing) = config
        .traces
        .as_ref()
        .map(traces::prepare)
        .transpose()?
        .unzip();
    telemetry::start(&log, tracer)?;
    if config.database.mode == DatabaseMode::Test {
        tracing::warn!("this is a rehearsal: the database is for tests");
    }
    let database = open_database(&config, arguments.no_migrate).await?;
    let place = Place::reserve(config.server.listen)?;
    let mut greeting = format!("public URL: {}", config.server.public_url.as_str());
    let metrics = crate::metrics::open(&config.metrics)?;
    let allowance = Allowance {
        guard: config.work.guard(),
        window: config.timing.engine.guard_window,
    };
    let (mut shop, side) = assemble(config, &database)?;
    if let Some(side) = &side {
        let address = side.place.address();
        greeting.push_str(&format!("\nfacilitator for others: http://{address}"));
    }
    let mut sides: Vec<Side> = side.into_iter().collect();
    if let Some(metrics) = metrics {
        greeting.push_str(&format!("\n{}", metrics.greeting()));
        sides.push(metrics.watch(&mut shop, &database, allowance, "live"));
    }
    shop.is_traced = outgoing.is_some();
    let sending = outgoing.map(Outgoing::start);
    let outcome = shop.run(place, sides, &greeting).await;
    if let Some(sending) = sending {
        sending.finish().await;
    }
    database.close().await;
    outcome
}

async fn open_database(config: &Config, no_migrate: bool) -> anyhow::Result<Database> {
    let database = Database::connect(&wiring::store_config(&config.database))
        .await
        .context("open the database")?;
    if no_migrate {
        database
            .check_schema()
            .await
            .context("the database must be migrated first: compute-server migrate")?;
    } else {
        database.migrate().await.context("migrate the database")?;
    }
    let mode = wiring::store_mode(config.database.mode);
    database
        .stamp(mode, system_time())
        .await
        .context("use the database")?;
    Ok(database)
}

fn assemble(config: Config, database: &Database) -> anyhow::Result<(Shop, Option<Side>)> {
    let clock = Arc::new(ServerClock::start());
    let mut providers: Vec<Arc<dyn Provider>> = Vec::new();
    for cloud in &config.clouds {
        let environment = &config.server.environment;
        providers.push(clouds::connect(cloud, environment, &config.timing)?);
    }
    let mut rails: Vec<AnyRail> = Vec::new();
    let mut settlers: Vec<Arc<dyn Settler>> = Vec::new();
    let others = config.facilitator.as_ref();
    let others = others.map_or_else(Recipients::default, FacilitatorServiceConfig::recipients);
    for rail in config.rails {
        match connect_rail(rail, &others, database, &clock, &config.timing)? {
            Connected::Remote(rail) => rails.push(rail.into()),
            Connected::Settling(rail) => {
                settlers.push(rail.clone());
                let rail: Arc<dyn Rail> = rail;
                rails.push(rail.into());
            }
        }
    }
    let mut mpp_terms = None;
    if let Some(mpp) = config.mpp {
        if let Some(tempo) = mpp.tempo {
            rails.push(connect_tempo(tempo, clock.clone(), &config.timing)?);
        }
        if let Some(stripe) = mpp.stripe {
            rails.push(connect_stripe(stripe, clock.clone(), &config.timing)?);
        }
        mpp_terms = Some(mpp.terms);
    }
    let side = match config.facilitator {
        Some(facilitator) => Some(Side {
            is_optional: false,
            place: Place::reserve(facilitator.listen)?,
            router: compute_facilitator::router(Service::new(
                settlers,
                &facilitator.service,
                clock.clone(),
            )),
        }),
        None => None,
    };
    let shop = Ingredients {
        mode: Mode::Live,
        public_url: config.server.public_url.clone(),
        server: config.server,
        auth: config.auth,
        sales: config.sales,
        secrets: config.secrets,
        http_limits: config.http_limits,
        listener_limits: config.listener_limits,
        timing: config.timing,
        drives: config.work.enabled,
        caps: config.caps,
        guard: config.work.guard(),
        store: Arc::new(database.clone()),
        clock,
        providers,
        rails,
        mpp: mpp_terms,
        loopback_webhooks: config.loopback_webhooks,
    }
    .assemble()?;
    Ok((shop, side))
}

/// A rail, by who settles.
enum Connected {
    Remote(Arc<dyn Rail>),
    Settling(Arc<dyn Settler>),
}

fn connect_rail(
    rail: RailConfig,
    others: &Recipients,
    database: &Database,
    clock: &Arc<ServerClock>,
    timing: &TimingConfig,
) -> anyhow::Result<Connected> {
    let label = rail.label.clone();
    let max_timeout_seconds = match rail.terms.network().namespace() {
        Namespace::Eip155 => MAX_TIMEOUT_SECONDS,
        Namespace::Solana => SOLANA_TIMEOUT_SECONDS,
    };
    let spec = RailSpec {
        label: rail.label,
        decimals: rail.decimals,
        token: Arc::new(rail.terms),
        pay_to: rail.pay_to,
        max_timeout_seconds,
        settlement: match &rail.settlement {
            Settlement::Facilitators(facilitators) => masked(facilitators),
            Settlement::Embedded(embedded) => {
                format!(
                    "embedded, hot wallet {}",
                    embedded.hot_wallet.address().to_checksum()
                )
            }
            Settlement::FeePayer(config) => {
                format!("embedded, fee payer {}", config.key.address())
            }
        },
    };
    let connected = match rail.settlement {
        Settlement::Facilitators(facilitators) => {
            connect_facilitators(spec, facilitators, rail.rpc_url, clock, timing)
                .map(Connected::Remote)
        }
        Settlement::Embedded(embedded) => {
            let store = Arc::new(database.clone());
            rail.rpc_url
                .context("a chain node is needed")
                .map(|url| evm_config(*embedded, &url, &others.evm, timing))
                .and_then(|config| Ok(EvmRail::new(spec, config, store, clock.clone())?))
                .map(|rail| Connected::Settling(Arc::new(rail)))
        }
        Settlement::FeePayer(config) => {
            let store = Arc::new(database.clone());
            rail.rpc_url
                .context("a chain node is needed")
                .map(|url| solana_config(*config, &url, &others.solana, timing))
                .and_then(|config| Ok(SolanaRail::new(spec, config, store, clock.clone())?))
                .map(|rail| Connected::Settling(Arc::new(rail)))
        }
    };
    connected.with_context(|| format!("rails.{label}"))
}

fn connect_facilitators(
    spec: RailSpec,
    facilitators: Vec<Facilitator>,
    rpc_url: Option<PrivateUrl>,
    clock: &Arc<ServerClock>,
    timing: &TimingConfig,
) -> anyhow::Result<Arc<dyn Rail>> {
    let usual = RailTimeouts::default();
    let config = FacilitatorConfig {
        facilitators,
        rpc_url: rpc_url.map(|url| url.expose().into()),
        timeouts: RailTimeouts {
            connect: timing.call(usual.connect),
            verify: timing.call(usual.verify),
            settle: timing.call(usual.settle),
            node: timing.call(usual.node),
            call: timing.call(usual.call),
        },
        ..FacilitatorConfig::default()
    };
    let rail = FacilitatorRail::new(spec, &config, clock.clone(), Arc::new(OsEntropy))?;
    Ok(Arc::new(rail))
}

fn evm_config(
    embedded: EmbeddedConfig,
    rpc_url: &PrivateUrl,
    others: &[EvmAddress],
    timing: &TimingConfig,
) -> EvmConfig {
    let usual = EvmTimeouts::default();
    EvmConfig {
        rpc_url: rpc_url.expose().into(),
        extra_roots_pem: None,
        hot_wallet: embedded.hot_wallet,
        treasury: embedded.treasury,
        other_recipients: others.to_vec(),
        confirmations: embedded.confirmations.into(),
        finality_blocks: embedded.finality_blocks.into(),
        max_fee_per_gas_gwei: embedded.max_gas_price_gwei.into(),
        max_gas_per_day_gwei: embedded.max_gas_per_day_gwei.into(),
        sweep_cap: embedded.sweep_cap,
        sync_send: embedded.sync_send,
        timeouts: EvmTimeouts {
            node: timing.call(usual.node),
            call: timing.call(usual.call),
            poll: timing.call(usual.poll).min(usual.poll),
            bump_after: timing.call(usual.bump_after),
        },
    }
}

fn solana_config(
    fee_payer: FeePayerConfig,
    rpc_url: &PrivateUrl,
    others: &[SolanaAddress],
    timing: &TimingConfig,
) -> SolanaConfig {
    let usual = SolanaTimeouts::default();
    let max_failures = usize::try_from(fee_payer.max_failures_per_payer);
    SolanaConfig {
        other_recipients: others.to_vec(),
        max_lamports_per_day: fee_payer.max_lamports_per_day.into(),
        min_balance_lamports: fee_payer.min_balance_lamports.into(),
        max_failures_per_payer: max_failures.unwrap_or(usize::MAX),
        finalized_above: fee_payer.finalized_above,
        timeouts: SolanaTimeouts {
            node: timing.call(usual.node),
            call: timing.call(usual.call),
            poll: timing.call(usual.poll).min(usual.poll),
            looks_per_send: usual.looks_per_send,
        },
        ..SolanaConfig::new(rpc_url.expose(), fee_payer.key)
    }
}

/// The rail of `[mpp.tempo]`.
///
/// # Errors
/// When its settings cannot be used.
pub(super) fn connect_tempo(
    tempo: TempoSettings,
    clock: Arc<ServerClock>,
    timing: &TimingConfig,
) -> anyhow::Result<AnyRail> {
    let usual = TempoTimeouts::default();
    let config = TempoConfig {
        timeouts: TempoTimeouts {
            node: timing.call(usual.node),
            call: timing.call(usual.call),
            poll: timing.call(usual.poll).min(usual.poll),
        },
        ..TempoConfig::new(tempo.rpc_url.expose())
    };
    let rail = TempoRail::new(tempo.spec, &config, clock).context("mpp.tempo")?;
    Ok(AnyRail::Mpp(Arc::new(rail)))
}

/// The rail of `[mpp.stripe]`.
fn connect_stripe(
    stripe: StripeSettings,
    clock: Arc<ServerClock>,
    timing: &TimingConfig,
) -> anyhow::Result<AnyRail> {
    let usual = StripeTimeouts::default();
    let config = StripeConfig {
        base_url: stripe.base_url.expose().to_owned(),
        version: stripe.version,
        webhook_secret: stripe.webhook_secret.map(|secret| secret.expose().into()),
        timeouts: StripeTimeouts {
            request: timing.call(usual.request),
            call: timing.call(usual.call),
        },
        ..StripeConfig::new(stripe.secret_key.expose())
    };
    let rail = StripeRail::new(stripe.spec, &config, clock).context("mpp.stripe")?;
    Ok(AnyRail::Mpp(Arc::new(rail)))
}

/// The facilitators as they may be printed.
fn masked(facilitators: &[Facilitator]) -> String {
    let urls = facilitators.iter();
    let urls: Vec<String> = urls.map(|it| PrivateUrl::new(&it.url).masked()).collect();
    urls.join(", ")
}

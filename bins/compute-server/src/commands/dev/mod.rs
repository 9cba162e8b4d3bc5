//! `dev`: everything in front of the clouds and the payment networks is real, everything behind
//! them is simulated, on this machine only.

mod files;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use compute_domain::catalog::ProviderId;
use compute_domain::time::Span;
use compute_engine::MppTerms;
use compute_engine::ports::{AnyRail, Provider};
use compute_http::{Mode, PublicUrl};
use compute_simulator::{
    CloudBehaviour, DevPermit, PATH_USD, SettlementBehaviour, SimulatedCharge, SimulatedCloud,
    SimulatedSettlement, dev_charges, dev_rails,
};
use compute_store::{Database, Mode as StoreMode};
use compute_wallet::EvmAddress;
use compute_x402::Recipient;

use self::files::Files;
use super::DevArguments;
use super::serve::connect_tempo;
use crate::ambient::{OsEntropy, ServerClock, system_time};
use crate::metrics::Allowance;
use crate::running::{Place, Shop};
use crate::settings::database::DatabaseMode;
use crate::settings::log::LogFormat;
use crate::settings::mpp::MppConfig;
use crate::settings::secrets::KeyEntry;
use crate::settings::timing::TimingConfig;
use crate::settings::{Config, Loaded, PrivateUrl, Secret, is_loopback_url};
use crate::wiring::Ingredients;
use crate::{telemetry, wiring};

/// Who receives the play money: an address whose key nobody has.
const RECIPIENT: EvmAddress = EvmAddress::new([0x11; 20]);

/// More requests a minute than a measurement makes.
const UNCOUNTED: u32 = 1_000_000;

/// The main network of Tempo.
const MAIN_NET: u32 = 4_217;

/// Serves on loopback until a signal to end.
///
/// # Errors
/// When the address is not loopback, or database, files or address cannot be used.
pub(crate) async fn run(arguments: DevArguments) -> anyhow::Result<()> {
    ensure!(
        arguments.listen.ip().is_loopback(),
        "dev listens on loopback only, not on {}: what it sells does not exist",
        arguments.listen
    );
    let files = Files::beside(&arguments.database)?;
    let loaded = profile(&arguments, &files)?;
    telemetry::start(&loaded.settings.log, None)?;
    let config = loaded.check_dev()?;
    let database = Database::connect(&wiring::store_config(&config.database))
        .await
        .context("open the database")?;
    database.migrate().await.context("migrate the database")?;
    let stamp = database
        .stamp(StoreMode::Dev, system_time())
        .await
        .context("use the database for development")?;
    let permit = DevPermit::for_mode(stamp.mode == StoreMode::Dev)
        .context("the database is not stamped for development")?;
    let place = Place::reserve(arguments.listen)?;
    let public_url = PublicUrl::parse(&format!("http://{}", place.address()))
        .context("make a URL of the address")?;
    let metrics = crate::metrics::open(&config.metrics)?;
    let allowance = Allowance {
        guard: config.work.guard(),
        window: config.timing.engine.guard_window,
    };
    let mut shop = assemble(config, &database, permit, &files, &arguments, public_url)?;
    let mut greeting = greeting(
        place.address(),
        &PrivateUrl::new(&arguments.database).masked(),
    );
    let mut sides = Vec::new();
    if let Some(metrics) = metrics {
        greeting.push_str(&format!("\n{}\n", metrics.greeting()));
        sides.push(metrics.watch(&mut shop, &database, allowance, "dev"));
    }
    let outcome = shop.run(place, sides, &greeting).await;
    database.close().await;
    outcome
}

fn greeting(address: SocketAddr, database: &str) -> String {
    let url_option = if address.port() == 4020 && address.ip() == Ipv4Addr::LOCALHOST {
        String::new()
    } else {
        format!(" -- --url http://{address}")
    };
    format!(
        "\nReal: HTTP, signatures, prices, replay protection, operations, the ledger ({database}).
Simulated: the clouds of Vultr and DigitalOcean; the settlement of `base` (USDC on Base Sepolia) and of `tempo` (pathUSD on Tempo Moderato).
Every wallet starts with 1000000 test dollars. Nothing here is worth or costs anything.

Next, in another terminal, buy a machine:
    cargo run --release -p compute-server --example paid_flow{url_option}

Or look around:
    curl -s http://{address}/compute/plans
    curl -si -X POST http://{address}/compute/provision
"
    )
}

/// The built-in settings of development mode.
fn profile(arguments: &DevArguments, files: &Files) -> anyhow::Result<Loaded> {
    let mut loaded = Loaded::defaults();
    let settings = &mut loaded.settings;
    settings.server.listen = arguments.listen;
    settings.server.environment = "dev".to_owned();
    // Only checked here: the real port is known once it is listened on.
    settings.server.public_url = Some(format!("http://{}", arguments.listen));
    settings.database.url = PrivateUrl::new(&arguments.database);
    settings.database.mode = DatabaseMode::Dev;
    settings.limits.exempt_loopback = !arguments.count_loopback;
    settings.webhooks.allow_loopback = arguments.loopback_webhooks;
    if let Some(total) = arguments.instances_total {
        settings.limits.instances_total = total;
        // All of it is for the one client that tests or measures, as fast as it can.
        settings.limits.instances_per_owner = total;
        settings.limits.purchases_per_minute = UNCOUNTED;
        settings.limits.requests_per_owner_per_minute = UNCOUNTED;
    }
    settings.timing.scale_divisor = arguments.time_scale;
    if let Some(millis) = arguments.new_prices_every {
        settings.timing.catalog_refresh = Span::from_millis(i64::from(millis));
    }
    settings.metrics.enabled = arguments.metrics.is_some();
    if let Some(address) = arguments.metrics {
        settings.metrics.listen = address;
        settings.metrics.every = Span::from_secs(1);
        settings.metrics.sums_every = Span::from_secs(1);
    }
    settings.log.format = LogFormat::Text;
    settings.log.filter.clone_from(&arguments.log);
    let keys = files.keys()?;
    settings.secrets.sealing_keys = vec![KeyEntry::first(Secret::new(keys.sealing))];
    settings.secrets.api_key_pepper = Some(Secret::new(keys.pepper));
    settings.mpp.secret = Some(Secret::new(files.challenge_secret()?));
    if let Some(url) = &arguments.tempo_rpc {
        ensure!(
            arguments.tempo_chain != MAIN_NET || is_loopback_url(url),
            "dev sells nothing for the money of the main network: a chain {MAIN_NET} must be on this machine"
        );
        settings.tempo.rpc_url = Some(PrivateUrl::new(url));
        settings.tempo.chain_id = arguments.tempo_chain;
        settings.tempo.recipient = Some(RECIPIENT.to_string());
        settings.tempo.currency = Some(PATH_USD.to_string());
    }
    Ok(loaded)
}

fn assemble(
    config: Config,
    database: &Database,
    permit: DevPermit,
    files: &Files,
    arguments: &DevArguments,
    public_url: PublicUrl,
) -> anyhow::Result<Shop> {
    let clock = Arc::new(ServerClock::start());
    let usual = CloudBehaviour::default();
    let scale = i64::from(arguments.time_scale);
    let boot_time = Span::from_millis(usual.boot_time.millis() / scale);
    let mut providers: Vec<Arc<dyn Provider>> = Vec::new();
    let half = arguments.more_plans / 2;
    for (vendor, more_plans) in [
        (ProviderId::Vultr, arguments.more_plans - half),
        (ProviderId::DigitalOcean, half),
    ] {
        let behaviour = CloudBehaviour {
            boot_time,
            more_plans,
            moves_prices: arguments.new_prices_every.is_some(),
        };
        let cloud = SimulatedCloud::new(
            vendor,
            permit,
            clock.clone(),
            Arc::new(OsEntropy),
            Some(files.journal(vendor.as_str())),
            behaviour,
        )
        .with_context(|| format!("start the simulated cloud of {vendor}"))?;
        providers.push(Arc::new(cloud));
    }
    let (rails, mpp) = rails(config.mpp, &config.timing, permit, files, &clock)?;
    Ingredients {
        mode: Mode::Dev,
        public_url,
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
        mpp,
        loopback_webhooks: config.loopback_webhooks,
    }
    .assemble()
}

/// The ways to pay: simulated, but for Tempo where a node was named.
fn rails(
    mpp: Option<MppConfig>,
    timing: &TimingConfig,
    permit: DevPermit,
    files: &Files,
    clock: &Arc<ServerClock>,
) -> anyhow::Result<(Vec<AnyRail>, Option<MppTerms>)> {
    let mut rails: Vec<AnyRail> = Vec::new();
    for spec in dev_rails(&Recipient::new(RECIPIENT)).context("describe the simulated rails")? {
        let label = spec.label.clone();
        let rail = SimulatedSettlement::new(
            spec,
            permit,
            clock.clone(),
            Some(files.journal(&format!("settled-{label}"))),
            SettlementBehaviour::default(),
        )
        .with_context(|| format!("start the simulated settlement of {label}"))?;
        rails.push(AnyRail::X402(Arc::new(rail)));
    }
    let (mpp, tempo) = match mpp {
        Some(mpp) => (Some(mpp.terms), mpp.tempo),
        None => (None, None),
    };
    let simulated = match tempo {
        Some(tempo) => {
            rails.push(connect_tempo(tempo, clock.clone(), timing)?);
            Vec::new()
        }
        None => dev_charges(RECIPIENT).context("describe the simulated charges")?,
    };
    for spec in simulated {
        let label = spec.label.clone();
        let rail = SimulatedCharge::new(
            spec,
            permit,
            clock.clone(),
            Some(files.journal(&format!("settled-{label}"))),
            SettlementBehaviour::default(),
        )
        .with_context(|| format!("start the simulated settlement of {label}"))?;
        rails.push(AnyRail::Mpp(Arc::new(rail)));
    }
    Ok((rails, mpp))
}

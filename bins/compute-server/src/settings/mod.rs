//! The configuration: built-in defaults, below a file, below the environment.
//!
//! Each section has a file with its keys, their documentation and their defaults. Reading gives raw
//! values; checking turns them into what the program is built from and reports every problem at
//! once, with its key and its origin.

mod check;
mod reader;
mod section;
mod value;

pub(crate) mod auth;
pub(crate) mod credits;
pub(crate) mod database;
pub(crate) mod facilitator;
mod facilitators;
pub(crate) mod limits;
pub(crate) mod log;
pub(crate) mod manual;
pub(crate) mod metrics;
pub(crate) mod mpp;
pub(crate) mod pricing;
pub(crate) mod providers;
pub(crate) mod rails;
pub(crate) mod secrets;
pub(crate) mod server;
pub(crate) mod timing;
pub(crate) mod traces;
pub(crate) mod webhooks;
pub(crate) mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use compute_domain::payment::RailLabel;
use compute_engine::ports::Caps;
use compute_engine::{AuthTerms, SalesTerms, Secrets as EngineSecrets};
use compute_wallet::WalletAddress;

pub(crate) use self::check::is_loopback_url;
use self::check::{Check, Purpose};
pub(crate) use self::reader::Problem;
use self::reader::Reader;
use self::section::{Row, Section};
pub(crate) use self::value::{PrivateUrl, Secret};

/// The file that is read when none is named and it exists.
const DEFAULT_FILE: &str = "compute.toml";

/// Every key as it was written, or its default.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    pub(crate) server: server::Server,
    pub(crate) database: database::Database,
    pub(crate) auth: auth::Auth,
    pub(crate) secrets: secrets::Secrets,
    pub(crate) pricing: pricing::Pricing,
    pub(crate) credits: credits::Credits,
    pub(crate) vultr: providers::Vultr,
    pub(crate) digitalocean: providers::DigitalOcean,
    pub(crate) rails: BTreeMap<String, rails::RailSettings>,
    pub(crate) mpp: mpp::Mpp,
    pub(crate) tempo: mpp::Tempo,
    pub(crate) stripe: mpp::Stripe,
    pub(crate) facilitator: facilitator::FacilitatorService,
    pub(crate) limits: limits::Limits,
    pub(crate) metrics: metrics::Metrics,
    pub(crate) traces: traces::Traces,
    pub(crate) webhooks: webhooks::Webhooks,
    pub(crate) work: work::Work,
    pub(crate) timing: timing::Timing,
    pub(crate) log: log::Log,
}

/// What the program is built from.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) server: server::ServerConfig,
    pub(crate) database: database::DatabaseConfig,
    pub(crate) auth: AuthTerms,
    pub(crate) sales: SalesTerms,
    pub(crate) secrets: EngineSecrets,
    pub(crate) clouds: Vec<providers::CloudSettings>,
    pub(crate) rails: Vec<rails::RailConfig>,
    pub(crate) mpp: Option<mpp::MppConfig>,
    pub(crate) facilitator: Option<facilitator::FacilitatorServiceConfig>,
    pub(crate) http_limits: compute_http::Limits,
    pub(crate) listener_limits: limits::ListenerLimits,
    pub(crate) caps: Caps,
    pub(crate) timing: timing::TimingConfig,
    pub(crate) loopback_webhooks: bool,
    pub(crate) work: work::Work,
    pub(crate) metrics: metrics::Metrics,
    pub(crate) traces: Option<traces::TracesConfig>,
}

/// What an operator's commands need of it.
#[derive(Debug)]
pub(crate) struct OperatorConfig {
    pub(crate) database: database::DatabaseConfig,
    pub(crate) timing: timing::TimingConfig,
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problems(pub(crate) Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(
            f,
            "the configuration has {count} problem{}",
            if count == 1 { "" } else { "s" }
        )?;
        self.0
            .iter()
            .try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for Problems {}

/// A configuration that was read and not yet checked.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) settings: Settings,
    reader: Reader,
}

/// Reads the file that was named, or `compute.toml` if it exists, and the environment.
///
/// # Errors
/// When the named file does not exist.
pub(crate) fn load(file: Option<&Path>) -> anyhow::Result<Loaded> {
    if let Some(file) = file {
        anyhow::ensure!(
            file.is_file(),
            "there is no configuration file {}",
            file.display()
        );
    }
    let default = PathBuf::from(DEFAULT_FILE);
    let file = file.or_else(|| default.is_file().then_some(default.as_path()));
    Ok(Loaded::read(Reader::open(file)))
}

impl Loaded {
    /// The defaults alone; neither file nor environment is looked at.
    pub(crate) fn defaults() -> Self {
        Self::read(Reader::empty())
    }

    fn read(mut reader: Reader) -> Self {
        let mut rails = BTreeMap::new();
        for label in reader.names("rails") {
            let rail = rails::RailSettings::read(&mut reader, &format!("rails.{label}"));
            rails.insert(label, rail);
        }
        let settings = Settings {
            server: Section::read(&mut reader, "server"),
            database: Section::read(&mut reader, "database"),
            auth: Section::read(&mut reader, "auth"),
            secrets: Section::read(&mut reader, "secrets"),
            pricing: Section::read(&mut reader, "pricing"),
            credits: Section::read(&mut reader, "credits"),
            vultr: Section::read(&mut reader, "providers.vultr"),
            digitalocean: Section::read(&mut reader, "providers.digitalocean"),
            rails,
            mpp: Section::read(&mut reader, "mpp"),
            tempo: Section::read(&mut reader, "mpp.tempo"),
            stripe: Section::read(&mut reader, "mpp.stripe"),
            facilitator: Section::read(&mut reader, "facilitator"),
            limits: Section::read(&mut reader, "limits"),
            metrics: Section::read(&mut reader, "metrics"),
            traces: Section::read(&mut reader, "traces"),
            webhooks: Section::read(&mut reader, "webhooks"),
            work: Section::read(&mut reader, "work"),
            timing: Section::read(&mut reader, "timing"),
            log: Section::read(&mut reader, "log"),
        };
        Self { settings, reader }
    }

    /// The effective configuration with secrets masked: key, value, origin.
    pub(crate) fn effective(&self) -> Vec<(String, String, String)> {
        let sources = self.reader.sources();
        let mut lines = Vec::new();
        for (path, _, rows) in self.settings.sections() {
            for row in rows {
                let key = format!("{path}.{}", row.key);
                let source = sources
                    .get(&key)
                    .cloned()
                    .unwrap_or_else(|| "default".to_owned());
                lines.push((
                    key,
                    row.shown.unwrap_or_else(|| "(not set)".to_owned()),
                    source,
                ));
            }
        }
        lines
    }

    /// Checks it for `serve`: real partners only.
    ///
    /// # Errors
    /// Every problem at once.
    pub(crate) fn check(self) -> Result<Config, Problems> {
        self.check_for(Purpose::Serve)
    }

    /// Checks it for `dev`, which brings its own partners.
    ///
    /// # Errors
    /// Every problem at once.
    pub(crate) fn check_dev(self) -> Result<Config, Problems> {
        self.check_for(Purpose::Dev)
    }

    /// Checks what an operator's commands need: neither keys nor partners.
    ///
    /// # Errors
    /// Every problem at once.
    pub(crate) fn check_for_operator(mut self) -> Result<OperatorConfig, Problems> {
        let mut check = Check::new(&mut self.reader, Purpose::Operator);
        let database = self.settings.database.check(&mut check);
        let timing = self
            .settings
            .timing
            .check(&mut check, self.settings.database.mode);
        let problems = self.reader.finish();
        match database {
            Some(database) if problems.is_empty() => Ok(OperatorConfig { database, timing }),
            _ => Err(Problems(problems)),
        }
    }

    fn check_for(mut self, purpose: Purpose) -> Result<Config, Problems> {
        let config = self
            .settings
            .check(&mut Check::new(&mut self.reader, purpose));
        let problems = self.reader.finish();
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(Problems(problems)),
        }
    }
}

impl Settings {
    /// Every section: its path, what it is about, its keys.
    fn sections(&self) -> Vec<(String, &'static str, Vec<Row>)> {
        fn entry<S: Section>(path: &str, section: &S) -> (String, &'static str, Vec<Row>) {
            (path.to_owned(), S::ABOUT, section.rows())
        }
        let mut sections = vec![
            entry("server", &self.server),
            entry("database", &self.database),
            entry("auth", &self.auth),
            entry("secrets", &self.secrets),
            entry("pricing", &self.pricing),
            entry("credits", &self.credits),
            entry("providers.vultr", &self.vultr),
            entry("providers.digitalocean", &self.digitalocean),
        ];
        sections.extend(
            self.rails
                .iter()
                .map(|(label, rail)| entry(&format!("rails.{label}"), rail)),
        );
        sections.push(entry("mpp", &self.mpp));
        sections.push(entry("mpp.tempo", &self.tempo));
        sections.push(entry("mpp.stripe", &self.stripe));
        sections.push(entry("facilitator", &self.facilitator));
        sections.push(entry("limits", &self.limits));
        sections.push(entry("metrics", &self.metrics));
        sections.push(entry("traces", &self.traces));
        sections.push(entry("webhooks", &self.webhooks));
        sections.push(entry("work", &self.work));
        sections.push(entry("timing", &self.timing));
        sections.push(entry("log", &self.log));
        sections
    }

    fn check(&self, check: &mut Check<'_>) -> Option<Config> {
        let server = self.server.check(check);
        let database = self.database.check(check);
        let auth = self.auth.check(check);
        let secrets = self.secrets.check(check);
        self.pricing.check(check);
        self.credits.check(check);
        self.work.check(check);
        self.metrics.check(check);
        let traces = self.traces.check(check);
        let loopback_webhooks = self.webhooks.check(check, self.database.mode);
        let mut rails = Vec::new();
        for (label, settings) in &self.rails {
            rails.extend(settings.check(check, label));
        }
        rails::check_addresses(check, &rails);
        let public_url = server.as_ref().map(|server| &server.public_url);
        let mpp = self.mpp.check(
            check,
            (&self.tempo, &self.stripe),
            public_url,
            self.pricing.grace,
        );
        let facilitator = self.facilitator.check(check, &rails);
        let (markup_bps, lease) = (self.pricing.markup_bps, self.timing.lease);
        let clouds = [
            self.vultr.check(check, markup_bps, lease),
            self.digitalocean.check(check, markup_bps, lease),
        ];
        let clouds: Vec<_> = clouds.into_iter().flatten().collect();
        let proxies = server.as_ref().map(|server| server.proxies.clone());
        let (http_limits, listener_limits) = self.limits.check(check, &proxies.unwrap_or_default());
        self.log.check(check);
        let timing = self.timing.check(check, self.database.mode);
        if !check.is_dev() {
            let takes_charges = self.tempo.recipient.is_some() || self.stripe.is_on();
            if self.rails.is_empty() && !takes_charges {
                check.problem(
                    "rails",
                    "no way to pay is configured: at least one [rails.<label>], mpp.tempo.recipient or mpp.stripe.secret_key is needed",
                );
            }
            if !self.vultr.is_on() && !self.digitalocean.is_on() {
                check.problem(
                    "providers",
                    "no cloud is configured: providers.vultr.api_key or providers.digitalocean.token is needed",
                );
            }
        }
        let blocked_payers = self.limits.check_payers(check);
        let sales = self.sales(check, &clouds, &rails, mpp.as_ref(), blocked_payers);
        Some(Config {
            server: server?,
            database: database?,
            auth,
            sales: sales?,
            secrets: secrets?,
            clouds,
            rails,
            mpp,
            facilitator,
            http_limits,
            listener_limits,
            caps: self.limits.caps(),
            timing,
            loopback_webhooks,
            work: self.work.clone(),
            metrics: self.metrics.clone(),
            traces,
        })
    }

    fn sales(
        &self,
        check: &mut Check<'_>,
        clouds: &[providers::CloudSettings],
        rails: &[rails::RailConfig],
        mpp: Option<&mpp::MppConfig>,
        blocked_payers: BTreeSet<WalletAddress>,
    ) -> Option<SalesTerms> {
        let Ok(named) = RailLabel::parse(&self.pricing.default_rail) else {
            check.problem("pricing.default_rail", "is not a label of a rail");
            return None;
        };
        let tempo = mpp.and_then(|mpp| Some(&mpp.tempo.as_ref()?.spec));
        let stripe = mpp.and_then(|mpp| Some(&mpp.stripe.as_ref()?.spec));
        let charge = tempo.or(stripe).map(|spec| &spec.label);
        let first = rails.first().map(|rail| &rail.label);
        let first = first.or(charge).cloned();
        let exists = check.is_dev() || rails.iter().any(|rail| rail.label == named);
        let markup = clouds.iter().map(|cloud| (cloud.provider, cloud.markup));
        let markup: BTreeMap<_, _> = markup.collect();
        let switched_off = clouds.iter().filter(|cloud| !cloud.sells);
        let thresholds = clouds.iter();
        Some(SalesTerms {
            markup,
            switched_off: switched_off.map(|cloud| cloud.provider).collect(),
            alarm_below: thresholds
                .filter_map(|cloud| Some((cloud.provider, cloud.alarm_below?)))
                .collect(),
            price_grace: self.pricing.grace,
            catalog_max_age: self.pricing.catalog_max_age,
            early_destroy: self.pricing.early_destroy(),
            topup_min: self.credits.min_topup,
            topup_max: self.credits.max_topup,
            blocked_payers,
            default_rail: if exists {
                named
            } else {
                first.unwrap_or(named)
            },
        })
    }
}

#[cfg(test)]
mod tests;

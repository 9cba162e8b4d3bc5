//! The clouds of `serve`.

use std::sync::Arc;

use anyhow::Context as _;
use compute_domain::catalog::ProviderId;
use compute_engine::ports::Provider;
use compute_outbound::Allowance;
use compute_provider_digitalocean::{DigitalOcean, DigitalOceanConfig};
use compute_provider_vultr::{Vultr, VultrConfig};

use crate::settings::limits::duration;
use crate::settings::providers::CloudSettings;
use crate::settings::timing::TimingConfig;

/// The adapter for a configured cloud; sends nothing.
///
/// # Errors
/// When a setting cannot be used.
pub(super) fn connect(
    settings: &CloudSettings,
    environment: &str,
    timing: &TimingConfig,
) -> anyhow::Result<Arc<dyn Provider>> {
    Ok(match settings.provider {
        ProviderId::Vultr => Arc::new(connect_vultr(settings, environment, timing)?),
        ProviderId::DigitalOcean => Arc::new(connect_digitalocean(settings, environment, timing)?),
    })
}

// Where time runs faster, requests come faster too.
fn allowance(settings: &CloudSettings, timing: &TimingConfig) -> Allowance {
    Allowance {
        every: timing.scaled(settings.allowance.every),
        ..settings.allowance
    }
}

fn connect_vultr(
    settings: &CloudSettings,
    environment: &str,
    timing: &TimingConfig,
) -> anyhow::Result<Vultr> {
    let call = timing.call(duration(settings.timeout));
    let mut config = VultrConfig::new(settings.secret.expose().into(), environment);
    config.base_url.clone_from(&settings.base_url);
    config.allowance = allowance(settings, timing);
    let times = &mut config.timeouts;
    times.connect = times.connect.min(call);
    times.request = times.request.min(call);
    times.create = times.create.min(call);
    times.call = call;
    Vultr::new(&config).context("providers.vultr")
}

fn connect_digitalocean(
    settings: &CloudSettings,
    environment: &str,
    timing: &TimingConfig,
) -> anyhow::Result<DigitalOcean> {
    let call = timing.call(duration(settings.timeout));
    let mut config = DigitalOceanConfig::new(settings.secret.expose().into(), environment);
    config.base_url.clone_from(&settings.base_url);
    config.allowance = allowance(settings, timing);
    let times = &mut config.timeouts;
    times.connect = times.connect.min(call);
    times.request = times.request.min(call);
    times.create = times.create.min(call);
    times.call = call;
    DigitalOcean::new(&config).context("providers.digitalocean")
}

//! `[providers.…]`: the clouds.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use compute_domain::catalog::ProviderId;
use compute_domain::money::Usd;
use compute_domain::time::Span;
use compute_outbound::Allowance;
use compute_pricing::Markup;

use super::check::Check;
use super::pricing::check_markup;
use super::section::section;
use super::value::{Secret, words};

/// What stands behind a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    /// The vendor's API.
    Api,
    /// Nothing: machines exist on paper.
    Simulated,
}

words!(Backend, "`api`", Api = "api", Simulated = "simulated");

section! {
    /// The cloud of Vultr.
    Vultr {
        /// The key of the vendor account. Without one the provider is off.
        api_key: Option<Secret> = None,
        /// A file that holds the key.
        api_key_file: Option<PathBuf> = None,
        /// Where the vendor's API is; another only for rehearsals against a stand-in.
        base_url: String = "https://api.vultr.com/v2".to_owned(),
        /// How long one call may take; less than half of `timing.lease`.
        timeout: Span = Span::from_secs(25),
        /// How often this process may ask, 1 to 29; the rest of the 30 that the vendor allows to an address may come at once. Replicas behind one address share them.
        requests_per_second: u32 = 10,
        /// Margin on the vendor's prices in basis points; `pricing.markup_bps` when absent.
        markup_bps: Option<u32> = None,
        /// Whether it sells new machines. When not, what was sold goes on, and may be extended.
        sells: bool = true,
        /// Below how many USD of the account's own funds its operator hears of it; never when absent, and never where the vendor does not tell them.
        alarm_below_usd: Option<Usd> = None,
        /// `api`. Simulated clouds belong to the command `dev`.
        backend: Backend = Backend::Api,
    }
}

section! {
    /// The cloud of DigitalOcean. Its machines need an SSH key: it tells no root passwords.
    DigitalOcean {
        /// A token of the vendor account. Without one the provider is off. Scopes: `droplet`, `ssh_key` and `tag` with create, read and delete; `account:read`, `image:read`, `regions:read`, `sizes:read`, `actions:read`.
        token: Option<Secret> = None,
        /// A file that holds the token.
        token_file: Option<PathBuf> = None,
        /// Where the vendor's API is, without its version; another only for rehearsals against a stand-in.
        base_url: String = "https://api.digitalocean.com".to_owned(),
        /// How long one call may take; less than half of `timing.lease`.
        timeout: Span = Span::from_secs(25),
        /// How often this process may ask, 1 to 4900; 80 may come at once. The vendor allows 5000 to a token, and replicas share them.
        requests_per_hour: u32 = 2_500,
        /// Margin on the vendor's prices in basis points; `pricing.markup_bps` when absent.
        markup_bps: Option<u32> = None,
        /// Whether it sells new machines. When not, what was sold goes on, and may be extended.
        sells: bool = true,
        /// Below how many USD of the account's own funds its operator hears of it; never when absent, and never where the vendor does not tell them.
        alarm_below_usd: Option<Usd> = None,
        /// `api`. Simulated clouds belong to the command `dev`.
        backend: Backend = Backend::Api,
    }
}

/// The checked section of a cloud.
#[derive(Debug)]
pub(crate) struct CloudSettings {
    pub(crate) provider: ProviderId,
    pub(crate) secret: Secret,
    pub(crate) base_url: String,
    pub(crate) timeout: Span,
    pub(crate) allowance: Allowance,
    pub(crate) markup: Markup,
    pub(crate) sells: bool,
    pub(crate) alarm_below: Option<Usd>,
}

/// What the sections of all clouds have, under whatever names.
struct Common<'a> {
    provider: ProviderId,
    secret_key: &'static str,
    secret: (Option<&'a Secret>, Option<&'a PathBuf>),
    base_url: &'a str,
    timeout: Span,
    rate_key: &'static str,
    /// Requests, the most there may be, and in which time.
    rate: (u32, u32, Duration),
    burst: u32,
    markup_bps: Option<u32>,
    sells: bool,
    alarm_below: Option<Usd>,
    backend: Backend,
}

impl Vultr {
    /// Whether it is meant to sell.
    pub(super) const fn is_on(&self) -> bool {
        self.api_key.is_some() || self.api_key_file.is_some()
    }

    pub(super) fn check(
        &self,
        check: &mut Check<'_>,
        markup_bps: u32,
        lease: Span,
    ) -> Option<CloudSettings> {
        let common = Common {
            provider: ProviderId::Vultr,
            secret_key: "api_key",
            secret: (self.api_key.as_ref(), self.api_key_file.as_ref()),
            base_url: &self.base_url,
            timeout: self.timeout,
            rate_key: "requests_per_second",
            rate: (self.requests_per_second, 29, Duration::from_secs(1)),
            burst: 30_u32.saturating_sub(self.requests_per_second),
            markup_bps: self.markup_bps,
            sells: self.sells,
            alarm_below: self.alarm_below_usd,
            backend: self.backend,
        };
        common.check(check, markup_bps, lease)
    }
}

impl DigitalOcean {
    /// Whether it is meant to sell.
    pub(super) const fn is_on(&self) -> bool {
        self.token.is_some() || self.token_file.is_some()
    }

    pub(super) fn check(
        &self,
        check: &mut Check<'_>,
        markup_bps: u32,
        lease: Span,
    ) -> Option<CloudSettings> {
        let common = Common {
            provider: ProviderId::DigitalOcean,
            secret_key: "token",
            secret: (self.token.as_ref(), self.token_file.as_ref()),
            base_url: &self.base_url,
            timeout: self.timeout,
            rate_key: "requests_per_hour",
            rate: (self.requests_per_hour, 4_900, Duration::from_secs(3_600)),
            burst: 80,
            markup_bps: self.markup_bps,
            sells: self.sells,
            alarm_below: self.alarm_below_usd,
            backend: self.backend,
        };
        common.check(check, markup_bps, lease)
    }
}

impl Common<'_> {
    fn check(&self, check: &mut Check<'_>, markup_bps: u32, lease: Span) -> Option<CloudSettings> {
        let path = |key: &str| format!("providers.{}.{key}", self.provider);
        if self.backend == Backend::Simulated {
            check.problem(
                &path("backend"),
                "simulated clouds belong to the command `dev`",
            );
        }
        check.outside_url(&path("base_url"), self.base_url);
        let own = self.markup_bps.unwrap_or(markup_bps);
        let markup = check_markup(check, &path("markup_bps"), own);
        let half = Span::from_millis(lease.millis() / 2);
        if self.timeout == Span::ZERO || self.timeout >= half {
            check.problem(
                &path("timeout"),
                "must be more than nothing and less than half of timing.lease",
            );
        }
        let (requests, limit, time) = self.rate;
        let rate = NonZeroU32::new(requests).filter(|_| requests <= limit);
        if rate.is_none() {
            check.problem(&path(self.rate_key), format!("must be 1 to {limit}"));
        }
        let key = path(self.secret_key);
        let (secret, file) = self.secret;
        let secret = check.secret(&key, secret, file)?;
        check.bearer(&key, Some(&secret));
        Some(CloudSettings {
            provider: self.provider,
            secret,
            base_url: self.base_url.to_owned(),
            timeout: self.timeout,
            allowance: Allowance {
                burst: self.burst,
                every: time / rate?.get(),
            },
            markup,
            sells: self.sells,
            alarm_below: self.alarm_below,
        })
    }
}

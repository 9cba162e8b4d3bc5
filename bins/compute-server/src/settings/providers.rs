//! `[providers.…]`: the clouds.

use std::path::PathBuf;

use compute_domain::time::Span;
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
        /// Margin on the vendor's prices in basis points; `pricing.markup_bps` when absent.
        markup_bps: Option<u32> = None,
        /// `api`. Simulated clouds belong to the command `dev`.
        backend: Backend = Backend::Api,
    }
}

/// The checked section.
#[derive(Debug)]
pub(crate) struct VultrSettings {
    pub(crate) api_key: Secret,
    pub(crate) base_url: String,
    pub(crate) timeout: Span,
    pub(crate) markup: Markup,
}

impl Vultr {
    pub(super) fn check(
        &self,
        check: &mut Check<'_>,
        markup_bps: u32,
        lease: Span,
    ) -> Option<VultrSettings> {
        if self.backend == Backend::Simulated {
            check.problem(
                "providers.vultr.backend",
                "simulated clouds belong to the command `dev`",
            );
        }
        check.outside_url("providers.vultr.base_url", &self.base_url);
        let own = self.markup_bps.unwrap_or(markup_bps);
        let markup = check_markup(check, "providers.vultr.markup_bps", own);
        let half = Span::from_millis(lease.millis() / 2);
        if self.timeout == Span::ZERO || self.timeout >= half {
            check.problem(
                "providers.vultr.timeout",
                "must be more than nothing and less than half of timing.lease",
            );
        }
        let key = "providers.vultr.api_key";
        let api_key = check.secret(key, self.api_key.as_ref(), self.api_key_file.as_ref())?;
        check.bearer(key, Some(&api_key));
        Some(VultrSettings {
            api_key,
            base_url: self.base_url.clone(),
            timeout: self.timeout,
            markup,
        })
    }
}

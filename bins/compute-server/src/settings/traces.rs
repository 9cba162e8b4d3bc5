//! `[traces]`: where a collector takes traces.

use std::path::PathBuf;

use super::check::Check;
use super::section::section;
use super::value::{PrivateUrl, Secret};

/// The whole, in the unit of `sample_permille`.
const ALL: u32 = 1_000;

section! {
    /// Where a collector takes traces (OpenTelemetry, OTLP over HTTP as JSON). Without an address there are none.
    Traces {
        /// The address of the collector, to which `/v1/traces` is added: `https://`, or `http://` to a loopback address.
        endpoint: Option<PrivateUrl> = None,
        /// A bearer token for the collector, where it wants one.
        token: Option<Secret> = None,
        /// A file that holds the token.
        token_file: Option<PathBuf> = None,
        /// What the server is called in traces.
        service_name: String = "compute-server".to_owned(),
        /// How many of a thousand traces are sent. Which ones goes by their ids, so that all servers choose the same.
        sample_permille: u32 = ALL,
    }
}

/// A checked collector.
#[derive(Debug, Clone)]
pub(crate) struct TracesConfig {
    pub(crate) endpoint: PrivateUrl,
    pub(crate) token: Option<Secret>,
    pub(crate) service_name: String,
    pub(crate) sample_permille: u32,
}

impl Traces {
    /// The collector, where there is one.
    pub(super) fn check(&self, check: &mut Check<'_>) -> Option<TracesConfig> {
        if self.sample_permille > ALL {
            check.problem("traces.sample_permille", "must be 0 to 1000");
        }
        if self.service_name.is_empty() {
            check.problem("traces.service_name", "must not be empty");
        }
        let token = check.secret(
            "traces.token",
            self.token.as_ref(),
            self.token_file.as_ref(),
        );
        check.bearer("traces.token", token.as_ref());
        let endpoint = self.endpoint.clone()?;
        check.outside_url("traces.endpoint", endpoint.expose());
        Some(TracesConfig {
            endpoint,
            token,
            service_name: self.service_name.clone(),
            sample_permille: self.sample_permille,
        })
    }
}

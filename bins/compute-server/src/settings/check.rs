//! Turning what was written into what the program is built from, noting every problem on the way.

use std::net::IpAddr;
use std::path::Path;

use compute_outbound::{BearerToken, OutboundClient, OutboundConfig};

use super::reader::Reader;
use super::value::Secret;

/// For which command a configuration is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Real partners, or stand-ins that speak like them.
    Serve,
    /// Everything outside is simulated.
    Dev,
    /// A look at the database; nothing outside is needed.
    Operator,
}

/// A check in progress.
#[derive(Debug)]
pub(crate) struct Check<'a> {
    reader: &'a mut Reader,
    purpose: Purpose,
}

impl<'a> Check<'a> {
    pub(super) const fn new(reader: &'a mut Reader, purpose: Purpose) -> Self {
        Self { reader, purpose }
    }

    /// Whether simulations are allowed.
    pub(super) fn is_dev(&self) -> bool {
        self.purpose == Purpose::Dev
    }

    /// Notes a problem.
    pub(super) fn problem(&mut self, key: &str, what: impl Into<String>) {
        self.reader.problem(key, what);
    }

    /// A secret that is given either as a text or as a file.
    pub(super) fn secret(
        &mut self,
        key: &str,
        text: Option<&Secret>,
        file: Option<&std::path::PathBuf>,
    ) -> Option<Secret> {
        match (text, file) {
            (Some(_), Some(_)) => {
                self.problem(key, format!("is given twice: as text and as {key}_file"));
                None
            }
            (Some(text), None) => Some(text.clone()),
            (None, Some(file)) => self.file(&format!("{key}_file"), file),
            (None, None) => None,
        }
    }

    /// The content of a file without its last line break.
    pub(super) fn file(&mut self, key: &str, file: &Path) -> Option<Secret> {
        match std::fs::read_to_string(file) {
            Ok(text) if text.trim().is_empty() => {
                self.problem(key, format!("the file {} is empty", file.display()));
                None
            }
            Ok(text) => Some(Secret::new(text.trim().to_owned())),
            Err(error) => {
                self.problem(
                    key,
                    format!("the file {} cannot be read: {error}", file.display()),
                );
                None
            }
        }
    }

    /// A URL to which credentials and payments are sent: what the adapters will say to it.
    pub(super) fn outside_url(&mut self, key: &str, url: &str) {
        if let Err(error) = OutboundClient::new(&OutboundConfig::new(url)) {
            let what = format!("must be https://, or http:// to a loopback address: {error}");
            self.problem(key, what);
        }
    }

    /// A token that is sent in a header.
    pub(super) fn bearer(&mut self, key: &str, token: Option<&Secret>) {
        if let Some(Err(error)) = token.map(|token| BearerToken::parse(token.expose().into())) {
            self.problem(key, error.to_string());
        }
    }

    /// Whether the operator gave a value for a key.
    pub(super) fn is_given(&self, key: &str) -> bool {
        self.reader.has(key)
    }
}

/// Whether a URL stays on this machine.
pub(crate) fn is_loopback_url(url: &str) -> bool {
    let Some(rest) = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"))
    else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // A name and a password before the host could hide what the host is.
    if authority.contains('@') {
        return false;
    }
    let host = match authority
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        Some((host, _)) => host,
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        for url in [
            "http://127.0.0.1:4030",
            "http://[::1]/x",
            "http://localhost:80/",
            "https://127.9.9.9",
        ] {
            assert!(is_loopback_url(url), "{url}");
        }
        for url in [
            "http://example.org",
            "http://127.0.0.1.example.org",
            "http://localhost@example.org/",
            "http://[::2]:80",
            "ftp://127.0.0.1",
            "http://",
        ] {
            assert!(!is_loopback_url(url), "{url}");
        }
    }
}

//! The facilitators of a rail: one by itself, or a list.

use std::fmt;
use std::path::PathBuf;

use compute_rail_facilitator::{Access, CdpKey, CdpKeyError, Facilitator};
use figment::value::{Dict, Value};

use super::check::Check;
use super::value::{PrivateUrl, Secret, Setting};

/// Where a facilitator is and how it knows us, as it was written.
#[derive(Clone, Default)]
pub(crate) struct FacilitatorEntry {
    pub(super) url: Option<PrivateUrl>,
    pub(super) url_file: Option<PathBuf>,
    pub(super) token: Option<Secret>,
    pub(super) token_file: Option<PathBuf>,
    pub(super) cdp_key_id: Option<String>,
    pub(super) cdp_key_secret: Option<Secret>,
    pub(super) cdp_key_secret_file: Option<PathBuf>,
    pub(super) cdp_audience: Vec<String>,
}

const MEMBERS: [&str; 8] = [
    "url",
    "url_file",
    "token",
    "token_file",
    "cdp_key_id",
    "cdp_key_secret",
    "cdp_key_secret_file",
    "cdp_audience",
];

impl fmt::Debug for FacilitatorEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FacilitatorEntry")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl Setting for Vec<FacilitatorEntry> {
    const KIND: &'static str = "list of `{ url = \"…\", token = \"…\" }` or `{ url = \"…\", \
        cdp_key_id = \"…\", cdp_key_secret = \"…\" }`";
    const IS_SECRET: bool = true;

    fn read(value: &Value) -> Option<Self> {
        let entries = value.as_array()?.iter();
        entries.map(|entry| read_entry(entry.as_dict()?)).collect()
    }

    fn shown(&self) -> Option<String> {
        let entries: Vec<String> = self.iter().map(FacilitatorEntry::shown).collect();
        (!entries.is_empty()).then(|| format!("[{}]", entries.join(", ")))
    }
}

fn read_entry(members: &Dict) -> Option<FacilitatorEntry> {
    if !members.keys().all(|name| MEMBERS.contains(&name.as_str())) {
        return None;
    }
    Some(FacilitatorEntry {
        url: member(members, "url")?,
        url_file: member(members, "url_file")?,
        token: member(members, "token")?,
        token_file: member(members, "token_file")?,
        cdp_key_id: member(members, "cdp_key_id")?,
        cdp_key_secret: member(members, "cdp_key_secret")?,
        cdp_key_secret_file: member(members, "cdp_key_secret_file")?,
        cdp_audience: member(members, "cdp_audience")?.unwrap_or_default(),
    })
}

/// A member that may be absent; `None` when it is there and cannot be read.
fn member<T: Setting>(members: &Dict, name: &str) -> Option<Option<T>> {
    match members.get(name) {
        Some(value) => T::read(value).map(Some),
        None => Some(None),
    }
}

impl FacilitatorEntry {
    fn shown(&self) -> String {
        let shown = |name: &str, value: Option<String>| value.map(|it| format!("{name} = {it}"));
        let members = [
            shown("url", self.url.shown()),
            shown("url_file", self.url_file.shown()),
            shown("token", self.token.shown()),
            shown("token_file", self.token_file.shown()),
            shown("cdp_key_id", self.cdp_key_id.shown()),
            shown("cdp_key_secret", self.cdp_key_secret.shown()),
            shown("cdp_key_secret_file", self.cdp_key_secret_file.shown()),
        ];
        let members: Vec<String> = members.into_iter().flatten().collect();
        format!("{{ {} }}", members.join(", "))
    }

    /// Whether anything of it was written.
    pub(super) fn is_given(&self) -> bool {
        self.url.is_some()
            || self.url_file.is_some()
            || self.token.is_some()
            || self.token_file.is_some()
            || self.has_cdp()
    }

    fn has_cdp(&self) -> bool {
        self.cdp_key_id.is_some() || self.has_cdp_secret() || !self.cdp_audience.is_empty()
    }

    const fn has_cdp_secret(&self) -> bool {
        self.cdp_key_secret.is_some() || self.cdp_key_secret_file.is_some()
    }

    /// What the rail is built from. `key` makes the whole path of a member.
    pub(super) fn check(
        &self,
        check: &mut Check<'_>,
        key: &impl Fn(&str) -> String,
    ) -> Option<Facilitator> {
        let (url, file) = (self.url.as_ref(), self.url_file.as_ref());
        if url.is_none() && file.is_none() {
            check.problem(&key("url"), "is needed");
        }
        let url = check_url(check, &key("url"), url, file);
        let (token, file) = (self.token.as_ref(), self.token_file.as_ref());
        let has_token = token.is_some() || file.is_some();
        let token = check.secret(&key("token"), token, file);
        check.bearer(&key("token"), token.as_ref());
        if has_token && self.has_cdp() {
            let what = "is given besides a key of CDP: a facilitator knows us by one or the other";
            check.problem(&key("token"), what);
        }
        let access = if self.has_cdp() {
            Access::Cdp(Box::new(self.check_cdp(check, key)?))
        } else if has_token {
            Access::Bearer(token?.expose().into())
        } else {
            Access::Open
        };
        Some(Facilitator {
            url: url?.expose().to_owned(),
            access,
        })
    }

    fn check_cdp(&self, check: &mut Check<'_>, key: &impl Fn(&str) -> String) -> Option<CdpKey> {
        let secret_key = key("cdp_key_secret");
        let (secret, file) = (
            self.cdp_key_secret.as_ref(),
            self.cdp_key_secret_file.as_ref(),
        );
        if !self.has_cdp_secret() {
            check.problem(
                &secret_key,
                "is needed: a key of CDP has an id and a secret",
            );
        }
        if self.cdp_key_id.is_none() {
            let what = "is needed: a key of CDP has an id and a secret";
            check.problem(&key("cdp_key_id"), what);
        }
        if self.cdp_audience.iter().any(String::is_empty) {
            check.problem(&key("cdp_audience"), "must not hold an empty text");
        }
        let secret = check.secret(&secret_key, secret, file)?;
        match CdpKey::parse(self.cdp_key_id.as_deref()?, &secret.expose().into()) {
            Ok(parsed) => Some(parsed.with_audience(self.cdp_audience.clone())),
            Err(error) => {
                let wrong = match error {
                    CdpKeyError::Id => key("cdp_key_id"),
                    CdpKeyError::Secret if file.is_some() => format!("{secret_key}_file"),
                    CdpKeyError::Secret => secret_key,
                };
                check.problem(&wrong, error.to_string());
                None
            }
        }
    }
}

/// A URL that is given either as a text or as a file.
pub(super) fn check_url(
    check: &mut Check<'_>,
    key: &str,
    text: Option<&PrivateUrl>,
    file: Option<&PathBuf>,
) -> Option<PrivateUrl> {
    let text = text.map(|url| Secret::new(url.expose().to_owned()));
    let url = check.secret(key, text.as_ref(), file)?;
    check.outside_url(key, url.expose());
    Some(PrivateUrl::new(url.expose()))
}

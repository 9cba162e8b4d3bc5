//! The values a key can have: how each is read, and how it may be shown.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use compute_domain::money::Usd;
use compute_domain::time::Span;
use figment::value::Value;
use secrecy::{ExposeSecret as _, SecretString};

/// A value of a configuration key.
pub(crate) trait Setting: Sized {
    /// What to write, in the words of the manual.
    const KIND: &'static str;
    /// Whether the value must never be printed, not even when it is wrong.
    const IS_SECRET: bool = false;

    /// Reads it; `None` when it is of another kind.
    fn read(value: &Value) -> Option<Self>;

    /// Its text for people, in the notation of the file; `None` when it is not set.
    fn shown(&self) -> Option<String>;
}

/// A text that is never printed.
#[derive(Clone)]
pub(crate) struct Secret(SecretString);

impl Secret {
    /// Wraps a secret text.
    pub(crate) fn new(text: String) -> Self {
        Self(text.into())
    }

    /// The text itself.
    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A URL that may hold a password or a key: only its origin is printed.
#[derive(Clone)]
pub(crate) struct PrivateUrl(SecretString);

impl PrivateUrl {
    /// Wraps a URL.
    pub(crate) fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The whole URL.
    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The URL without user, password, query, and, except for files, without its path. What does
    /// not read as scheme and host is not shown at all: any part of it may be the password.
    pub(crate) fn masked(&self) -> String {
        let text = self.expose();
        if text.starts_with("sqlite:") {
            return text.split('?').next().unwrap_or_default().to_owned();
        }
        let Some((scheme, host, is_whole)) = clean_origin(text) else {
            return "(hidden)".to_owned();
        };
        if is_whole {
            return text.to_owned();
        }
        format!("{scheme}://{host}/…")
    }
}

/// Scheme and host with port, and whether the URL is nothing more; `None` unless they are plain.
fn clean_origin(text: &str) -> Option<(&str, &str, bool)> {
    let (scheme, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // A password with a slash in it would make half of itself the host.
    if rest
        .strip_prefix(authority)
        .is_none_or(|path| path.contains('@'))
    {
        return None;
    }
    let host = authority.rsplit('@').next().unwrap_or_default();
    let is_scheme = scheme.bytes().all(|byte| byte.is_ascii_lowercase());
    if !is_scheme || !is_plain_host(host) {
        return None;
    }
    let is_whole = authority.len() == rest.trim_end_matches('/').len() && host == authority;
    Some((scheme, host, is_whole))
}

/// A name or address, and perhaps a port.
fn is_plain_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) if address.parse::<Ipv6Addr>().is_ok() => ("v6", port),
        Some(_) => return false,
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let is_name = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    let is_port = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|port| port.parse::<u16>().is_ok());
    is_name && is_port
}

impl fmt::Debug for PrivateUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl Setting for Secret {
    const KIND: &'static str = "secret text";
    const IS_SECRET: bool = true;

    fn read(value: &Value) -> Option<Self> {
        text(value).map(Self::new)
    }

    fn shown(&self) -> Option<String> {
        Some("(hidden)".to_owned())
    }
}

impl Setting for PrivateUrl {
    const KIND: &'static str = "URL";
    const IS_SECRET: bool = true;

    fn read(value: &Value) -> Option<Self> {
        text(value).map(|text| Self::new(&text))
    }

    fn shown(&self) -> Option<String> {
        Some(quoted(&self.masked()))
    }
}

impl Setting for String {
    const KIND: &'static str = "text";

    fn read(value: &Value) -> Option<Self> {
        text(value)
    }

    fn shown(&self) -> Option<String> {
        Some(quoted(self))
    }
}

impl Setting for PathBuf {
    const KIND: &'static str = "path of a file";

    fn read(value: &Value) -> Option<Self> {
        text(value).map(Self::from)
    }

    fn shown(&self) -> Option<String> {
        Some(quoted(&self.display().to_string()))
    }
}

impl Setting for SocketAddr {
    const KIND: &'static str = "address and port";

    fn read(value: &Value) -> Option<Self> {
        text(value)?.parse().ok()
    }

    fn shown(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
}

impl Setting for bool {
    const KIND: &'static str = "true or false";

    fn read(value: &Value) -> Option<Self> {
        value.to_bool()
    }

    fn shown(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Setting for u32 {
    const KIND: &'static str = "whole number";

    fn read(value: &Value) -> Option<Self> {
        match value.to_u128() {
            Some(number) => number.try_into().ok(),
            None => value.to_i128()?.try_into().ok(),
        }
    }

    fn shown(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Setting for Span {
    const KIND: &'static str = "duration (`250ms`, `30s`, `10m`, `12h`, `7d`)";

    fn read(value: &Value) -> Option<Self> {
        parse_span(value.as_str()?)
    }

    fn shown(&self) -> Option<String> {
        Some(quoted(&span_text(*self)))
    }
}

impl Setting for Usd {
    const KIND: &'static str = "amount in USD (`\"25\"`, `\"0.50\"`)";

    /// A fraction must stand in quotation marks: without them it would be a binary fraction.
    fn read(value: &Value) -> Option<Self> {
        Self::parse(&text(value)?).ok()
    }

    fn shown(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
}

impl<T: Setting> Setting for Option<T> {
    const KIND: &'static str = T::KIND;
    const IS_SECRET: bool = T::IS_SECRET;

    fn read(value: &Value) -> Option<Self> {
        T::read(value).map(Some)
    }

    fn shown(&self) -> Option<String> {
        self.as_ref().and_then(T::shown)
    }
}

impl Setting for Vec<String> {
    const KIND: &'static str = "list of texts";

    fn read(value: &Value) -> Option<Self> {
        value.as_array()?.iter().map(text).collect()
    }

    fn shown(&self) -> Option<String> {
        let texts: Self = self.iter().map(|text| quoted(text)).collect();
        Some(format!("[{}]", texts.join(", ")))
    }
}

/// Implements [`Setting`] for an enum whose variants are words.
macro_rules! words {
    ($name:ident, $kind:literal, $( $variant:ident = $word:literal ),+ $(,)?) => {
        impl $crate::settings::value::Setting for $name {
            const KIND: &'static str = $kind;

            fn read(value: &figment::value::Value) -> Option<Self> {
                match value.as_str()? {
                    $( $word => Some(Self::$variant), )+
                    _ => None,
                }
            }

            fn shown(&self) -> Option<String> {
                Some(match self { $( Self::$variant => concat!("\"", $word, "\""), )+ }.to_owned())
            }
        }
    };
}

pub(crate) use words;

/// A text; a whole number counts as one, because the environment cannot tell `2` from `"2"`.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(_, text) => Some(text.clone()),
        Value::Char(_, character) => Some(character.to_string()),
        Value::Num(_, _) => value
            .to_u128()
            .map(|number| number.to_string())
            .or(value.to_i128().map(|n| n.to_string())),
        _ => None,
    }
}

/// An amount known when this is compiled.
pub(super) const fn usd(micros: i64) -> Usd {
    match Usd::from_micros(micros) {
        Ok(amount) => amount,
        // Our constants are amounts of money, and the checks refuse nothing.
        Err(_) => Usd::ZERO,
    }
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

/// Reads a whole number and a unit.
fn parse_span(text: &str) -> Option<Span> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let millis: i64 = match unit.trim() {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    // A year is more than any wait here needs.
    let total = number.parse::<i64>().ok()?.checked_mul(millis)?;
    (total <= 366 * 86_400_000).then_some(Span::from_millis(total))
}

/// Writes a span with the largest unit that loses nothing.
pub(super) fn span_text(span: Span) -> String {
    let millis = span.millis();
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
    ];
    let fitting = units
        .iter()
        .find(|(size, _)| millis >= *size && millis % size == 0);
    fitting.map_or_else(
        || format!("{millis}ms"),
        |(size, unit)| format!("{}{unit}", millis / size),
    )
}

#[cfg(test)]
mod tests;

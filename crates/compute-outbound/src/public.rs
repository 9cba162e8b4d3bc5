//! Where a stranger may have us send something: names of the public internet, on its usual port.
//!
//! A name is judged twice. What can be seen in the URL is refused when it is registered; where the name
//! leads is looked up at every delivery, and the connection goes to exactly those addresses, so that no
//! second answer of DNS counts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;

use crate::config::{ConfigError, OutboundConfig};

/// The longest URL, in bytes.
pub const MAX_URL: usize = 2_048;

/// The longest name that DNS has.
const MAX_NAME: usize = 253;

/// What a stranger may name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PublicRules<'a> {
    /// Our own name: nobody has us talk to ourselves.
    pub own_host: Option<&'a str>,
    /// Whether plain http to this machine will do as well: for development only.
    pub allows_loopback: bool,
}

/// A URL that may be called on behalf of a stranger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    url: Url,
    host: String,
    is_loopback: bool,
}

/// Why a URL is not called. The sentences are shown to whoever named it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublicUrlFault {
    /// It is too long, or holds what no URL holds.
    #[error("url is an absolute URL of at most 2048 visible ASCII characters")]
    Malformed,
    /// Not `https`.
    #[error("url begins with https://")]
    Scheme,
    /// A name or password before the host.
    #[error("url holds no user name and no password")]
    UserInfo,
    /// Another port than 443.
    #[error("url names no port, or 443")]
    Port,
    /// A number in whatever spelling.
    #[error("url names a host, not an address")]
    Address,
    /// A name that is of no use on the public internet.
    #[error("url names a host of the public internet")]
    Name,
    /// Ourselves.
    #[error("url does not lead back to this shop")]
    Own,
    /// A part that is never sent.
    #[error("url has no fragment")]
    Fragment,
}

/// Why a name leads nowhere that may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResolveFault {
    /// It has no address.
    #[error("the host has no address")]
    Unknown,
    /// One of its addresses at least is not public.
    #[error("the host has an address that is not of the public internet")]
    NotPublic,
}

/// Names that lead nowhere, or to this machine or network, whatever DNS says of them.
const PRIVATE_SUFFIXES: [&str; 12] = [
    "localhost",
    "local",
    "localdomain",
    "internal",
    "intranet",
    "lan",
    "home",
    "corp",
    "arpa",
    "onion",
    "test",
    "invalid",
];

impl PublicUrl {
    /// Reads a URL by the rules.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn parse(text: &str, rules: PublicRules<'_>) -> Result<Self, PublicUrlFault> {
        if text.len() > MAX_URL || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(PublicUrlFault::Malformed);
        }
        let url = Url::parse(text).map_err(|_| PublicUrlFault::Malformed)?;
        if rules.allows_loopback
            && url.scheme() == "http"
            && OutboundConfig::new(text).parse_base_url().is_ok()
        {
            let host = url.host_str().unwrap_or_default().to_owned();
            return Ok(Self {
                url,
                host,
                is_loopback: true,
            });
        }
        if url.scheme() != "https" {
            return Err(PublicUrlFault::Scheme);
        }
        // The text too: a parser drops an empty user name.
        if !url.username().is_empty() || url.password().is_some() || authority(text).contains('@') {
            return Err(PublicUrlFault::UserInfo);
        }
        if url.port().is_some() {
            return Err(PublicUrlFault::Port);
        }
        if url.fragment().is_some() {
            return Err(PublicUrlFault::Fragment);
        }
        let host = url.host_str().ok_or(PublicUrlFault::Malformed)?.to_owned();
        check_name(&host, rules.own_host)?;
        Ok(Self {
            url,
            host,
            is_loopback: false,
        })
    }

    /// The URL as it is called.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// The name that is looked up, and that the certificate must be for.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Looks the name up, once. All its addresses are public, or none is called.
    ///
    /// # Errors
    /// When it has none, or one that is not public.
    pub async fn resolve(&self) -> Result<Vec<SocketAddr>, ResolveFault> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let port = self.url.port_or_known_default().unwrap_or(443);
        let found = tokio::net::lookup_host((host, port))
            .await
            .map_err(|_| ResolveFault::Unknown)?;
        let found: Vec<SocketAddr> = found.collect();
        let is_good = |address: &SocketAddr| {
            if self.is_loopback {
                address.ip().is_loopback()
            } else {
                is_public(address.ip())
            }
        };
        match found.as_slice() {
            [] => Err(ResolveFault::Unknown),
            all if all.iter().all(is_good) => Ok(found),
            _ => Err(ResolveFault::NotPublic),
        }
    }

    /// What a client for it is made from; it goes to `addresses` and nowhere else.
    ///
    /// # Errors
    /// Never for a URL that was parsed here.
    pub fn config(&self, addresses: Vec<SocketAddr>) -> Result<OutboundConfig, ConfigError> {
        let mut config = OutboundConfig::new(self.url.as_str());
        config.parse_base_url()?;
        config.pinned = Some((self.host.clone(), addresses));
        Ok(config)
    }
}

/// What stands between the scheme and the path.
fn authority(text: &str) -> &str {
    let rest = text.split_once(':').map_or("", |(_, rest)| rest);
    let rest = rest.trim_start_matches(['/', '\\']);
    let end = rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len());
    rest.get(..end).unwrap_or_default()
}

fn check_name(host: &str, own_host: Option<&str>) -> Result<(), PublicUrlFault> {
    // The parser has turned every spelling of a number into one.
    if host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok() {
        return Err(PublicUrlFault::Address);
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let labels: Vec<&str> = name.split('.').collect();
    let is_label = |label: &&str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let top = labels.last().copied().unwrap_or_default();
    let is_private = PRIVATE_SUFFIXES.contains(&top);
    // A top-level domain has a letter: `1.2.3` and the like are numbers to some resolvers.
    let has_letter = top.bytes().any(|byte| byte.is_ascii_alphabetic());
    if name.len() > MAX_NAME
        || labels.len() < 2
        || is_private
        || !has_letter
        || !labels.iter().all(is_label)
    {
        return Err(PublicUrlFault::Name);
    }
    let own = own_host.map(|own| own.trim_end_matches('.'));
    if own.is_some_and(|own| own.eq_ignore_ascii_case(name)) {
        return Err(PublicUrlFault::Own);
    }
    Ok(())
}

/// Whether an address is one of the public internet, for one receiver. What carries an IPv4 address
/// inside is judged by that too, because something on the way may unpack it.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = match (a, b, c) {
        // This network, loopback, private.
        (0 | 10 | 127, ..) | (172, 16..=31, _) | (192, 168, _) |
        // Shared by customers of one provider; link-local.
        (100, 64..=127, _) | (169, 254, _) |
        // Protocol assignments, documentation, AS112, 6to4 relays, AMT.
        (192, 0, 0 | 2) | (192, 31, 196) | (192, 52, 193) | (192, 88, 99) | (192, 175, 48) |
        // Benchmarks, documentation.
        (198, 18..=19, _) | (198, 51, 100) | (203, 0, 113) |
        // Multicast, reserved, broadcast.
        (224..=255, ..) => true,
        _ => false,
    };
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let [a, b, c, ..] = segments;
    // Global unicast is 2000::/3; all else is special, unassigned, or an IPv4 address in disguise
    // (`::ffff:0:0/96`, `64:ff9b::/96`).
    if a & 0xe000 != 0x2000 {
        return false;
    }
    match (a, b) {
        // Teredo, benchmarks, ORCHID and other assignments of 2001::/23; documentation.
        (0x2001, 0..=0x01ff | 0x0db8) => false,
        // Documentation.
        (0x3fff, 0..=0x0fff) => false,
        // 6to4 carries an IPv4 address.
        (0x2002, _) => {
            let [high, low] = b.to_be_bytes();
            let [third, fourth] = c.to_be_bytes();
            is_public_v4(Ipv4Addr::new(high, low, third, fourth))
        }
        // Former experiments.
        (0x3ffe, _) => false,
        _ => true,
    }
}

#[cfg(test)]
#[path = "public/tests.rs"]
mod tests;

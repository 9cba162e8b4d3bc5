//! Who is at the other end, as an address.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::ConnectInfo;
use http::header::FORWARDED;
use http::{Extensions, HeaderMap, HeaderName};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address at the other end of the connection; the listener puts it into every request's
/// extensions. `ConnectInfo<SocketAddr>` of axum is understood as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// Whose word is taken for the address of a client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// Of proxies at these addresses.
    pub addresses: Vec<IpAddr>,
    /// Of so many proxies, whatever their addresses: every request passes them, and each adds its entry.
    /// None where proxies are known by their addresses.
    pub hops: usize,
    /// Where they write it.
    pub header: ForwardedHeader,
}

/// The header in which proxies name who they speak for. Only one is read: the other one is the client's
/// own text, because a proxy passes on what it does not know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl ForwardedHeader {
    /// The header with this name.
    pub fn parse(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case(X_FORWARDED_FOR.as_str()) {
            Some(Self::XForwardedFor)
        } else if name.eq_ignore_ascii_case(FORWARDED.as_str()) {
            Some(Self::Forwarded)
        } else {
            None
        }
    }
}

/// The address to count a request for.
///
/// The header is read from its end, and only as far as its entries were written by trusted proxies:
/// what stands before them is the client's own text. What is missing or broken counts for the nearest
/// address that is certain: never an error, and never nobody.
pub(crate) fn client_address(
    extensions: &Extensions,
    headers: &HeaderMap,
    proxies: &Proxies,
) -> IpAddr {
    // Without a listener's mark all such requests share one budget: never no limit, never an error.
    let peer = connection_address(extensions).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    if let Some(before) = proxies.hops.checked_sub(1) {
        let entry = entries(headers, proxies.header).into_iter().nth(before);
        return entry.flatten().unwrap_or(peer);
    }
    let is_trusted = |address: &IpAddr| proxies.addresses.contains(address);
    if !is_trusted(&peer) {
        return peer;
    }
    let mut nearest = peer;
    for entry in entries(headers, proxies.header) {
        let Some(address) = entry else {
            break;
        };
        nearest = address;
        if !is_trusted(&nearest) {
            break;
        }
    }
    nearest
}

fn connection_address(extensions: &Extensions) -> Option<IpAddr> {
    let marked = extensions.get::<Peer>().map(|peer| peer.0);
    let connected = || {
        extensions
            .get::<ConnectInfo<SocketAddr>>()
            .map(|info| info.0.ip())
    };
    marked
        .or_else(connected)
        .map(|address| address.to_canonical())
}

/// What the proxies say, nearest first; none for an entry that is no address.
fn entries(headers: &HeaderMap, header: ForwardedHeader) -> Vec<Option<IpAddr>> {
    let name = match header {
        ForwardedHeader::XForwardedFor => X_FORWARDED_FOR,
        ForwardedHeader::Forwarded => FORWARDED,
    };
    let mut entries = Vec::new();
    for line in headers.get_all(name) {
        // A line that is no text has one entry, and that is broken.
        let line = line.to_str().unwrap_or_default();
        match header {
            ForwardedHeader::XForwardedFor => {
                entries.extend(line.split(',').map(|element| parse_hop(element.trim())));
            }
            ForwardedHeader::Forwarded => {
                let nodes = split(line).into_iter().map(node_of);
                entries.extend(nodes.map(|node| node.and_then(parse_hop)));
            }
        }
    }
    entries.reverse();
    entries
}

/// The elements of a list, whose quoted parts may hold commas. A quote that is never closed is the
/// client's, and must not swallow what a proxy has added behind it: then every comma counts.
fn split(line: &str) -> Vec<&str> {
    let is_closed = line.matches('"').count().is_multiple_of(2);
    let mut is_quoted = false;
    line.split(|c| {
        is_quoted ^= c == '"' && is_closed;
        c == ',' && !is_quoted
    })
    .map(str::trim)
    .collect()
}

/// The node of an element of `Forwarded` for which it was forwarded.
fn node_of(element: &str) -> Option<&str> {
    let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, node) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    Some(node.trim().trim_matches('"'))
}

/// An address, as some proxies write it with a port or in brackets.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    let bare = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || hop.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    let plain = hop.parse::<IpAddr>().ok();
    let found = plain.or_else(with_port).or_else(|| bare().map(IpAddr::V6));
    found.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn client(peer: &str, proxies: &Proxies, lines: &[&[u8]]) -> String {
        let mut extensions = Extensions::new();
        extensions.insert(Peer(peer.parse().unwrap()));
        let mut headers = HeaderMap::new();
        let (own, other) = match proxies.header {
            ForwardedHeader::XForwardedFor => (X_FORWARDED_FOR, FORWARDED),
            ForwardedHeader::Forwarded => (FORWARDED, X_FORWARDED_FOR),
        };
        for line in lines {
            headers.append(&own, HeaderValue::from_bytes(line).unwrap());
        }
        // What the proxies do not write is the client's.
        headers.append(other, HeaderValue::from_static("6.6.6.6"));
        client_address(&extensions, &headers, proxies).to_string()
    }

    fn check(peer: &str, trusted: &[&str], forwarded: &[&str], expected: &str) {
        let proxies = Proxies {
            addresses: trusted.iter().map(|text| text.parse().unwrap()).collect(),
            ..Proxies::default()
        };
        let lines: Vec<_> = forwarded.iter().map(|line| line.as_bytes()).collect();
        assert_eq!(client(peer, &proxies, &lines), expected);
    }

    fn check_hops(hops: usize, forwarded: &[&str], expected: &str) {
        let proxies = Proxies {
            hops,
            ..Proxies::default()
        };
        let lines: Vec<_> = forwarded.iter().map(|line| line.as_bytes()).collect();
        let found = client("192.0.2.1", &proxies, &lines);
        assert_eq!(found, expected, "{hops} {forwarded:?}");
    }

    #[test]
    fn a_stranger_cannot_choose_its_address() {
        check(
            "198.51.100.7",
            &["10.0.0.1"],
            &["203.0.113.9"],
            "198.51.100.7",
        );
    }

    #[test]
    fn a_trusted_proxy_names_the_last_stranger() {
        check(
            "10.0.0.1",
            &["10.0.0.1"],
            &["1.1.1.1, 203.0.113.9"],
            "203.0.113.9",
        );
        check(
            "10.0.0.1",
            &["10.0.0.1", "10.0.0.2"],
            &["6.6.6.6, 203.0.113.9, 10.0.0.2"],
            "203.0.113.9",
        );
        check(
            "10.0.0.1",
            &["10.0.0.1"],
            &["6.6.6.6", "203.0.113.9"],
            "203.0.113.9",
        );
    }

    #[test]
    fn a_hop_may_have_a_port() {
        for (hop, expected) in [
            ("203.0.113.9:51234", "203.0.113.9"),
            ("[2001:db8::9]:51234", "2001:db8::9"),
            ("[2001:db8::9]", "2001:db8::9"),
            ("2001:db8::9", "2001:db8::9"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("203.0.113.9:port", "10.0.0.1"),
            ("[203.0.113.9]", "10.0.0.1"),
        ] {
            check("10.0.0.1", &["10.0.0.1"], &[hop], expected);
        }
        let behind = ["6.6.6.6, 203.0.113.9:1, 10.0.0.2:443"];
        check(
            "10.0.0.1",
            &["10.0.0.1", "10.0.0.2"],
            &behind,
            "203.0.113.9",
        );
    }

    #[test]
    fn junk_and_absence_fall_back_to_the_proxy() {
        check(
            "10.0.0.1",
            &["10.0.0.1"],
            &["203.0.113.9, unknown"],
            "10.0.0.1",
        );
        check("10.0.0.1", &["10.0.0.1"], &[], "10.0.0.1");
    }

    #[test]
    fn a_mapped_address_is_the_address_it_maps() {
        check("::ffff:198.51.100.7", &[], &[], "198.51.100.7");
    }

    #[test]
    fn of_so_many_proxies_the_first_names_the_client() {
        check_hops(1, &["6.6.6.6, 203.0.113.9"], "203.0.113.9");
        check_hops(2, &["6.6.6.6, 203.0.113.9, 10.0.0.1"], "203.0.113.9");
        check_hops(2, &["6.6.6.6, 203.0.113.9", "10.0.0.1"], "203.0.113.9");
        // Fewer entries than proxies, and what is no address.
        check_hops(1, &[], "192.0.2.1");
        check_hops(1, &[""], "192.0.2.1");
        check_hops(2, &["203.0.113.9"], "192.0.2.1");
        check_hops(1, &["203.0.113.9, unknown"], "192.0.2.1");
        check_hops(2, &["nonsense, 10.0.0.1"], "192.0.2.1");
        check_hops(9, &["203.0.113.9, 10.0.0.1"], "192.0.2.1");
        // Quotes mean nothing here.
        check_hops(1, &["\", 203.0.113.9"], "203.0.113.9");
    }

    #[test]
    fn what_is_no_text_is_broken() {
        let proxies = Proxies {
            hops: 1,
            ..Proxies::default()
        };
        let lines: [&[u8]; 2] = [b"203.0.113.9", b"\xff"];
        assert_eq!(client("192.0.2.1", &proxies, &lines), "192.0.2.1");
    }

    #[test]
    fn the_standard_header_is_read_where_it_is_configured() {
        let proxies = Proxies {
            hops: 1,
            header: ForwardedHeader::Forwarded,
            ..Proxies::default()
        };
        for (line, expected) in [
            ("for=203.0.113.9", "203.0.113.9"),
            (
                "for=6.6.6.6, For=\"203.0.113.9:4711\";proto=https",
                "203.0.113.9",
            ),
            (
                "proto=https;for=\"[2001:db8::9]:4711\";by=10.0.0.1",
                "2001:db8::9",
            ),
            ("for=\"6.6.6.6, 7.7.7.7\", for=203.0.113.9", "203.0.113.9"),
            ("for=203.0.113.9, for=unknown", "192.0.2.1"),
            ("for=_hidden", "192.0.2.1"),
            ("proto=https", "192.0.2.1"),
            ("203.0.113.9", "192.0.2.1"),
            ("for=\"203.0.113.9", "203.0.113.9"),
            // The client opens a quote before what the proxy adds.
            ("for=6.6.6.6;x=\", for=203.0.113.9", "203.0.113.9"),
            ("for=6.6.6.6;x=\", for=\"[2001:db8::9]:1\"", "2001:db8::9"),
            ("x=\"\\\", for=203.0.113.9", "203.0.113.9"),
        ] {
            let found = client("192.0.2.1", &proxies, &[line.as_bytes()]);
            assert_eq!(found, expected, "{line}");
        }
        assert_eq!(
            ForwardedHeader::parse("Forwarded"),
            Some(ForwardedHeader::Forwarded)
        );
        assert_eq!(ForwardedHeader::parse("via"), None);
    }
}

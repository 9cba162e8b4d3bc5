//! Who is at the other end, as an address.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::ConnectInfo;
use http::{Extensions, HeaderMap, HeaderName};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address at the other end of the connection; the listener puts it into every request's
/// extensions. `ConnectInfo<SocketAddr>` of axum is understood as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// The address to count a request for.
///
/// `X-Forwarded-For` is read from its end, and only as far as the addresses are trusted proxies:
/// what stands before them is the client's own text.
pub(crate) fn client_address(
    extensions: &Extensions,
    headers: &HeaderMap,
    trusted_proxies: &[IpAddr],
) -> IpAddr {
    // Without a listener's mark all such requests share one budget: never no limit, never an error.
    let peer = connection_address(extensions).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    if !trusted_proxies.contains(&peer) {
        return peer;
    }
    let mut nearest = peer;
    for hop in forwarded_hops(headers) {
        let Some(address) = parse_hop(hop) else {
            break;
        };
        nearest = address.to_canonical();
        if !trusted_proxies.contains(&nearest) {
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

/// An address, as some proxies write it with a port or in brackets.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    let bare = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || hop.parse::<SocketAddr>().ok().map(|socket| socket.ip());
    let plain = hop.parse::<IpAddr>().ok();
    plain.or_else(with_port).or_else(|| bare().map(IpAddr::V6))
}

/// The hops, nearest first.
fn forwarded_hops(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines: Vec<&str> = headers
        .get_all(X_FORWARDED_FOR)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .collect();
    lines
        .into_iter()
        .rev()
        .flat_map(|line| line.rsplit(',').map(str::trim))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn check(peer: &str, trusted: &[&str], forwarded: &[&'static str], expected: &str) {
        let mut extensions = Extensions::new();
        extensions.insert(Peer(peer.parse().unwrap()));
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_static(line));
        }
        let trusted: Vec<IpAddr> = trusted.iter().map(|text| text.parse().unwrap()).collect();
        let expected: IpAddr = expected.parse().unwrap();
        assert_eq!(client_address(&extensions, &headers, &trusted), expected);
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
}

//! Addresses of machines.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address in a vendor's text, when the internet can reach it. Vendors write `0.0.0.0`, nothing,
/// or a private address while a machine has none.
pub fn public_address(text: &str) -> Option<IpAddr> {
    let address: IpAddr = text.parse().ok()?;
    let is_public = match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    };
    is_public.then_some(address)
}

const fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    !(address.is_unspecified()
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || first == 0
        // Carrier-grade NAT, 100.64.0.0/10 (RFC 6598).
        || (first == 100 && second & 0xc0 == 64))
}

const fn is_public_v6(address: Ipv6Addr) -> bool {
    !(address.is_unspecified()
        || address.is_loopback()
        || address.is_multicast()
        || address.is_unique_local()
        || address.is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_addresses() {
        for (text, is_public) in [
            ("192.0.2.123", true),
            ("2001:db8::1", true),
            ("0.0.0.0", false),
            ("10.1.2.3", false),
            ("100.64.0.1", false),
            ("127.0.0.1", false),
            ("169.254.169.254", false),
            ("::", false),
            ("fe80::1", false),
            ("fd00::1", false),
            ("", false),
            ("not an address", false),
        ] {
            assert_eq!(public_address(text).is_some(), is_public, "{text}");
        }
    }
}

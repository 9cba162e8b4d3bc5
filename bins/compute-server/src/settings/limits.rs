//! `[limits]`: how much of us one client may use.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use compute_domain::money::Usd;
use compute_domain::time::Span;
use compute_engine::ports::Caps;
use compute_http::{Limits as HttpLimits, Proxies};
use compute_wallet::WalletAddress;

use super::check::Check;
use super::section::section;

section! {
    /// How much of the server one client, or all of them, may use.
    Limits {
        /// Largest request body, in bytes.
        body_bytes: u32 = 64 * 1_024,
        /// How long a client may take to send its body.
        body_read: Span = Span::from_secs(15),
        /// How long a client may take to send the head of a request.
        header_read: Span = Span::from_secs(10),
        /// How long a connection may be idle between requests.
        idle: Span = Span::from_secs(60),
        /// Requests in progress at once; more are turned away with 503, those with a payment after 30 s of waiting.
        in_flight: u32 = 2_048,
        /// Of those, requests that wait for an order or other work to move (`?wait=`); more are answered at once. At most half of `in_flight`.
        waiting: u32 = 512,
        /// The same, of one owner.
        waiting_per_owner: u32 = 16,
        /// Connections at once; for one more, the longest idle one is closed, and none with a request in progress.
        connections: u32 = 8_192,
        /// Connections at once from one address (from one /64 on IPv6); while all are taken, at most its share of them. One that was cut off for flooding counts as eight for a minute. `server.trusted_proxies` are exempt.
        connections_per_address: u32 = 512,
        /// Requests a minute from one address that prove neither an identity nor a payment.
        unauthenticated_per_minute: u32 = 600,
        /// Requests a minute, and at once, of one owner who proves an identity; a payment, and a repeat of a known purchase, never counts.
        requests_per_owner_per_minute: u32 = 1_200,
        /// The same, of all owners at one address (in one /64 on IPv6) together: a wallet costs nothing.
        owners_per_address_per_minute: u32 = 4_800,
        /// Purchases a minute, and at once, of one payer; a repeat of a known payment never counts.
        purchases_per_minute: u32 = 60,
        /// New payments by challenge a minute, and at once, that one address, and one wallet, may have its payment network asked about; a repeat of a known payment never counts.
        checks_per_minute: u32 = 120,
        /// Whether requests from this machine itself are exempt from the limits per address and per owner.
        exempt_loopback: bool = false,
        /// Live instances of one owner, those being made included.
        instances_per_owner: u32 = 20,
        /// Live instances in all.
        instances_total: u32 = 500,
        /// What all live instances together may cost an hour, at what their owners pay; no limit without it.
        hourly_total_usd: Option<Usd> = None,
        /// Wallets that nothing is sold to, as `0x…` or in base58: no purchase, extension, top-up or API key, by payment or credits. What they have stays theirs.
        blocked_payers: Vec<String> = Vec::new(),
    }
}

/// Limits that the listener keeps.
#[derive(Debug, Clone)]
pub(crate) struct ListenerLimits {
    pub(crate) header_read: Duration,
    pub(crate) idle: Duration,
    pub(crate) connections: usize,
    pub(crate) connections_per_address: u32,
    pub(crate) exempt_loopback: bool,
    /// Behind each of these are many clients.
    pub(crate) trusted_proxies: Vec<IpAddr>,
    /// Whether every connection comes from a proxy.
    pub(crate) is_behind_proxies: bool,
}

impl ListenerLimits {
    /// Whether the connections of an address are not counted.
    pub(crate) fn is_exempt(&self, address: IpAddr) -> bool {
        let is_ours = self.exempt_loopback && address.is_loopback();
        is_ours || self.is_behind_proxies || self.trusted_proxies.contains(&address)
    }
}

impl Limits {
    pub(super) fn check(
        &self,
        check: &mut Check<'_>,
        proxies: &Proxies,
    ) -> (HttpLimits, ListenerLimits) {
        self.check_counts(check);
        for (key, span) in [
            ("limits.body_read", self.body_read),
            ("limits.header_read", self.header_read),
            ("limits.idle", self.idle),
        ] {
            if span < Span::from_secs(1) {
                check.problem(key, "must be at least 1s");
            }
        }
        if !(4 * 1_024..=1_024 * 1_024).contains(&self.body_bytes) {
            check.problem("limits.body_bytes", "must be 4096 to 1048576");
        }
        if self.hourly_total_usd == Some(Usd::ZERO) {
            check.problem("limits.hourly_total_usd", "must be more than nothing");
        }
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let http = HttpLimits {
            body_bytes: count(self.body_bytes),
            body_read: duration(self.body_read),
            in_flight: count(self.in_flight),
            waiting: count(self.waiting),
            waiting_per_owner: count(self.waiting_per_owner),
            requests_per_owner_per_minute: NonZeroU32::new(self.requests_per_owner_per_minute)
                .unwrap_or(NonZeroU32::MIN),
            owners_per_address_per_minute: NonZeroU32::new(self.owners_per_address_per_minute)
                .unwrap_or(NonZeroU32::MIN),
            unauthenticated_per_minute: NonZeroU32::new(self.unauthenticated_per_minute)
                .unwrap_or(NonZeroU32::MIN),
            purchases_per_minute: NonZeroU32::new(self.purchases_per_minute)
                .unwrap_or(NonZeroU32::MIN),
            checks_per_minute: NonZeroU32::new(self.checks_per_minute).unwrap_or(NonZeroU32::MIN),
            exempt_loopback: self.exempt_loopback,
            ..HttpLimits::default()
        };
        let listener = ListenerLimits {
            header_read: duration(self.header_read),
            idle: duration(self.idle),
            connections: count(self.connections),
            connections_per_address: self.connections_per_address,
            exempt_loopback: self.exempt_loopback,
            trusted_proxies: proxies.addresses.clone(),
            is_behind_proxies: proxies.hops > 0,
        };
        (http, listener)
    }

    fn check_counts(&self, check: &mut Check<'_>) {
        let counts = [
            ("limits.in_flight", self.in_flight),
            ("limits.waiting", self.waiting),
            ("limits.waiting_per_owner", self.waiting_per_owner),
            ("limits.connections", self.connections),
            (
                "limits.connections_per_address",
                self.connections_per_address,
            ),
            (
                "limits.unauthenticated_per_minute",
                self.unauthenticated_per_minute,
            ),
            (
                "limits.requests_per_owner_per_minute",
                self.requests_per_owner_per_minute,
            ),
            (
                "limits.owners_per_address_per_minute",
                self.owners_per_address_per_minute,
            ),
            ("limits.purchases_per_minute", self.purchases_per_minute),
            ("limits.checks_per_minute", self.checks_per_minute),
            ("limits.instances_per_owner", self.instances_per_owner),
            ("limits.instances_total", self.instances_total),
        ];
        for (key, count) in counts {
            if !(1..=1_000_000).contains(&count) {
                check.problem(key, "must be 1 to 1000000");
            }
        }
    }

    /// Whom nothing is sold to.
    pub(super) fn check_payers(&self, check: &mut Check<'_>) -> BTreeSet<WalletAddress> {
        let mut payers = BTreeSet::new();
        for text in &self.blocked_payers {
            match text.parse() {
                Ok(wallet) => {
                    payers.insert(wallet);
                }
                Err(_) => check.problem(
                    "limits.blocked_payers",
                    format!("{text:?} is not an address of a wallet"),
                ),
            }
        }
        payers
    }

    /// How many instances there may be.
    pub(super) const fn caps(&self) -> Caps {
        Caps {
            instances_per_owner: self.instances_per_owner,
            instances_total: self.instances_total,
            hourly_total: self.hourly_total_usd,
        }
    }
}

/// A span for the standard library's timers.
pub(crate) fn duration(span: Span) -> Duration {
    // Spans are never negative.
    Duration::from_millis(u64::try_from(span.millis()).unwrap_or(0))
}

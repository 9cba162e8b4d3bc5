//! Bad input: a clear error, nothing written, no panic, no 5xx.

mod bodies;
mod credentials;
mod envelopes;
mod forger;
mod money;
mod payments;

use std::collections::BTreeMap;

use crate::server::{Backend, Home, Server};

/// The spent nonces of signed requests.
const NONCES: &str = "auth_nonces";

/// Every table that a request can write to.
const TABLES: &[&str] = &[
    NONCES,
    "api_keys",
    "chain_transactions",
    "instances",
    "ledger_accounts",
    "ledger_transfers",
    "operation_events",
    "operations",
    "owners",
    "payments",
    "prepaid_lots",
    "request_keys",
    "root_passwords",
    "sending_lanes",
    "wallets",
];

/// A shop, and what was in its database when it opened.
struct Stage {
    server: Server,
    home: Home,
    before: BTreeMap<&'static str, i64>,
}

impl Stage {
    async fn open(backend: Backend) -> Self {
        let home = Home::new(backend).await;
        let server = home.dev();
        let before = home.count_rows(TABLES).await;
        Self {
            server,
            home,
            before,
        }
    }

    /// What each of these tests leaves behind: nothing.
    async fn expect_untouched(&self) {
        self.expect_spent_nonces(0).await;
    }

    /// What a good signature leaves behind, whatever it signs: its nonce alone.
    async fn expect_spent_nonces(&self, spent: i64) {
        let mut expected = self.before.clone();
        expected.entry(NONCES).and_modify(|count| *count += spent);
        assert_eq!(self.home.count_rows(TABLES).await, expected);
        for journal in ["settled-base", "vultr", "digitalocean"] {
            assert!(self.home.journal(journal).is_empty(), "{journal}");
        }
        let log = self.server.log();
        assert!(
            !log.contains("panicked") && !log.contains("payment claimed"),
            "{log}"
        );
        assert_eq!(self.server.get("/readyz", &[]).await.status, 200);
    }
}

//! `[facilitator]`: settling for other shops.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use compute_facilitator::ServiceConfig;
use compute_wallet::{EvmAddress, WalletAddress};
use compute_x402::Method;

use super::check::Check;
use super::rails::{RailConfig, Settlement};
use super::section::section;
use super::value::Secret;

section! {
    /// The embedded facilitator as a service for other shops: `/verify`, `/settle` and `/supported` of x402 on a listener of its own, by the rails with `settlement = "embedded"`. Every settlement costs this server gas.
    FacilitatorService {
        /// Whether it runs.
        enabled: bool = false,
        /// Where it listens. TLS ends at a proxy in front of it.
        listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 4021)),
        /// The bearer token that clients show; needed unless `listen` is loopback.
        token: Option<Secret> = None,
        /// A file that holds the token.
        token_file: Option<PathBuf> = None,
        /// Whom payers may pay through it, as `0x…`. At least one is needed.
        recipients: Vec<String> = Vec::new(),
        /// How many questions about one payer are answered in a minute.
        per_payer_per_minute: u32 = 60,
    }
}

/// The checked section of a service that runs.
#[derive(Debug)]
pub(crate) struct FacilitatorServiceConfig {
    pub(crate) listen: SocketAddr,
    pub(crate) service: ServiceConfig,
}

impl FacilitatorServiceConfig {
    /// Whom others may be paid to, on EVM chains.
    pub(crate) fn recipients(&self) -> Vec<EvmAddress> {
        let recipients = self.service.recipients.iter();
        let evm = recipients.filter_map(|recipient| match recipient {
            WalletAddress::Evm(address) => Some(*address),
            WalletAddress::Solana(_) => None,
        });
        evm.collect()
    }
}

impl FacilitatorService {
    pub(super) fn check(
        &self,
        check: &mut Check<'_>,
        rails: &[RailConfig],
    ) -> Option<FacilitatorServiceConfig> {
        let token = check.secret(
            "facilitator.token",
            self.token.as_ref(),
            self.token_file.as_ref(),
        );
        check.bearer("facilitator.token", token.as_ref());
        if !self.enabled {
            return None;
        }
        // Our own accounts: what is paid to them buys from this shop, and must not buy elsewhere too.
        let mut own = BTreeSet::new();
        let mut serves = false;
        for rail in rails {
            own.insert(rail.pay_to.address());
            if let Settlement::Embedded(embedded) = &rail.settlement {
                own.insert(WalletAddress::Evm(embedded.hot_wallet.address()));
                own.insert(WalletAddress::Evm(embedded.treasury));
                serves |= match rail.terms.method() {
                    Method::Eip3009 { .. } => true,
                    Method::Permit { paths, .. } => paths.permit2_separator().is_some(),
                    _ => false,
                };
            }
        }
        if !serves {
            let what = "needs a rail with settlement = \"embedded\" that can pay others: by EIP-3009 or permit2";
            check.problem("facilitator.enabled", what);
        }
        if token.is_none() && !self.listen.ip().is_loopback() {
            let what = "is needed: others could spend this server's gas";
            check.problem("facilitator.token", what);
        }
        let key = "facilitator.recipients";
        let mut recipients = BTreeSet::new();
        for text in &self.recipients {
            match EvmAddress::parse(text).map(WalletAddress::Evm) {
                Ok(address) if own.contains(&address) => {
                    let what = format!("{text:?} is this shop's own: one payment would buy twice");
                    check.problem(key, what);
                }
                Ok(address) => {
                    recipients.insert(address);
                }
                Err(_) => check.problem(key, format!("{text:?} is not an address")),
            }
        }
        if recipients.is_empty() {
            check.problem(key, "must name at least one account");
        }
        let per_payer_per_minute = NonZeroU32::new(self.per_payer_per_minute);
        if per_payer_per_minute.is_none() {
            check.problem("facilitator.per_payer_per_minute", "must be at least 1");
        }
        Some(FacilitatorServiceConfig {
            listen: self.listen,
            service: ServiceConfig {
                token: token.map(|token| token.expose().into()),
                recipients,
                per_payer_per_minute: per_payer_per_minute?,
            },
        })
    }
}

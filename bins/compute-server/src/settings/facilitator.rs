//! `[facilitator]`: settling for other shops.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use compute_facilitator::ServiceConfig;
use compute_wallet::{EvmAddress, Namespace, SolanaAddress, WalletAddress};
use compute_x402::Method;
use compute_x402::exact_svm::{SvmPayTo, SvmToken};

use super::check::Check;
use super::rails::{RailConfig, Settlement};
use super::section::section;
use super::value::Secret;

section! {
    /// The embedded facilitator as a service for other shops: `/verify`, `/settle` and `/supported` of x402 on a listener of its own, by the rails with `settlement = "embedded"`. Every settlement costs this server gas, or a fee on Solana.
    FacilitatorService {
        /// Whether it runs.
        enabled: bool = false,
        /// Where it listens. TLS ends at a proxy in front of it.
        listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], 4021)),
        /// The bearer token that clients show; needed unless `listen` is loopback.
        token: Option<Secret> = None,
        /// A file that holds the token.
        token_file: Option<PathBuf> = None,
        /// Whom payers may pay through it: `0x…`, or base58 on Solana, where it is a wallet or a token account. At least one is needed.
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

/// Whom others may be paid to, by the kind of chain.
#[derive(Debug, Default)]
pub(crate) struct Recipients {
    pub(crate) evm: Vec<EvmAddress>,
    pub(crate) solana: Vec<SolanaAddress>,
}

/// This shop's own accounts: what is paid to them buys here, and must not buy elsewhere too.
#[derive(Default)]
struct Own<'a> {
    accounts: BTreeSet<WalletAddress>,
    /// Our tokens on Solana, and the token account that each is paid into.
    tokens: Vec<(&'a SvmToken, SolanaAddress)>,
}

impl<'a> Own<'a> {
    fn of(rails: &'a [RailConfig]) -> Self {
        let mut own = Self::default();
        for rail in rails {
            own.accounts.insert(rail.pay_to.address());
            match &rail.settlement {
                Settlement::Embedded(embedded) => {
                    own.accounts.insert(embedded.hot_wallet.address().into());
                    own.accounts.insert(embedded.treasury.into());
                }
                Settlement::FeePayer(config) => {
                    own.accounts.insert(config.key.address().into());
                }
                Settlement::Facilitators(_) => {}
            }
            let token = rail.terms.as_svm();
            let paid = token.and_then(|token| token.pay_to(&rail.pay_to.address()));
            if let (Some(token), Some(paid)) = (token, paid) {
                own.tokens.push((token, paid.destination(token.terms())));
            }
        }
        own
    }

    /// Whether the money of a recipient would be ours: on Solana a wallet and its token account are
    /// two addresses of one purse.
    fn has(&self, recipient: &WalletAddress) -> bool {
        let WalletAddress::Solana(address) = recipient else {
            return self.accounts.contains(recipient);
        };
        let is_purse = |(token, own): &(&SvmToken, SolanaAddress)| {
            own == address || *own == SvmPayTo::Wallet(*address).destination(token.terms())
        };
        self.accounts.contains(recipient) || self.tokens.iter().any(is_purse)
    }
}

impl FacilitatorServiceConfig {
    /// Whom others may be paid to.
    pub(crate) fn recipients(&self) -> Recipients {
        let mut recipients = Recipients::default();
        for recipient in &self.service.recipients {
            match recipient {
                WalletAddress::Evm(address) => recipients.evm.push(*address),
                WalletAddress::Solana(address) => recipients.solana.push(*address),
            }
        }
        recipients
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
        let own = Own::of(rails);
        let serves = rails.iter().any(|rail| match &rail.settlement {
            Settlement::Embedded(_) => match rail.terms.method() {
                Method::Eip3009 { .. } => true,
                Method::Permit { paths, .. } => paths.permit2_separator().is_some(),
                _ => false,
            },
            Settlement::FeePayer(_) => true,
            Settlement::Facilitators(_) => false,
        });
        if !serves {
            let what = "needs a rail with settlement = \"embedded\" that can pay others: by EIP-3009 or permit2, or on Solana";
            check.problem("facilitator.enabled", what);
        }
        if token.is_none() && !self.listen.ip().is_loopback() {
            let what = "is needed: others could spend this server's gas";
            check.problem("facilitator.token", what);
        }
        let key = "facilitator.recipients";
        let mut recipients = BTreeSet::new();
        for text in &self.recipients {
            let namespace = if text.starts_with("0x") {
                Namespace::Eip155
            } else {
                Namespace::Solana
            };
            match WalletAddress::parse(namespace, text) {
                Ok(address) if own.has(&address) => {
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

//! `[rails.<label>]`: the ways to pay.

use std::path::PathBuf;

use compute_domain::payment::RailLabel;
use compute_wallet::EvmAddress;
use compute_x402::networks::KnownToken;
use compute_x402::{Network, Recipient, TokenTerms};

use super::check::Check;
use super::section::section;
use super::value::{PrivateUrl, Secret, words};

/// The protocol of a rail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// x402, scheme `exact`, EIP-3009.
    X402Exact,
}

words!(Protocol, "`x402-exact`", X402Exact = "x402-exact");

/// Who makes the money of a rail move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SettlementBy {
    /// A remote facilitator.
    Facilitator,
    /// Nobody: the money exists on paper.
    Simulated,
}

words!(
    SettlementBy,
    "`facilitator`",
    Facilitator = "facilitator",
    Simulated = "simulated"
);

section! {
    /// One way to pay. The label is the `network` word of requests: `[rails.base]` is what a client means by `"network": "base"`.
    RailSettings {
        /// The payment protocol.
        protocol: Protocol = Protocol::X402Exact,
        /// The chain, as a CAIP-2 id such as `eip155:8453`. Needed.
        chain: Option<String> = None,
        /// The token contract. USDC of the chain when absent, where it is known.
        asset: Option<String> = None,
        /// The name in the token's EIP-712 domain. Known for known tokens.
        name: Option<String> = None,
        /// The version in the token's EIP-712 domain. Known for known tokens.
        version: Option<String> = None,
        /// Decimals of the token. Known for known tokens.
        decimals: Option<u32> = None,
        /// The account that receives the money. Needed.
        pay_to: Option<String> = None,
        /// `facilitator`. Simulated settlement belongs to the command `dev`.
        settlement: SettlementBy = SettlementBy::Facilitator,
        /// The facilitator that verifies and settles payments. Needed.
        facilitator_url: Option<PrivateUrl> = None,
        /// A file that holds the URL of the facilitator.
        facilitator_url_file: Option<PathBuf> = None,
        /// A bearer token for the facilitator, where it wants one.
        facilitator_token: Option<Secret> = None,
        /// A file that holds the token.
        facilitator_token_file: Option<PathBuf> = None,
        /// A chain node. With one, the facilitator's word is checked against the chain, and payments it lost are found.
        rpc_url: Option<PrivateUrl> = None,
        /// A file that holds the URL of the chain node.
        rpc_url_file: Option<PathBuf> = None,
    }
}

/// A checked rail.
#[derive(Debug)]
pub(crate) struct RailConfig {
    pub(crate) label: RailLabel,
    pub(crate) terms: TokenTerms,
    pub(crate) decimals: u8,
    pub(crate) pay_to: Recipient,
    pub(crate) facilitator_url: PrivateUrl,
    pub(crate) facilitator_token: Option<Secret>,
    pub(crate) rpc_url: Option<PrivateUrl>,
}

impl RailSettings {
    pub(super) fn check(&self, check: &mut Check<'_>, label: &str) -> Option<RailConfig> {
        let key = |name: &str| format!("rails.{label}.{name}");
        let parsed_label = RailLabel::parse(label);
        if let Err(error) = &parsed_label {
            check.problem(&format!("rails.{label}"), error.to_string());
        }
        if self.settlement == SettlementBy::Simulated {
            check.problem(
                &key("settlement"),
                "simulated settlement belongs to the command `dev`",
            );
        }
        let token = self.check_token(check, &key);
        let pay_to = self.check_pay_to(check, &key("pay_to"));
        let facilitator_url = check_url(
            check,
            &key("facilitator_url"),
            self.facilitator_url.as_ref(),
            self.facilitator_url_file.as_ref(),
        );
        if self.facilitator_url.is_none() && self.facilitator_url_file.is_none() {
            check.problem(&key("facilitator_url"), "is needed");
        }
        let facilitator_token = check.secret(
            &key("facilitator_token"),
            self.facilitator_token.as_ref(),
            self.facilitator_token_file.as_ref(),
        );
        check.bearer(&key("facilitator_token"), facilitator_token.as_ref());
        let rpc_url = check_url(
            check,
            &key("rpc_url"),
            self.rpc_url.as_ref(),
            self.rpc_url_file.as_ref(),
        );
        let (terms, decimals) = token?;
        Some(RailConfig {
            label: parsed_label.ok()?,
            terms,
            decimals,
            pay_to: pay_to?,
            facilitator_url: facilitator_url?,
            facilitator_token,
            rpc_url,
        })
    }

    fn check_token(
        &self,
        check: &mut Check<'_>,
        key: &impl Fn(&str) -> String,
    ) -> Option<(TokenTerms, u8)> {
        let network = self.check_network(check, &key("chain"))?;
        let known = match &self.asset {
            Some(asset) => KnownToken::find(&network, asset),
            None => compute_x402::networks::KNOWN_TOKENS
                .iter()
                .find(|token| *token.network == network),
        };
        let Some(asset) = self.asset.as_deref().or(known.map(|token| token.address)) else {
            check.problem(&key("asset"), "is needed: no token of this chain is known");
            return None;
        };
        let Ok(asset) = EvmAddress::parse(asset) else {
            check.problem(
                &key("asset"),
                "must be 0x and 40 hex digits, with a right checksum if the case is mixed",
            );
            return None;
        };
        if known.is_some_and(|token| !token.has_eip3009) {
            check.problem(
                &key("asset"),
                "has no transferWithAuthorization, which x402-exact needs",
            );
        }
        let name = self
            .name
            .as_deref()
            .or(known.map(|token| token.domain_name));
        let version = self
            .version
            .as_deref()
            .or(known.map(|token| token.domain_version));
        let decimals = self
            .decimals
            .or(known.map(|token| u32::from(token.decimals)));
        for (member, is_missing) in [
            ("name", name.is_none()),
            ("version", version.is_none()),
            ("decimals", decimals.is_none()),
        ] {
            if is_missing {
                check.problem(&key(member), "is needed: the token is not a known one");
            }
        }
        let differs = known.is_some_and(|token| {
            name != Some(token.domain_name)
                || version != Some(token.domain_version)
                || decimals != Some(u32::from(token.decimals))
        });
        if differs {
            check.problem(
                &key("asset"),
                "is a known token with another name, version or decimals",
            );
        }
        let decimals = u8::try_from(decimals?)
            .ok()
            .filter(|it| *it <= compute_pricing::MAX_DECIMALS);
        if decimals.is_none() {
            check.problem(&key("decimals"), "must be at most 24");
        }
        let terms = TokenTerms::eip3009(network, asset, name?, version?);
        if terms.is_err() {
            check.problem(&key("chain"), "must be an EVM chain");
        }
        Some((terms.ok()?, decimals?))
    }

    fn check_network(&self, check: &mut Check<'_>, key: &str) -> Option<Network> {
        let Some(text) = &self.chain else {
            check.problem(key, "is needed");
            return None;
        };
        let network = Network::find(text).filter(|network| network.caip2() == text);
        if network.as_ref().and_then(Network::chain_id).is_none() {
            check.problem(
                key,
                "must be the CAIP-2 id of an EVM chain, such as eip155:8453",
            );
            return None;
        }
        network
    }

    fn check_pay_to(&self, check: &mut Check<'_>, key: &str) -> Option<Recipient> {
        let Some(text) = &self.pay_to else {
            check.problem(key, "is needed: the account that receives the money");
            return None;
        };
        match EvmAddress::parse(text) {
            Ok(address) if address != EvmAddress::ZERO => Some(Recipient::new(address)),
            Ok(_) => {
                check.problem(key, "must not be the zero address: the money would be lost");
                None
            }
            Err(_) => {
                check.problem(
                    key,
                    "must be 0x and 40 hex digits, with a right checksum if the case is mixed",
                );
                None
            }
        }
    }
}

/// A URL that is given either as a text or as a file.
fn check_url(
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

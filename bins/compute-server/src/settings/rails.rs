//! `[rails.<label>]`: the ways to pay.

use std::path::PathBuf;

use compute_domain::payment::RailLabel;
use compute_rail_facilitator::Facilitator;
use compute_wallet::EvmAddress;
use compute_x402::networks::KnownToken;
use compute_x402::{Network, Recipient, TokenTerms};

use super::check::Check;
use super::facilitators::{FacilitatorEntry, check_url};
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
        /// The facilitator that verifies and settles payments. This or `facilitators` is needed.
        facilitator_url: Option<PrivateUrl> = None,
        /// A file that holds the URL of the facilitator.
        facilitator_url_file: Option<PathBuf> = None,
        /// A bearer token for the facilitator, where it wants one.
        facilitator_token: Option<Secret> = None,
        /// A file that holds the token.
        facilitator_token_file: Option<PathBuf> = None,
        /// The id of a key of the Coinbase Developer Platform, for its facilitator `https://api.cdp.coinbase.com/platform/v2/x402`: every request gets a token of its own, signed with the key.
        facilitator_cdp_key_id: Option<String> = None,
        /// The secret of that key as it was issued: an EC key (P-256) in PEM form, or the base64 text of an Ed25519 key. Line breaks may be written as `\n`.
        facilitator_cdp_key_secret: Option<Secret> = None,
        /// A file that holds the secret of the key.
        facilitator_cdp_key_secret_file: Option<PathBuf> = None,
        /// The audience that the tokens name; none when empty.
        facilitator_cdp_audience: Vec<String> = Vec::new(),
        /// Several facilitators instead, the preferred one first; the next serves while those before it cannot be reached. Members are those above without `facilitator_`, also with `_file`. More than one need `rpc_url`.
        facilitators: Vec<FacilitatorEntry> = Vec::new(),
        /// A chain node; needed with several facilitators. With one, the facilitator's word is checked against the chain, and payments it lost are found.
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
    pub(crate) facilitators: Vec<Facilitator>,
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
        let facilitators = self.check_facilitators(check, &key);
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
            facilitators: facilitators?,
            rpc_url,
        })
    }

    fn check_facilitators(
        &self,
        check: &mut Check<'_>,
        key: &impl Fn(&str) -> String,
    ) -> Option<Vec<Facilitator>> {
        let single = FacilitatorEntry {
            url: self.facilitator_url.clone(),
            url_file: self.facilitator_url_file.clone(),
            token: self.facilitator_token.clone(),
            token_file: self.facilitator_token_file.clone(),
            cdp_key_id: self.facilitator_cdp_key_id.clone(),
            cdp_key_secret: self.facilitator_cdp_key_secret.clone(),
            cdp_key_secret_file: self.facilitator_cdp_key_secret_file.clone(),
            cdp_audience: self.facilitator_cdp_audience.clone(),
        };
        if self.facilitators.is_empty() {
            let member = |name: &str| key(&format!("facilitator_{name}"));
            return Some(vec![single.check(check, &member)?]);
        }
        if single.is_given() {
            let what = "is given besides a single facilitator: put that one into the list";
            check.problem(&key("facilitators"), what);
        }
        if self.facilitators.len() > 1 && self.rpc_url.is_none() && self.rpc_url_file.is_none() {
            let what = "is needed with several facilitators: only the chain can tell that one of \
                them did not settle what the next one is asked to settle";
            check.problem(&key("rpc_url"), what);
        }
        let mut checked = Vec::new();
        for (index, entry) in self.facilitators.iter().enumerate() {
            let member = |name: &str| key(&format!("facilitators[{index}].{name}"));
            checked.push(entry.check(check, &member));
        }
        checked.into_iter().collect()
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

//! Which token a rail takes.

use compute_wallet::EvmAddress;
use compute_x402::networks::{KNOWN_TOKENS, KnownToken};
use compute_x402::{Network, OfferError, PermitPaths, TokenTerms};

use super::super::check::Check;
use super::{RailSettings, TokenMethod};

/// A checked token.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) network: Network,
    pub(super) asset: EvmAddress,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) decimals: u8,
    pub(super) method: TokenMethod,
}

impl Token {
    pub(super) fn eip3009(&self) -> Result<TokenTerms, OfferError> {
        TokenTerms::eip3009(self.network.clone(), self.asset, &self.name, &self.version)
    }

    /// As a facilitator settles it. A permit for itself is nothing that a facilitator should get: it
    /// names no recipient.
    pub(super) fn facilitated(&self) -> Result<TokenTerms, OfferError> {
        match (self.method, self.network.chain_id()) {
            (TokenMethod::Permit, Some(chain_id)) => {
                self.permit(PermitPaths::none().with_permit2(chain_id))
            }
            _ => self.eip3009(),
        }
    }

    pub(super) fn permit(&self, paths: PermitPaths) -> Result<TokenTerms, OfferError> {
        let network = self.network.clone();
        TokenTerms::permit(network, self.asset, &self.name, &self.version, paths)
    }
}

impl RailSettings {
    pub(super) fn check_token(
        &self,
        check: &mut Check<'_>,
        key: &impl Fn(&str) -> String,
    ) -> Option<Token> {
        let network = self.check_network(check, &key("chain"))?;
        let known = match &self.asset {
            Some(asset) => KnownToken::find(&network, asset),
            None => KNOWN_TOKENS.iter().find(|token| *token.network == network),
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
        let method = self.check_method(check, &key("method"), known);
        Some(Token {
            network,
            asset,
            name: name?.to_owned(),
            version: version?.to_owned(),
            decimals: decimals?,
            method,
        })
    }

    fn check_method(
        &self,
        check: &mut Check<'_>,
        key: &str,
        known: Option<&KnownToken>,
    ) -> TokenMethod {
        let usual = match known {
            Some(token) if !token.has_eip3009 => TokenMethod::Permit,
            _ => TokenMethod::Eip3009,
        };
        let method = self.method.unwrap_or(usual);
        if method == TokenMethod::Eip3009 && usual == TokenMethod::Permit {
            let what = "must be `permit`: the token has no transferWithAuthorization";
            check.problem(key, what);
        }
        method
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
}

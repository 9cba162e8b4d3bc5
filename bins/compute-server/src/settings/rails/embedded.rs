//! What a rail needs that settles by itself.

use compute_pricing::to_asset;
use compute_wallet::{EvmAddress, EvmKey};
use compute_x402::{OfferError, PermitPaths, Recipient, TokenTerms};

use super::super::check::Check;
use super::token::Token;
use super::{RailSettings, TokenMethod};

/// A checked hot wallet and its limits.
#[derive(Debug)]
pub(crate) struct EmbeddedConfig {
    pub(crate) hot_wallet: EvmKey,
    pub(crate) treasury: EvmAddress,
    pub(crate) confirmations: u32,
    pub(crate) finality_blocks: u32,
    pub(crate) max_gas_price_gwei: u32,
    pub(crate) max_gas_per_day_gwei: u32,
    /// Atomic units of the token.
    pub(crate) sweep_cap: u128,
    pub(crate) sync_send: bool,
}

impl RailSettings {
    pub(super) fn check_embedded(
        &self,
        check: &mut Check<'_>,
        key: &impl Fn(&str) -> String,
        treasury: Option<EvmAddress>,
        token: Option<&Token>,
    ) -> Option<EmbeddedConfig> {
        if self.rpc_url.is_none() && self.rpc_url_file.is_none() {
            check.problem(&key("rpc_url"), "is needed: the server settles through it");
        }
        if self.confirmations == 0 || self.finality_blocks < self.confirmations {
            let what = "must be at least 1, and finality_blocks no fewer";
            check.problem(&key("confirmations"), what);
        }
        if token.is_some_and(|it| it.method == TokenMethod::Permit)
            && !self.direct_permits
            && !self.permit2
        {
            check.problem(
                &key("permit2"),
                "or direct_permits is needed: nobody could pay",
            );
        }
        let hot_wallet = self.check_hot_wallet(check, &key("hot_wallet_key"))?;
        let treasury = treasury?;
        if treasury == hot_wallet.address() {
            let what = "must not be the hot wallet: its key lies on this server";
            check.problem(&key("pay_to"), what);
        }
        let cap = to_asset(self.sweep_cap, token?.decimals);
        if cap.is_err() {
            check.problem(&key("sweep_cap"), "is more than the token can say");
        }
        Some(EmbeddedConfig {
            hot_wallet,
            treasury,
            confirmations: self.confirmations,
            finality_blocks: self.finality_blocks,
            max_gas_price_gwei: self.max_gas_price_gwei,
            max_gas_per_day_gwei: self.max_gas_per_day_gwei,
            sweep_cap: cap.ok()?.atomic,
            sync_send: self.sync_send,
        })
    }

    fn check_hot_wallet(&self, check: &mut Check<'_>, key: &str) -> Option<EvmKey> {
        let (text, file) = (
            self.hot_wallet_key.as_ref(),
            self.hot_wallet_key_file.as_ref(),
        );
        if text.is_none() && file.is_none() {
            check.problem(key, "is needed: the account that pays for gas");
        }
        let secret = check.secret(key, text, file)?;
        match EvmKey::from_hex(secret.expose()) {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                check.problem(key, error.to_string());
                None
            }
        }
    }

    /// The token and the recipient that offers name.
    pub(super) fn embedded_offer(
        &self,
        token: &Token,
        embedded: &EmbeddedConfig,
    ) -> (Result<TokenTerms, OfferError>, Recipient) {
        let treasury = Recipient::new(embedded.treasury);
        if token.method == TokenMethod::Eip3009 {
            let terms = token.eip3009();
            let terms = if self.contract_wallets {
                terms.map(TokenTerms::with_contract_wallets)
            } else {
                terms
            };
            return (terms, treasury);
        }
        let mut paths = PermitPaths::none();
        if let (true, Some(chain_id)) = (self.permit2, token.network.chain_id()) {
            paths = paths.with_permit2(chain_id);
        }
        if !self.direct_permits {
            return (token.permit(paths), treasury);
        }
        let hot_wallet = embedded.hot_wallet.address();
        let terms = token.permit(paths.with_spender(hot_wallet));
        (terms, Recipient::new(hot_wallet))
    }
}

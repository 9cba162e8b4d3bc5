//! A rail on Solana.

use compute_pricing::to_asset;
use compute_wallet::{Namespace, SolanaAddress, SolanaKey};
use compute_x402::exact_svm::{SvmTerms, SvmToken, TokenProgram};
use compute_x402::networks::{KNOWN_MINTS, KnownMint};
use compute_x402::{Network, Recipient, TokenTerms};

use super::super::check::Check;
use super::{RailSettings, Settlement, SettlementBy, TokenProgramName};

/// A checked fee payer and its limits.
#[derive(Debug)]
pub(crate) struct FeePayerConfig {
    pub(crate) key: SolanaKey,
    pub(crate) max_lamports_per_day: u32,
    pub(crate) min_balance_lamports: u32,
    pub(crate) max_failures_per_payer: u32,
    /// Atomic units of the token.
    pub(crate) finalized_above: u128,
}

/// A checked rail on Solana.
pub(super) struct SolanaOffer {
    pub(super) terms: TokenTerms,
    pub(super) decimals: u8,
    pub(super) pay_to: Recipient,
    pub(super) settlement: Settlement,
}

/// A checked token, before it is known who pays the fee.
struct Mint {
    network: Network,
    mint: SolanaAddress,
    decimals: u8,
}

impl RailSettings {
    pub(super) fn is_on_solana(&self) -> bool {
        self.chain
            .as_deref()
            .is_some_and(|chain| chain.starts_with("solana:"))
    }

    pub(super) fn check_solana(
        &self,
        check: &mut Check<'_>,
        key: &impl Fn(&str) -> String,
    ) -> Option<SolanaOffer> {
        let mint = self.check_mint(check, key);
        let pay_to = self.check_solana_account(check, &key("pay_to"), self.pay_to.as_deref());
        let has_node = self.rpc_url.is_some() || self.rpc_url_file.is_some();
        let (fee_payer, settlement) = if self.settlement == SettlementBy::Embedded {
            if !has_node {
                check.problem(&key("rpc_url"), "is needed: the server settles through it");
            }
            let decimals = mint.as_ref().map(|it| it.decimals);
            let config = self.check_fee_payer_key(check, key, decimals)?;
            let settlement = Settlement::FeePayer(Box::new(config));
            (self.fee_payer_of(&settlement), settlement)
        } else {
            if has_node {
                let what = "is used on Solana only with settlement = \"embedded\"";
                check.problem(&key("rpc_url"), what);
            }
            if self.facilitators.len() > 1 {
                let what = "must be one on Solana: only the chain could tell that one of them did \
                    not settle what the next one is asked to settle";
                check.problem(&key("facilitators"), what);
            }
            let text = self.fee_payer.as_deref();
            let fee_payer = self.check_solana_account(check, &key("fee_payer"), text);
            let facilitators = self.check_facilitators(check, key)?;
            (fee_payer, Settlement::Facilitators(facilitators))
        };
        let (mint, pay_to, fee_payer) = (mint?, pay_to?, fee_payer?);
        if pay_to == fee_payer {
            let what = "must not be the account that pays fees";
            check.problem(&key("pay_to"), what);
            return None;
        }
        let program = match self.token_program {
            TokenProgramName::Token => TokenProgram::Token,
            TokenProgramName::Token2022 => TokenProgram::Token2022,
        };
        let terms = SvmTerms::new(mint.network, mint.mint, program, mint.decimals, fee_payer);
        let mut token = SvmToken::new(terms.ok()?);
        if self.pay_to_is_token_account {
            token = token.to_token_accounts();
        }
        Some(SolanaOffer {
            terms: TokenTerms::svm(token),
            decimals: mint.decimals,
            pay_to: Recipient::new(pay_to),
            settlement,
        })
    }

    fn fee_payer_of(&self, settlement: &Settlement) -> Option<SolanaAddress> {
        match settlement {
            Settlement::FeePayer(config) => Some(config.key.address()),
            _ => None,
        }
    }

    fn check_mint(&self, check: &mut Check<'_>, key: &impl Fn(&str) -> String) -> Option<Mint> {
        let network = self.chain.as_deref().and_then(Network::find);
        let network = network.filter(|network| {
            network.namespace() == Namespace::Solana
                && self.chain.as_deref() == Some(network.caip2())
        });
        let Some(network) = network else {
            let what = "must be the CAIP-2 id of a network of Solana, such as \
                solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp";
            check.problem(&key("chain"), what);
            return None;
        };
        let usual = KNOWN_MINTS.iter().find(|known| *known.network == network);
        let text = self.asset.as_deref().or(usual.map(|known| known.address));
        if text.is_none() {
            check.problem(
                &key("asset"),
                "is needed: no token of this network is known",
            );
            return None;
        }
        let mint = self.check_solana_account(check, &key("asset"), text)?;
        let known = KnownMint::find(&network, &mint);
        let known_decimals = known.map(|known| u32::from(known.decimals));
        let Some(decimals) = self.decimals.or(known_decimals) else {
            let what = "is needed: the token is not a known one";
            check.problem(&key("decimals"), what);
            return None;
        };
        let is_other = known_decimals.is_some_and(|known| known != decimals)
            || (known.is_some() && self.token_program != TokenProgramName::Token);
        if is_other {
            let what = "is a known token with other decimals, or of another program";
            check.problem(&key("asset"), what);
        }
        let decimals = u8::try_from(decimals)
            .ok()
            .filter(|it| *it <= compute_pricing::MAX_DECIMALS);
        if decimals.is_none() {
            check.problem(&key("decimals"), "must be at most 24");
        }
        Some(Mint {
            network,
            mint,
            decimals: decimals?,
        })
    }

    fn check_solana_account(
        &self,
        check: &mut Check<'_>,
        key: &str,
        text: Option<&str>,
    ) -> Option<SolanaAddress> {
        let Some(text) = text else {
            check.problem(key, "is needed: an account on Solana");
            return None;
        };
        let account = SolanaAddress::parse(text).ok();
        if account.is_none() {
            check.problem(key, "must be base58 of 32 bytes");
        }
        account
    }

    fn check_fee_payer_key(
        &self,
        check: &mut Check<'_>,
        key: &impl Fn(&str) -> String,
        decimals: Option<u8>,
    ) -> Option<FeePayerConfig> {
        let (text, file) = (
            self.fee_payer_key.as_ref(),
            self.fee_payer_key_file.as_ref(),
        );
        let name = key("fee_payer_key");
        if text.is_none() && file.is_none() {
            check.problem(&name, "is needed: the account that pays fees");
        }
        if self.max_failures_per_payer == 0 {
            let what = "must be at least 1: nobody could pay";
            check.problem(&key("max_failures_per_payer"), what);
        }
        let secret = check.secret(&name, text, file)?;
        let parsed = SolanaKey::parse(secret.expose());
        if let Err(error) = &parsed {
            check.problem(&name, error.to_string());
        }
        let above = to_asset(self.finalized_above, decimals?);
        if above.is_err() {
            check.problem(&key("finalized_above"), "is more than the token can say");
        }
        Some(FeePayerConfig {
            key: parsed.ok()?,
            max_lamports_per_day: self.max_lamports_per_day,
            min_balance_lamports: self.min_balance_lamports,
            max_failures_per_payer: self.max_failures_per_payer,
            finalized_above: above.ok()?.atomic,
        })
    }
}

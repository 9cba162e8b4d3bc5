//! `[rails.<label>]`: the ways to pay.

mod embedded;
mod solana;
mod token;

use std::path::PathBuf;

use compute_domain::money::{MICROS_PER_USD, Usd};
use compute_domain::payment::RailLabel;
use compute_rail_facilitator::Facilitator;
use compute_wallet::{EvmAddress, WalletAddress};
use compute_x402::{Recipient, TokenTerms};

pub(crate) use self::embedded::EmbeddedConfig;
pub(crate) use self::solana::FeePayerConfig;
use super::check::Check;
use super::facilitators::{FacilitatorEntry, check_url};
use super::section::section;
use super::value::{PrivateUrl, Secret, usd, words};

/// The protocol of a rail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// x402, scheme `exact`, EIP-3009.
    X402Exact,
}

words!(Protocol, "`x402-exact`", X402Exact = "x402-exact");

/// How payments in a token are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenMethod {
    /// `transferWithAuthorization`.
    Eip3009,
    /// ERC-2612 permits.
    Permit,
}

words!(
    TokenMethod,
    "`eip3009` or `permit`",
    Eip3009 = "eip3009",
    Permit = "permit"
);

/// The program of Solana that keeps a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenProgramName {
    /// SPL Token.
    Token,
    /// Token-2022.
    Token2022,
}

words!(
    TokenProgramName,
    "`token` or `token-2022`",
    Token = "token",
    Token2022 = "token-2022"
);

/// Who makes the money of a rail move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SettlementBy {
    /// A remote facilitator.
    Facilitator,
    /// This server, with a hot wallet.
    Embedded,
    /// Nobody: the money exists on paper.
    Simulated,
}

words!(
    SettlementBy,
    "`facilitator` or `embedded`",
    Facilitator = "facilitator",
    Embedded = "embedded",
    Simulated = "simulated"
);

section! {
    /// One way to pay. The label is the `network` word of requests: `[rails.base]` is what a client means by `"network": "base"`.
    RailSettings {
        /// The payment protocol.
        protocol: Protocol = Protocol::X402Exact,
        /// The chain, as a CAIP-2 id such as `eip155:8453` or `solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp`. Needed.
        chain: Option<String> = None,
        /// The token contract; on Solana the mint. USDC of the chain when absent, where it is known.
        asset: Option<String> = None,
        /// The name in the token's EIP-712 domain. Known for known tokens.
        name: Option<String> = None,
        /// The version in the token's EIP-712 domain. Known for known tokens.
        version: Option<String> = None,
        /// Decimals of the token. Known for known tokens.
        decimals: Option<u32> = None,
        /// How payments are signed: `eip3009` for tokens with `transferWithAuthorization`, `permit` for others with ERC-2612. Known for known tokens, else `eip3009`.
        method: Option<TokenMethod> = None,
        /// The account that receives the money. Needed.
        pay_to: Option<String> = None,
        /// On Solana: whether `pay_to` is a token account, which is paid itself, and not a wallet, which is paid into its associated token account. Either way the token account must exist.
        pay_to_is_token_account: bool = false,
        /// On Solana: the program that keeps the token. Mints of `token-2022` with extensions are not sold for.
        token_program: TokenProgramName = TokenProgramName::Token,
        /// Who settles: a remote `facilitator`, or the server itself: `embedded`, with a hot wallet that pays for gas (on Solana with a fee payer), and no third party. Simulated settlement belongs to the command `dev`.
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
        /// A chain node; needed with several facilitators, and when the server settles itself. With one, the facilitator's word is checked against the chain, and payments it lost are found.
        rpc_url: Option<PrivateUrl> = None,
        /// A file that holds the URL of the chain node.
        rpc_url_file: Option<PathBuf> = None,
        /// On Solana with a facilitator: the account from which it pays fees, as its `/supported` says (`extra.feePayer`). Offers name it; while the facilitator lists another one, the rail is not offered.
        fee_payer: Option<String> = None,
        /// On Solana with `embedded`: the secret key of the account that pays fees, as base58 of 64 bytes or the JSON list of a keypair file; needed. The account needs some SOL, some 10 000 lamports a payment, and nothing else.
        fee_payer_key: Option<Secret> = None,
        /// A file that holds the key.
        fee_payer_key_file: Option<PathBuf> = None,
        /// On Solana with `embedded`: the most that is spent on fees within 24 hours, in lamports: 100 000 000 are 0.1 SOL.
        max_lamports_per_day: u32 = 100_000_000,
        /// On Solana with `embedded`: the rail is not offered while the fee payer has less, in lamports.
        min_balance_lamports: u32 = 20_000_000,
        /// On Solana with `embedded`: how many failures on the chain within an hour, each at our expense, a payer may cause.
        max_failures_per_payer: u32 = 3,
        /// On Solana with `embedded`: larger payments wait until nothing can undo them, about 13 s.
        finalized_above: Usd = usd(1_000 * MICROS_PER_USD),
        /// The secret key of the hot wallet, as 64 hex digits; needed with `embedded`. The account needs some of the chain's own coin for gas. Rails of one chain may share it, and so do the replicas.
        hot_wallet_key: Option<Secret> = None,
        /// A file that holds the key.
        hot_wallet_key_file: Option<PathBuf> = None,
        /// With `embedded`: whether wallets that are contracts may pay (ERC-1271).
        contract_wallets: bool = true,
        /// With `embedded` and `permit`: whether payers may approve the hot wallet directly. Then offers name the hot wallet as the recipient, what is paid through Permit2 lies there until it is swept, and one offer serves all clients.
        direct_permits: bool = true,
        /// With `permit`: whether payers may pay through Permit2, which clients of version 2 do. Needed with a facilitator, which settles permits in no other way, and must list the extension `eip2612GasSponsoring` in its `/supported`.
        permit2: bool = true,
        /// With `embedded`: how many blocks make a payment settled; 1 is the block that has it.
        confirmations: u32 = 1,
        /// With `embedded`: after how many blocks nothing is undone any more.
        finality_blocks: u32 = 12,
        /// With `embedded`: the most that is paid for gas, in gwei per gas. While the chain asks for more, the rail is not offered.
        max_gas_price_gwei: u32 = 50,
        /// With `embedded`: the most that is spent on gas within 24 hours, in gwei: 50 000 000 are 0.05 of the coin.
        max_gas_per_day_gwei: u32 = 50_000_000,
        /// With `embedded`: whether the chain node knows `eth_sendRawTransactionSync` (EIP-7966), as MegaETH's do, and is asked to answer when a transaction is in a block. A node that does not, or too late, is asked in the usual way.
        sync_send: bool = false,
        /// With `embedded` and `permit`: the rail is withdrawn while more money than this lies in the hot wallet; less than a ten-thousandth of it is moved on with the next sale only.
        sweep_cap: Usd = usd(1_000 * MICROS_PER_USD),
    }
}

/// A checked rail.
#[derive(Debug)]
pub(crate) struct RailConfig {
    pub(crate) label: RailLabel,
    pub(crate) terms: TokenTerms,
    pub(crate) decimals: u8,
    pub(crate) pay_to: Recipient,
    pub(crate) settlement: Settlement,
    pub(crate) rpc_url: Option<PrivateUrl>,
}

/// Who settles, with what it needs.
#[derive(Debug)]
pub(crate) enum Settlement {
    Facilitators(Vec<Facilitator>),
    Embedded(Box<EmbeddedConfig>),
    FeePayer(Box<FeePayerConfig>),
}

impl RailConfig {
    /// Where this rail's money arrives, and whether the server can see that it does.
    fn addresses(&self) -> (Vec<WalletAddress>, bool) {
        let pay_to = self.pay_to.address();
        match &self.settlement {
            Settlement::Embedded(embedded) => {
                let mut addresses = vec![pay_to, WalletAddress::Evm(embedded.treasury)];
                addresses.dedup();
                (addresses, true)
            }
            Settlement::FeePayer(_) => (vec![pay_to], true),
            Settlement::Facilitators(_) => {
                let sees = self.rpc_url.is_some() && self.terms.as_svm().is_none();
                (vec![pay_to], sees)
            }
        }
    }
}

/// Rails of one token share all their addresses or none: else money of one of them would count as
/// nobody's at the other (decision 16).
pub(super) fn check_addresses(check: &mut Check<'_>, rails: &[RailConfig]) {
    for (index, rail) in rails.iter().enumerate() {
        let (own, sees) = rail.addresses();
        let of_one_token = rails.iter().take(index).filter(|other| {
            other.terms.network() == rail.terms.network()
                && other.terms.asset_text() == rail.terms.asset_text()
        });
        for other in of_one_token {
            let (theirs, other_sees) = other.addresses();
            let is_shared = own.iter().any(|address| theirs.contains(address));
            let is_same = own.len() == theirs.len()
                && own.iter().all(|address| theirs.contains(address))
                && sees == other_sees;
            if is_shared && !is_same {
                let what = format!(
                    "is also where rails.{} takes this token, in another way: what arrives there could \
                     not be told apart; it needs another address",
                    other.label
                );
                check.problem(&format!("rails.{}.pay_to", rail.label), what);
            }
        }
    }
}

#[cfg(test)]
impl RailConfig {
    /// The facilitators; none when the server settles itself.
    pub(super) fn facilitators(&self) -> &[Facilitator] {
        match &self.settlement {
            Settlement::Facilitators(facilitators) => facilitators,
            Settlement::Embedded(_) | Settlement::FeePayer(_) => &[],
        }
    }
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
        let rpc_url = check_url(
            check,
            &key("rpc_url"),
            self.rpc_url.as_ref(),
            self.rpc_url_file.as_ref(),
        );
        if self.is_on_solana() {
            let solana = self.check_solana(check, &key)?;
            return Some(RailConfig {
                label: parsed_label.ok()?,
                terms: solana.terms,
                decimals: solana.decimals,
                pay_to: solana.pay_to,
                settlement: solana.settlement,
                rpc_url,
            });
        }
        let treasury = self.check_pay_to(check, &key("pay_to"));
        let token = self.check_token(check, &key);
        let settlement = match self.settlement {
            SettlementBy::Embedded => {
                let embedded = self.check_embedded(check, &key, treasury, token.as_ref());
                embedded.map(|it| Settlement::Embedded(Box::new(it)))
            }
            SettlementBy::Facilitator | SettlementBy::Simulated => {
                let method = token.as_ref().map(|it| it.method);
                if method == Some(TokenMethod::Permit) && !self.permit2 {
                    let what = "must be true: a facilitator settles permits through Permit2 only";
                    check.problem(&key("permit2"), what);
                }
                let facilitators = self.check_facilitators(check, &key);
                facilitators.map(Settlement::Facilitators)
            }
        };
        let (token, settlement, treasury) = (token?, settlement?, treasury?);
        let (terms, pay_to) = match &settlement {
            Settlement::Embedded(embedded) => self.embedded_offer(&token, embedded),
            Settlement::Facilitators(_) | Settlement::FeePayer(_) => {
                (token.facilitated(), Recipient::new(treasury))
            }
        };
        let Ok(terms) = terms else {
            check.problem(&key("chain"), "must be an EVM chain");
            return None;
        };
        Some(RailConfig {
            label: parsed_label.ok()?,
            terms,
            decimals: token.decimals,
            pay_to,
            settlement,
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

    fn check_pay_to(&self, check: &mut Check<'_>, key: &str) -> Option<EvmAddress> {
        let Some(text) = &self.pay_to else {
            check.problem(key, "is needed: the account that receives the money");
            return None;
        };
        match EvmAddress::parse(text) {
            Ok(address) if address != EvmAddress::ZERO => Some(address),
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

//! A token on Solana as a server offers it.

use compute_wallet::WalletAddress;

use crate::exact_svm::terms::{SvmLimits, SvmPayTo, SvmTerms};
use crate::payload::Version;
use crate::wire::Extra;

/// A token on Solana and the conditions under which it is taken.
///
/// Made once at start-up: it holds the texts that every offer repeats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SvmToken {
    terms: SvmTerms,
    /// Clients of version 1 write no memo, so none is asked of them.
    without_memo: SvmTerms,
    fee_payer_text: Box<str>,
    pays_token_account: bool,
    limits: SvmLimits,
}

impl SvmToken {
    /// A token that is paid to wallets, at the usual limits of what settling may cost.
    #[must_use]
    pub fn new(terms: SvmTerms) -> Self {
        Self {
            without_memo: terms.clone().without_memo(),
            fee_payer_text: terms.fee_payer().to_string().into(),
            terms,
            pays_token_account: false,
            limits: SvmLimits::default(),
        }
    }

    /// Recipients of offers are token accounts themselves, not wallets.
    #[must_use]
    pub fn to_token_accounts(self) -> Self {
        Self {
            pays_token_account: true,
            ..self
        }
    }

    /// Settling may cost no more than this.
    #[must_use]
    pub fn with_limits(self, limits: SvmLimits) -> Self {
        Self { limits, ..self }
    }

    /// The token, who pays the fee, and the memo that is asked for in version 2.
    #[must_use]
    pub const fn terms(&self) -> &SvmTerms {
        &self.terms
    }

    /// What a payment of this version must satisfy.
    #[must_use]
    pub const fn terms_in(&self, version: Version) -> &SvmTerms {
        match version {
            Version::V1 => &self.without_memo,
            Version::V2 => &self.terms,
        }
    }

    /// Whether recipients of offers are token accounts.
    #[must_use]
    pub const fn pays_token_account(&self) -> bool {
        self.pays_token_account
    }

    /// What settling may cost.
    #[must_use]
    pub const fn limits(&self) -> &SvmLimits {
        &self.limits
    }

    /// The recipient of an offer as what it is; `None` for an address of another chain.
    #[must_use]
    pub const fn pay_to(&self, recipient: &WalletAddress) -> Option<SvmPayTo> {
        match recipient {
            WalletAddress::Solana(address) if self.pays_token_account => {
                Some(SvmPayTo::TokenAccount(*address))
            }
            WalletAddress::Solana(address) => Some(SvmPayTo::Wallet(*address)),
            WalletAddress::Evm(_) => None,
        }
    }

    pub(crate) fn extra(&self, version: Version) -> Extra<'_> {
        Extra {
            fee_payer: Some(self.fee_payer_text.as_ref().into()),
            memo: self.terms_in(version).memo().map(Into::into),
            ..Extra::default()
        }
    }
}

//! What a payment on Solana must satisfy.

use compute_wallet::{Namespace, SolanaAddress};

use crate::exact_svm::programs::{TokenProgram, associated_token_account};
use crate::networks::Network;

/// A token, who pays the fee of its transfer, and the memo, if one is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SvmTerms {
    network: Network,
    mint: SolanaAddress,
    token_program: TokenProgram,
    decimals: u8,
    fee_payer: SolanaAddress,
    memo: Option<String>,
}

/// The terms cannot be those of a payment on Solana.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SvmTermsError {
    /// The network is no Solana network.
    #[error("the network is not a Solana network")]
    Network,
}

/// Who is paid: the `payTo` of an offer, with what it is.
///
/// An address does not tell whether it is a wallet or a token account; the chain does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SvmPayTo {
    /// A wallet, which is paid into its associated token account.
    Wallet(SolanaAddress),
    /// A token account, which is paid itself.
    TokenAccount(SolanaAddress),
}

/// What the fee payer is willing to spend: on top of 5 000 lamports a signature, units times price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SvmLimits {
    /// The most compute units.
    pub max_units: u32,
    /// The highest price of a unit, in millionths of a lamport.
    pub max_unit_price_micro_lamports: u64,
}

impl SvmTerms {
    /// Puts terms together, without a memo. `fee_payer` is the account that whoever settles signs for.
    ///
    /// # Errors
    /// When the network is not one of Solana.
    pub fn new(
        network: Network,
        mint: SolanaAddress,
        token_program: TokenProgram,
        decimals: u8,
        fee_payer: SolanaAddress,
    ) -> Result<Self, SvmTermsError> {
        if network.namespace() != Namespace::Solana {
            return Err(SvmTermsError::Network);
        }
        Ok(Self {
            network,
            mint,
            token_program,
            decimals,
            fee_payer,
            memo: None,
        })
    }

    /// Asks for this memo: `extra.memo` of the offer.
    #[must_use]
    pub fn with_memo(self, memo: impl Into<String>) -> Self {
        Self {
            memo: Some(memo.into()),
            ..self
        }
    }

    /// Asks for no memo.
    #[must_use]
    pub fn without_memo(self) -> Self {
        Self { memo: None, ..self }
    }

    /// Where the token lives.
    #[must_use]
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// The token.
    #[must_use]
    pub const fn mint(&self) -> SolanaAddress {
        self.mint
    }

    /// The program that keeps the token.
    #[must_use]
    pub const fn token_program(&self) -> TokenProgram {
        self.token_program
    }

    /// Digits after the token's decimal point.
    #[must_use]
    pub const fn decimals(&self) -> u8 {
        self.decimals
    }

    /// Who pays the fee: `extra.feePayer` of the offer.
    #[must_use]
    pub const fn fee_payer(&self) -> SolanaAddress {
        self.fee_payer
    }

    /// The memo that is asked for.
    #[must_use]
    pub fn memo(&self) -> Option<&str> {
        self.memo.as_deref()
    }
}

impl SvmPayTo {
    /// The address as an offer names it.
    #[must_use]
    pub const fn address(&self) -> SolanaAddress {
        match self {
            Self::Wallet(address) | Self::TokenAccount(address) => *address,
        }
    }

    /// The token account that is paid.
    #[must_use]
    pub fn destination(&self, terms: &SvmTerms) -> SolanaAddress {
        match self {
            Self::Wallet(owner) => {
                associated_token_account(owner, terms.token_program(), &terms.mint())
            }
            Self::TokenAccount(account) => *account,
        }
    }
}

impl Default for SvmLimits {
    /// 400 000 units at 0.1 lamport: at most 40 000 lamports.
    ///
    /// Published clients ask for at most 200 000 units at 0.001 lamport.
    fn default() -> Self {
        Self {
            max_units: 400_000,
            max_unit_price_micro_lamports: 100_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_those_of_a_solana_network() {
        let terms = |network| {
            let account = SolanaAddress::new([1; 32]);
            SvmTerms::new(network, account, TokenProgram::Token, 6, account)
        };
        assert_eq!(terms(Network::BASE), Err(SvmTermsError::Network));
        assert!(terms(Network::SOLANA_DEVNET).is_ok());
    }
}

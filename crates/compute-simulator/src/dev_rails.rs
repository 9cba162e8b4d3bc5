//! The rails of development mode: test chains only, so that a signature given to a development
//! server is worthless on a real network.

use std::sync::Arc;

use compute_domain::payment::{InvalidRailLabel, RailLabel};
use compute_engine::ports::RailSpec;
use compute_engine::{ChargeSpec, ChargeTerms};
use compute_mpp::tempo::{Modes, TempoTerms};
use compute_wallet::EvmAddress;
use compute_x402::networks::BASE_SEPOLIA_USDC;
use compute_x402::{OfferError, Recipient};

/// A rail of development mode cannot be described.
#[derive(Debug, thiserror::Error)]
pub enum DevRailError {
    /// Its label is refused.
    #[error("the label of a development rail is refused")]
    Label(#[source] InvalidRailLabel),
    /// Its token is refused.
    #[error("the token of a development rail is refused")]
    Token(#[source] OfferError),
}

/// The test network of Tempo, by its chain id.
const MODERATO: u64 = 42_431;
/// pathUSD, the token that every Tempo has.
pub const PATH_USD: EvmAddress = EvmAddress::new([
    0x20, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
]);
const PATH_USD_DECIMALS: u8 = 6;

/// How long a client may take to pay, in seconds; x402 servers usually allow this much.
const MAX_TIMEOUT_SECONDS: u32 = 300;

/// Every rail of development mode: `base`, USDC on Base Sepolia, paid to `pay_to`.
///
/// # Errors
/// Only when label or token no longer fit the crates that define them.
pub fn dev_rails(pay_to: &Recipient) -> Result<Vec<RailSpec>, DevRailError> {
    let token = BASE_SEPOLIA_USDC
        .eip3009_terms()
        .map_err(DevRailError::Token)?;
    Ok(vec![RailSpec {
        label: RailLabel::parse("base").map_err(DevRailError::Label)?,
        decimals: BASE_SEPOLIA_USDC.decimals,
        token: Arc::new(token),
        pay_to: pay_to.clone(),
        max_timeout_seconds: MAX_TIMEOUT_SECONDS,
        settlement: "simulated".to_owned(),
    }])
}

/// Every rail of development mode that is paid by challenges: `tempo`, pathUSD on the test network
/// Moderato, paid to `recipient`.
///
/// # Errors
/// Only when the label no longer fits the crate that defines it.
pub fn dev_charges(recipient: EvmAddress) -> Result<Vec<ChargeSpec>, DevRailError> {
    Ok(vec![ChargeSpec {
        label: RailLabel::parse("tempo").map_err(DevRailError::Label)?,
        decimals: PATH_USD_DECIMALS,
        terms: ChargeTerms::Tempo(TempoTerms {
            chain_id: MODERATO,
            currency: PATH_USD,
            recipient,
            modes: Modes::Pull,
            fee_payer: false,
            takes_key_authorization: false,
        }),
        settlement: "simulated".to_owned(),
    }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn development_takes_test_usdc_on_base_sepolia() {
        let recipient = Recipient::new(compute_wallet::EvmAddress::new([0x11; 20]));
        let rails = dev_rails(&recipient).unwrap();
        let [base] = rails.as_slice() else {
            panic!("one rail")
        };
        assert_eq!((base.label.as_str(), base.decimals), ("base", 6));
        assert_eq!(base.token.network().caip2(), "eip155:84532");
        assert_eq!(
            base.token.asset_text(),
            "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
        );
        let token = base.token.as_evm().unwrap();
        assert_eq!((token.domain_name(), token.domain_version()), ("USDC", "2"));
        assert_eq!(base.settlement, "simulated");
    }
}

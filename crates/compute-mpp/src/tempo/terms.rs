//! What a seller offers on Tempo.

use compute_wallet::EvmAddress;
use serde_json::{Map, json};

use super::error::PayloadError;
use super::payload::TempoPayload;
use crate::charge::{Amount, ChargeRequest};

/// How a seller wants to be paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TempoTerms {
    /// The chain: 4217 is the main network, 42431 the test network Moderato.
    pub chain_id: u64,
    /// The TIP-20 token.
    pub currency: EvmAddress,
    /// Who is paid.
    pub recipient: EvmAddress,
    /// Who may send the transaction.
    pub modes: Modes,
    /// Whether the seller pays the fees of those who ask for it.
    pub fee_payer: bool,
    /// Whether a payment may authorise a new access key of the payer on its way.
    pub takes_key_authorization: bool,
}

/// Who may send the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Modes {
    /// The seller only.
    #[default]
    Pull,
    /// The seller, or the buyer, who then presents the hash.
    PullAndPush,
}

/// What one challenge asks for.
#[derive(Debug, Clone, Copy)]
pub struct TempoCharge<'a> {
    /// How the seller wants to be paid.
    pub terms: &'a TempoTerms,
    /// Base units of the token.
    pub amount: u128,
    /// The realm of the challenge.
    pub realm: &'a str,
    /// The id of the challenge.
    pub challenge_id: &'a str,
}

impl TempoTerms {
    /// The charge request for `amount` base units.
    ///
    /// Addresses carry the checksum of EIP-55, as in the examples of the specification. The chain is
    /// always named: the libraries disagree on its default.
    #[must_use]
    pub fn request(&self, amount: u128) -> ChargeRequest {
        let modes = match self.modes {
            Modes::Pull => json!(["pull"]),
            Modes::PullAndPush => json!(["pull", "push"]),
        };
        let mut details = Map::new();
        details.insert("chainId".to_owned(), self.chain_id.into());
        details.insert("supportedModes".to_owned(), modes);
        if self.fee_payer {
            details.insert("feePayer".to_owned(), true.into());
        }
        let amount = Amount::new(amount);
        let mut request = ChargeRequest::new(amount, self.currency.to_checksum());
        request.recipient = Some(self.recipient.to_checksum());
        request.method_details = details;
        request
    }

    /// Whether the way in which a payload pays was offered.
    ///
    /// # Errors
    /// When it is a hash, and only signed transactions were asked for. Who has the fee paid cannot
    /// send the transaction, so a hash is refused then too.
    pub const fn check_mode(&self, payload: &TempoPayload) -> Result<(), PayloadError> {
        match (payload, self.modes, self.fee_payer) {
            (TempoPayload::Transaction(_), ..)
            | (TempoPayload::Hash(_), Modes::PullAndPush, false) => Ok(()),
            (TempoPayload::Hash(_), ..) => Err(PayloadError::PushNotOffered),
        }
    }
}

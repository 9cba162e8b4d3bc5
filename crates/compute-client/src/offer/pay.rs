//! Signing what an offer asks for.

use std::sync::Arc;

use compute_mpp::tempo::{TempoCharge, TempoTerms, TransactionBuilder};
use compute_mpp::{Challenge, Source, client};
use compute_wallet::EvmKey;
use compute_x402::PaymentPayload;
use compute_x402::client::{PaymentRequired, PermitOffer};
use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value};

use super::{Offer, OfferError, Way, elsewhere};
use crate::clock::{now_s, random};
use crate::purse::Purse;

/// How long a transaction on Tempo may wait for its block, in seconds; the chain takes 30 at most.
const TEMPO_VALIDITY_S: u64 = 25;

/// Who pays is named in the memo of a payment on Tempo.
const CLIENT_ID: &str = "compute";

/// What is sent with a request to pay for it.
pub(crate) struct Payment {
    pub(crate) header: HeaderName,
    pub(crate) value: HeaderValue,
}

impl Offer {
    /// Signs it. The price is what [`price`](Self::price) says.
    pub(crate) async fn pay(self, purse: &Purse) -> Result<Payment, OfferError> {
        let (header, text) = match self.way {
            Way::Transfer {
                asked,
                offer,
                words,
            } => match (&purse.evm, &purse.ows) {
                (None, Some(wallet)) => of_x402(&elsewhere::pay(&words, &offer, wallet).await?),
                _ => {
                    let nonce = random().map_err(OfferError::Chance)?;
                    let payment = asked.pay(&offer, evm(purse)?, nonce, now_s());
                    of_x402(&payment)
                }
            },
            Way::Permit { asked, offer } => of_x402(&by_permit(&asked, &offer, purse).await?),
            #[cfg(feature = "solana")]
            Way::Solana { asked, offer } => of_x402(&solana::pay(&asked, &offer, purse).await?),
            Way::Mpp { challenge, terms } => by_charge(*challenge, &terms, evm(purse)?)?,
        };
        let mut value = HeaderValue::from_str(&text).map_err(|_| OfferError::Unreadable)?;
        value.set_sensitive(true);
        Ok(Payment {
            header: HeaderName::from_static(header),
            value,
        })
    }
}

fn evm(purse: &Purse) -> Result<&Arc<EvmKey>, OfferError> {
    purse.evm.as_ref().ok_or(OfferError::NoKey)
}

fn of_x402(payment: &PaymentPayload) -> (&'static str, String) {
    (payment.header_name(), payment.to_header())
}

/// Permit2, with a permit for it beside: it binds who is paid, which a permit alone does not.
async fn by_permit(
    asked: &PaymentRequired,
    offer: &PermitOffer,
    purse: &Purse,
) -> Result<PaymentPayload, OfferError> {
    let key = evm(purse)?;
    let node = purse.megaeth_node.as_ref();
    let node = node.ok_or(OfferError::NoNode("MegaETH"))?;
    let token = offer.token();
    let evm_token = token.as_evm().ok_or(OfferError::Unreadable)?;
    let chain_id = token.network().chain_id().ok_or(OfferError::Unreadable)?;
    let permit_nonce = node
        .permit_nonce(chain_id, evm_token.contract(), key.address())
        .await?;
    let nonce = random().map_err(OfferError::Chance)?;
    let payment = asked.pay_by_permit2(offer, key, nonce, Some(permit_nonce), now_s());
    payment.ok_or(OfferError::Unreadable)
}

fn by_charge(
    challenge: Challenge,
    terms: &TempoTerms,
    key: &EvmKey,
) -> Result<(&'static str, String), OfferError> {
    let amount = challenge
        .charge()
        .map_err(|_| OfferError::Unreadable)?
        .amount;
    let charge = TempoCharge {
        terms,
        amount: amount.get(),
        realm: challenge.realm(),
        challenge_id: challenge.id(),
    };
    let until = now_s().saturating_add(TEMPO_VALIDITY_S);
    let unsigned = TransactionBuilder::payment(&charge, Some(CLIENT_ID), until);
    let raw = hex::encode(unsigned.build().sign(key).encode());
    let payload = Map::from_iter([
        ("type".to_owned(), Value::from("transaction")),
        ("signature".to_owned(), format!("0x{raw}").into()),
    ]);
    let source = Source {
        chain_id: terms.chain_id,
        address: key.address(),
    };
    let (_, text) = client::answer(challenge, Some(&source), payload);
    Ok(("authorization", text))
}

#[cfg(feature = "solana")]
mod solana {
    use compute_x402::PaymentPayload;
    use compute_x402::client::{PaymentRequired, SvmOffer};
    use compute_x402::exact_svm::client::Draft;

    use crate::clock::random;
    use crate::offer::OfferError;
    use crate::purse::Purse;

    /// A transfer that the shop's fee payer signs, too, before it is worth anything.
    pub(super) async fn pay(
        asked: &PaymentRequired,
        offer: &SvmOffer,
        purse: &Purse,
    ) -> Result<PaymentPayload, OfferError> {
        let key = purse.solana.as_ref().ok_or(OfferError::NoKey)?;
        let node = purse.solana_node.as_ref();
        let node = node.ok_or(OfferError::NoNode("Solana"))?;
        let terms = offer.known_terms().ok_or(OfferError::NoneKnown)?;
        let pay_to = node.recipient(offer.pay_to(), &terms).await?;
        let blockhash = node.recent_blockhash().await?;
        // Two equal payments with one blockhash would be one: the memo tells them apart.
        let memo = hex::encode(random::<16>().map_err(OfferError::Chance)?);
        let draft = Draft::new(&terms, pay_to, offer.amount(), blockhash).with_memo(&memo);
        let signed = draft.sign(key).map_err(OfferError::Draft)?;
        Ok(asked.pay_by_transaction(offer, &signed))
    }
}

//! Answers a challenge of the method `tempo`: signs the payment and puts it in a credential.

use anyhow::{Context as _, Result};
use compute_mpp::tempo::{Modes, TempoCharge, TempoTerms, TransactionBuilder};
use compute_mpp::{Challenge, Source, client};
use compute_wallet::{EvmAddress, EvmKey};
use serde_json::{Map, Value};

/// The most that a transaction may wait for its block, in seconds.
pub(crate) const VALIDITY_S: u64 = 25;

/// What a challenge wants.
pub(crate) fn terms_of(offer: &Challenge) -> Result<TempoTerms> {
    let charge = offer.charge()?;
    let chain_id = charge.method_details.get("chainId").and_then(Value::as_u64);
    let recipient = charge.recipient.context("the challenge names nobody")?;
    Ok(TempoTerms {
        chain_id: chain_id.context("the challenge names no chain")?,
        currency: EvmAddress::parse_any_case(&charge.currency)?,
        recipient: EvmAddress::parse_any_case(&recipient)?,
        modes: Modes::Pull,
        fee_payer: false,
        takes_key_authorization: false,
    })
}

/// The value of `Authorization` that pays for what a challenge offers.
pub(crate) fn answer(
    offer: Challenge,
    key: &EvmKey,
    now_s: u64,
    client_id: &str,
) -> Result<String> {
    let terms = terms_of(&offer)?;
    let charge = TempoCharge {
        terms: &terms,
        amount: offer.charge()?.amount.get(),
        realm: offer.realm(),
        challenge_id: offer.id(),
    };
    let until = now_s.saturating_add(VALIDITY_S);
    let transaction = TransactionBuilder::payment(&charge, Some(client_id), until).build();
    let signed = hex::encode(transaction.sign(key).encode());
    let payload = Map::from_iter([
        ("type".to_owned(), "transaction".into()),
        ("signature".to_owned(), format!("0x{signed}").into()),
    ]);
    let source = Source {
        chain_id: terms.chain_id,
        address: key.address(),
    };
    let (_, credential) = client::answer(offer, Some(&source), payload);
    Ok(credential)
}

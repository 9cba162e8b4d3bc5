//! Whether a signed transaction pays a challenge, before anybody asks the chain.

use std::fmt;

use compute_wallet::{Digest32, EvmAddress, Uint256};
use serde_json::{Map, Value, json};

use super::abi::TokenTransfer;
use super::error::TempoError;
use super::memo::AttributionMemo;
use super::rlp::without_leading_zeros;
use super::terms::{TempoCharge, TempoTerms};
use super::transaction::{EXPIRING_NONCE_KEY, Sponsorship, Transaction, TransactionBody};

/// A transaction must stay includable for this many seconds: the time that sending takes.
pub const MIN_REMAINING_S: u64 = 5;
/// A transaction may stay includable for this many seconds after its challenge expired.
pub const PAST_EXPIRY_S: u64 = 60;

/// A transaction that pays a challenge, as far as this can be known without the chain: made only by
/// [`verify_transaction`].
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifiedPull {
    /// Who pays.
    pub payer: EvmAddress,
    /// The hash under which the chain will know it. While a sponsor is missing, the hash of what was
    /// presented; see [`Transaction::co_sign`].
    pub hash: Digest32,
    /// What the chain remembers of an expiring nonce. Two forms of one payment have it in common, so a
    /// claim needs it beside the hash.
    pub expiring_id: Option<Digest32>,
    /// Unix seconds from which on it cannot be included; absent only with a counted nonce.
    pub valid_before: Option<u64>,
    /// The canonical bytes: send these, not what the client sent.
    pub raw: Vec<u8>,
    /// What the bytes say.
    pub transaction: Transaction,
}

/// Checks that a transaction pays a challenge.
///
/// `challenge_expires_s` is when the challenge ends, `source` the payer that the credential names.
/// What only the chain knows is left: balances, spent nonces, access keys.
///
/// # Errors
/// The first failed check, in the order: sponsor, chain, authorisations, calls, validity, signer,
/// source.
pub fn verify_transaction(
    transaction: &Transaction,
    charge: &TempoCharge<'_>,
    challenge_expires_s: u64,
    source: Option<&str>,
    now_s: u64,
) -> Result<VerifiedPull, TempoError> {
    let (terms, body) = (charge.terms, &transaction.body);
    let waits_for_sponsor = matches!(
        transaction.sponsorship,
        Sponsorship::Requested | Sponsorship::Envelope { .. }
    );
    if waits_for_sponsor && !terms.fee_payer {
        return Err(TempoError::SponsorshipNotOffered);
    }
    if body.chain_id != terms.chain_id {
        return Err(TempoError::Chain {
            expected: terms.chain_id,
            found: body.chain_id,
        });
    }
    check_authorizations(body, terms)?;
    check_calls(body, charge)?;
    check_validity(body, challenge_expires_s, now_s)?;
    let payer = transaction.sender().map_err(TempoError::Signature)?;
    check_sponsor(transaction, payer)?;
    if let Some(source) = source {
        check_source(source, terms.chain_id, payer)?;
    }
    let raw = transaction.encode();
    Ok(VerifiedPull {
        payer,
        hash: compute_wallet::keccak256(&raw),
        expiring_id: transaction.expiring_id(&payer),
        valid_before: body.valid_before,
        raw,
        transaction: transaction.clone(),
    })
}

fn check_authorizations(body: &TransactionBody, terms: &TempoTerms) -> Result<(), TempoError> {
    if !body.authorization_list.is_empty() {
        return Err(TempoError::AuthorizationList);
    }
    if body.key_authorization.is_some() && !terms.takes_key_authorization {
        return Err(TempoError::KeyAuthorization);
    }
    Ok(())
}

/// Exactly one call, which is the transfer: anything beside it could undo it.
fn check_calls(body: &TransactionBody, charge: &TempoCharge<'_>) -> Result<(), TempoError> {
    let [call] = body.calls.as_slice() else {
        return Err(TempoError::CallCount {
            found: body.calls.len(),
        });
    };
    let to = call.to.ok_or(TempoError::ContractCreation)?;
    if call.value != Uint256::default() {
        return Err(TempoError::CallValue);
    }
    if to != charge.terms.currency {
        return Err(TempoError::Token {
            expected: charge.terms.currency,
            found: to,
        });
    }
    let transfer = TokenTransfer::parse(&call.input).map_err(TempoError::CallData)?;
    if transfer.to != charge.terms.recipient {
        return Err(TempoError::Recipient {
            expected: charge.terms.recipient,
            found: transfer.to,
        });
    }
    if transfer.amount != Uint256::from(charge.amount) {
        return Err(TempoError::Amount {
            expected: charge.amount,
            found: transfer.amount,
        });
    }
    let memo = transfer
        .memo
        .map(AttributionMemo::from_bytes)
        .ok_or(TempoError::Memo("a transfer without memo"))?;
    if memo.pays(charge.realm, charge.challenge_id) {
        return Ok(());
    }
    Err(TempoError::Memo(if memo.is_tagged() {
        "the memo of another challenge"
    } else {
        "a memo of another kind"
    }))
}

fn check_validity(
    body: &TransactionBody,
    challenge_expires_s: u64,
    now_s: u64,
) -> Result<(), TempoError> {
    let is_expiring = body.nonce_key == EXPIRING_NONCE_KEY;
    if is_expiring && (body.nonce != 0 || body.valid_before.is_none()) {
        return Err(TempoError::ExpiringNonce);
    }
    if let Some(found) = body.valid_before {
        let earliest = now_s.saturating_add(MIN_REMAINING_S);
        if found < earliest {
            return Err(TempoError::TooLate { earliest, found });
        }
        let latest = challenge_expires_s.saturating_add(PAST_EXPIRY_S);
        if found > latest {
            return Err(TempoError::TooLong { latest, found });
        }
    }
    match body.valid_after {
        Some(found) if found > now_s => Err(TempoError::TooEarly { now: now_s, found }),
        _ => Ok(()),
    }
}

fn check_sponsor(transaction: &Transaction, payer: EvmAddress) -> Result<(), TempoError> {
    match transaction.sponsorship {
        Sponsorship::Envelope { sender } if sender != payer => Err(TempoError::EnvelopeSender {
            named: sender,
            signer: payer,
        }),
        Sponsorship::Signed(_) => transaction
            .fee_payer()
            .map(|_| ())
            .map_err(TempoError::FeePayerSignature),
        _ => Ok(()),
    }
}

/// `did:pkh:eip155:<chain id>:<address>`; letter case of the address does not count.
fn check_source(source: &str, chain_id: u64, signer: EvmAddress) -> Result<(), TempoError> {
    let named = source
        .strip_prefix(&format!("did:pkh:eip155:{chain_id}:"))
        .and_then(|address| EvmAddress::parse_any_case(address).ok())
        .ok_or(TempoError::SourceForm { chain_id })?;
    if named == signer {
        Ok(())
    } else {
        Err(TempoError::SourceAccount { named, signer })
    }
}

impl VerifiedPull {
    /// The object with which `eth_call` simulates the payment. Without the fee where a sponsor is still
    /// missing: then the sender's calls are all there is to try.
    #[must_use]
    pub fn simulation(&self) -> Value {
        let body = &self.transaction.body;
        let calls: Vec<Value> = body
            .calls
            .iter()
            .map(|call| {
                json!({
                    "to": call.to.map(|to| to.to_string()),
                    "value": quantity(&call.value.to_be_bytes()),
                    "data": format!("0x{}", hex::encode(&call.input)),
                })
            })
            .collect();
        let mut object = Map::new();
        let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
        put("type", "0x76".into());
        put("from", self.payer.to_string().into());
        put("calls", calls.into());
        if !matches!(self.transaction.sponsorship, Sponsorship::None) {
            return object.into();
        }
        put("chainId", quantity(&body.chain_id.to_be_bytes()).into());
        put("gas", quantity(&body.gas_limit.to_be_bytes()).into());
        let fees = [
            ("maxFeePerGas", body.max_fee_per_gas),
            ("maxPriorityFeePerGas", body.max_priority_fee_per_gas),
        ];
        for (name, fee) in fees {
            put(name, quantity(&fee.to_be_bytes()).into());
        }
        put("nonceKey", quantity(&body.nonce_key.to_be_bytes()).into());
        put("nonce", quantity(&body.nonce.to_be_bytes()).into());
        let bounds = [
            ("validBefore", body.valid_before),
            ("validAfter", body.valid_after),
        ];
        for (name, bound) in bounds {
            if let Some(seconds) = bound {
                put(name, quantity(&seconds.to_be_bytes()).into());
            }
        }
        if let Some(token) = body.fee_token {
            put("feeToken", token.to_string().into());
        }
        object.into()
    }
}

impl fmt::Debug for VerifiedPull {
    /// The bytes are a bearer instrument, so logs never see them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedPull")
            .field("payer", &self.payer)
            .field("hash", &hex::encode(self.hash))
            .field("valid_before", &self.valid_before)
            .finish_non_exhaustive()
    }
}

/// A number of JSON-RPC: `0x` and digits without leading zeros.
fn quantity(digits: &[u8]) -> String {
    let digits = hex::encode(without_leading_zeros(digits));
    match digits.trim_start_matches('0') {
        "" => "0x0".to_owned(),
        digits => format!("0x{digits}"),
    }
}

//! What rails of the Payment authentication scheme (MPP) ask for, and what is kept of a payment over
//! them until it settles, sealed.

use compute_domain::payment::{Payment, RailLabel};
use compute_mpp::stripe::{SharedPaymentToken, StripeDetails};
use compute_mpp::tempo::{
    Modes, SenderSignature, Sponsorship, TempoCharge, TempoPayload, TempoTerms, Transaction,
};
use compute_mpp::{Amount, ChargeRequest, Credential, EncodedRequest, Method, Source};
use compute_wallet::{Digest32, EvmAddress, WalletAddress};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::proof::UnreadableProof;

/// How the proof keys of each method begin.
const TEMPO_KEYS: &str = "mpp:tempo:";
const STRIPE_KEYS: &str = "mpp:stripe:";

/// What is fixed about a rail of the Payment authentication scheme.
#[derive(Debug, Clone)]
pub struct ChargeSpec {
    /// Its label.
    pub label: RailLabel,
    /// Decimals of its token or currency.
    pub decimals: u8,
    /// How it is paid.
    pub terms: ChargeTerms,
    /// What to print about it, such as `simulated` or the node's host.
    pub settlement: String,
}

/// How a charge is paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChargeTerms {
    /// By a transfer on Tempo.
    Tempo(TempoTerms),
    /// By card, through Stripe.
    Stripe {
        /// What the request says beside amount and currency.
        details: StripeDetails,
        /// Code of ISO 4217, lower case.
        currency: String,
    },
}

impl ChargeTerms {
    /// The name that challenges have for it.
    pub const fn method(&self) -> Method {
        match self {
            Self::Tempo(_) => Method::TEMPO,
            Self::Stripe { .. } => Method::STRIPE,
        }
    }

    /// The request for an amount in the smallest unit; `None` for what this method never charges.
    pub(crate) fn request(&self, amount: u128) -> Option<ChargeRequest> {
        match self {
            Self::Tempo(terms) => Some(terms.request(amount)),
            Self::Stripe { details, currency } => {
                let amount = Amount::new(amount);
                let minimum = compute_mpp::stripe::minimum(currency)?;
                (amount >= minimum).then(|| details.request(amount, currency))
            }
        }
    }
}

/// One way to pay a price by a challenge.
#[derive(Debug, Clone)]
pub struct Charge {
    /// The rail.
    pub rail: RailLabel,
    /// Its method.
    pub method: Method,
    /// The amount in the smallest unit of its token or currency.
    pub atomic: u128,
    /// The request as challenges carry it.
    pub request: EncodedRequest,
}

/// A credential, and the offer of ours that it pays. The offer is kept by value, so that a change of
/// the configuration between claim and settlement does not change what was agreed.
#[derive(Debug, Clone, PartialEq)]
pub struct ChargeProof {
    /// What the client sent, losslessly.
    pub credential: Credential,
    /// How it is paid.
    pub terms: ChargeTerms,
    /// How much, in the smallest unit.
    pub atomic: u128,
    /// The account at the payment network that the rail was paid to when the payment was claimed, as
    /// the network names it; none where a network has no accounts.
    pub account: Option<String>,
}

/// What the client of a charge presents, decoded.
#[derive(Debug, Clone)]
pub enum Instrument {
    /// A signed transaction of Tempo, in the form that the chain knows.
    Transfer(Box<Transaction>),
    /// The hash of a transaction that its sender has sent.
    Sent {
        /// The transaction.
        hash: Digest32,
        /// Who says to have sent it, and on which chain.
        source: Source,
    },
    /// A token with which Stripe takes the money.
    Card(SharedPaymentToken),
}

impl ChargeProof {
    /// What the client presents; `None` for what verification lets nobody claim.
    pub fn instrument(&self) -> Option<Instrument> {
        let is_of_method = self.credential.challenge().method() == self.terms.method().as_str();
        is_of_method.then(|| Instrument::of(&self.credential))?
    }

    /// Whether the wallet that pays has signed what is shown: not so where only a hash is, which anybody
    /// can read from the chain, nor where an access key signed, which only the chain knows to be one.
    pub(crate) fn is_signed(&self) -> bool {
        match self.instrument() {
            Some(Instrument::Transfer(transaction)) => {
                matches!(transaction.signature, SenderSignature::Own(_))
            }
            _ => false,
        }
    }

    /// What a transfer on Tempo has to pay; `None` for another method.
    pub fn tempo_charge(&self) -> Option<TempoCharge<'_>> {
        let ChargeTerms::Tempo(terms) = &self.terms else {
            return None;
        };
        let challenge = self.credential.challenge();
        Some(TempoCharge {
            terms,
            amount: self.atomic,
            realm: challenge.realm(),
            challenge_id: challenge.id(),
        })
    }
}

impl Instrument {
    /// What a credential presents, by the method of its own challenge. Nothing of it is believed.
    pub(crate) fn of(credential: &Credential) -> Option<Self> {
        let challenge = credential.challenge();
        if challenge.method() == Method::TEMPO.as_str() {
            return match TempoPayload::parse(credential.payload()).ok()? {
                TempoPayload::Transaction(bytes) => {
                    let transaction = Transaction::decode(&bytes).ok()?;
                    Some(Self::Transfer(Box::new(transaction)))
                }
                TempoPayload::Hash(hash) => {
                    let source = credential.source().ok()??;
                    Some(Self::Sent { hash, source })
                }
            };
        }
        if challenge.method() == Method::STRIPE.as_str() {
            let request = challenge.charge().ok()?;
            let token = SharedPaymentToken::from_payload(credential.payload(), &request);
            return token.ok().map(Self::Card);
        }
        None
    }

    /// What the payment network itself makes unique.
    pub(crate) fn proof_key(&self) -> String {
        match self {
            Self::Transfer(transaction) => {
                let chain = transaction.body.chain_id;
                match transaction.sponsorship {
                    Sponsorship::None => tempo_key(chain, "", &transaction.hash()),
                    // A sponsor's signature is not part of what the payer signed, and changes the hash.
                    _ => tempo_key(chain, "signed:", &transaction.sender_hash()),
                }
            }
            Self::Sent { hash, source } => tempo_key(source.chain_id, "", hash),
            // The token is worth money: only its hash is written down in clear.
            Self::Card(token) => {
                let hash = Sha256::digest(token.expose().as_bytes());
                format!("{STRIPE_KEYS}{}", hex::encode(hash))
            }
        }
    }

    /// The wallet that pays, if any; `None` within for a signature that names nobody.
    pub(crate) fn payer(&self) -> Option<Option<WalletAddress>> {
        match self {
            Self::Transfer(transaction) => {
                let sender = transaction.sender().ok()?;
                Some(Some(WalletAddress::Evm(sender)))
            }
            Self::Sent { source, .. } => Some(Some(WalletAddress::Evm(source.address))),
            Self::Card(_) => Some(None),
        }
    }
}

fn tempo_key(chain: u64, kind: &str, hash: &Digest32) -> String {
    format!("{TEMPO_KEYS}{chain}:{kind}0x{}", hex::encode(hash))
}

/// By which method a payment was made; `None` for one of x402. Its rail need not be configured any
/// more.
pub fn method_of(payment: &Payment) -> Option<Method> {
    let keys = [(TEMPO_KEYS, Method::TEMPO), (STRIPE_KEYS, Method::STRIPE)];
    let found = keys
        .into_iter()
        .find(|(prefix, _)| payment.proof_key.starts_with(prefix));
    found.map(|(_, method)| method)
}

#[derive(Serialize, Deserialize)]
struct Stored {
    credential: Value,
    terms: StoredTerms,
    amount: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredTerms {
    Tempo {
        chain_id: u64,
        currency: String,
        recipient: String,
        push: bool,
        fee_payer: bool,
        key_authorization: bool,
    },
    Stripe {
        network_id: String,
        payment_method_types: Vec<String>,
        metadata: Vec<(String, String)>,
        currency: String,
    },
}

impl StoredTerms {
    fn of(terms: &ChargeTerms) -> Self {
        match terms {
            ChargeTerms::Tempo(terms) => Self::Tempo {
                chain_id: terms.chain_id,
                currency: terms.currency.to_string(),
                recipient: terms.recipient.to_string(),
                push: terms.modes == Modes::PullAndPush,
                fee_payer: terms.fee_payer,
                key_authorization: terms.takes_key_authorization,
            },
            ChargeTerms::Stripe { details, currency } => Self::Stripe {
                network_id: details.network_id.clone(),
                payment_method_types: details.payment_method_types.clone(),
                metadata: details.metadata.clone(),
                currency: currency.clone(),
            },
        }
    }

    fn read(self) -> Result<ChargeTerms, UnreadableProof> {
        let address = |text: &str| EvmAddress::parse_any_case(text).map_err(|_| UnreadableProof);
        Ok(match self {
            Self::Tempo {
                chain_id,
                currency,
                recipient,
                push,
                fee_payer,
                key_authorization,
            } => ChargeTerms::Tempo(TempoTerms {
                chain_id,
                currency: address(&currency)?,
                recipient: address(&recipient)?,
                modes: if push {
                    Modes::PullAndPush
                } else {
                    Modes::Pull
                },
                fee_payer,
                takes_key_authorization: key_authorization,
            }),
            Self::Stripe {
                network_id,
                payment_method_types,
                metadata,
                currency,
            } => ChargeTerms::Stripe {
                details: StripeDetails {
                    network_id,
                    payment_method_types,
                    metadata,
                },
                currency,
            },
        })
    }
}

impl ChargeProof {
    /// The JSON that is sealed.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&Stored {
            credential: self.credential.to_json(),
            terms: StoredTerms::of(&self.terms),
            amount: self.atomic.to_string(),
            account: self.account.clone(),
        })
    }

    /// Reads what [`ChargeProof::to_bytes`] wrote.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, UnreadableProof> {
        let stored: Stored = serde_json::from_slice(bytes).map_err(|_| UnreadableProof)?;
        Ok(Self {
            credential: Credential::from_json(stored.credential).map_err(|_| UnreadableProof)?,
            terms: stored.terms.read()?,
            atomic: stored.amount.parse().map_err(|_| UnreadableProof)?,
            account: stored.account,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check_round_trip(terms: &ChargeTerms, payload: &Value) {
        let credential = json!({
            "challenge": {
                "id": "x", "realm": "compute.example", "method": "tempo", "intent": "charge",
                "request": "e30",
            },
            "payload": payload,
            "source": "did:pkh:eip155:4217:0x1111111111111111111111111111111111111111",
        });
        for account in [None, Some("acct_1".to_owned())] {
            let proof = ChargeProof {
                credential: Credential::from_json(credential.clone()).unwrap(),
                terms: terms.clone(),
                atomic: u128::MAX,
                account,
            };
            let read = ChargeProof::from_bytes(&proof.to_bytes().unwrap()).unwrap();
            assert_eq!(read, proof);
        }
    }

    #[test]
    fn a_proof_reads_back_as_it_was_stored() {
        for (modes, flag) in [(Modes::Pull, false), (Modes::PullAndPush, true)] {
            let terms = TempoTerms {
                chain_id: 4217,
                currency: EvmAddress::new([0x20; 20]),
                recipient: EvmAddress::new([0x11; 20]),
                modes,
                fee_payer: flag,
                takes_key_authorization: !flag,
            };
            let payload = json!({ "type": "transaction", "signature": "0x76" });
            check_round_trip(&ChargeTerms::Tempo(terms), &payload);
        }
        let details = StripeDetails {
            network_id: "profile_1".to_owned(),
            payment_method_types: vec!["card".to_owned(), "link".to_owned()],
            metadata: vec![("a".to_owned(), "b".to_owned())],
        };
        let currency = "usd".to_owned();
        check_round_trip(
            &ChargeTerms::Stripe { details, currency },
            &json!({ "spt": "spt_1" }),
        );
    }

    #[test]
    fn stripe_charges_no_less_than_its_minimum() {
        let terms = ChargeTerms::Stripe {
            details: StripeDetails {
                network_id: "profile_1".to_owned(),
                payment_method_types: vec!["card".to_owned()],
                metadata: Vec::new(),
            },
            currency: "usd".to_owned(),
        };
        assert!(terms.request(49).is_none());
        assert!(terms.request(50).is_some());
    }
}

//! What a 402 asks for, in dollars, and how it is paid.
//!
//! A price is what is signed, in a token that is known here to be worth a dollar. What the shop says about it in
//! other words decides nothing.

use std::fmt;
use std::str::FromStr;

use compute_mpp::tempo::{Modes, TempoCharge, TempoTerms, TransactionBuilder};
use compute_mpp::{Challenge, Source, client};
use compute_wallet::{EvmAddress, EvmKey};
use compute_x402::client::{PayableOffer, PaymentRequired};
use compute_x402::networks::KnownToken;
use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value};

use crate::answer::Reply;
use crate::clock::{now_s, random};
use crate::usd::Usd;

/// How long a transaction on Tempo may wait for its block, in seconds; the chain takes 30 at most.
const TEMPO_VALIDITY_S: u64 = 25;

/// Who pays is named in the memo of a payment on Tempo.
const CLIENT_ID: &str = "compute";

/// The header of x402's second version.
const REQUIRED: HeaderName = HeaderName::from_static("payment-required");

/// A dollar on Tempo: chain, token, digits behind the point, whether it is real.
const TEMPO_DOLLARS: [(u64, &str, u8, bool); 2] = [
    (4_217, "0x20C000000000000000000000b9537d11c60E8b50", 6, true),
    (
        42_431,
        "0x20C0000000000000000000000000000000000000",
        6,
        false,
    ),
];

/// How something is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Means {
    /// By whatever the shop offers first and the wallet can pay.
    #[default]
    Any,
    /// USDC on Base, by x402.
    Base,
    /// USDC.e on Tempo, by MPP.
    Tempo,
    /// From the owner's credits at the shop.
    Credits,
}

/// No way to pay has this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("pay with base, tempo or credits")]
pub struct UnknownMeans;

impl FromStr for Means {
    type Err = UnknownMeans;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "any" => Ok(Self::Any),
            "base" => Ok(Self::Base),
            "tempo" => Ok(Self::Tempo),
            "credits" => Ok(Self::Credits),
            _ => Err(UnknownMeans),
        }
    }
}

/// One way to pay.
#[derive(Debug, Clone)]
pub struct Offer {
    way: Way,
    price: Usd,
    is_real: bool,
}

#[derive(Debug, Clone)]
enum Way {
    X402 {
        asked: Box<PaymentRequired>,
        offer: Box<PayableOffer>,
    },
    Mpp {
        challenge: Box<Challenge>,
        terms: Box<TempoTerms>,
    },
}

/// Why nothing can be paid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OfferError {
    /// Neither protocol's header can be read.
    #[error("the shop asks for a payment in words that cannot be read")]
    Unreadable,
    /// Nothing that is offered is known here to be a dollar.
    #[error("the shop offers no way to pay that this client knows")]
    NoneKnown,
    /// The wanted way is not among the offers.
    #[error("the shop does not take this means of payment for it now")]
    NotOffered,
    /// The system gives no random bytes.
    #[error("no random bytes: {0}")]
    Chance(#[source] getrandom::Error),
}

/// What is sent with a request to pay for it.
pub(crate) struct Payment {
    pub(crate) header: HeaderName,
    pub(crate) value: HeaderValue,
}

impl Offer {
    /// What it costs.
    #[must_use]
    pub const fn price(&self) -> Usd {
        self.price
    }

    /// Whether real money is asked for, and not that of a test network.
    #[must_use]
    pub const fn is_real(&self) -> bool {
        self.is_real
    }

    /// The means that it is.
    #[must_use]
    pub const fn means(&self) -> Means {
        match self.way {
            Way::X402 { .. } => Means::Base,
            Way::Mpp { .. } => Means::Tempo,
        }
    }

    /// The offers of a 402, x402's first, each in the shop's order.
    ///
    /// # Errors
    /// When nothing in it can be read, or paid here.
    pub(crate) fn read(reply: &Reply) -> Result<Vec<Self>, OfferError> {
        let headers = &reply.answer.headers;
        let x402 = headers
            .get(REQUIRED)
            .map(|line| PaymentRequired::from_header(line.as_bytes()));
        let lines = headers.get_all(http::header::WWW_AUTHENTICATE).iter();
        let mpp = client::offers(lines.map(|line| line.as_bytes()), now_s());
        if !matches!(&x402, Some(Ok(_))) && mpp.as_ref().map_or(true, Vec::is_empty) {
            return Err(OfferError::Unreadable);
        }
        let mut offers = Vec::new();
        if let Some(Ok(asked)) = x402 {
            let found = asked
                .offers()
                .iter()
                .filter_map(|offer| Self::of_x402(&asked, offer));
            offers.extend(found);
        }
        let challenges = mpp.unwrap_or_default().into_iter();
        offers.extend(challenges.filter_map(Self::of_challenge));
        if offers.is_empty() {
            return Err(OfferError::NoneKnown);
        }
        Ok(offers)
    }

    /// The first offer of these means.
    pub(crate) fn choose(offers: Vec<Self>, wanted: Means) -> Result<Self, OfferError> {
        let mut offers = offers.into_iter();
        let found = offers.find(|offer| wanted == Means::Any || offer.means() == wanted);
        found.ok_or(OfferError::NotOffered)
    }

    fn of_x402(asked: &PaymentRequired, offer: &PayableOffer) -> Option<Self> {
        let token = offer.token();
        let known = KnownToken::find(token.network(), token.asset_text())?;
        Some(Self {
            price: Usd::of_token(offer.amount().get(), known.decimals)?,
            is_real: *token.network() != compute_x402::Network::BASE_SEPOLIA,
            way: Way::X402 {
                asked: Box::new(asked.clone()),
                offer: Box::new(offer.clone()),
            },
        })
    }

    fn of_challenge(challenge: Challenge) -> Option<Self> {
        if challenge.method() != "tempo" {
            return None;
        }
        let charge = challenge.charge().ok()?;
        let chain_id = charge.method_details.get("chainId")?.as_u64()?;
        let currency = EvmAddress::parse_any_case(&charge.currency).ok()?;
        let (.., decimals, is_real) = TEMPO_DOLLARS.into_iter().find(|(chain, token, ..)| {
            *chain == chain_id && EvmAddress::parse_any_case(token) == Ok(currency)
        })?;
        let recipient = charge.recipient.as_deref()?;
        let terms = TempoTerms {
            chain_id,
            currency,
            recipient: EvmAddress::parse_any_case(recipient).ok()?,
            modes: Modes::Pull,
            fee_payer: false,
            takes_key_authorization: false,
        };
        Some(Self {
            price: Usd::of_token(charge.amount.get(), decimals)?,
            is_real,
            way: Way::Mpp {
                challenge: Box::new(challenge),
                terms: Box::new(terms),
            },
        })
    }

    /// Signs it. The price is what [`price`](Self::price) says.
    pub(crate) fn pay(self, key: &EvmKey) -> Result<Payment, OfferError> {
        let (header, text) = match self.way {
            Way::X402 { asked, offer } => {
                let nonce = random().map_err(OfferError::Chance)?;
                let payment = asked.pay(&offer, key, nonce, now_s());
                (payment.header_name(), payment.to_header())
            }
            Way::Mpp { challenge, terms } => {
                let amount = challenge
                    .charge()
                    .map_err(|_| OfferError::Unreadable)?
                    .amount;
                let charge = TempoCharge {
                    terms: &terms,
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
                let (_, text) = client::answer(*challenge, Some(&source), payload);
                ("authorization", text)
            }
        };
        let mut value = HeaderValue::from_str(&text).map_err(|_| OfferError::Unreadable)?;
        value.set_sensitive(true);
        Ok(Payment {
            header: HeaderName::from_static(header),
            value,
        })
    }
}

impl fmt::Display for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "any",
            Self::Base => "base",
            Self::Tempo => "tempo",
            Self::Credits => "credits",
        })
    }
}

//! What a 402 asks for, in dollars, and how it is paid.
//!
//! A price is what is signed, in a token that is known here to be worth a dollar. What the shop says about it in
//! other words decides nothing.

mod elsewhere;
mod pay;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use compute_mpp::tempo::{Modes, TempoTerms};
use compute_mpp::{Challenge, client};
use compute_wallet::EvmAddress;
#[cfg(feature = "solana")]
use compute_x402::client::SvmOffer;
use compute_x402::client::{PayableOffer, PaymentRequired, PermitOffer};
#[cfg(feature = "solana")]
use compute_x402::networks::KnownMint;
use compute_x402::networks::KnownToken;
use compute_x402::{Network, TokenTerms};
use http::HeaderName;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::answer::Reply;
use crate::clock::now_s;
use crate::node::NodeError;
use crate::ows::OwsError;
use crate::purse::Purse;
use crate::usd::Usd;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Means {
    /// By whatever the shop offers first and the wallet can pay.
    #[default]
    Any,
    /// USDC on Base, by x402.
    Base,
    /// USDC on Solana, by x402.
    Solana,
    /// USDm on MegaETH, by x402.
    MegaEth,
    /// USDC.e on Tempo, by MPP.
    Tempo,
    /// From the owner's credits at the shop.
    Credits,
}

/// No way to pay has this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("pay with base, solana, megaeth, tempo or credits")]
pub struct UnknownMeans;

impl FromStr for Means {
    type Err = UnknownMeans;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "any" => Ok(Self::Any),
            "base" => Ok(Self::Base),
            "solana" => Ok(Self::Solana),
            "megaeth" => Ok(Self::MegaEth),
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
    Transfer {
        asked: Box<PaymentRequired>,
        offer: Box<PayableOffer>,
        /// What was asked for, word by word.
        words: Arc<Value>,
    },
    Permit {
        asked: Box<PaymentRequired>,
        offer: Box<PermitOffer>,
    },
    #[cfg(feature = "solana")]
    Solana {
        asked: Box<PaymentRequired>,
        offer: Box<SvmOffer>,
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
    /// One way to pay costs more than another of the same answer: somebody took one token for another.
    #[error(
        "the shop asks {dear} USD one way and {cheap} USD another way for the same: neither is paid"
    )]
    Uneven {
        /// What the wanted way costs.
        dear: Usd,
        /// What the cheapest costs.
        cheap: Usd,
    },
    /// The wallet cannot sign for this chain.
    #[error("there is no key for this means of payment")]
    NoKey,
    /// A node must be asked, and none is known.
    #[error("a node of {0} must be asked before paying there, and none is set")]
    NoNode(&'static str),
    /// The command that signs does not help.
    #[error(transparent)]
    Ows(#[from] OwsError),
    /// A node does not help.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// A transfer on Solana cannot be made of it.
    #[cfg(feature = "solana")]
    #[error("{0}")]
    Draft(#[source] compute_x402::exact_svm::client::DraftError),
    /// The system gives no random bytes.
    #[error("no random bytes: {0}")]
    Chance(#[source] getrandom::Error),
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
            Way::Transfer { .. } => Means::Base,
            Way::Permit { .. } => Means::MegaEth,
            #[cfg(feature = "solana")]
            Way::Solana { .. } => Means::Solana,
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
            offers.extend(Self::all_of(&asked, &words(reply)));
        }
        let challenges = mpp.unwrap_or_default().into_iter();
        offers.extend(challenges.filter_map(Self::of_challenge));
        if offers.is_empty() {
            return Err(OfferError::NoneKnown);
        }
        Ok(offers)
    }

    /// The first offer of these means; of any means, the first that the purse can pay, or else the first.
    pub(crate) fn choose(
        offers: Vec<Self>,
        wanted: Means,
        purse: &Purse,
    ) -> Result<Self, OfferError> {
        let cheap = offers.iter().map(|offer| offer.price).min();
        let index = match wanted {
            Means::Any => {
                let payable = offers.iter().position(|offer| offer.is_payable(purse));
                Some(payable.unwrap_or(0))
            }
            wanted => offers.iter().position(|offer| offer.means() == wanted),
        };
        let found = index.and_then(|index| offers.into_iter().nth(index));
        let found = found.ok_or(OfferError::NotOffered)?;
        // The same price in other tokens differs by what is rounded, less than a millionth.
        let cheap = cheap.unwrap_or(found.price);
        if found.price.minus(cheap) > Usd::from_micros(1) {
            let dear = found.price;
            return Err(OfferError::Uneven { dear, cheap });
        }
        Ok(found)
    }

    /// Whether a purse has the key, and where it is needed the node, to pay it.
    const fn is_payable(&self, purse: &Purse) -> bool {
        match self.way {
            Way::Transfer { .. } => purse.evm.is_some() || purse.ows.is_some(),
            Way::Mpp { .. } => purse.evm.is_some(),
            Way::Permit { .. } => purse.evm.is_some() && purse.megaeth_node.is_some(),
            #[cfg(feature = "solana")]
            Way::Solana { .. } => purse.solana.is_some() && purse.solana_node.is_some(),
        }
    }

    /// Every offer of x402 that is in a token known here to be a dollar.
    fn all_of(asked: &PaymentRequired, words: &Arc<Value>) -> Vec<Self> {
        let transfers = asked.offers().iter().filter_map(|offer| {
            Self::in_token(offer.token(), offer.amount().get(), |price, is_real| Self {
                price,
                is_real,
                way: Way::Transfer {
                    asked: Box::new(asked.clone()),
                    offer: Box::new(offer.clone()),
                    words: Arc::clone(words),
                },
            })
        });
        let permits = asked.permit_offers().iter().filter_map(|offer| {
            Self::in_token(offer.token(), offer.amount().get(), |price, is_real| Self {
                price,
                is_real,
                way: Way::Permit {
                    asked: Box::new(asked.clone()),
                    offer: Box::new(offer.clone()),
                },
            })
        });
        let evm = transfers.chain(permits);
        #[cfg(feature = "solana")]
        let evm = evm.chain(asked.svm_offers().iter().filter_map(|offer| {
            let known = KnownMint::find(offer.network(), &offer.mint())?;
            Some(Self {
                price: Usd::of_token(offer.amount().get(), known.decimals)?,
                is_real: is_real(offer.network()),
                way: Way::Solana {
                    asked: Box::new(asked.clone()),
                    offer: Box::new(offer.clone()),
                },
            })
        }));
        evm.collect()
    }

    fn in_token(
        token: &TokenTerms,
        amount: u128,
        offer: impl FnOnce(Usd, bool) -> Self,
    ) -> Option<Self> {
        let known = KnownToken::find(token.network(), token.asset_text())?;
        let price = Usd::of_token(amount, known.decimals)?;
        Some(offer(price, is_real(token.network())))
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
}

/// What a 402 asks for, word by word; nothing when it cannot be read.
fn words(reply: &Reply) -> Arc<Value> {
    let line = reply.answer.headers.get(REQUIRED);
    let json = line.and_then(|line| STANDARD.decode(line.as_bytes()).ok());
    let words = json.and_then(|json| serde_json::from_slice(&json).ok());
    Arc::new(words.unwrap_or_default())
}

/// Whether money on a network is worth anything.
fn is_real(network: &Network) -> bool {
    ![
        Network::BASE_SEPOLIA,
        Network::SOLANA_DEVNET,
        Network::SOLANA_TESTNET,
    ]
    .contains(network)
}

impl fmt::Display for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "any",
            Self::Base => "base",
            Self::Solana => "solana",
            Self::MegaEth => "megaeth",
            Self::Tempo => "tempo",
            Self::Credits => "credits",
        })
    }
}

//! What is wished for of a purchase, and what becomes of it.

use std::time::Duration;

use http::StatusCode;

use crate::answer::{Problem, Reply};
use crate::book::{BookError, Closed};
use crate::offer::{Means, Offer, OfferError};
use crate::shop::ShopError;
use crate::usd::Usd;

/// What a buyer wants of a purchase beside the goods.
#[derive(Debug, Clone)]
pub struct Wishes {
    /// How to pay.
    pub means: Means,
    /// The most that this purchase may cost.
    pub max_price: Option<Usd>,
    /// The most that may be spent in all, beside the cap of the book.
    pub ceiling: Option<Usd>,
    /// Whether real money may be paid, and not only that of test networks.
    pub real_money: bool,
    /// How long the same is sent again while nobody knows what became of it.
    pub patience: Duration,
    /// The buyer's own name for the purchase, 8 to 128 characters of `A-Za-z0-9_-:.`: the same under the same
    /// name is the same purchase, however often it is asked for.
    pub name: Option<String>,
}

impl Default for Wishes {
    fn default() -> Self {
        Self {
            means: Means::Any,
            max_price: None,
            ceiling: None,
            real_money: true,
            patience: Duration::from_secs(180),
            name: None,
        }
    }
}

/// A price, and what can be paid for it.
#[derive(Debug)]
pub struct Quote {
    /// The way to pay that was wished for.
    pub offer: Offer,
    /// The shop's answer.
    pub reply: Reply,
}

/// A purchase that was made.
#[derive(Debug)]
pub struct Bought {
    /// Its name in the book and at the shop.
    pub id: String,
    /// What was paid; nothing new when it was paid with credits.
    pub price: Usd,
    /// How it was paid.
    pub means: Means,
    /// The shop's answer.
    pub reply: Reply,
    /// Whether the key that acts for this buyer could not be read just now. The purchase stays open in the book,
    /// and taking it up again asks for the key.
    pub is_key_missing: bool,
    /// Why its end could not be written into the book, if it could not. It stays open there, and counts
    /// against the cap; taking it up again finds the same purchase.
    pub unwritten: Option<BookError>,
}

/// What became of a purchase.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// It was made.
    Paid(Bought),
    /// It was paid, could not be delivered, and is credited to its owner at the shop.
    Credited {
        /// How much.
        amount: Usd,
        /// What the shop answered.
        bought: Bought,
    },
    /// One of this name was bought before, and nothing was sent now.
    Known(Closed),
    /// Nothing was charged.
    Refused(Problem),
    /// Nobody knows yet. It stays in the book, counts against the cap, and can be taken up again.
    Unknown {
        /// Its name in the book.
        id: String,
        /// What was said last.
        last: String,
    },
}

/// Why nothing was bought. Nothing was charged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PurchaseError {
    /// The shop cannot be asked, or refuses before any payment.
    #[error(transparent)]
    Shop(#[from] ShopError),
    /// Nothing can be paid.
    #[error(transparent)]
    Offer(#[from] OfferError),
    /// The book forbids it, or cannot be written.
    #[error(transparent)]
    Book(#[from] BookError),
    /// It is dearer than wished.
    #[error("it costs {price} USD, and may cost {limit} USD at most")]
    TooDear {
        /// What it costs.
        price: Usd,
        /// The limit.
        limit: Usd,
    },
    /// What a wallet pays for belongs to it, and another one asks.
    #[error(
        "a payment by {means} is made by another wallet than asks for it: use one wallet for both"
    )]
    OtherWallet {
        /// The means.
        means: Means,
    },
    /// Real money is asked for.
    #[error("real money is asked for, and only test money may be paid here")]
    RealMoney,
    /// Nobody is there to pay.
    #[error("there is no key to pay with: give one, or pay with credits")]
    NoWallet,
    /// The shop gave something away that was asked for without a payment.
    #[error("the shop did not ask for a payment: it answered {0}")]
    Unpriced(StatusCode),
    /// Who sent it is not who would send it now.
    #[error("the purchase was sent by {sent}, and would be sent again by {now}")]
    OtherIdentity {
        /// Who sent it.
        sent: String,
        /// Who would now.
        now: String,
    },
    /// It cannot be the name of a purchase.
    #[error("the name of a purchase is 8 to 128 characters of A-Z, a-z, 0-9, _, -, : and .")]
    Name,
    /// The name stands for something else.
    #[error("{name} is the name of another purchase, of something else: use a name of its own")]
    OtherPurchase {
        /// The name.
        name: String,
    },
    /// It was to be paid with credits so long ago that the shop may have forgotten its name: sent again, it
    /// might be another purchase.
    #[error("{id} is too old to be sent again: look at the shop whether it was made")]
    TooOld {
        /// Its name in the book.
        id: String,
    },
}

//! What a payment network that takes cards can do after a sale: give money back, and say who asks for it
//! back.

use async_trait::async_trait;
use compute_domain::id::ReserveId;
use compute_domain::money::AssetAmount;
use compute_domain::reserve::DisputeState;
use compute_domain::time::Timestamp;

use super::rail::RailUnavailable;

/// A dispute, as the payment network tells of it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenDispute {
    /// The network's name of it.
    pub reference: String,
    /// The payment, as [`Evidence`](compute_domain::payment::Evidence) names it.
    pub payment: String,
    /// How much is asked for, in the currency of the rail.
    pub asset: AssetAmount,
    /// The network's own word for where it is.
    pub status: String,
    /// What that word means. A word that is not known means that it is open.
    pub state: DisputeState,
    /// When it was opened, by the network's clock.
    pub opened_at: Timestamp,
}

/// Money that shall go back to who paid it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefundOrder<'a> {
    /// Names it at the network: of any number of orders with one name, one is carried out.
    pub id: ReserveId,
    /// The payment, as its evidence names it.
    pub payment: &'a str,
    /// How much, in the smallest unit of the rail's currency; above zero.
    pub atomic: u128,
}

/// What the network knows of a refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefundLook {
    /// It is done.
    Done {
        /// The network's name of it.
        reference: String,
    },
    /// It is on its way, or its outcome cannot be found out now: ask again.
    UnderWay {
        /// For the log.
        reason: String,
    },
    /// It was not made, or it came to nothing, and never will be anything under this name.
    Refused {
        /// The network's code.
        code: String,
    },
    /// The network does not know it. It may be ordered.
    Unmade,
    /// The account that was asked does not know the payment: nothing can be said.
    Stranger,
}

/// A message that says to come from a payment network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// The network did not sign it, or not lately.
    Forged,
    /// It is about something else.
    Other,
    /// There is news of disputes or refunds.
    News,
}

/// The part of a rail that speaks of what happens to payments after they settled.
///
/// Contract: (1) every call returns within its own time-out, shorter than half a lease; (2) an order may
/// be repeated any number of times, at any time, and moves the money at most once, provided that
/// [`CardDesk::look_for_refund`] was asked immediately before and answered `Unmade`; (3) `Done` and
/// `Refused` are final; whatever is unclear is `UnderWay`.
#[async_trait]
pub trait CardDesk: Send + Sync {
    /// The account that the network's answers are about.
    async fn own_account(&self) -> Result<String, RailUnavailable>;
    /// What became of a refund. Moves nothing.
    async fn look_for_refund(&self, order: &RefundOrder<'_>)
    -> Result<RefundLook, RailUnavailable>;
    /// Makes the money go back; never answers `Unmade`.
    async fn send_refund(&self, order: &RefundOrder<'_>) -> RefundLook;
    /// Every dispute that was opened since then, in any order.
    async fn disputes_since(&self, since: Timestamp) -> Result<Vec<SeenDispute>, RailUnavailable>;
    /// One dispute, as it is now.
    async fn dispute(&self, reference: &str) -> Result<SeenDispute, RailUnavailable>;
    /// What a notice is; `None` where none are taken. Nothing in a notice is believed but that there is
    /// news to ask for.
    fn hear(&self, body: &[u8], signature: &str) -> Option<Notice>;
}

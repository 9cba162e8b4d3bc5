//! What the server itself signs and sends to a chain, as business verbs: it is written down before it
//! is sent.

use core::fmt;

use async_trait::async_trait;
use compute_domain::time::Timestamp;

use super::store::StoreError;

/// The longest text of a lane; a CAIP-2 id has at most 41 characters, and an account 128.
const LANE_MAX: usize = 160;

/// A sending account on one chain, as `eip155:8453:0x…`: the CAIP-2 id of the chain, a colon, and the
/// account as the chain writes it, on EVM in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane(String);

/// The text is no lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a lane is 1 to 160 printable ASCII characters without a space")]
pub struct InvalidLane;

impl Lane {
    /// Reads a lane.
    ///
    /// # Errors
    /// Unless it is 1 to 160 printable ASCII characters without a space.
    pub fn parse(text: &str) -> Result<Self, InvalidLane> {
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.is_empty() || text.len() > LANE_MAX || !printable {
            return Err(InvalidLane);
        }
        Ok(Self(text.to_owned()))
    }

    /// The lane's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a transaction is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// It moves a buyer's money to the shop.
    Settle,
    /// It makes a buyer's signed permission known to the chain.
    Permit,
    /// It takes what a permission allows.
    Pull,
    /// It empties a lane into a safer account.
    Sweep,
    /// It gives a lane what it needs to pay for transactions.
    Fill,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Settle,
        Self::Permit,
        Self::Pull,
        Self::Sweep,
        Self::Fill,
    ];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Settle => "settle",
            Self::Permit => "permit",
            Self::Pull => "pull",
            Self::Sweep => "sweep",
            Self::Fill => "fill",
        }
    }

    /// What a word stands for.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|purpose| purpose.as_str() == word)
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is known of a transaction on its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SentState {
    /// It may be included yet.
    Open,
    /// It is included, and did what it was sent for.
    Mined {
        /// In which block (on Solana: slot).
        block: u64,
    },
    /// It is included, cost its fee, and did nothing else.
    Failed {
        /// In which block (on Solana: slot).
        block: u64,
    },
    /// It can never be included: another one took its nonce, or its time is over. It cost nothing.
    Void,
}

/// One signed transaction. Numbers above `i64::MAX` cannot be stored.
#[derive(Clone, PartialEq, Eq)]
pub struct ChainTransaction {
    /// Its hash (on Solana: its first signature), as the chain writes it; names it.
    pub hash: String,
    /// Who sends it.
    pub lane: Lane,
    /// The account nonce on EVM; none on Solana.
    pub nonce: Option<u64>,
    /// Why it is sent.
    pub purpose: Purpose,
    /// The proof key of the payment it settles.
    pub proof_key: Option<String>,
    /// Names payments that must not overlap, such as those from one owner's permits. Only what settles
    /// a payment has one.
    pub group: Option<String>,
    /// The signed bytes, exactly as they are sent.
    pub raw: Vec<u8>,
    /// The most it can cost: gwei on EVM, lamports on Solana.
    pub max_cost: u64,
    /// The last block height at which it is valid, on Solana.
    pub valid_until: Option<u64>,
    /// What is known of it.
    pub state: SentState,
    /// When it was signed.
    pub created_at: Timestamp,
    /// When it was first known to be no longer open.
    pub concluded_at: Option<Timestamp>,
}

/// The bytes hold signatures, which no log may show.
impl fmt::Debug for ChainTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChainTransaction")
            .field("hash", &self.hash)
            .field("lane", &self.lane)
            .field("nonce", &self.nonce)
            .field("purpose", &self.purpose)
            .field("proof_key", &self.proof_key)
            .field("group", &self.group)
            .field("raw", &format_args!("{} bytes", self.raw.len()))
            .field("max_cost", &self.max_cost)
            .field("valid_until", &self.valid_until)
            .field("state", &self.state)
            .field("created_at", &self.created_at)
            .field("concluded_at", &self.concluded_at)
            .finish()
    }
}

/// What the server itself signs and sends.
///
/// Contract: (1) a lane is locked by one transaction at a time, and whoever locks it sees what the one
/// before committed; (2) a lane's next nonce is written under its lock only, else it is `Rejected`;
/// (3) a transaction is written once, however often it is added, and something else under its hash is
/// `Inconsistent`; (4) a nonce of a lane may have several transactions, of which one at most is ever
/// mined or failed, else it is `Rejected`; (5) a conclusion is final: the same one again changes
/// nothing, and another one is `Inconsistent`; (6) a number above `i64::MAX` is `Rejected`.
#[async_trait]
pub trait Outbox: Send {
    /// Locks a lane until this transaction ends; its next nonce. A new lane is made, and begins at 0.
    async fn lock_lane(&mut self, lane: &Lane, now: Timestamp) -> Result<u64, StoreError>;
    /// Writes the next nonce of a lane that this transaction has locked.
    async fn set_next_nonce(
        &mut self,
        lane: &Lane,
        next: u64,
        now: Timestamp,
    ) -> Result<(), StoreError>;
    /// Writes a transaction of a known lane. Harmless when it is there, with the same bytes, lane,
    /// nonce, purpose and payment: what became of it since stays.
    async fn add_chain_transaction(
        &mut self,
        transaction: &ChainTransaction,
    ) -> Result<(), StoreError>;
    /// One transaction.
    async fn find_chain_transaction(
        &mut self,
        hash: &str,
    ) -> Result<Option<ChainTransaction>, StoreError>;
    /// All transactions of one payment, oldest first; of the same moment by nonce, then hash.
    async fn chain_transactions_of(
        &mut self,
        proof_key: &str,
    ) -> Result<Vec<ChainTransaction>, StoreError>;
    /// All transactions that were signed for a nonce of a lane, oldest first.
    async fn chain_transactions_at(
        &mut self,
        lane: &Lane,
        nonce: u64,
    ) -> Result<Vec<ChainTransaction>, StoreError>;
    /// Open transactions of a lane, by nonce, then oldest first.
    async fn open_chain_transactions(
        &mut self,
        lane: &Lane,
        limit: u32,
    ) -> Result<Vec<ChainTransaction>, StoreError>;
    /// Transactions of a lane that were concluded as mined at this moment or later, newest first.
    async fn mined_chain_transactions(
        &mut self,
        lane: &Lane,
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<ChainTransaction>, StoreError>;
    /// The payment that has held a group of a lane since `since` or later and did not let go of it,
    /// concluded or not; of several the one that took it first.
    async fn find_group_holder(
        &mut self,
        lane: &Lane,
        group: &str,
        since: Timestamp,
    ) -> Result<Option<String>, StoreError>;
    /// Lets go of the groups of all transactions of a payment; harmless when it holds none.
    async fn release_group(&mut self, proof_key: &str) -> Result<(), StoreError>;
    /// Writes what became of an open transaction; `Open` itself is `Rejected`.
    async fn conclude_chain_transaction(
        &mut self,
        hash: &str,
        state: SentState,
        now: Timestamp,
    ) -> Result<(), StoreError>;
    /// The most that a lane can have spent since then, in the unit of `max_cost`: what was open at that
    /// moment or later, unless it is void. Of one nonce the costliest counts; those without a nonce
    /// count each. Saturating.
    async fn lane_cost_since(&mut self, lane: &Lane, since: Timestamp) -> Result<u64, StoreError>;
    /// Forgets up to `limit` transactions that were concluded before a moment and hold no group; how
    /// many.
    async fn forget_chain_transactions(
        &mut self,
        before: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_is_short_printable_text() {
        for good in [
            "x",
            "eip155:8453:0x00000000000000000000000000000000000000aa",
            &"x".repeat(160),
        ] {
            let lane = Lane::parse(good).unwrap();
            assert_eq!((lane.as_str(), lane.to_string().as_str()), (good, good));
        }
        for bad in [
            "",
            "with space",
            "line\nbreak",
            "ümlaut",
            "\u{7f}",
            &"x".repeat(161),
        ] {
            assert_eq!(Lane::parse(bad), Err(InvalidLane), "{bad}");
        }
    }

    #[test]
    fn each_purpose_has_its_word() {
        let words = Purpose::ALL.map(Purpose::as_str);
        assert_eq!(words, ["settle", "permit", "pull", "sweep", "fill"]);
        for purpose in Purpose::ALL {
            assert_eq!(Purpose::parse(purpose.as_str()), Some(purpose));
            assert_eq!(purpose.to_string(), purpose.as_str());
        }
        assert_eq!(Purpose::parse("Settle"), None);
        assert_eq!(Purpose::parse(""), None);
    }

    #[test]
    fn the_signed_bytes_are_never_printed() {
        let transaction = ChainTransaction {
            hash: "0xaa".to_owned(),
            lane: Lane::parse("eip155:1:0xbb").unwrap(),
            nonce: Some(7),
            purpose: Purpose::Settle,
            proof_key: Some("proof".to_owned()),
            group: None,
            raw: vec![222, 173, 190],
            max_cost: 5,
            valid_until: None,
            state: SentState::Mined { block: 9 },
            created_at: Timestamp::from_millis(1),
            concluded_at: Some(Timestamp::from_millis(2)),
        };
        let text = format!("{transaction:?}");
        assert!(text.contains("raw: 3 bytes"), "{text}");
        assert!(!text.contains("173"), "{text}");
        assert!(text.contains("0xaa") && text.contains("block: 9"), "{text}");
    }
}

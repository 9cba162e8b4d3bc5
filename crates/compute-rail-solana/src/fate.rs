//! What the chain says became of a transaction of ours.

use compute_domain::time::{Span, Timestamp};
use compute_engine::ports::{ChainTransaction, SentState};
use compute_x402::exact_svm::{SvmTransaction, SvmTransfer};

use crate::rail::SolanaRail;
use crate::rpc::{Commitment, Reach, Record, RpcError, Status};

/// So long a node is taken to remember everything; for what is older it must show that it does.
const REMEMBERED: Span = Span::from_hours(1);

/// A transaction with our signature on it.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) signature: String,
    pub(crate) wire: Vec<u8>,
    transaction: SvmTransaction,
    pub(crate) transfer: SvmTransfer,
    /// The last block height at which it can be included, when that was written down.
    valid_until: Option<u64>,
    /// Nothing of it is older.
    since: Timestamp,
}

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It is in, and moved the money.
    Done { slot: u64 },
    /// It is in, and failed.
    Failed { slot: u64 },
    /// It is not in, or not surely enough, or the node cannot show what it did.
    Pending,
    /// It is not in, and can never be.
    Gone,
    /// The node says that it is in, and shows something else: nothing of that is believed.
    Contradiction(&'static str),
}

impl Sent {
    /// Reads bytes that were signed.
    ///
    /// # Errors
    /// When they are no transaction with a transfer.
    pub(crate) fn new(
        signature: String,
        wire: Vec<u8>,
        valid_until: Option<u64>,
        since: Timestamp,
    ) -> Result<Self, RpcError> {
        let transaction = SvmTransaction::from_wire(&wire).ok();
        let transaction = transaction.and_then(|it| it.transfer().map(|transfer| (it, transfer)));
        let (transaction, transfer) =
            transaction.ok_or_else(|| RpcError::new("the stored transaction cannot be read"))?;
        Ok(Self {
            signature,
            wire,
            transaction,
            transfer,
            valid_until,
            since,
        })
    }

    /// Reads what was written down.
    ///
    /// # Errors
    /// When it is no transaction with a transfer.
    pub(crate) fn of(row: &ChainTransaction) -> Result<Self, RpcError> {
        Self::new(
            row.hash.clone(),
            row.raw.clone(),
            row.valid_until,
            row.created_at,
        )
    }

    /// Whether a record is of this transaction. Its message counts: the buyer can sign it once more
    /// in another way and send that.
    fn is_in(&self, record: &Record) -> bool {
        let recorded = SvmTransaction::from_wire(&record.wire);
        recorded.is_ok_and(|it| it.message_bytes() == self.transaction.message_bytes())
    }

    /// Whether a record is of this transaction, and the money moved in it.
    fn is_shown_by(&self, record: &Record) -> bool {
        let held = |balances: &[crate::rpc::TokenBalance], place: usize| {
            let mint = self.transfer.mint.to_string();
            let mut balances = balances.iter();
            let found = balances.find(|it| it.account == place && it.mint == mint);
            found.map_or(0, |it| it.amount)
        };
        let Some(place) = self.transaction.position_of(&self.transfer.destination) else {
            return false;
        };
        let (before, after) = (held(&record.before, place), held(&record.after, place));
        self.is_in(record)
            && !record.is_failed
            && after.checked_sub(before) == Some(self.transfer.amount.get())
    }
}

impl SolanaRail {
    /// Looks for a transaction. `Gone` is said only when no block that could hold it can still be
    /// made, and none that is there does.
    ///
    /// # Errors
    /// When the node does not answer, or cannot know.
    pub(crate) async fn look(&self, sent: &Sent) -> Result<Seen, RpcError> {
        if let Some(status) = self.node.status(&sent.signature, Reach::Recent).await? {
            return self.look_at(sent, status).await;
        }
        // The height first: what was found out of blocks before it counts only after.
        let height = self.node.final_height().await?;
        match sent.valid_until {
            Some(last) if height > last => {}
            Some(_) => return Ok(Seen::Pending),
            None => {
                // It was never written down here; so that only the chain can tell.
                let blockhash = sent.transaction.recent_blockhash();
                if self.node.is_blockhash_valid(&blockhash).await?
                    || self.head_time(Commitment::Finalized).await? < self.end_of(sent)
                {
                    return self.look_back(sent, Seen::Pending).await;
                }
            }
        }
        self.look_back(sent, Seen::Gone).await
    }

    async fn look_back(&self, sent: &Sent, otherwise: Seen) -> Result<Seen, RpcError> {
        match self.node.status(&sent.signature, Reach::History).await? {
            Some(status) => self.look_at(sent, status).await,
            None if otherwise == Seen::Gone => {
                self.check_memory(sent).await?;
                Ok(Seen::Gone)
            }
            None => Ok(otherwise),
        }
    }

    // A blockhash that was valid when the payment came is not valid after this, in Unix seconds.
    fn end_of(&self, sent: &Sent) -> u64 {
        sent.since.secs().saturating_add(BLOCKHASH_LIFE_S)
    }

    // A node that threw old blocks away finds nothing in them.
    async fn check_memory(&self, sent: &Sent) -> Result<(), RpcError> {
        if self.book.now().since(sent.since) <= REMEMBERED {
            return Ok(());
        }
        if self.node.oldest_time().await? >= sent.since.secs() {
            let reason = "it no longer has the blocks in which the transaction may be";
            return Err(RpcError::new(reason));
        }
        Ok(())
    }

    async fn look_at(&self, sent: &Sent, status: Status) -> Result<Seen, RpcError> {
        let must_be_final = sent.transfer.amount.get() > self.finalized_above;
        match status.commitment {
            None => return Ok(Seen::Pending),
            Some(Commitment::Confirmed) if must_be_final => return Ok(Seen::Pending),
            Some(Commitment::Confirmed | Commitment::Finalized) => {}
        }
        let Some(record) = self.node.record(&sent.signature).await? else {
            return Ok(Seen::Pending);
        };
        let slot = record.slot;
        Ok(match (status.is_failed, record.is_failed) {
            (true, true) if sent.is_in(&record) => Seen::Failed { slot },
            (false, false) if sent.is_shown_by(&record) => Seen::Done { slot },
            (false, false) => Seen::Contradiction("it is said to be in, without the transfer"),
            _ => Seen::Contradiction("status and record of a transaction differ"),
        })
    }

    /// Writes down what was seen; what cannot be written now is found again in the next round.
    pub(crate) async fn note(&self, sent: &Sent, seen: Seen) {
        let state = match seen {
            Seen::Done { slot } => SentState::Mined { block: slot },
            Seen::Failed { slot } => SentState::Failed { block: slot },
            Seen::Gone => SentState::Void,
            Seen::Pending => return,
            Seen::Contradiction(reason) => {
                tracing::error!(
                    payment.rail = %self.spec.label, chain.transaction = %sent.signature, reason,
                    "the chain node contradicts itself"
                );
                return;
            }
        };
        if let Seen::Failed { .. } = seen {
            self.book.note_failure(sent.transfer.authority);
            tracing::warn!(
                payment.rail = %self.spec.label, chain.transaction = %sent.signature,
                payment.payer = %sent.transfer.authority,
                "a transaction failed on the chain at our expense"
            );
        }
        if let Err(error) = self.book.conclude(&sent.signature, state).await {
            tracing::warn!(error = %error, "a result of the chain could not be stored");
        }
    }
}

/// 150 blocks of at most 1 s; they are made every 0.4 s, but not in every slot.
pub(crate) const BLOCKHASH_LIFE_S: u64 = 150;

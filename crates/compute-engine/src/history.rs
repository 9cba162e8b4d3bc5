//! An owner's history of money.

use compute_domain::id::TransferId;
use compute_domain::owner::Scope;

use crate::engine::Engine;
use crate::error::Error;
use crate::identity::Caller;
use crate::ports::Movement;

/// The most movements one page returns.
const MOST: u32 = 200;

/// Which part of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryPage {
    /// Behind this movement; none for the beginning.
    pub after: Option<TransferId>,
    /// How many at most, from 1 to 200.
    pub limit: u32,
}

impl Default for HistoryPage {
    fn default() -> Self {
        Self {
            after: None,
            limit: MOST,
        }
    }
}

/// A part of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// Newest first.
    pub movements: Vec<Movement>,
    /// Where the next part begins, when there is one.
    pub next: Option<TransferId>,
}

impl Engine {
    /// A page of how the caller's money moved: everything on its credits, and what it bought with
    /// payments from outside.
    ///
    /// # Errors
    /// `Unauthenticated` for an anonymous caller or a spent nonce, `ScopeMissing` for a key that may not
    /// read, `Invalid` for a limit out of bounds.
    pub async fn history(&self, caller: &Caller, page: HistoryPage) -> Result<History, Error> {
        caller.require(Scope::Read)?;
        if !(1..=MOST).contains(&page.limit) {
            return Err(Error::Invalid {
                field: "limit",
                rule: format!("limit is 1 to {MOST}"),
            });
        }
        let (mut tx, owner) = self.open_to_read(caller).await?;
        let mut movements = match owner {
            // One more than asked for tells whether there are more.
            Some(owner) => tx.list_movements(owner, page.after, page.limit + 1).await?,
            None => Vec::new(),
        };
        tx.commit().await?;
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let has_more = movements.len() > limit;
        movements.truncate(limit);
        let last = movements.last().map(|movement| movement.transfer.id);
        Ok(History {
            movements,
            next: last.filter(|_| has_more),
        })
    }
}

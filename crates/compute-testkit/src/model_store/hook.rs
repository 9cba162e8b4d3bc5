//! Where a simulator gets its hands between the store and those who use it.

use core::fmt;

use compute_domain::time::Timestamp;
use compute_engine::ports::TxMode;
use futures::future::{BoxFuture, FutureExt as _, ready};

/// What becomes of a transaction that is to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeginFate {
    /// It begins.
    Begin,
    /// The database cannot be reached.
    Unavailable,
}

/// What becomes of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitFate {
    /// It is made, and confirmed.
    Apply,
    /// It is not made; the caller is told that the database is not available.
    Fail,
    /// It is made, but the confirmation is lost: the caller is told that the database is not
    /// available.
    ApplyUnheard,
}

/// Interferes with transactions. A method may stay pending as long as it likes: others get their turn
/// then. What is dropped while it waits is rolled back, as the transaction of a process that died.
///
/// The store is asked for nothing while a method runs, except that a transaction that waits for its
/// commit keeps other writers waiting, as on a real database.
pub trait StoreHook: Send + Sync + fmt::Debug {
    /// Before a transaction begins, and before it waits for its turn.
    fn before_begin(&self, mode: TxMode) -> BoxFuture<'_, BeginFate> {
        let _ = mode;
        ready(BeginFate::Begin).boxed()
    }

    /// Before a transaction is committed. Not called for one that failed.
    fn before_commit(&self, mode: TxMode) -> BoxFuture<'_, CommitFate> {
        let _ = mode;
        ready(CommitFate::Apply).boxed()
    }

    /// After a commit was made, and before the caller learns of it.
    fn after_commit(&self, mode: TxMode) -> BoxFuture<'_, ()> {
        let _ = mode;
        ready(()).boxed()
    }

    /// The clock that all users of the database share; none when each has its own.
    fn database_now(&self) -> Option<Timestamp> {
        None
    }
}

//! What a test wants to go wrong.

/// What happens to one request of a route. *After* means that the books have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: it lets one request pass before the one that is meant.
    Nothing,
    /// The connection closes; the request is never seen.
    DropBefore,
    /// It is done, and the connection closes instead of an answer.
    DropAfter,
    /// It waits until [`Handle::release`](super::Handle::release) while its idempotency key is in use.
    HoldBefore,
    /// This status with an error of the API; nothing is done or remembered.
    StatusBefore(u16),
    /// Nothing is done, and this status is remembered as the first answer to its idempotency key.
    StatusSaved(u16),
    /// It is done and remembered; this answer has another status.
    StatusAfter(u16),
    /// It is done, and the answer is text that is no JSON.
    GarbageAfter,
    /// It is done, and a member of the answer has this text or, where it is a number, another value.
    Altered(&'static str, &'static str),
}

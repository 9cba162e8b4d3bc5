//! Owners and their API keys.

use crate::id::{ApiKeyId, OwnerId};
use crate::text::Label;
use crate::time::Timestamp;

/// An API key as stored: never its text, only a keyed hash of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Identifies the key in lists and when it is revoked.
    pub id: ApiKeyId,
    /// For whom the key acts.
    pub owner: OwnerId,
    /// The customer's name for it.
    pub label: Option<Label>,
    /// The last four characters of the key text.
    pub last4: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// Since when it no longer works.
    pub revoked_at: Option<Timestamp>,
}

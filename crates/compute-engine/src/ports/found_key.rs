//! An API key as it is found by its keyed hash.

use compute_domain::owner::ApiKey;

/// An API key, and what else whoever shows it must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundKey {
    /// The key.
    pub api_key: ApiKey,
    /// Whether its text is still kept, sealed, for the buyer of a purchase that made it: then nobody has
    /// used it yet.
    pub is_text_kept: bool,
}

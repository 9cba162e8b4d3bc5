//! Whose names of purchases are meant.

use compute_domain::id::OwnerId;
use compute_wallet::WalletAddress;

/// Whose name of a purchase is meant. The same text in two scopes is two names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NameScope {
    /// An owner's: of whoever signs, holds an API key, or pays by x402.
    Owner(OwnerId),
    /// Of whoever shows nothing but a credential that this wallet pays: the owner of such a purchase is
    /// as new as the purchase. Never the names of the wallet's own owner, who may be somebody else: an
    /// account can let access keys pay for it.
    Payer(WalletAddress),
}

impl From<OwnerId> for NameScope {
    fn from(owner: OwnerId) -> Self {
        Self::Owner(owner)
    }
}

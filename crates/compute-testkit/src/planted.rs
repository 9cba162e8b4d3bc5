//! Bugs on purpose: a checker that has never found one proves nothing.

use compute_domain::text_enum;

text_enum! {
    /// One fault that a double has when it is told to. Each breaks a promise of reliability.md 3 in a
    /// way that a real implementation easily could.
    PlantedBug {
        /// A claim whose settlement is unclear no longer binds its proof.
        ReleaseClaimOnTimeout = "release-claim-on-timeout",
        /// Proofs are told apart by something that each copy of a proof has of its own.
        TxHashIdentity = "tx-hash-identity",
        /// A debit is checked against a balance that was read before the transaction had its turn.
        ReadThenDebit = "read-then-debit",
        /// What gives money back is not unique per operation and reason.
        RefundWithoutUnique = "refund-without-unique",
        /// A holder whose lease was taken over still writes.
        NoLeaseEpoch = "no-lease-epoch",
        /// Whoever asks for a root password gets it.
        PasswordNotErased = "password-not-erased",
        /// A nonce can be spent again.
        NonceNotSpent = "nonce-not-spent",
        /// Lots stay open when their instance ends.
        LotsNotClosed = "lots-not-closed",
        /// The client's name for a purchase means nothing.
        RequestKeyIgnored = "request-key-ignored",
        /// An instance takes no place.
        PlaceNotCounted = "place-not-counted",
    }
}

//! How a command ends, as its exit code says.

use std::process::ExitCode;

use compute_client::{BookError, OfferError, PurchaseError, ShopError};

/// An end with its exit code, which scripts rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It was done.
    Done,
    /// Something is wrong on this side.
    Failed,
    /// The shop refused; nothing was charged.
    Refused,
    /// A limit, the means of payment or the wallet did not allow it; nothing was sent.
    NotAllowed,
    /// It was paid and could not be delivered; the money is credited at the shop.
    Credited,
    /// Nobody knows yet whether it was paid.
    Unknown,
    /// The shop could not be reached.
    Unreachable,
    /// It was done, and nobody read the output to its end.
    Unread,
}

impl End {
    const fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            // 2 is a command that cannot be read.
            Self::Refused => 3,
            Self::NotAllowed => 4,
            Self::Credited => 5,
            Self::Unknown => 6,
            Self::Unreachable => 7,
            // As shells say of a program that a closed pipe has ended (128 and SIGPIPE).
            Self::Unread => 141,
        }
    }

    pub(crate) fn code(self) -> ExitCode {
        ExitCode::from(self.number())
    }

    /// The word for it in `--json`.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::NotAllowed => "not_allowed",
            Self::Credited => "credited",
            Self::Unknown => "unknown",
            Self::Unreachable => "unreachable",
            Self::Unread => "unread",
        }
    }
}

/// Which end an error is.
pub(crate) fn of(error: &anyhow::Error) -> End {
    if let Some(error) = error.downcast_ref::<PurchaseError>() {
        return of_purchase(error);
    }
    match error.downcast_ref::<ShopError>() {
        Some(error) => of_shop(error),
        None => End::Failed,
    }
}

fn of_purchase(error: &PurchaseError) -> End {
    match error {
        PurchaseError::Shop(error) => of_shop(error),
        PurchaseError::Book(BookError::BeyondCap { .. })
        | PurchaseError::Offer(
            OfferError::NoneKnown
            | OfferError::NotOffered
            | OfferError::NoKey
            | OfferError::NoNode(_)
            | OfferError::Uneven { .. },
        )
        | PurchaseError::OtherWallet { .. }
        | PurchaseError::TooDear { .. }
        | PurchaseError::RealMoney
        | PurchaseError::NoWallet => End::NotAllowed,
        _ => End::Failed,
    }
}

const fn of_shop(error: &ShopError) -> End {
    match error {
        ShopError::Refused(_) => End::Refused,
        ShopError::Unanswered(_) => End::Unreachable,
        _ => End::Failed,
    }
}

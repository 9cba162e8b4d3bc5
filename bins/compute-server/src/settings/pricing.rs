//! `[pricing]`: by which terms things are sold.

use compute_domain::money::Hours;
use compute_domain::prepaid::EarlyDestroy;
use compute_domain::time::Span;
use compute_pricing::Markup;

use super::check::Check;
use super::section::section;
use super::value::words;

/// What becomes of prepaid value when an owner destroys a machine before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EarlyDestroyPolicy {
    /// It becomes credit.
    Credit,
    /// It is lost.
    Forfeit,
}

words!(
    EarlyDestroyPolicy,
    "`credit` or `forfeit`",
    Credit = "credit",
    Forfeit = "forfeit"
);

section! {
    /// By which terms things are sold.
    Pricing {
        /// Margin on the provider's cost, in basis points (100 = 1 %), for providers without a margin of their own.
        markup_bps: u32 = 0,
        /// How long an old price stays payable after it changed. Clients may take 300 s to pay.
        grace: Span = Span::from_secs(300),
        /// A catalogue that its provider has not confirmed for this long is not sold from.
        catalog_max_age: Span = Span::from_hours(1),
        /// The rail offered to requests that name no network; the first configured rail if it is absent.
        default_rail: String = "base".to_owned(),
        /// What an owner gets who destroys a machine before its prepaid time is over: what is left of it as credit, or nothing.
        early_destroy: EarlyDestroyPolicy = EarlyDestroyPolicy::Credit,
        /// With `credit`: hours that are charged in any case, at the highest rate the machine had.
        early_destroy_min_hours: u32 = 24,
    }
}

impl Pricing {
    pub(super) fn check(&self, check: &mut Check<'_>) {
        check_markup(check, "pricing.markup_bps", self.markup_bps);
        if self.grace < Span::from_secs(300) {
            check.problem(
                "pricing.grace",
                "must be at least 300s, the time clients are given to pay",
            );
        }
        if self.catalog_max_age == Span::ZERO {
            check.problem("pricing.catalog_max_age", "must be more than nothing");
        }
        if self.early_destroy_min_hours > Hours::MAX {
            let what = format!("must be at most {}", Hours::MAX);
            check.problem("pricing.early_destroy_min_hours", what);
        }
    }

    /// What ending a machine early costs its owner.
    pub(super) const fn early_destroy(&self) -> EarlyDestroy {
        match self.early_destroy {
            EarlyDestroyPolicy::Credit => EarlyDestroy::Credit {
                min_hours: self.early_destroy_min_hours,
            },
            EarlyDestroyPolicy::Forfeit => EarlyDestroy::Forfeit,
        }
    }
}

/// Reads a margin.
pub(super) fn check_markup(check: &mut Check<'_>, key: &str, bps: u32) -> Markup {
    Markup::from_bps(bps).unwrap_or_else(|_| {
        check.problem(key, format!("must be at most {}", Markup::MAX_BPS));
        Markup::default()
    })
}

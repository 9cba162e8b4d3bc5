//! `[pricing]`: by which terms things are sold.

use compute_domain::time::Span;
use compute_pricing::Markup;

use super::check::Check;
use super::section::section;

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
    }
}

/// Reads a margin.
pub(super) fn check_markup(check: &mut Check<'_>, key: &str, bps: u32) -> Markup {
    Markup::from_bps(bps).unwrap_or_else(|_| {
        check.problem(key, format!("must be at most {}", Markup::MAX_BPS));
        Markup::default()
    })
}

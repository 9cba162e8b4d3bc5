//! `[work]`: what this process does beside answering requests.

use compute_engine::DestroyGuard;

use super::check::Check;
use super::section::section;

section! {
    /// What this process does beside answering requests.
    Work {
        /// Whether it drives unfinished operations, expires and watches instances, looks for orphans, audits and cleans up. Of several replicas, at least one must.
        enabled: bool = true,
        /// So many machines, or `destroy_guard_permille` of them if that is more, may be destroyed within `timing.guard_window` without their owners' asking; then expiry and the orphan sweep stop until the window has moved on, and say so as an error.
        destroy_guard_count: u32 = 5,
        /// The same as a share of all live instances, in thousandths.
        destroy_guard_permille: u32 = 100,
    }
}

impl Work {
    pub(super) fn check(&self, check: &mut Check<'_>) {
        if !(1..=1_000_000).contains(&self.destroy_guard_count) {
            check.problem("work.destroy_guard_count", "must be 1 to 1000000");
        }
        if self.destroy_guard_permille > 1_000 {
            check.problem("work.destroy_guard_permille", "must be at most 1000");
        }
    }

    /// How many destructions that nobody asked for are too many.
    pub(crate) const fn guard(&self) -> DestroyGuard {
        DestroyGuard {
            count: self.destroy_guard_count,
            permille: self.destroy_guard_permille,
        }
    }
}

//! `[work]`: what this process does beside answering requests.

use super::section::section;

section! {
    /// What this process does beside answering requests.
    Work {
        /// Whether it drives unfinished operations, expires instances and cleans up. Of several replicas, at least one must.
        enabled: bool = true,
    }
}

//! Named points at which the process killer may end the process.
//!
//! Compiled in only with the feature `failpoints`, which only the process killer's own build turns
//! on; without it the calls below are empty.

/// Every position around a step's effect, in order.
pub const POSITIONS: &[&str] = &[
    "begin.before",
    "begin.after",
    "effect.after",
    "result.before",
    "result.after",
];

/// What the simulation's hook unwinds with to end its process, a group of tasks, there and then. What it
/// runs may not catch it and go on: the driver hands it on. The HTTP API, which catches whatever the work
/// on one operation ends with, is not part of it; and the process killer's hook does not unwind.
#[derive(Debug, Clone)]
pub struct Ended(pub String);

#[cfg(feature = "failpoints")]
static HOOK: std::sync::OnceLock<fn(&str)> = std::sync::OnceLock::new();

/// Installs what happens at a point; its name is `<kind>.<step>.<position>`. The first call wins.
#[cfg(feature = "failpoints")]
pub fn install(hook: fn(&str)) {
    // A second installation is a test's, and has no effect on purpose.
    let _ = HOOK.set(hook);
}

#[cfg(feature = "failpoints")]
pub(super) fn reached(operation: &compute_domain::operation::Operation, position: &str) {
    let Some(progress) = operation.progress() else {
        return;
    };
    if let Some(hook) = HOOK.get() {
        hook(&format!("{}.{}.{position}", operation.kind, progress.step));
    }
}

#[cfg(not(feature = "failpoints"))]
pub(super) const fn reached(_: &compute_domain::operation::Operation, _: &str) {}

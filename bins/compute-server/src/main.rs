//! The compute shop: configuration, wiring, listener and commands.
fn main() {}

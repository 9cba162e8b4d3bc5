//! The rail against a chain.

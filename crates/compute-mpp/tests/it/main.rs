//! The crate as its users see it: vectors of other implementations, and hostile input.

#[cfg(test)]
mod tempo;

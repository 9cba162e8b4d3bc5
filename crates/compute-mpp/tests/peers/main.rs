//! The crate and published libraries: each reads what the other wrote.
//!
//! `cargo xtask interop mpp` installs the libraries and runs this.

#[cfg(test)]
mod cases;
#[cfg(test)]
mod headers;
#[cfg(test)]
mod peer;

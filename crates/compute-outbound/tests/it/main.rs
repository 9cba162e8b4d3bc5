//! Every way in which a peer can misbehave, played by sockets of this machine.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper that cannot do its part fails the test"
)]

mod peer;

mod hostile;
mod requests;
mod tls;

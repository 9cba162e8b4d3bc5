//! The part of Stripe's API that takes card payments with tokens of buyers.
//!
//! It decides by its own books which tokens are good, remembers the first answer to each idempotency
//! key, and writes down all money that it takes and gives back.

mod api;
mod books;
mod fault;
mod handle;

use std::io;
use std::sync::Arc;

use axum::Router;

pub use books::{Card, Flaw, Refunded, Taken, Token};
pub use fault::Fault;
pub use handle::Handle;

/// The secret key of the account that tests use.
pub const SECRET_KEY: &str = "sk_test_double";

/// That account.
pub const ACCOUNT: &str = "acct_double";

/// The secret key of another account, which has never sold anything.
pub const OTHER_KEY: &str = "sk_test_stranger";

/// The one version of the API that it speaks.
pub const VERSION: &str = "2026-07-29.preview";

/// Starts it on a free port of loopback, with its clock at this unix second; it stops when the last
/// handle is dropped.
///
/// # Errors
/// When there is no port.
pub async fn spawn(now_s: u64) -> io::Result<Handle> {
    let desk = Arc::new(api::Desk::new(now_s));
    let router = Router::new()
        .fallback(api::serve)
        .with_state(Arc::clone(&desk));
    let listening = crate::listen::listen(0, router).await?;
    Ok(Handle::new(desk, listening))
}

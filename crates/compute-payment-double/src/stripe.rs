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
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

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

/// The signature header of a webhook with this body, signed under a secret at this unix second.
#[must_use]
pub fn sign_webhook(secret: &str, at_s: u64, body: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return String::new();
    };
    mac.update(format!("{at_s}.{body}").as_bytes());
    format!("t={at_s},v1={}", hex::encode(mac.finalize().into_bytes()))
}

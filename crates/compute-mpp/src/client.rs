//! The paying side, as far as no method matters: which offer to take, and how to answer it.

use serde_json::{Map, Value};

use crate::challenge::{Challenge, WwwAuthenticateError};
use crate::credential::Credential;
use crate::header::CredentialField;
use crate::method::CHARGE;
use crate::source::Source;

/// The offers of an answer 402 that can be paid at `now_s` (unix seconds): one-time charges that
/// have not expired, in the server's order.
///
/// # Errors
/// When the `WWW-Authenticate` lines cannot be read.
pub fn offers<'a>(
    www_authenticate: impl IntoIterator<Item = &'a [u8]>,
    now_s: u64,
) -> Result<Vec<Challenge>, WwwAuthenticateError> {
    let mut offers = Challenge::parse_www_authenticate(www_authenticate)?;
    offers.retain(|offer| {
        let is_open = match offer.expires() {
            Some(_) => offer.expires_s().is_some_and(|expires_s| now_s < expires_s),
            None => true,
        };
        is_open && offer.intent() == CHARGE && offer.charge().is_ok()
    });
    Ok(offers)
}

/// Answers one of the [`offers`] with a payload of its method: the request field, and its value.
/// `source` is who pays, where the method knows such a name.
///
/// Send it with the request of the 402, byte by byte the same body: the offer may be bound to it.
#[must_use]
pub fn answer(
    offer: Challenge,
    source: Option<&Source>,
    payload: Map<String, Value>,
) -> (CredentialField, String) {
    let field = offer.field().unwrap_or_default();
    (field, Credential::new(offer, source, payload).encode())
}

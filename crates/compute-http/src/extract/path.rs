//! The id in a path.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Path};
use compute_engine::Error;
use http::request::Parts;

use crate::error::ApiError;

/// The id as the client wrote it. It is judged only after the caller is known, so that a stranger
/// learns nothing from the difference between a malformed and an unknown id.
#[derive(Debug)]
pub(crate) struct Id(Option<String>);

impl Id {
    /// The typed id; what is no id names nothing.
    pub(crate) fn parse<T: FromStr>(&self) -> Result<T, ApiError> {
        let parsed = self.0.as_deref().and_then(|text| text.parse().ok());
        parsed.ok_or(ApiError::Engine(Error::NotFound))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        Ok(Self(path.ok().map(|Path(text)| text)))
    }
}

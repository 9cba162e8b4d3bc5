//! What is for sale. From memory, in finished bytes; nobody needs to be known.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use compute_domain::catalog::PlanFamily;
use http::HeaderMap;

use crate::app::App;
use crate::error::ApiError;

/// `GET /compute/plans`, with `?type=` for one family.
pub(crate) async fn plans(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let family = parse_family(query.as_deref().unwrap_or_default())?;
    Ok(app.window()?.plans(family).respond(&headers))
}

/// `GET /compute/regions`.
pub(crate) async fn regions(
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    Ok(app.window()?.regions.respond(&headers))
}

/// `GET /compute/os`.
pub(crate) async fn images(
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    Ok(app.window()?.images.respond(&headers))
}

/// The family that a query asks for; other parameters are ignored.
fn parse_family(query: &str) -> Result<Option<PlanFamily>, ApiError> {
    let pairs = query
        .split('&')
        .filter_map(|pair| pair.split_once('=').or(Some((pair, ""))));
    let mut asked = pairs
        .filter(|(name, _)| *name == "type")
        .map(|(_, value)| value);
    let Some(text) = asked.next() else {
        return Ok(None);
    };
    match PlanFamily::parse(text) {
        Some(family) if asked.next().is_none() => Ok(Some(family)),
        _ => Err(ApiError::field("type", "type is one of vps, vhp, vdc, vcg")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_one_of_four_words() {
        assert_eq!(parse_family("").unwrap(), None);
        assert_eq!(parse_family("a=b&typeface=vps").unwrap(), None);
        assert_eq!(
            parse_family("a=b&type=vhp").unwrap(),
            Some(PlanFamily::HighPerformance)
        );
        for query in ["type", "type=", "type=VPS", "type=all", "type=vps&type=vcg"] {
            assert!(parse_family(query).is_err(), "{query}");
        }
    }
}

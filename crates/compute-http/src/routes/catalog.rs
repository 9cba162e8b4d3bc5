//! What is for sale. From memory, in finished bytes; nobody needs to be known.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use compute_domain::catalog::PlanFamily;
use http::HeaderMap;

use crate::app::App;
use crate::discovery::answers::{Filtered, Shown};
use crate::error::ApiError;
use crate::extract::parameter;
use crate::render::shelf::{ImagesReply, PlansReply, RegionsReply};

/// What machines there are, and what they cost.
///
/// Prices are in dollars, the margin is inside. A price that changed stays payable for some minutes.
#[utoipa::path(
    get,
    path = "/compute/plans",
    operation_id = "listPlans",
    tag = "Catalogue",
    params(("type" = Option<String>, Query, pattern = "^(vps|vhp|vdc|vcg)$", description = "One family: `vps` shared, `vhp` high performance, `vdc` dedicated, `vcg` GPU. All without.")),
    responses((status = 200, description = "The plans.", body = PlansReply<'_>, headers(("ETag" = String, description = "For `If-None-Match`."))),
        (status = 304, description = "As it was."), Filtered),
)]
pub(crate) async fn plans(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let family = parse_family(query.as_deref().unwrap_or_default())?;
    Ok(app.window()?.plans(family).respond(&headers))
}

/// Where machines can be.
#[utoipa::path(
    get,
    path = "/compute/regions",
    operation_id = "listRegions",
    tag = "Catalogue",
    responses((status = 200, description = "The regions.", body = RegionsReply<'_>, headers(("ETag" = String, description = "For `If-None-Match`."))),
        (status = 304, description = "As it was."), Shown),
)]
pub(crate) async fn regions(
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    Ok(app.window()?.regions.respond(&headers))
}

/// What can be installed on them.
#[utoipa::path(
    get,
    path = "/compute/os",
    operation_id = "listImages",
    tag = "Catalogue",
    responses((status = 200, description = "The images.", body = ImagesReply<'_>, headers(("ETag" = String, description = "For `If-None-Match`."))),
        (status = 304, description = "As it was."), Shown),
)]
pub(crate) async fn images(
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    Ok(app.window()?.images.respond(&headers))
}

/// The family that a query asks for; other parameters are ignored.
fn parse_family(query: &str) -> Result<Option<PlanFamily>, ApiError> {
    const RULE: &str = "type is one of vps, vhp, vdc, vcg";
    let Some(text) = parameter(query, "type", RULE)? else {
        return Ok(None);
    };
    match PlanFamily::parse(text) {
        Some(family) => Ok(Some(family)),
        None => Err(ApiError::field("type", RULE)),
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

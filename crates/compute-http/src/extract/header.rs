//! Headers that must be unambiguous: at most once, in visible ASCII.

use http::{HeaderMap, HeaderName};

use crate::error::ApiError;

/// The value of a header that may stand there once.
///
/// Of two equal headers each reader picks its own favourite; we pick none.
pub(crate) fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a str>, ApiError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(ApiError::shape(format!(
            "the header {name} is there more than once"
        )));
    }
    let text = value
        .to_str()
        .map_err(|_| ApiError::shape(format!("the header {name} is not visible ASCII")))?;
    Ok(Some(text))
}

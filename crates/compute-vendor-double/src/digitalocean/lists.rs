use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::world::Refusal;

/// What a list can be asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Filter {
    pub(super) page: Option<usize>,
    pub(super) per_page: Option<usize>,
    pub(super) tag_name: Option<String>,
    pub(super) name: Option<String>,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
}

/// One page of rows under the vendor's member name, with whole URLs as links.
pub(super) fn page(
    host: &str,
    path: &str,
    member: &str,
    rows: &[String],
    filter: &Filter,
) -> Result<Response, Refusal> {
    let size = filter.per_page.unwrap_or(20);
    if !(1..=200).contains(&size) {
        return Err(Refusal(422, "per_page is 1 to 200".to_owned()));
    }
    let number = filter.page.unwrap_or(1).max(1);
    let start = size.saturating_mul(number.saturating_sub(1));
    let end = start.saturating_add(size).min(rows.len());
    let last = rows.len().div_ceil(size).max(1);
    let shown = rows.get(start..end).unwrap_or_default().join(",");
    let link = |page: usize| {
        let mut url = format!("{host}{path}?page={page}&per_page={size}");
        for (name, value) in [
            ("tag_name", &filter.tag_name),
            ("name", &filter.name),
            ("type", &filter.kind),
        ] {
            if let Some(value) = value {
                url.push_str(&format!("&{name}={}", value.replace(':', "%3A")));
            }
        }
        Value::String(url)
    };
    let mut pages = Map::new();
    if number > 1 {
        pages.insert("first".to_owned(), link(1));
        pages.insert("prev".to_owned(), link(number.saturating_sub(1)));
    }
    if number < last {
        pages.insert("next".to_owned(), link(number.saturating_add(1)));
        pages.insert("last".to_owned(), link(last));
    }
    let links = if pages.is_empty() {
        json!({})
    } else {
        json!({ "pages": pages })
    };
    let meta = json!({ "total": rows.len() });
    Ok(json_text(format!(
        "{{\"{member}\":[{shown}],\"links\":{links},\"meta\":{meta}}}"
    )))
}

pub(super) fn json_text(text: String) -> Response {
    ([("content-type", "application/json")], text).into_response()
}

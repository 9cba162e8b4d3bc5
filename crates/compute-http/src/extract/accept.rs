//! What media types a client takes (RFC 9110 12.5.1).

use http::HeaderMap;
use http::header::ACCEPT;

/// A weight of one, in thousandths.
const FULL: u16 = 1_000;

/// The client's `Accept`; without one it takes everything.
#[derive(Debug)]
pub(crate) struct Accepted(Vec<Range>);

/// One element of it, in lower case.
#[derive(Debug)]
struct Range {
    kind: String,
    subtype: String,
    /// In thousandths.
    weight: u16,
}

impl Accepted {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(ACCEPT).iter();
        let lines = lines.filter_map(|line| line.to_str().ok());
        Self(
            lines
                .flat_map(|line| line.split(','))
                .filter_map(Range::parse)
                .collect(),
        )
    }

    /// Whether CSV is wanted more than JSON.
    pub(crate) fn prefers_csv(&self) -> bool {
        self.weight_of("text", "csv") > self.weight_of("application", "json")
    }

    /// The weight of a type: that of the most precise element that names it. What cannot be read counts
    /// as absent.
    pub(crate) fn weight_of(&self, kind: &str, subtype: &str) -> u16 {
        if self.0.is_empty() {
            return FULL;
        }
        let precision = |range: &Range| match (range.kind.as_str(), range.subtype.as_str()) {
            ("*", "*") => Some(0),
            (named, "*") if named == kind => Some(1),
            (named, exact) if named == kind && exact == subtype => Some(2),
            _ => None,
        };
        let matching = self
            .0
            .iter()
            .filter_map(|it| Some((precision(it)?, it.weight)));
        matching.max().map_or(0, |(_, weight)| weight)
    }
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let weight = parts.find_map(|part| {
            let (name, value) = part.split_once('=')?;
            name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
        });
        Some(Self {
            kind: kind.trim().to_ascii_lowercase(),
            subtype: subtype.trim().to_ascii_lowercase(),
            weight: weight.map_or(FULL, parse_weight),
        })
    }
}

/// `0`, `1`, or up to three decimals between them. What is no weight is a full one: it takes an effort to
/// refuse something.
fn parse_weight(text: &str) -> u16 {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let is_plain = decimals.len() <= 3 && decimals.bytes().all(|byte| byte.is_ascii_digit());
    match whole {
        "0" if is_plain => format!("{decimals:0<3}").parse().unwrap_or(FULL),
        _ => FULL,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn weights(accept: Option<&'static str>) -> (u16, u16) {
        let mut headers = HeaderMap::new();
        if let Some(text) = accept {
            headers.insert(ACCEPT, HeaderValue::from_static(text));
        }
        let accepted = Accepted::of(&headers);
        (
            accepted.weight_of("application", "json"),
            accepted.weight_of("text", "csv"),
        )
    }

    #[test]
    fn the_most_precise_element_counts() {
        for (accept, json, csv) in [
            (None, 1_000, 1_000),
            (Some(""), 1_000, 1_000),
            (Some("*/*"), 1_000, 1_000),
            (Some("text/csv"), 0, 1_000),
            (Some("TEXT/CSV;Q=0.5"), 0, 500),
            (Some("application/json;q=0, */*;q=0.1"), 0, 100),
            (Some("text/*;q=0.25, text/csv;q=0.75"), 0, 750),
            (Some("application/json; charset=utf-8; q=0.3"), 300, 0),
            (Some("image/png"), 0, 0),
            (Some("text/csv;q=high"), 0, 1_000),
            (Some("text/csv;q=0.0001, nonsense"), 0, 1_000),
        ] {
            assert_eq!(weights(accept), (json, csv), "{accept:?}");
        }
    }
}

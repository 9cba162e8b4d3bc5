//! Which offers a client prefers.

use crate::method::is_name;

/// The request field with the preferences.
pub const FIELD: &str = "Accept-Payment";

/// More elements are no preference but an attack.
const MAX_RANGES: usize = 32;

/// The value of `Accept-Payment`: `method/intent`, each may be `*`, with weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptPayment(Vec<Range>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Range {
    /// `None` is any.
    method: Option<String>,
    intent: Option<String>,
    /// In thousandths; 0 excludes.
    weight: u16,
}

/// A value is no list of preferences. Servers answer as if it were absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Accept-Payment is a list of method/intent with weights from 0 to 1")]
pub struct AcceptPaymentError;

impl AcceptPayment {
    /// Reads the value of the field. Parameters other than `q` are ignored.
    ///
    /// # Errors
    /// When an element is malformed, there is none, or there are more than 32.
    pub fn parse(value: &str) -> Result<Self, AcceptPaymentError> {
        let elements = value.split(',').map(str::trim_ascii);
        let given = elements.filter(|element| !element.is_empty());
        let ranges: Option<Vec<Range>> = given.take(MAX_RANGES + 1).map(Range::parse).collect();
        ranges
            .filter(|ranges| (1..=MAX_RANGES).contains(&ranges.len()))
            .map(Self)
            .ok_or(AcceptPaymentError)
    }

    /// How much an offer is wanted, in thousandths; 0 is not at all. The most specific element
    /// decides, and the first of equals.
    #[must_use]
    pub fn weight(&self, method: &str, intent: &str) -> u16 {
        let matching = self.0.iter().filter(|range| range.covers(method, intent));
        let best = matching.min_by_key(|range| (range.method.is_none(), range.intent.is_none()));
        best.map_or(0, |range| range.weight)
    }

    /// The offers that are wanted, the most wanted first, equals in the server's order. `name` gives
    /// method and intent of an offer.
    #[must_use]
    pub fn order<T>(&self, offers: Vec<T>, name: impl Fn(&T) -> (&str, &str)) -> Vec<T> {
        let weigh = |offer: T| {
            let (method, intent) = name(&offer);
            (self.weight(method, intent), offer)
        };
        let mut weighed: Vec<_> = offers.into_iter().map(weigh).collect();
        weighed.retain(|(weight, _)| *weight > 0);
        weighed.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
        weighed.into_iter().map(|(_, offer)| offer).collect()
    }
}

/// The offers in the order that a request asks for. All of them in the server's order when it asks
/// for nothing, for nothing that can be read, or for nothing that is offered: a price is always named.
#[must_use]
pub fn order_offers<T: Clone>(
    accept_payment: Option<&str>,
    offers: Vec<T>,
    name: impl Fn(&T) -> (&str, &str),
) -> Vec<T> {
    let parsed = accept_payment.and_then(|value| AcceptPayment::parse(value).ok());
    let ordered = parsed.map(|accept| accept.order(offers.clone(), name));
    ordered
        .filter(|ordered| !ordered.is_empty())
        .unwrap_or(offers)
}

impl Range {
    fn parse(element: &str) -> Option<Self> {
        let mut parts = element.split(';').map(str::trim_ascii);
        let (method, intent) = parts.next()?.split_once('/')?;
        let mut weight = 1_000;
        for parameter in parts {
            if let Some(value) = parameter.strip_prefix("q=") {
                weight = parse_weight(value)?;
            }
        }
        Some(Self {
            method: parse_name(method)?,
            intent: parse_name(intent)?,
            weight,
        })
    }

    fn covers(&self, method: &str, intent: &str) -> bool {
        let is_covered =
            |range: &Option<String>, name| range.as_deref().is_none_or(|it| it == name);
        is_covered(&self.method, method) && is_covered(&self.intent, intent)
    }
}

fn parse_name(text: &str) -> Option<Option<String>> {
    match text {
        "*" => Some(None),
        name => is_name(name).then(|| Some(name.to_owned())),
    }
}

/// `0`, `1`, and at most three decimals, in thousandths.
fn parse_weight(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let is_digits = decimals.bytes().all(|byte| byte.is_ascii_digit());
    if !matches!(whole, "0" | "1") || decimals.len() > 3 || !is_digits {
        return None;
    }
    let weight: u16 = format!("{whole}{decimals:0<3}").parse().ok()?;
    (weight <= 1_000).then_some(weight)
}

//! The answer 402: one response that clients of both versions understand.
//!
//! Version 1 reads the JSON body, version 2 the header `PAYMENT-REQUIRED`. Everything is borrowed
//! and serialised straight from the offers, because this is what every unpaid request costs.

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::error_code::ErrorCode;
use crate::header;
use crate::offer::Offer;
use crate::wire::v2;

/// One large facilitator refuses descriptions of more than 500 characters.
const MAX_DESCRIPTION_CHARS: usize = 500;

/// What is paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resource<'a> {
    /// The absolute URL as the client requested it, query included: one client compares it.
    pub url: &'a str,
    /// What is sold, for people; cut to 500 characters on the wire.
    pub description: &'a str,
    /// The content type of the paid answer.
    pub mime_type: &'a str,
}

/// All that one answer 402 says.
#[derive(Debug, Clone, Copy)]
pub struct Challenge<'a> {
    resource: Resource<'a>,
    offers: &'a [Offer],
    error: &'a ErrorCode,
    extensions: Option<&'a Value>,
}

/// The version 1 body: `x402Version`, `error` and the offers of one network.
///
/// Serialise it alone, or flattened into a larger body: clients ignore members they do not know.
#[derive(Debug, Clone, Serialize)]
pub struct V1Body<'a> {
    #[serde(rename = "x402Version")]
    x402_version: u8,
    error: &'a ErrorCode,
    accepts: V1Accepts<'a>,
}

/// The `accepts` array of version 1.
#[derive(Debug, Clone)]
pub struct V1Accepts<'a> {
    challenge: Challenge<'a>,
    network: &'a str,
}

/// The JSON of `PAYMENT-REQUIRED`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PaymentRequired<'a> {
    #[serde(rename = "x402Version")]
    x402_version: u8,
    error: &'a ErrorCode,
    resource: v2::ResourceInfo<'a>,
    accepts: V2Accepts<'a>,
    extensions: Extensions<'a>,
}

struct V2Accepts<'a> {
    offers: &'a [Offer],
    network: &'a str,
}

struct Extensions<'a>(Option<&'a Value>);

impl<'a> Resource<'a> {
    /// Names an absolute URL, what is sold there, and the content type of the paid answer.
    #[must_use]
    pub const fn new(url: &'a str, description: &'a str, mime_type: &'a str) -> Self {
        Self {
            url,
            description,
            mime_type,
        }
    }

    /// The wire form, with the description cut to what facilitators take.
    #[must_use]
    pub fn to_wire(self) -> v2::ResourceInfo<'a> {
        let end = self.description.char_indices().nth(MAX_DESCRIPTION_CHARS);
        let description = end.and_then(|(end, _)| self.description.get(..end));
        v2::ResourceInfo {
            url: self.url.into(),
            description: description.unwrap_or(self.description).into(),
            mime_type: self.mime_type.into(),
        }
    }
}

impl<'a> Challenge<'a> {
    /// Asks for one of `offers`; `error` says why, [`ErrorCode::PaymentRequired`] at first.
    #[must_use]
    pub const fn new(resource: Resource<'a>, offers: &'a [Offer], error: &'a ErrorCode) -> Self {
        Self {
            resource,
            offers,
            error,
            extensions: None,
        }
    }

    /// Adds the `extensions` object of version 2, see [`payment_identifier_extension`].
    #[must_use]
    pub const fn with_extensions(self, extensions: &'a Value) -> Self {
        Self {
            extensions: Some(extensions),
            ..self
        }
    }

    /// The version 1 body with the offers of `network` only, named in either way.
    ///
    /// Older clients drop a whole list over one network they do not know.
    #[must_use]
    pub const fn v1_body(&self, network: &'a str) -> V1Body<'a> {
        V1Body {
            x402_version: 1,
            error: self.error,
            accepts: self.v1_accepts(network),
        }
    }

    /// The `accepts` array of [`Challenge::v1_body`] alone.
    #[must_use]
    pub const fn v1_accepts(&self, network: &'a str) -> V1Accepts<'a> {
        V1Accepts {
            challenge: *self,
            network,
        }
    }

    /// The value of `PAYMENT-REQUIRED` with every offer, those of `network` first.
    #[must_use]
    pub fn payment_required(&self, network: &str) -> String {
        // An offer takes some 330 bytes; one too small a guess costs one more allocation.
        let capacity = 512 + self.resource.url.len() + 384 * self.offers.len();
        let required = PaymentRequired {
            x402_version: 2,
            error: self.error,
            resource: self.resource.to_wire(),
            accepts: V2Accepts {
                offers: self.offers,
                network,
            },
            extensions: Extensions(self.extensions),
        };
        header::encode(&required, capacity)
    }
}

impl Serialize for V1Accepts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let resource = self.challenge.resource.to_wire();
        let offers = self.challenge.offers.iter();
        let named = offers.filter(|offer| offer.network().is_named(self.network));
        serializer.collect_seq(named.map(|offer| offer.to_v1(&resource)))
    }
}

impl Serialize for V2Accepts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let is_named = |offer: &&Offer| offer.network().is_named(self.network);
        let named = self.offers.iter().filter(is_named);
        let others = self.offers.iter().filter(|offer| !is_named(offer));
        // Not `collect_seq`: it would ask the chain for a length it cannot know.
        let mut sequence = serializer.serialize_seq(None)?;
        for offer in named.chain(others) {
            serde::ser::SerializeSeq::serialize_element(&mut sequence, &offer.to_v2())?;
        }
        serde::ser::SerializeSeq::end(sequence)
    }
}

impl Serialize for Extensions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(extensions) => extensions.serialize(serializer),
            None => serializer.collect_map(std::iter::empty::<(&str, &str)>()),
        }
    }
}

/// The `extensions` object that lets a client name its payment (extension `payment-identifier`).
#[must_use]
pub fn payment_identifier_extension() -> Value {
    json!({ "payment-identifier": {
        "info": { "required": false },
        "schema": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "required": { "type": "boolean" },
                "id": { "type": "string", "minLength": 16, "maxLength": 128,
                        "pattern": "^[A-Za-z0-9_-]+$" },
            },
            "required": ["required"],
        },
    } })
}

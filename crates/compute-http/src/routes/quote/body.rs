//! The body of a quote: that of the purchase, and beside its members what is to be quoted.

use std::fmt;

use bytes::Bytes;
use compute_engine::{ExtendRequest, ProvisionRequest};
use http::HeaderMap;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use utoipa::openapi::schema::{ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{OneOfBuilder, Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::app::Settings;
use crate::error::ApiError;
use crate::extract::{ReadBody, parse_json, require_json};
use crate::routes::members::Paying;
use crate::routes::{extend, provision};

/// What a quote is asked for.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) thing: Thing,
    pub(crate) paying: Paying,
}

/// What would be bought.
#[derive(Debug)]
pub(crate) enum Thing {
    Machine(Box<ProvisionRequest>),
    /// More time for the machine with this id, as the client wrote it.
    Time(String, ExtendRequest),
}

/// The body as the document shows it: that of a purchase as it stands, or that of more time with the
/// machine's id.
pub(crate) struct QuoteRequest;

impl PartialSchema for QuoteRequest {
    fn schema() -> RefOr<Schema> {
        let machine = Ref::from_schema_name(provision::RawPurchase::name());
        let either = OneOfBuilder::new().item(machine).item(more_time());
        Schema::OneOf(either.build()).into()
    }
}

impl ToSchema for QuoteRequest {}

/// The body of an extension, and for which machine.
fn more_time() -> RefOr<Schema> {
    let body = extend::RawWish::schema();
    let RefOr::T(Schema::Object(mut object)) = body else {
        return body;
    };
    let id = ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::Custom("uuid".to_owned())));
    let name = "instance_id".to_owned();
    object.properties.insert(name.clone(), id.build().into());
    object.required.push(name);
    Schema::Object(object).into()
}

/// The members of an object as they stand there, repeated ones too.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

impl Members<'_> {
    /// Takes out a member of the quote's own, a text that stands there once.
    fn take(&mut self, name: &'static str) -> Result<Option<String>, ApiError> {
        let (own, others) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|(key, _)| key == name);
        self.0 = others;
        let own: Vec<_> = own;
        let text = |raw: &RawValue| {
            serde_json::from_str(raw.get())
                .map_err(|_| ApiError::field(name, format!("{name} is a text")))
        };
        match own.as_slice() {
            [] => Ok(None),
            [(_, raw)] => text(raw).map(Some),
            _ => Err(ApiError::field(name, format!("{name} is there twice"))),
        }
    }

    /// The body of the purchase: the other members, as they stand there.
    fn into_body(self) -> Result<Bytes, ApiError> {
        let mut body = String::from("{");
        for (index, (key, raw)) in self.0.iter().enumerate() {
            if index > 0 {
                body.push(',');
            }
            body.push_str(&serde_json::to_string(key).map_err(ApiError::internal)?);
            body.push(':');
            body.push_str(raw.get());
        }
        body.push('}');
        Ok(body.into())
    }
}

impl ReadBody for Wish {
    /// Without `action` a body that names a machine asks for more time, and any other one for a machine.
    fn read(headers: &HeaderMap, raw: &Bytes, settings: &Settings) -> Result<Self, ApiError> {
        if raw.is_empty() {
            return Err(ApiError::shape("a quote needs a body that says for what"));
        }
        require_json(headers)?;
        let mut members: Members<'_> = parse_json(raw)?;
        let action = members.take("action")?;
        let instance = members.take("instance_id")?;
        let body = members.into_body()?;
        match (action.as_deref(), instance) {
            (Some("provision") | None, None) => Self::provision(headers, &body, settings),
            (Some("extend") | None, Some(id)) => Self::extend(id, headers, &body, settings),
            (Some("provision"), Some(_)) => Err(ApiError::field(
                "instance_id",
                "a new machine has no instance_id yet",
            )),
            (Some("extend"), None) => {
                Err(ApiError::field("instance_id", "instance_id is required"))
            }
            (Some("resize"), _) => Err(ApiError::unsupported(
                "not_supported",
                "action",
                "a change of plan is tried with dry_run at POST /compute/instances/{id}/resize",
            )),
            (Some(_), _) => Err(ApiError::field("action", "action is provision or extend")),
        }
    }
}

impl Wish {
    fn provision(headers: &HeaderMap, body: &Bytes, it: &Settings) -> Result<Self, ApiError> {
        match provision::Wish::read(headers, body, it)? {
            provision::Wish::Order(request, paying) => Ok(Self {
                thing: Thing::Machine(request),
                paying,
            }),
            // An object is never empty.
            provision::Wish::Probe => Err(ApiError::shape("a quote needs a body")),
        }
    }

    fn extend(
        id: String,
        headers: &HeaderMap,
        body: &Bytes,
        settings: &Settings,
    ) -> Result<Self, ApiError> {
        let extend::Wish { request, paying } = extend::Wish::read(headers, body, settings)?;
        Ok(Self {
            thing: Thing::Time(id, request),
            paying,
        })
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::CONTENT_TYPE;

    use super::*;

    fn read(body: &str) -> Result<Wish, ApiError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = Bytes::from(body.to_owned());
        Wish::read(&headers, &body, &Settings::for_tests())
    }

    const ORDER: &str = "\"plan\":\"vc2-1c-1gb\",\"region\":\"ewr\",\"os_id\":2284";

    #[test]
    fn the_body_of_the_purchase_is_the_body_of_its_quote() {
        for body in [
            format!("{{{ORDER}}}"),
            format!("{{\"action\":\"provision\",{ORDER}}}"),
            format!("{{ {ORDER} , \"action\" : \"provision\" }}"),
        ] {
            let wish = read(&body).unwrap();
            let Thing::Machine(request) = wish.thing else {
                panic!("{body}")
            };
            assert_eq!(request.plan.as_str(), "vc2-1c-1gb");
            assert_eq!(request.hours.get(), 720, "as the purchase has it");
        }
        for body in [
            "{\"instance_id\":\"x\"}",
            "{\"action\":\"extend\",\"instance_id\":\"x\",\"max_total_usd\":\"5\"}",
        ] {
            let wish = read(body).unwrap();
            let Thing::Time(id, request) = wish.thing else {
                panic!("{body}")
            };
            assert_eq!((id.as_str(), request.hours.get()), ("x", 24));
        }
    }

    #[test]
    fn what_the_purchase_refuses_its_quote_refuses() {
        for body in [
            String::new(),
            "{}".to_owned(),
            "[]".to_owned(),
            "{".to_owned(),
            "{\"action\":\"provision\"}".to_owned(),
            "{\"action\":\"extend\"}".to_owned(),
            "{\"action\":\"extend\",\"instance_id\":7}".to_owned(),
            "{\"action\":\"extend\",\"instance_id\":\"x\",\"hours\":24}".to_owned(),
            "{\"action\":\"extend\",\"instance_id\":\"x\",\"instance_id\":\"x\"}".to_owned(),
            "{\"action\":\"buy\"}".to_owned(),
            "{\"action\":\"resize\",\"instance_id\":\"x\"}".to_owned(),
            "{\"action\":null}".to_owned(),
            format!("{{\"action\":\"provision\",\"instance_id\":\"x\",{ORDER}}}"),
            format!("{{{ORDER},{ORDER}}}"),
            format!("{{{ORDER},\"colour\":\"red\"}}"),
            format!("{{{ORDER},\"prepaid_hours\":23}}"),
        ] {
            let refused = read(&body).err().map(|error| error.row().status.as_u16());
            assert_eq!(refused, Some(400), "{body}");
        }
    }
}

//! Schemas that no type can say by itself: words of a closed list, amounts, texts with rules.

use compute_domain::text::{Label, SshPublicKey};
use utoipa::openapi::schema::{AnyOfBuilder, ArrayBuilder, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{Array, Object, OneOfBuilder, Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::render::money::Dollars;
use crate::render::order::{ImageId, Order, UnseenOrder};
use crate::render::span::HoursLeft;

/// Any character that can be seen, and blanks. The rule of labels (`compute-domain`, `text.rs`).
const LABEL: &str = r"^[^\s\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb][^\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]*$";

/// RFC 1123.
const HOSTNAME: &str = r"^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$";

/// One OpenSSH public key line.
const SSH_KEY: &str = r"^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)|sk-[a-z0-9-]+@openssh\.com) [A-Za-z0-9+/=]+( [^\u0000-\u001f]*)?$";

const AMOUNT: &str = r"^[0-9]{1,10}(\.[0-9]{1,6})?$";

fn words(words: &'static [&'static str]) -> Object {
    let text = ObjectBuilder::new().schema_type(Type::String);
    text.enum_values(Some(words.iter().copied())).build()
}

/// A text that may also be `null`, which means the same as leaving it out.
fn text(pattern: &str, most: usize, meaning: &str) -> Object {
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
        .pattern(Some(pattern))
        .min_length(Some(1))
        .max_length(Some(most))
        .description(Some(meaning))
        .build()
}

/// A customer's name for a machine or a key.
pub(crate) fn label() -> Object {
    text(
        LABEL,
        Label::MAX_CHARS,
        "Your name for it: visible characters.",
    )
}

/// A machine's own name.
pub(crate) fn hostname() -> Object {
    text(HOSTNAME, 253, "Its host name.")
}

/// A key to log in with.
pub(crate) fn ssh_key() -> Object {
    let meaning = "One OpenSSH public key line. Machines of DigitalOcean need one; on others there is a \
                   password without.";
    text(SSH_KEY, SshPublicKey::MAX_BYTES, meaning)
}

/// What becomes of an order.
pub(crate) fn order_status() -> Object {
    words(&[
        "pending",
        "provisioning",
        "active",
        "destroyed",
        "expired",
        "failed",
    ])
}

/// Where the money for something stands.
pub(crate) fn settlement() -> Object {
    words(&["pending", "settled", "declined", "refunded", "credits"])
}

/// The states of work.
pub(crate) fn work_state() -> Object {
    words(&["running", "succeeded", "failed", "stuck"])
}

/// What can be done with the switch of a machine.
pub(crate) fn power_action() -> Object {
    let known = compute_domain::operation::PowerAction::ALL.iter();
    let text = ObjectBuilder::new().schema_type(Type::String);
    text.enum_values(Some(known.map(|action| action.as_str())))
        .build()
}

/// What an API key may do.
pub(crate) fn scopes() -> Array {
    let known = compute_domain::owner::Scope::ALL.iter();
    let text = ObjectBuilder::new().schema_type(Type::String);
    let word = text.enum_values(Some(known.map(|scope| scope.as_str())));
    ArrayBuilder::new()
        .items(word)
        .min_items(Some(1))
        .unique_items(true)
        .build()
}

/// Dollars as a number, or as the same text in quotes.
pub(crate) fn amount_or_text() -> Schema {
    let text = ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(AMOUNT));
    let either = OneOfBuilder::new().item(amount_number()).item(text);
    let meaning = "Dollars, at most six decimals, no exponent.";
    Schema::OneOf(either.description(Some(meaning)).build())
}

fn amount_number() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Number)
        .minimum(Some(0))
        .maximum(Some(1_000_000_000))
}

/// The amount of a top-up; its bounds are the shop's.
pub(crate) fn topup_amount() -> Object {
    amount_number()
        .description(Some("Dollars, at most six decimals, no exponent."))
        .build()
}

/// An order that was bought: in full, or as much as is known while it cannot be read.
pub(crate) fn bought_order() -> Schema {
    let either = AnyOfBuilder::new()
        .item(Ref::from_schema_name(Order::name()))
        .item(Ref::from_schema_name(UnseenOrder::name()));
    Schema::AnyOf(either.build())
}

/// Events of a page, as `event_json` of the engine writes them.
pub(crate) fn events() -> Array {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let kinds = compute_domain::event::EventKind::ALL.iter();
    let kind = text().enum_values(Some(kinds.map(|kind| kind.as_str())));
    let sequence = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(1));
    let data = ObjectBuilder::new().schema_type(Type::Object);
    let event = ObjectBuilder::new()
        .schema_type(Type::Object)
        .property(
            "id",
            text().description(Some("The same wherever it is told.")),
        )
        .property(
            "sequence",
            sequence.description(Some("Counts the owner's events.")),
        )
        .property("type", kind)
        .property("created_at", text())
        .property("order_id", text())
        .property("operation_id", text())
        .property("data", data.description(Some("More about it, by `type`.")))
        .required("id")
        .required("sequence")
        .required("type")
        .required("created_at")
        .required("data");
    ArrayBuilder::new().items(event).build()
}

/// Kinds of event.
pub(crate) fn event_types() -> Array {
    let kinds = compute_domain::event::EventKind::ALL.iter();
    let text = ObjectBuilder::new().schema_type(Type::String);
    let word = text.enum_values(Some(kinds.map(|kind| kind.as_str())));
    ArrayBuilder::new().items(word).build()
}

/// Why a webhook is switched off.
pub(crate) fn webhook_end() -> Object {
    let ends = compute_engine::ports::WebhookEnd::ALL.iter();
    let text = ObjectBuilder::new().schema_type(Type::String);
    text.enum_values(Some(ends.map(|end| end.as_str()))).build()
}

/// Where events are sent to.
pub(crate) fn webhook_url() -> Object {
    let text = ObjectBuilder::new().schema_type(Type::String);
    text.pattern(Some("^https?://"))
        .max_length(Some(1_024))
        .build()
}

impl PartialSchema for Dollars {
    fn schema() -> RefOr<Schema> {
        let number = ObjectBuilder::new().schema_type(Type::Number);
        let number = number.description(Some("Dollars, two to six decimals."));
        number.build().into()
    }
}

impl ToSchema for Dollars {}

impl PartialSchema for HoursLeft {
    fn schema() -> RefOr<Schema> {
        let number = ObjectBuilder::new()
            .schema_type(Type::Number)
            .minimum(Some(0));
        number.description(Some("Hours.")).build().into()
    }
}

impl ToSchema for HoursLeft {}

impl PartialSchema for ImageId<'_> {
    fn schema() -> RefOr<Schema> {
        let either = image_id().description(Some("An id of `GET /compute/os`."));
        Schema::OneOf(either.build()).into()
    }
}

impl ToSchema for ImageId<'_> {}

/// A number at one provider, a slug at the other.
fn image_id() -> OneOfBuilder {
    let number = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(0));
    let text = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(96));
    OneOfBuilder::new().item(number).item(text)
}

use serde_json::{Value, json};

use crate::challenge::Resource;
use crate::offer::Offer;
use crate::payload::{Body, PaymentPayload, Version};
use crate::wire::v2::EXACT;

/// The body of `POST /verify` and `POST /settle` in the given version.
///
/// The facilitator sees our own offer, never the client's echo, and the network under the name
/// its version uses. The signature goes out with `v` 27 or 28, because some facilitators pass it
/// to the token unread. `version` may differ from that of the payment: the signed part is the same.
#[must_use]
pub fn request_body(
    version: Version,
    payload: &PaymentPayload,
    offer: &Offer,
    resource: Resource<'_>,
) -> Value {
    let resource = resource.to_wire();
    let signed = match payload.body() {
        Body::Authorization(signed) => signed.to_json(),
        // As it came: the facilitator may know the method.
        _ => payload
            .to_json()
            .get("payload")
            .cloned()
            .unwrap_or_default(),
    };
    match version {
        Version::V1 => json!({
            "x402Version": 1,
            "paymentPayload": {
                "x402Version": 1,
                "scheme": EXACT,
                "network": offer.network().v1_name(),
                "payload": signed,
            },
            "paymentRequirements": offer.to_v1(&resource),
        }),
        Version::V2 => {
            let mut payment = json!({
                "x402Version": 2,
                "resource": resource,
                "accepted": offer.to_v2(),
                "payload": signed,
            });
            if let (Some(extensions), Some(members)) =
                (payload.extensions(), payment.as_object_mut())
            {
                members.insert("extensions".to_owned(), extensions.clone());
            }
            json!({
                "x402Version": 2,
                "paymentPayload": payment,
                "paymentRequirements": offer.to_v2(),
            })
        }
    }
}

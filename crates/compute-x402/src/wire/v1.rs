//! Version 1: the challenge is a JSON body, the payment header is `X-PAYMENT`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::amount::Amount;
use crate::wire::Extra;

/// The request header that carries a payment.
pub const PAYMENT_HEADER: &str = "x-payment";

/// The answer header that carries the settlement.
pub const RESPONSE_HEADER: &str = "x-payment-response";

/// One offer of a version 1 challenge (x402 specification v1, section 5.1).
///
/// No member is ever `null`: published clients drop the whole list over one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequirements<'a> {
    /// `exact`.
    pub scheme: Cow<'a, str>,
    /// The word of the network, as `base`.
    pub network: Cow<'a, str>,
    /// The price in atomic units.
    pub max_amount_required: Amount,
    /// The token contract.
    pub asset: Cow<'a, str>,
    /// The recipient.
    pub pay_to: Cow<'a, str>,
    /// The absolute URL that is paid for.
    pub resource: Cow<'a, str>,
    /// What is sold, for people.
    pub description: Cow<'a, str>,
    /// The content type of the answer.
    pub mime_type: Cow<'a, str>,
    /// How long the client may take, in seconds.
    pub max_timeout_seconds: u32,
    /// The EIP-712 domain of the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Extra<'a>>,
}

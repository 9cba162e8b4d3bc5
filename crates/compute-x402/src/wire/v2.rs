//! Version 2: challenge, payment and settlement travel in headers.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::amount::Amount;
use crate::wire::Extra;

/// The answer header that carries the challenge.
pub const REQUIRED_HEADER: &str = "payment-required";

/// The request header that carries a payment.
pub const PAYMENT_HEADER: &str = "payment-signature";

/// The answer header that carries the settlement.
pub const RESPONSE_HEADER: &str = "payment-response";

/// The one scheme this crate offers: a fixed price.
pub const EXACT: &str = "exact";

/// What is paid for (x402 specification v2, section 5.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceInfo<'a> {
    /// The absolute URL, query included.
    pub url: Cow<'a, str>,
    /// What is sold, for people; at most 500 characters.
    #[serde(default)]
    pub description: Cow<'a, str>,
    /// The content type of the answer.
    #[serde(default)]
    pub mime_type: Cow<'a, str>,
}

/// One offer of a version 2 challenge (x402 specification v2, section 5.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRequirements<'a> {
    /// `exact`.
    pub scheme: Cow<'a, str>,
    /// The CAIP-2 id of the network.
    pub network: Cow<'a, str>,
    /// The price in atomic units.
    pub amount: Amount,
    /// The token contract.
    pub asset: Cow<'a, str>,
    /// The recipient.
    pub pay_to: Cow<'a, str>,
    /// How long the client may take, in seconds.
    pub max_timeout_seconds: u32,
    /// The EIP-712 domain of the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra: Option<Extra<'a>>,
}

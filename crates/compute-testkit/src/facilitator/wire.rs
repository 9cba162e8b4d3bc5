use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The body of `/verify` and `/settle`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    pub(super) x402_version: u64,
    pub(super) payment_payload: Envelope,
    pub(super) payment_requirements: Requirements,
}

/// What the buyer sent; version 1 names scheme and network, version 2 echoes the offer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Envelope {
    pub(super) x402_version: u64,
    pub(super) scheme: Option<String>,
    pub(super) network: Option<String>,
    pub(super) accepted: Option<Requirements>,
    pub(super) payload: Value,
    pub(super) extensions: Option<Value>,
}

/// The seller's offer, in either version.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Requirements {
    pub(super) scheme: String,
    pub(super) network: String,
    pub(super) amount: Option<String>,
    pub(super) max_amount_required: Option<String>,
    pub(super) asset: String,
    pub(super) pay_to: String,
    pub(super) max_timeout_seconds: u64,
    pub(super) resource: Option<String>,
    pub(super) description: Option<String>,
    pub(super) mime_type: Option<String>,
    pub(super) extra: Option<Extra>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Extra {
    pub(super) name: Option<String>,
    pub(super) version: Option<String>,
    pub(super) asset_transfer_method: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ExactPayload {
    pub(super) signature: String,
    pub(super) authorization: RawAuthorization,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawAuthorization {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) value: String,
    pub(super) valid_after: String,
    pub(super) valid_before: String,
    pub(super) nonce: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VerifyAnswer {
    pub(super) is_valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) invalid_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) payer: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SettleAnswer {
    pub(super) success: bool,
    pub(super) transaction: String,
    pub(super) network: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) payer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error_reason: Option<String>,
}

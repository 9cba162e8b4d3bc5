//! The outcome of a settlement, as facilitators answer it and servers pass it on.

use std::borrow::Cow;

use compute_wallet::WalletAddress;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error_code::ErrorCode;
use crate::header::{self, HeaderError};
use crate::networks::Network;
use crate::wire::{v1, v2};

/// The settlement as JSON: the answer of `/settle` and the content of both response headers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SettlementResponse<'a> {
    /// Whether the payment settled.
    pub success: bool,
    /// The transaction; empty when nothing was sent.
    #[serde(default)]
    pub transaction: Cow<'a, str>,
    /// The network, by word in version 1 and by CAIP-2 id in version 2.
    #[serde(default)]
    pub network: Cow<'a, str>,
    /// Who paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<Cow<'a, str>>,
    /// The code of a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_reason: Option<Cow<'a, str>>,
    /// What extensions add, in version 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Value>,
}

/// The two answer headers: each client library reads only its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettlementHeaders {
    /// The value of `PAYMENT-RESPONSE`, with the CAIP-2 id.
    pub payment_response: String,
    /// The value of `X-PAYMENT-RESPONSE`, with the word of the network.
    pub x_payment_response: String,
}

impl SettlementHeaders {
    /// Tells the client that its payment settled in `transaction`.
    #[must_use]
    pub fn settled(network: &Network, transaction: &str, payer: &WalletAddress) -> Self {
        Self::encode(network, |network| SettlementResponse {
            success: true,
            transaction: transaction.into(),
            network: network.into(),
            payer: Some(payer.to_string().into()),
            error_reason: None,
            extensions: None,
        })
    }

    /// The same, with what extensions add; clients of version 1 know none.
    #[must_use]
    pub fn with_extensions(self, extensions: Value) -> Self {
        let Ok(mut response) = SettlementResponse::decode(self.payment_response.as_bytes()) else {
            return self;
        };
        response.extensions = Some(extensions);
        Self {
            payment_response: header::encode(&response, 1_024),
            ..self
        }
    }

    /// Tells the client that its payment did not settle.
    #[must_use]
    pub fn declined(network: &Network, code: &ErrorCode, payer: Option<&WalletAddress>) -> Self {
        Self::encode(network, |network| SettlementResponse {
            success: false,
            transaction: "".into(),
            network: network.into(),
            payer: payer.map(|payer| payer.to_string().into()),
            error_reason: Some(code.as_str().into()),
            extensions: None,
        })
    }

    /// Names and values, in the form most HTTP libraries take.
    #[must_use]
    pub fn into_pairs(self) -> [(&'static str, String); 2] {
        [
            (v2::RESPONSE_HEADER, self.payment_response),
            (v1::RESPONSE_HEADER, self.x_payment_response),
        ]
    }

    fn encode<'a>(
        network: &'a Network,
        response: impl Fn(&'a str) -> SettlementResponse<'a>,
    ) -> Self {
        Self {
            payment_response: header::encode(&response(network.caip2()), 256),
            x_payment_response: header::encode(&response(network.v1_name()), 256),
        }
    }
}

impl SettlementResponse<'static> {
    /// Reads the value of `PAYMENT-RESPONSE` or `X-PAYMENT-RESPONSE`.
    ///
    /// # Errors
    /// When the value is not base64 of a settlement.
    pub fn decode(raw: &[u8]) -> Result<Self, HeaderError> {
        let object = header::decode(raw)?;
        serde_json::from_value(object.into()).map_err(|_| HeaderError::NotJson)
    }
}

#[cfg(test)]
mod tests {
    use compute_wallet::EvmKey;

    use super::*;

    #[test]
    fn each_version_reads_its_own_network_name() {
        let payer = WalletAddress::Evm(EvmKey::from_bytes(&[1; 32]).unwrap().address());
        let headers = SettlementHeaders::settled(&Network::BASE, "0xabc", &payer);
        let v2 = SettlementResponse::decode(headers.payment_response.as_bytes()).unwrap();
        let v1 = SettlementResponse::decode(headers.x_payment_response.as_bytes()).unwrap();
        assert_eq!(
            (v1.network.as_ref(), v2.network.as_ref()),
            ("base", "eip155:8453")
        );
        assert_eq!(
            v1.payer.as_deref(),
            Some("0x1a642f0e3c3af545e7acbd38b07251b3990914f1")
        );
        assert!(v1.success && v2.success);
    }

    #[test]
    fn a_failure_has_a_reason_and_no_null() {
        let headers =
            SettlementHeaders::declined(&Network::BASE, &ErrorCode::InsufficientFunds, None);
        let object = header::decode(headers.payment_response.as_bytes()).unwrap();
        assert_eq!(
            serde_json::Value::Object(object),
            serde_json::json!({"success": false, "transaction": "", "network": "eip155:8453",
                               "errorReason": "insufficient_funds"})
        );
    }
}

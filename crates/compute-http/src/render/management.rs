//! The key of a buyer who showed nothing but a credential (compute-api.md 4).

use compute_domain::id::ApiKeyId;
use compute_engine::ManagementKey;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use utoipa::ToSchema;

const SHOWN: &str = "send management_api_key as X-API-Key to read, extend and destroy this machine, \
     and to reach what may be credited for it; keep it: it is shown until it is first used, for a day at \
     most, to whoever sends the same request with the same credential again";

const HIDDEN: &str = "the key was used, or its day is over: its text is not shown again";

const UNREAD: &str = "the key of this machine could not be read just now: send the same request with the \
     same credential again to get it, which buys nothing else and is not charged again";

/// What is known of the key of a buyer who showed nothing but a credential.
#[derive(Debug)]
pub(crate) enum BuyersKey {
    Read(ManagementKey),
    /// The database could not be asked.
    Unread,
}

/// Its members in an answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Management<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    /// Only where a credential bought and nobody was named: send it as `X-API-Key`. Keep it.
    management_api_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = "uuid", required = false)]
    management_api_key_id: Option<ApiKeyId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    management_api_key_last4: Option<&'a str>,
    #[schema(required = false)]
    management_note: &'static str,
}

impl<'a> Management<'a> {
    pub(crate) fn of(key: &'a BuyersKey) -> Self {
        let BuyersKey::Read(key) = key else {
            return Self {
                management_api_key: None,
                management_api_key_id: None,
                management_api_key_last4: None,
                management_note: UNREAD,
            };
        };
        Self {
            management_api_key: key.text.as_ref().map(|text| text.expose_secret()),
            management_api_key_id: Some(key.id),
            management_api_key_last4: Some(&key.last4),
            management_note: if key.text.is_some() { SHOWN } else { HIDDEN },
        }
    }
}

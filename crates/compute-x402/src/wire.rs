//! The JSON of both protocol versions, field by field.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

pub mod v1;
pub mod v2;

/// `extra` of an offer on an EVM chain: the EIP-712 domain of the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extra<'a> {
    /// The name in the domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Cow<'a, str>>,
    /// The version in the domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Cow<'a, str>>,
}

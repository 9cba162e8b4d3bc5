//! The JSON of both protocol versions, field by field.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

pub mod v1;
pub mod v2;

/// `extra` of an offer: what a client must know of a token to sign for it. Absent members are left
/// out, because published clients refuse `null`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Extra<'a> {
    /// The name in the token's EIP-712 domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Cow<'a, str>>,
    /// The version in the token's EIP-712 domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Cow<'a, str>>,
    /// `permit2` for tokens without EIP-3009 (x402 specification v2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset_transfer_method: Option<Cow<'a, str>>,
    /// `Permit` where a direct permit is taken; read by clients that sign those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary_type: Option<Cow<'a, str>>,
    /// Whom a direct permit approves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spender: Option<Cow<'a, str>>,
    /// Who pays the fee on Solana.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fee_payer: Option<Cow<'a, str>>,
    /// The memo that a payment on Solana must carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memo: Option<Cow<'a, str>>,
}

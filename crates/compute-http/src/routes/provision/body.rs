//! The body of a purchase of a machine: what may be asked for, what is known but not sold, and nothing else.

use std::borrow::Cow;

use bytes::Bytes;
use compute_domain::catalog::{OsId, PlanId, ProviderId, RegionId};
use compute_domain::money::Hours;
use compute_domain::setup::{SshKeys, UserData};
use compute_domain::text::{Hostname, Label, SshPublicKey};
use compute_engine::{Error, ProvisionRequest};
use http::HeaderMap;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::app::Settings;
use crate::discovery::shapes;
use crate::error::ApiError;
use crate::extract::{ReadBody, parse_json, require_json};
use crate::render::order::ImageId;
use crate::routes::auto_extend;
use crate::routes::members::{self, Paying};

/// The name of a machine whose buyer gives it none; published clients send the same.
const DEFAULT_LABEL: &str = "x402-instance";

/// What a purchase asks for.
#[derive(Debug)]
pub(crate) enum Wish {
    /// Nothing: registries look at a paid route like this, and want to see its 402.
    Probe,
    /// A machine.
    Order(Box<ProvisionRequest>, Paying),
}

/// Every member that compute-api.md 7 and decisions.md 10 know; unknown ones are refused, because
/// who asks for something that is not sold must not get something else for its money.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProvisionRequest, description = "The machine that is wanted. Unknown members are refused.")]
pub(crate) struct RawPurchase<'a> {
    /// An id of `GET /compute/plans`.
    #[serde(borrow)]
    #[schema(
        required,
        nullable = false,
        min_length = 1,
        max_length = 96,
        pattern = "^[!-~]+$"
    )]
    plan: Option<Cow<'a, str>>,
    /// One of the plan's `locations`.
    #[serde(borrow)]
    #[schema(
        required,
        nullable = false,
        min_length = 1,
        max_length = 96,
        pattern = "^[!-~]+$"
    )]
    region: Option<Cow<'a, str>>,
    #[serde(borrow)]
    #[schema(required, value_type = ImageId<'a>)]
    os_id: Option<RawImage<'a>>,
    #[serde(borrow)]
    #[schema(schema_with = shapes::label)]
    label: Option<Cow<'a, str>>,
    #[serde(borrow)]
    #[schema(schema_with = shapes::hostname)]
    hostname: Option<Cow<'a, str>>,
    /// How long to pay for; 720 when absent.
    #[serde(default, deserialize_with = "members::present")]
    #[schema(nullable = false, minimum = 24, maximum = 4320)]
    prepaid_hours: Option<u64>,
    /// The x402 network to pay over. Who pays by a credential or by credits needs none.
    #[serde(borrow)]
    network: Option<Cow<'a, str>>,
    #[serde(borrow)]
    #[schema(schema_with = shapes::ssh_key)]
    ssh_public_key: Option<Cow<'a, str>>,
    /// A hint that must agree with the plan.
    #[serde(borrow)]
    #[schema(pattern = "^(vultr|digitalocean)$")]
    provider: Option<Cow<'a, str>>,
    /// Pay from credits; needs `X-API-Key` or the `X-Auth-*` headers.
    #[serde(default, deserialize_with = "members::present")]
    #[schema(nullable = false)]
    use_credits: Option<bool>,
    /// Extend it from credits before its time ends, again and again within a sum.
    #[serde(borrow)]
    #[schema(schema_with = auto_extend::wished)]
    auto_extend: Option<&'a RawValue>,
    /// What cloud-init does at the first start; at most 32 KiB.
    #[serde(borrow)]
    #[schema(min_length = 1, max_length = 32768)]
    user_data: Option<Cow<'a, str>>,
    /// Refuse, with 409 and before anything is settled, what costs more than this.
    #[serde(borrow, default, deserialize_with = "members::present")]
    #[schema(schema_with = shapes::amount_or_text)]
    max_total_usd: Option<&'a RawValue>,
    /// More such keys, at most ten in all.
    #[serde(borrow)]
    #[schema(max_items = 10)]
    ssh_public_keys: Option<Vec<Cow<'a, str>>>,
    #[schema(ignore)]
    duration_months: Option<IgnoredAny>,
    #[schema(ignore)]
    ssh_key_id: Option<IgnoredAny>,
    #[schema(ignore)]
    ssh_key_ids: Option<IgnoredAny>,
    #[schema(ignore)]
    ai_machine: Option<IgnoredAny>,
    #[schema(ignore)]
    deploy_node: Option<IgnoredAny>,
}

/// An image id: a number at one provider, a slug at the other.
#[derive(Deserialize)]
#[serde(untagged, expecting = "os_id must be an integer or a string")]
enum RawImage<'a> {
    Number(u64),
    Text(#[serde(borrow)] Cow<'a, str>),
}

impl ReadBody for Wish {
    fn read(headers: &HeaderMap, raw: &Bytes, settings: &Settings) -> Result<Self, ApiError> {
        if raw.is_empty() {
            return Ok(Self::Probe);
        }
        require_json(headers)?;
        let raw: RawPurchase<'_> = parse_json(raw)?;
        raw.refuse_what_is_not_sold()?;
        let paying = Paying::parse(raw.use_credits, raw.max_total_usd)?;
        Ok(Self::Order(Box::new(raw.parse(settings)?), paying))
    }
}

impl RawPurchase<'_> {
    fn refuse_what_is_not_sold(&self) -> Result<(), ApiError> {
        let never = [
            (
                "ai_machine",
                "ai_machine_not_supported",
                self.ai_machine.is_some(),
            ),
            (
                "deploy_node",
                "deploy_node_not_supported",
                self.deploy_node.is_some(),
            ),
            (
                "ssh_key_id",
                "ssh_key_id_not_supported",
                self.ssh_key_id.is_some(),
            ),
            (
                "ssh_key_ids",
                "ssh_key_id_not_supported",
                self.ssh_key_ids.is_some(),
            ),
        ];
        let not_yet = [(
            "duration_months",
            "not_supported",
            self.duration_months.is_some(),
        )];
        match never
            .iter()
            .chain(&not_yet)
            .find(|(_, _, is_asked)| *is_asked)
        {
            Some((field, code, _)) => Err(ApiError::unsupported(
                code,
                field,
                format!("{field} is not supported here"),
            )),
            None => Ok(()),
        }
    }

    fn parse(self, settings: &Settings) -> Result<ProvisionRequest, ApiError> {
        let label = self.label.as_deref().unwrap_or(DEFAULT_LABEL);
        Ok(ProvisionRequest {
            plan: PlanId::parse(required("plan", self.plan.as_deref())?)
                .map_err(|_| Error::UnknownPlan)?,
            region: RegionId::parse(required("region", self.region.as_deref())?)
                .map_err(|_| Error::UnknownRegion)?,
            os: parse_image(self.os_id)?,
            label: Label::parse(label).map_err(|error| broken("label", &error))?,
            hostname: self
                .hostname
                .as_deref()
                .map(Hostname::parse)
                .transpose()
                .map_err(|error| broken("hostname", &error))?,
            hours: members::hours(
                "prepaid_hours",
                self.prepaid_hours,
                Hours::PROVISION_DEFAULT,
            )?,
            network: members::network(self.network.as_deref(), &settings.default_network)?,
            ssh_keys: parse_keys(
                self.ssh_public_key.as_deref(),
                self.ssh_public_keys.unwrap_or_default(),
            )?,
            user_data: self
                .user_data
                .as_deref()
                .map(UserData::parse)
                .transpose()
                .map_err(|error| broken("user_data", &error))?,
            provider: self.provider.as_deref().map(parse_provider).transpose()?,
            auto_extend: match self.auto_extend {
                Some(raw) => auto_extend::of_purchase(raw)?,
                None => None,
            },
        })
    }
}

fn required<'a>(field: &'static str, value: Option<&'a str>) -> Result<&'a str, ApiError> {
    value.ok_or_else(|| ApiError::field(field, format!("{field} is required")))
}

fn broken(field: &'static str, error: &impl std::fmt::Display) -> ApiError {
    ApiError::field(field, format!("{field} {error}"))
}

/// Both members may be there; a key that both name counts once.
fn parse_keys(one: Option<&str>, more: Vec<Cow<'_, str>>) -> Result<SshKeys, ApiError> {
    let parse =
        |field, line: &str| SshPublicKey::parse(line).map_err(|error| broken(field, &error));
    let mut keys = Vec::new();
    if let Some(line) = one {
        keys.push(parse("ssh_public_key", line)?);
    }
    for line in more {
        keys.push(parse("ssh_public_keys", &line)?);
    }
    SshKeys::of(keys).map_err(|error| ApiError::field("ssh_public_keys", error.to_string()))
}

fn parse_image(raw: Option<RawImage<'_>>) -> Result<OsId, ApiError> {
    let text = match raw {
        Some(RawImage::Number(number)) => Cow::Owned(number.to_string()),
        Some(RawImage::Text(text)) => text,
        None => return Err(ApiError::field("os_id", "os_id is required")),
    };
    OsId::parse(&text).map_err(|_| Error::UnknownImage.into())
}

fn parse_provider(text: &str) -> Result<ProviderId, ApiError> {
    ProviderId::parse(text)
        .ok_or_else(|| ApiError::field("provider", "provider is vultr or digitalocean"))
}

#[cfg(test)]
#[path = "body/tests.rs"]
mod tests;

//! The order object: one shape everywhere, under every name that published clients read
//! (compute-api.md 8).

use std::borrow::Cow;

use compute_domain::catalog::OsId;
use compute_domain::id::InstanceId;
use compute_domain::instance::{Access, EndReason, FailureCode, Instance, InstanceState};
use compute_domain::time::{Span, Timestamp};
use compute_engine::ProvisionRequest;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::money::Dollars;
use super::shelf::ShopWindow;
use crate::discovery::shapes;

/// Clients poll until the address is something else; it is never null.
pub(crate) const NO_ADDRESS: &str = "0.0.0.0";

/// The order object.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Order<'a> {
    #[schema(value_type = String, format = "uuid")]
    id: InstanceId,
    provider: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    vultr_instance_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_instance_id: Option<&'a str>,
    plan: &'a str,
    vultr_plan: &'a str,
    provider_plan_id: &'a str,
    region: &'a str,
    vultr_region: &'a str,
    os: &'a str,
    vultr_os: &'a str,
    os_id: ImageId<'a>,
    label: &'a str,
    #[schema(schema_with = shapes::order_status)]
    status: &'static str,
    vultr_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    vultr_server_status: Option<&'static str>,
    /// `0.0.0.0` until it is known.
    ip_address: Cow<'static, str>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    expires_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    destroyed_at: Option<String>,
    /// All hours that were bought.
    prepaid_hours: u32,
    /// What the first purchase cost.
    payment_amount: Dollars,
    our_hourly: Dollars,
    #[serde(skip_serializing_if = "Option::is_none")]
    vultr_vcpu_count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// MiB.
    vultr_ram: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vultr_disk: Option<u32>,
    /// `ssh_key`, or `one_time_password_fallback`: ask for the password once.
    access_method: &'static str,
    deletion_protection: bool,
    metadata: Metadata<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Failure>,
}

/// Room for what only some orders have.
#[derive(Debug, Serialize, ToSchema)]
struct Metadata<'a> {
    /// The deletion was accepted and is not verified yet (decisions.md 8).
    #[serde(skip_serializing_if = "Option::is_none")]
    destroy_pending: Option<bool>,
    /// Since when the provider has the machine stopped on its own account.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    suspended_since: Option<String>,
    /// A change of plan is under way; the order stays `active` meanwhile (decisions.md 8).
    #[serde(skip_serializing_if = "Option::is_none")]
    resize_pending: Option<ResizePending<'a>>,
    /// The last three days: how many hours are left, rounded up.
    #[serde(skip_serializing_if = "Option::is_none")]
    expiring_in_hours: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_warning: Option<&'static str>,
}

/// What an order is to become.
#[derive(Debug, Serialize, ToSchema)]
struct ResizePending<'a> {
    plan: &'a str,
    our_hourly: Dollars,
    #[schema(format = DateTime)]
    new_expires_at: String,
}

/// What is known of an accepted order without reading it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UnseenOrder<'a> {
    #[schema(value_type = String, format = "uuid")]
    id: InstanceId,
    provider: &'static str,
    plan: &'a str,
    vultr_plan: &'a str,
    region: &'a str,
    vultr_region: &'a str,
    os: &'a str,
    label: &'a str,
    #[schema(schema_with = shapes::order_status)]
    status: &'static str,
    ip_address: &'static str,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    expires_at: String,
    prepaid_hours: u32,
}

/// Why an order was never delivered.
#[derive(Debug, Serialize, ToSchema)]
struct Failure {
    code: &'static str,
    charged: bool,
}

/// An image id as the provider writes it: a number where it is one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ImageId<'a>(pub(crate) &'a OsId);

impl Serialize for ImageId<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.0.as_str();
        match text.parse::<u64>() {
            // Only what reads back as the same text: `007` and `+7` stay texts.
            Ok(number) if number.to_string() == text => serializer.serialize_u64(number),
            _ => serializer.serialize_str(text),
        }
    }
}

impl<'a> Order<'a> {
    /// The order object of an instance; the window supplies what only the catalogue knows, and
    /// may be absent.
    pub(crate) fn new(instance: &'a Instance, window: Option<&'a ShopWindow>) -> Self {
        let (plan, region) = (instance.plan.as_str(), instance.region.as_str());
        let machine = instance
            .placement()
            .map(|placement| placement.machine.as_str());
        let size = window.and_then(|window| window.size_of(&instance.plan));
        let os = window
            .and_then(|window| window.image_name(&instance.os))
            .unwrap_or_else(|| instance.os.as_str());
        let status = status_word(&instance.state);
        Self {
            id: instance.id,
            provider: instance.provider.as_str(),
            vultr_instance_id: machine,
            provider_instance_id: machine,
            plan,
            vultr_plan: plan,
            provider_plan_id: plan,
            region,
            vultr_region: region,
            os,
            vultr_os: os,
            os_id: ImageId(&instance.os),
            label: instance.label.as_str(),
            status,
            vultr_status: status,
            vultr_server_status: server_status(instance),
            ip_address: instance
                .ip
                .map_or(NO_ADDRESS.into(), |ip| ip.to_string().into()),
            created_at: instance.created_at.rfc3339(),
            expires_at: instance.expires_at().rfc3339(),
            destroyed_at: destroyed_at(&instance.state),
            prepaid_hours: instance.hours.get().saturating_add(instance.extended_hours),
            payment_amount: Dollars(instance.price),
            our_hourly: Dollars(instance.rate.usd()),
            vultr_vcpu_count: size.map(|size| size.vcpu_count),
            vultr_ram: size.map(|size| size.ram_mib),
            vultr_disk: size.map(|size| size.disk_gb),
            access_method: access_word(instance.access),
            deletion_protection: instance.is_protected,
            metadata: Metadata {
                destroy_pending: destroy_pending(&instance.state),
                suspended_since: instance.suspended_since.map(|at| at.rfc3339()),
                resize_pending: instance.resizing.as_ref().map(|resizing| ResizePending {
                    plan: resizing.to.as_str(),
                    our_hourly: Dollars(resizing.rate.usd()),
                    new_expires_at: resizing.expires_at.rfc3339(),
                }),
                expiring_in_hours: None,
                expires_warning: None,
            },
            failure: failure(&instance.state),
        }
    }

    /// With a warning when its prepaid time ends soon after `now`.
    pub(crate) fn seen_at(mut self, instance: &Instance, now: Timestamp) -> Self {
        if let InstanceState::Active(placement) = &instance.state
            && let (hours, Some(warning)) = warning(placement.expires_at, now)
        {
            self.metadata.expiring_in_hours = Some(hours);
            self.metadata.expires_warning = Some(warning);
        }
        self
    }
}

/// How many hours are left, rounded up, and what is said in the last three days.
fn warning(expires_at: Timestamp, now: Timestamp) -> (i64, Option<&'static str>) {
    const HOUR: i64 = 3_600_000;
    let left = expires_at.since(now).millis();
    let hours = left.div_euclid(HOUR) + i64::from(left.rem_euclid(HOUR) > 0);
    let text = match hours {
        0 => "the prepaid time is over: extend now, or the machine is destroyed",
        1 => "the prepaid time ends within the hour: extend, or the machine is destroyed after it",
        2..=24 => {
            "the prepaid time ends within a day: extend, or the machine is destroyed after it"
        }
        25..=72 => {
            "the prepaid time ends within three days: extend, or the machine is destroyed after it"
        }
        _ => return (hours, None),
    };
    (hours, Some(text))
}

impl<'a> UnseenOrder<'a> {
    /// The order that a request became a moment ago.
    pub(crate) fn new(id: InstanceId, request: &'a ProvisionRequest, now: Timestamp) -> Self {
        let (plan, region) = (request.plan.as_str(), request.region.as_str());
        Self {
            id,
            provider: request.plan.provider().as_str(),
            plan,
            vultr_plan: plan,
            region,
            vultr_region: region,
            os: request.os.as_str(),
            label: request.label.as_str(),
            status: "pending",
            ip_address: NO_ADDRESS,
            created_at: now.rfc3339(),
            expires_at: now.plus(Span::from_hours(request.hours.get())).rfc3339(),
            prepaid_hours: request.hours.get(),
        }
    }
}

/// The words that clients know. A deletion under way is `destroyed`: clients take no other word for
/// an accepted one.
pub(crate) const fn status_word(state: &InstanceState) -> &'static str {
    match state {
        InstanceState::Pending => "pending",
        InstanceState::Provisioning(_) => "provisioning",
        InstanceState::Active(_) => "active",
        InstanceState::Destroying { reason, .. } | InstanceState::Destroyed { reason, .. } => {
            match reason {
                EndReason::Expired => "expired",
                EndReason::Requested | EndReason::Lost => "destroyed",
            }
        }
        InstanceState::Failed { .. } => "failed",
    }
}

/// A client that waits for a change of plan waits for `ok`.
const fn server_status(instance: &Instance) -> Option<&'static str> {
    match instance.state {
        InstanceState::Provisioning(Some(_)) => Some("installingbooting"),
        InstanceState::Active(_) if instance.resizing.is_some() => Some("locked"),
        InstanceState::Active(_) => Some("ok"),
        _ => None,
    }
}

fn destroyed_at(state: &InstanceState) -> Option<String> {
    match state {
        InstanceState::Destroyed { at, .. } => Some(at.rfc3339()),
        _ => None,
    }
}

fn destroy_pending(state: &InstanceState) -> Option<bool> {
    matches!(state, InstanceState::Destroying { .. }).then_some(true)
}

const fn access_word(access: Access) -> &'static str {
    match access {
        Access::SshKey => "ssh_key",
        Access::Password => "one_time_password_fallback",
    }
}

fn failure(state: &InstanceState) -> Option<Failure> {
    let InstanceState::Failed { code, .. } = state else {
        return None;
    };
    let never_paid = matches!(
        code,
        FailureCode::PaymentDeclined | FailureCode::PaymentUnreachable
    );
    Some(Failure {
        code: code.as_str(),
        charged: !never_paid,
    })
}

#[cfg(test)]
#[path = "order/tests.rs"]
mod tests;

//! What the shop tells of its goods, as far as a buyer decides by it.

use serde::{Deserialize, Serialize};

use crate::usd::Usd;

/// A kind of machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Plan {
    /// Its id, which an order names.
    pub id: String,
    /// The cloud that has it.
    pub provider: String,
    /// What it is called.
    pub name: String,
    /// Its kind, such as `GPU`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Virtual processors.
    pub vcpu_count: u32,
    /// Memory in MB.
    pub ram: u64,
    /// Disk in GB.
    pub disk: u64,
    /// What an hour costs.
    pub our_hourly: Usd,
    /// What a day costs.
    pub our_daily: Usd,
    /// Memory of its GPUs in GB; nothing for a machine without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_vram_gb: Option<u32>,
    /// The kind of GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_type: Option<String>,
    /// The regions in which it can be had now.
    pub locations: Vec<String>,
}

/// A machine that was ordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Order {
    /// Its id.
    pub id: String,
    /// `pending`, `provisioning`, `active`, `failed`, `destroyed` or `expired`.
    pub status: String,
    /// Its plan.
    pub plan: String,
    /// Its region.
    pub region: String,
    /// Its address; `0.0.0.0` until it has one.
    #[serde(default)]
    pub ip_address: String,
    /// The buyer's word for it.
    #[serde(default)]
    pub label: String,
    /// When its prepaid time is over, as RFC 3339.
    #[serde(default)]
    pub expires_at: String,
}

impl Order {
    /// Whether it may still become active by itself.
    #[must_use]
    pub fn is_on_its_way(&self) -> bool {
        matches!(self.status.as_str(), "pending" | "provisioning")
    }
}

//! What the vendor sends. Everything that need not be there is optional, unknown members are
//! ignored: the vendor's documents lag behind its answers.

use std::collections::BTreeMap;
use std::fmt;

use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// `meta` of every list.
#[derive(Debug, Deserialize)]
pub(crate) struct Meta {
    pub(crate) links: Links,
}

/// Cursors, not URLs; empty at the end.
#[derive(Debug, Deserialize)]
pub(crate) struct Links {
    #[serde(default)]
    pub(crate) next: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct PlanRow<'a> {
    pub(crate) id: String,
    pub(crate) vcpu_count: u32,
    /// MiB.
    pub(crate) ram: u32,
    /// GB of each disk.
    pub(crate) disk: u32,
    #[serde(default = "one")]
    pub(crate) disk_count: u32,
    /// GB a month.
    pub(crate) bandwidth: u32,
    #[serde(borrow)]
    pub(crate) monthly_cost: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) hourly_cost: Option<&'a RawValue>,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) locations: Vec<String>,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    pub(crate) location_cost: BTreeMap<String, LocationCost<'a>>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) storage_type: String,
    pub(crate) deploy_ondemand: Option<bool>,
    pub(crate) gpu_brand: Option<String>,
    pub(crate) gpu_type: Option<String>,
    pub(crate) gpu_vram_gb: Option<u32>,
}

const fn one() -> u32 {
    1
}

#[derive(Debug, Deserialize)]
pub(crate) struct LocationCost<'a> {
    #[serde(borrow)]
    pub(crate) monthly_cost: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) hourly_cost: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RegionRow {
    pub(crate) id: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) city: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) country: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) continent: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct OsRow {
    pub(crate) id: u32,
    pub(crate) name: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) arch: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) family: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Availability {
    pub(crate) available_plans: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct InstanceAnswer<T> {
    pub(crate) instance: T,
}

/// A machine. `kvm` (a console address with a secret) and the password are not read here.
#[derive(Debug, Deserialize)]
pub(crate) struct InstanceRow {
    pub(crate) id: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) status: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) power_status: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) server_status: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) main_ip: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) v6_main_ip: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) plan: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) date_created: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) tags: Vec<String>,
}

/// How large a machine is.
#[derive(Debug, Deserialize)]
pub(crate) struct SizedRow {
    pub(crate) id: String,
    pub(crate) vcpu_count: u32,
    /// MiB.
    pub(crate) ram: u32,
    /// GB.
    pub(crate) disk: u32,
}

#[derive(Debug, Deserialize)]
pub(crate) struct UpgradesAnswer {
    pub(crate) upgrades: Upgrades,
}

/// What a machine can be changed to.
#[derive(Debug, Deserialize)]
pub(crate) struct Upgrades {
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) plans: Vec<String>,
}

/// The only member that a resize may send: others change or even erase the machine.
#[derive(Debug, Serialize)]
pub(crate) struct PlanBody<'a> {
    pub(crate) plan: &'a str,
}

/// The answer to a change of plan.
#[derive(Debug, Deserialize)]
pub(crate) struct ChangedAnswer {
    pub(crate) instance: ChangedRow,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) job_ids: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ChangedRow {
    pub(crate) id: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct JobAnswer {
    pub(crate) job: JobRow,
}

/// The vendor's work on a machine.
#[derive(Debug, Deserialize)]
pub(crate) struct JobRow {
    /// The machine.
    pub(crate) vps_id: Option<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) state: String,
}

/// The body of a reinstallation: nothing is changed by it.
#[derive(Debug, Serialize)]
pub(crate) struct ReinstallBody {}

#[derive(Debug, Deserialize)]
pub(crate) struct AccountAnswer {
    pub(crate) account: AccountRow,
}

/// Our account. Its figures stay text: they are money.
#[derive(Deserialize)]
pub(crate) struct AccountRow {
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) name: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) email: String,
    /// Below zero it is credit.
    pub(crate) balance: Option<Box<RawValue>>,
    pub(crate) pending_charges: Option<Box<RawValue>>,
}

// Without the name and address of a person.
impl fmt::Debug for AccountRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountRow").finish_non_exhaustive()
    }
}

/// What only the answer to a create or a reinstallation holds.
#[derive(Debug, Deserialize)]
pub(crate) struct CreatedRow {
    pub(crate) id: String,
    pub(crate) default_password: Option<SecretString>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) tags: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct KeyAnswer {
    pub(crate) ssh_key: NewKey,
}

#[derive(Debug, Deserialize)]
pub(crate) struct NewKey {
    pub(crate) id: String,
}

/// A key in the list of all.
#[derive(Debug, Deserialize)]
pub(crate) struct KeyRow {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) ssh_key: String,
}

/// The vendor's error body; it has no machine-readable code.
#[derive(Debug, Deserialize)]
pub(crate) struct ErrorBody {
    pub(crate) error: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct KeyBody<'a> {
    pub(crate) name: &'a str,
    pub(crate) ssh_key: &'a str,
}

#[derive(Serialize)]
pub(crate) struct CreateBody<'a> {
    pub(crate) region: &'a str,
    pub(crate) plan: &'a str,
    pub(crate) os_id: u32,
    pub(crate) label: &'a str,
    pub(crate) hostname: &'a str,
    pub(crate) tags: &'a [String],
    /// A list, whatever its name says.
    #[serde(skip_serializing_if = "<[&str]>::is_empty")]
    pub(crate) sshkey_id: &'a [&'a str],
    /// Base64 of what cloud-init gets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user_data: Option<&'a str>,
    /// Text, not a boolean; `enabled` would add 20 % to the price.
    pub(crate) backups: &'a str,
    pub(crate) enable_ipv6: bool,
    pub(crate) activation_email: bool,
    pub(crate) user_scheme: &'a str,
}

impl fmt::Debug for CreateBody<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateBody")
            .field("label", &self.label)
            .finish_non_exhaustive()
    }
}

fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

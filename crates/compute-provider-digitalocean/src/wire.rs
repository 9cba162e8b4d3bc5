//! What the vendor sends. Everything that need not be there is optional, unknown members are
//! ignored: without a scope of the token, embedded objects are left out of answers.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// `links` of a list; `{}` when it has one page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Links {
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) pages: Pages,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Pages {
    pub(crate) next: Option<String>,
}

/// How many rows a list has on all its pages.
#[derive(Debug, Deserialize)]
pub(crate) struct Meta {
    pub(crate) total: usize,
}

#[derive(Debug, Deserialize)]
pub(crate) struct SizeRow<'a> {
    pub(crate) slug: String,
    /// MiB.
    pub(crate) memory: u32,
    pub(crate) vcpus: u32,
    /// GB of the disk that lasts; scratch disks are not part of it.
    pub(crate) disk: u32,
    /// TB a month, which may be a fraction.
    #[serde(borrow)]
    pub(crate) transfer: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) price_monthly: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) price_hourly: Option<&'a RawValue>,
    /// Where it can be had by this account now.
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) regions: Vec<String>,
    #[serde(default)]
    pub(crate) available: bool,
    pub(crate) gpu_info: Option<GpuInfo>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct GpuInfo {
    pub(crate) count: Option<u32>,
    pub(crate) model: Option<String>,
    pub(crate) vram: Option<Vram>,
}

/// Of all GPUs together, whatever the vendor's document says.
#[derive(Debug, Deserialize)]
pub(crate) struct Vram {
    pub(crate) amount: u32,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RegionRow {
    pub(crate) slug: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) available: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ImageRow {
    pub(crate) id: Option<u64>,
    /// Missing when the image was rebuilt and the slug moved on.
    pub(crate) slug: Option<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) name: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) distribution: String,
    pub(crate) public: Option<bool>,
    pub(crate) status: Option<String>,
    /// Where it is.
    pub(crate) regions: Option<Vec<String>>,
    /// GB.
    pub(crate) min_disk_size: Option<u32>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ImageAnswer {
    pub(crate) image: ImageRow,
}

#[derive(Debug, Deserialize)]
pub(crate) struct AccountAnswer {
    pub(crate) account: Account,
}

/// Our account. The name and address of a person are not read.
#[derive(Debug, Deserialize)]
pub(crate) struct Account {
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) status: String,
    pub(crate) droplet_limit: Option<u32>,
    pub(crate) uuid: Option<String>,
    pub(crate) team: Option<Team>,
}

/// Whose the machines are.
#[derive(Debug, Deserialize)]
pub(crate) struct Team {
    pub(crate) uuid: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct DropletAnswer<T> {
    pub(crate) droplet: T,
}

#[derive(Debug, Deserialize)]
pub(crate) struct DropletRow {
    pub(crate) id: u64,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) name: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) status: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) locked: bool,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) size_slug: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) created_at: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) networks: Networks,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) tags: Vec<String>,
}

/// What decides to which sizes a machine can be changed.
#[derive(Debug, Deserialize)]
pub(crate) struct SizedRow {
    pub(crate) id: u64,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) status: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) locked: bool,
    pub(crate) size_slug: Option<String>,
    /// GB; it stays when a change keeps the disk, whatever the size has.
    pub(crate) disk: Option<u32>,
    pub(crate) region: Option<RegionSlug>,
    pub(crate) gpu_info: Option<serde::de::IgnoredAny>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RegionSlug {
    pub(crate) slug: Option<String>,
}

/// Something that is done to a machine.
#[derive(Debug, Serialize)]
pub(crate) struct ActionBody<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<&'a str>,
    /// Whether the disk grows, for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) disk: Option<bool>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ActionAnswer {
    pub(crate) action: ActionRow,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ActionRow {
    pub(crate) id: u64,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) status: String,
    /// The machine.
    pub(crate) resource_id: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Networks {
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) v4: Vec<Network>,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) v6: Vec<Network>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Network {
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) ip_address: String,
    #[serde(rename = "type", default, deserialize_with = "null_as_default")]
    pub(crate) kind: String,
}

/// What counts in the answer to a create.
#[derive(Debug, Deserialize)]
pub(crate) struct CreatedRow {
    pub(crate) id: u64,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) name: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct KeyAnswer {
    pub(crate) ssh_key: KeyRow,
}

#[derive(Debug, Deserialize)]
pub(crate) struct KeyRow {
    pub(crate) id: u64,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) name: String,
}

/// The vendor's error body.
#[derive(Debug, Deserialize)]
pub(crate) struct ErrorBody {
    pub(crate) message: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct KeyBody<'a> {
    pub(crate) name: &'a str,
    pub(crate) public_key: &'a str,
}

#[derive(Serialize)]
pub(crate) struct CreateBody<'a> {
    pub(crate) name: &'a str,
    /// Always the exact region: a prefix would be any of its city.
    pub(crate) region: &'a str,
    pub(crate) size: &'a str,
    /// A slug: numbers go stale with each rebuild of the image.
    pub(crate) image: &'a str,
    pub(crate) ssh_keys: &'a [u64],
    /// Plain text, unlike at other vendors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user_data: Option<&'a str>,
    pub(crate) tags: &'a [String],
    pub(crate) ipv6: bool,
    /// Would add to the price.
    pub(crate) backups: bool,
    pub(crate) monitoring: bool,
}

impl fmt::Debug for CreateBody<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateBody")
            .field("tags", &self.tags)
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

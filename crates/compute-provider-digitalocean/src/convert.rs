//! From the vendor's rows to the marketplace's nouns, leaving out what cannot be sold.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use compute_domain::address::public_address;
use compute_domain::catalog::{
    Gpu, GpuMaker, GpuNeed, ImageNeeds, OsId, OsImage, Plan, PlanFamily, PlanId, ProviderId,
    ProviderInstanceId, Region, RegionId,
};
use compute_domain::money::HourlyRate;
use compute_domain::time::Timestamp;
use compute_engine::ports::{AccountState, MachineState, Observed, ProviderAccount};
use compute_pricing::{cost_basis, parse_micros};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::mark::{self, Whose};
use crate::wire::{Account, DropletRow, GpuInfo, ImageRow, RegionRow, SizeRow};

/// The prefix of this vendor's plans in the public contract.
const PREFIX: &str = "do:";

/// Hours after which the monthly price of a plan without GPU is reached (computed over 138 rows of
/// 2025). The monthly price of a GPU plan is just 744 of its hours.
const BILLED_HOURS_PER_MONTH: i64 = 672;

/// Sizes that can be reclaimed, or need a contract.
const UNSOLD: [&str; 3] = ["-spot", "contracted", "fabric"];

/// Kinds of sizes with processors of their own.
const DEDICATED: [&str; 9] = ["c", "c2", "g", "gd", "m", "m3", "m6", "so", "so1_5"];

/// Country and continent of a region by the letters of its slug: the vendor names the city only.
const PLACES: [(&str, &str, &str); 13] = [
    ("ams", "NL", "Europe"),
    ("atl", "US", "North America"),
    ("blr", "IN", "Asia"),
    ("fra", "DE", "Europe"),
    ("lon", "GB", "Europe"),
    ("mem", "US", "North America"),
    ("mkc", "US", "North America"),
    ("nyc", "US", "North America"),
    ("ric", "US", "North America"),
    ("sfo", "US", "North America"),
    ("sgp", "SG", "Asia"),
    ("syd", "AU", "Australia"),
    ("tor", "CA", "North America"),
];

/// The vendor's own id of a plan.
pub(crate) fn slug(plan: &PlanId) -> Option<&str> {
    plan.as_str().strip_prefix(PREFIX)
}

/// A plan of the public contract by the vendor's own id; none for an empty one.
pub(crate) fn plan_id(slug: &str) -> Option<PlanId> {
    if slug.is_empty() {
        return None;
    }
    PlanId::parse(&format!("{PREFIX}{slug}")).ok()
}

/// A plan, unless it cannot be sold: not available, reclaimable, without a usable price, or in no open
/// region for this account, as GPU sizes without a quota are.
pub(crate) fn plan(row: &SizeRow<'_>, open: &BTreeMap<RegionId, Region>) -> Option<Plan> {
    if !row.available || UNSOLD.iter().any(|part| row.slug.contains(part)) {
        return None;
    }
    let locations: BTreeSet<RegionId> = row
        .regions
        .iter()
        .filter_map(|region| RegionId::parse(region).ok())
        .filter(|region| open.contains_key(region))
        .collect();
    if locations.is_empty() {
        return None;
    }
    Some(Plan {
        id: plan_id(&row.slug)?,
        provider: ProviderId::DigitalOcean,
        family: family(row),
        vcpu_count: row.vcpus,
        ram_mib: row.memory,
        disk_gb: row.disk,
        bandwidth_gb: bandwidth(row.transfer),
        gpu: gpu(row),
        cost: cost(row)?,
        regional_cost: BTreeMap::new(),
        locations: locations.into_iter().collect(),
    })
}

fn has_gpu(row: &SizeRow<'_>) -> bool {
    row.gpu_info.is_some() || row.slug.starts_with("gpu-")
}

fn cost(row: &SizeRow<'_>) -> Option<HourlyRate> {
    let hourly = row.price_hourly.map(RawValue::get);
    let monthly = row.price_monthly.map(RawValue::get);
    let monthly = monthly.filter(|_| !has_gpu(row));
    cost_basis(hourly, monthly, BILLED_HOURS_PER_MONTH)
}

fn family(row: &SizeRow<'_>) -> PlanFamily {
    let kind = row.slug.split('-').next().unwrap_or_default();
    match kind {
        _ if has_gpu(row) => PlanFamily::Gpu,
        "s" if row.slug.ends_with("-amd") || row.slug.ends_with("-intel") => {
            PlanFamily::HighPerformance
        }
        kind if DEDICATED.contains(&kind) => PlanFamily::Dedicated,
        _ => PlanFamily::Vps,
    }
}

// Terabytes, which may be a fraction; what cannot be read is not promised.
fn bandwidth(transfer: Option<&RawValue>) -> u32 {
    let millionths = transfer.and_then(|text| parse_micros(text.get()));
    let gigabytes = millionths.map(|terabytes| terabytes / 1_000);
    gigabytes
        .and_then(|it| u32::try_from(it).ok())
        .unwrap_or_default()
}

fn gpu(row: &SizeRow<'_>) -> Option<Gpu> {
    let told = row.gpu_info.as_ref().and_then(told_gpu);
    told.or_else(|| slug_gpu(&row.slug))
}

fn told_gpu(info: &GpuInfo) -> Option<Gpu> {
    Some(Gpu {
        model: info.model.clone().filter(|model| !model.is_empty())?,
        vram_gb: info.vram.as_ref()?.amount,
        count: info.count,
    })
}

// Rows without `gpu_info` still say it in their slug: `gpu-h100x8-640gb`.
fn slug_gpu(slug: &str) -> Option<Gpu> {
    let mut parts = slug.strip_prefix("gpu-")?.split('-');
    let (model, count) = parts.next()?.rsplit_once('x')?;
    let count = count.parse().ok()?;
    let vram_gb = parts.next()?.strip_suffix("gb")?.parse().ok()?;
    let model = match model {
        "4000ada" => "nvidia_rtx4000_ada".to_owned(),
        "6000ada" => "nvidia_rtx6000_ada".to_owned(),
        amd if amd.starts_with("mi") => format!("amd_{amd}"),
        nvidia => format!("nvidia_{nvidia}"),
    };
    Some(Gpu {
        model,
        vram_gb,
        count: Some(count),
    })
}

/// Whether machines of a size can use an image: those with drivers are for the GPUs of one maker.
pub(crate) fn fits(image: &str, size: &str) -> bool {
    if !image.starts_with("gpu-") {
        return true;
    }
    size.starts_with("gpu-") && image.starts_with("gpu-amd") == size.starts_with("gpu-mi")
}

pub(crate) fn region(row: &RegionRow) -> Option<Region> {
    if !row.available {
        return None;
    }
    let letters = row.slug.trim_end_matches(|c: char| c.is_ascii_digit());
    let place = PLACES.iter().find(|(start, ..)| *start == letters);
    let (country, continent) =
        place.map_or(("", ""), |(_, country, continent)| (country, continent));
    let city = row.name.trim_end_matches(|c: char| c.is_ascii_digit());
    Some(Region {
        id: RegionId::parse(&row.slug).ok()?,
        city: city.trim_end().to_owned(),
        country: country.to_owned(),
        continent: continent.to_owned(),
    })
}

/// An image under its slug, which stays when the image is rebuilt; its present number names it too.
pub(crate) fn image(row: &ImageRow) -> Option<OsImage> {
    let is_offered = row.public != Some(false)
        && row
            .status
            .as_deref()
            .is_none_or(|status| status == "available");
    let slug = row.slug.as_deref().filter(|_| is_offered)?;
    let name = if row.name.starts_with(&row.distribution) {
        row.name.clone()
    } else {
        format!("{} {}", row.distribution, row.name)
    };
    Some(OsImage {
        id: OsId::parse(slug).ok()?,
        name,
        arch: if slug.contains("arm64") {
            "arm64"
        } else {
            "x64"
        }
        .to_owned(),
        family: row.distribution.to_lowercase().replace(' ', ""),
        aliases: row
            .id
            .iter()
            .filter_map(|id| OsId::parse(&id.to_string()).ok())
            .collect(),
        needs: ImageNeeds {
            min_disk_gb: row.min_disk_size.unwrap_or_default(),
            regions: row.regions.as_ref().map(|regions| {
                let regions = regions.iter();
                regions.filter_map(|it| RegionId::parse(it).ok()).collect()
            }),
            gpu: gpu_need(slug),
        },
    })
}

/// Our account, which is billed afterwards. Machines belong to a team where there is one: the same person
/// sees others in another team.
pub(crate) fn account(row: Account) -> ProviderAccount {
    let team = row.team.and_then(|team| team.uuid);
    let id = team.filter(|id| !id.is_empty()).or(row.uuid);
    ProviderAccount {
        id: id.filter(|id| !id.is_empty()),
        state: match row.status.as_str() {
            "active" => AccountState::Open,
            "locked" => AccountState::Locked,
            // Also a word that this build does not know: its owner should look.
            _ => AccountState::Warned,
        },
        funds: None,
        machine_limit: row.droplet_limit,
    }
}

/// The GPUs that an image has drivers for, by its slug, such as `gpu-amd-base` or `gpu-h100x8-base`:
/// those for eight GPUs bring what joins them, those for one do without.
fn gpu_need(slug: &str) -> Option<GpuNeed> {
    let kind = slug.strip_prefix("gpu-")?.split('-').next()?;
    let (model, count) = match kind.rsplit_once('x').map(|(model, n)| (model, n.parse())) {
        Some((model, Ok(count))) => (model, Some(count)),
        _ => (kind, None),
    };
    let maker = if model == "amd" || model.starts_with("mi") {
        GpuMaker::Amd
    } else {
        GpuMaker::Nvidia
    };
    Some(GpuNeed { maker, count })
}

/// A look at a machine, and whose it is.
pub(crate) fn observed(row: &DropletRow, environment: &str) -> Option<(Observed, Whose)> {
    let address = address(row);
    let whose = mark::read(&row.tags, &row.name, environment);
    let tag = match &whose {
        Whose::Ours(tag) => Some(tag.clone()),
        Whose::Theirs | Whose::Nobodys => None,
    };
    let seen = Observed {
        machine: ProviderInstanceId::parse(&row.id.to_string()).ok()?,
        tag,
        plan: plan_id(&row.size_slug),
        state: state(row, address),
        address,
        created_at: created_at(&row.created_at),
    };
    Some((seen, whose))
}

fn state(row: &DropletRow, address: Option<IpAddr>) -> MachineState {
    match (row.status.as_str(), row.locked) {
        ("new", _) => MachineState::Starting,
        ("active", _) if address.is_none() => MachineState::Starting,
        ("active", true) => MachineState::Busy,
        ("active", false) => MachineState::Ready,
        // The vendor is working on it.
        ("off", true) => MachineState::Busy,
        ("off", false) => MachineState::Stopped,
        ("archive", _) => MachineState::Suspended,
        _ => MachineState::Unclear,
    }
}

// By its type: the private one may come first.
fn address(row: &DropletRow) -> Option<IpAddr> {
    let networks = row.networks.v4.iter().chain(&row.networks.v6);
    let mut public = networks.filter(|network| network.kind == "public");
    public.find_map(|network| public_address(&network.ip_address))
}

fn created_at(text: &str) -> Option<Timestamp> {
    let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    let millis = i64::try_from(moment.unix_timestamp_nanos() / 1_000_000).ok()?;
    Some(Timestamp::from_millis(millis))
}

#[cfg(test)]
#[path = "convert/tests.rs"]
mod tests;

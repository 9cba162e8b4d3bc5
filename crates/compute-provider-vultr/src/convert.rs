//! From the vendor's rows to the marketplace's nouns, leaving out what cannot be sold.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use compute_domain::address::public_address;
use compute_domain::catalog::{
    Gpu, ImageNeeds, OsId, OsImage, Plan, PlanFamily, PlanId, ProviderId, ProviderInstanceId,
    Region, RegionId,
};
use compute_domain::money::HourlyRate;
use compute_domain::time::Timestamp;
use compute_engine::ports::{MachineState, Observed};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::tag;
use crate::wire::{InstanceRow, OsRow, PlanRow, RegionRow};

/// Hours after which the vendor's monthly price is reached: an hour is billed at 1/672 of it,
/// about 8 % more than `hourly_cost` says (reference: vendor's billing notes, 2026).
const BILLED_HOURS_PER_MONTH: i64 = 672;

/// Images that are no systems of their own, or need a paid licence.
const UNSOLD_FAMILIES: [&str; 5] = ["application", "backup", "iso", "snapshot", "windows"];

/// GPUs of dedicated machines, whose rows lack them (collected from public crawlers, 2026).
const DEDICATED_GPUS: [(&str, &str, u32); 12] = [
    ("vcg-a16-6c-64g-16vram", "NVIDIA_A16", 16),
    ("vcg-a16-96c-960g-256vram", "NVIDIA_A16", 256),
    ("vcg-a40-24c-120g-48vram", "NVIDIA_A40", 48),
    ("vcg-a40-96c-480g-192vram", "NVIDIA_A40", 192),
    ("vcg-a100-12c-120g-80vram", "NVIDIA_A100", 80),
    ("vcg-a100-24c-240g-160vram", "NVIDIA_A100", 160),
    ("vcg-a100-48c-480g-320vram", "NVIDIA_A100", 320),
    ("vcg-a100-96c-960g-640vram", "NVIDIA_A100", 640),
    ("vcg-h100-216c-1914gb-640vram", "NVIDIA_H100", 640),
    ("vcg-b200-248c-2826g-1536vram", "NVIDIA_B200", 1536),
    // Sources disagree on the number of GPUs; the id tells their memory.
    ("vcg-mi325x-252c-2872g-1536vram", "AMD_MI325X", 1536),
    ("vcg-mi355x-252c-2872g-2304vram", "AMD_MI355X", 2304),
];

/// Which plans can be had in each region now.
pub(crate) type Stock = BTreeMap<RegionId, BTreeSet<String>>;

/// A plan, unless it cannot be sold: not on demand, without its own disk, without IPv4, without a
/// usable price, or nowhere in stock.
pub(crate) fn plan(row: &PlanRow<'_>, stock: &Stock) -> Option<Plan> {
    let is_sold = row.deploy_ondemand != Some(false)
        && row.storage_type != "block_storage"
        && !row.id.ends_with("-v6");
    if !is_sold {
        return None;
    }
    let id = PlanId::parse(&row.id)
        .ok()
        .filter(|id| id.provider() == ProviderId::Vultr)?;
    let usual_cost = cost(row.hourly_cost, row.monthly_cost)?;
    let mut regional_cost = BTreeMap::new();
    let mut unpriced = BTreeSet::new();
    for (region, own) in &row.location_cost {
        let Ok(region) = RegionId::parse(region) else {
            continue;
        };
        match cost(own.hourly_cost, own.monthly_cost) {
            Some(cost) => regional_cost.insert(region, cost),
            // A price that cannot be read must not become the general, lower one.
            None => {
                unpriced.insert(region);
                None
            }
        };
    }
    let locations: BTreeSet<RegionId> = row
        .locations
        .iter()
        .filter_map(|region| RegionId::parse(region).ok())
        .filter(|region| !unpriced.contains(region))
        .filter(|region| {
            stock
                .get(region)
                .is_some_and(|plans| plans.contains(&row.id))
        })
        .collect();
    if locations.is_empty() {
        return None;
    }
    Some(Plan {
        id,
        provider: ProviderId::Vultr,
        family: family(row),
        vcpu_count: row.vcpu_count,
        ram_mib: row.ram,
        disk_gb: row.disk.checked_mul(row.disk_count.max(1))?,
        bandwidth_gb: row.bandwidth,
        gpu: gpu(row),
        cost: usual_cost,
        regional_cost,
        locations: locations.into_iter().collect(),
    })
}

fn cost(hourly: Option<&RawValue>, monthly: Option<&RawValue>) -> Option<HourlyRate> {
    let (hourly, monthly) = (hourly.map(RawValue::get), monthly.map(RawValue::get));
    compute_pricing::cost_basis(hourly, monthly, BILLED_HOURS_PER_MONTH)
}

fn has_gpu(row: &PlanRow<'_>) -> bool {
    let brand = row.gpu_brand.as_deref().unwrap_or("none");
    row.id.starts_with("vcg-")
        || matches!(row.kind.as_str(), "vcg" | "vdm" | "vdg")
        || !matches!(brand, "none" | "")
}

fn family(row: &PlanRow<'_>) -> PlanFamily {
    match row.kind.as_str() {
        _ if has_gpu(row) => PlanFamily::Gpu,
        "vhp" => PlanFamily::HighPerformance,
        kind if kind == "vdc" || kind.starts_with("voc") => PlanFamily::Dedicated,
        _ => PlanFamily::Vps,
    }
}

fn gpu(row: &PlanRow<'_>) -> Option<Gpu> {
    if let (Some(model), Some(vram_gb)) = (&row.gpu_type, row.gpu_vram_gb) {
        return Some(Gpu {
            model: model.clone(),
            vram_gb,
            count: None,
        });
    }
    let (_, model, vram_gb) = DEDICATED_GPUS.iter().find(|(id, ..)| *id == row.id)?;
    Some(Gpu {
        model: (*model).to_owned(),
        vram_gb: *vram_gb,
        count: None,
    })
}

pub(crate) fn region(row: &RegionRow) -> Option<Region> {
    Some(Region {
        id: RegionId::parse(&row.id).ok()?,
        city: row.city.clone(),
        country: row.country.clone(),
        continent: row.continent.clone(),
    })
}

pub(crate) fn image(row: &OsRow) -> Option<OsImage> {
    if UNSOLD_FAMILIES.contains(&row.family.as_str()) {
        return None;
    }
    Some(OsImage {
        id: OsId::parse(&row.id.to_string()).ok()?,
        name: row.name.clone(),
        arch: row.arch.clone(),
        family: row.family.clone(),
        aliases: Vec::new(),
        needs: ImageNeeds::default(),
    })
}

/// A look at a machine, or `None` when its id cannot be one.
pub(crate) fn observed(row: &InstanceRow, environment: &str) -> Option<Observed> {
    // While pending the vendor says `0.0.0.0` or nothing.
    let address = public_address(&row.main_ip).or_else(|| public_address(&row.v6_main_ip));
    Some(Observed {
        machine: ProviderInstanceId::parse(&row.id).ok()?,
        tag: tag::parse(&row.tags, environment),
        plan: PlanId::parse(&row.plan).ok(),
        state: state(row, address),
        address,
        created_at: created_at(&row.date_created),
    })
}

fn state(row: &InstanceRow, address: Option<IpAddr>) -> MachineState {
    let states = (
        row.status.as_str(),
        row.power_status.as_str(),
        row.server_status.as_str(),
    );
    match states {
        ("pending", ..) => MachineState::Starting,
        ("active", "running", "ok") if address.is_some() => MachineState::Ready,
        ("active", "running", "ok" | "none" | "installingbooting") => MachineState::Starting,
        ("active", "running", "locked") if address.is_some() => MachineState::Busy,
        ("active", "running", "locked") => MachineState::Starting,
        ("active", "stopped", _) => MachineState::Stopped,
        ("resizing", ..) => MachineState::Busy,
        ("suspended", ..) => MachineState::Suspended,
        _ => MachineState::Unclear,
    }
}

fn created_at(text: &str) -> Option<Timestamp> {
    let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    let millis = i64::try_from(moment.unix_timestamp_nanos() / 1_000_000).ok()?;
    Some(Timestamp::from_millis(millis))
}

#[cfg(test)]
#[path = "convert/tests.rs"]
mod tests;

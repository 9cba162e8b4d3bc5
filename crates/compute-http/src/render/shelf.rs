//! The catalogue as finished answers: written once per revision, sent as they are.

use std::collections::HashMap;
use std::fmt;

use compute_domain::catalog::{OsId, OsImage, Plan, PlanFamily, PlanId, Region};
use compute_engine::{PricedPlan, Shelf};
use http::HeaderValue;
use serde::Serialize;
use utoipa::ToSchema;

use super::money::Dollars;
use super::order::ImageId;
use super::page::Page;
use crate::error::ApiError;

/// Prices stay payable for some minutes after a change, so half a minute in a cache does no harm.
const CATALOGUE_CACHE: HeaderValue = HeaderValue::from_static("public, max-age=30");

/// What of a machine's size the order object repeats.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) vcpu_count: u32,
    pub(crate) ram_mib: u32,
    pub(crate) disk_gb: u32,
}

/// One revision of the shelf, ready to be sent.
pub(crate) struct ShopWindow {
    revision: u64,
    all_plans: Page,
    plans_by_family: Vec<(PlanFamily, Page)>,
    pub(crate) regions: Page,
    pub(crate) images: Page,
    sizes: HashMap<PlanId, Size>,
    image_names: HashMap<OsId, String>,
}

impl fmt::Debug for ShopWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShopWindow")
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct PlansReply<'a> {
    plans: Vec<PlanItem<'a>>,
    count: usize,
}

/// What can be bought. The names are those that published clients read (compute-api.md 6.1).
#[derive(Serialize, ToSchema)]
struct PlanItem<'a> {
    id: &'a str,
    name: String,
    provider: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    vcpu_count: u32,
    /// MiB.
    ram: u32,
    /// GB.
    disk: u32,
    disk_count: u8,
    /// GB a month.
    bandwidth: u32,
    monthly_cost: Dollars,
    our_hourly: Dollars,
    our_daily: Dollars,
    our_monthly: Dollars,
    #[serde(skip_serializing_if = "Option::is_none")]
    gpu_vram_gb: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gpu_type: Option<&'a str>,
    /// Regions where it can be had now.
    locations: Vec<&'a str>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct RegionsReply<'a> {
    regions: Vec<RegionItem<'a>>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RegionItem<'a> {
    id: &'a str,
    city: &'a str,
    country: &'a str,
    continent: &'a str,
}

/// One published client reads `os_options`, another one `os`.
#[derive(Serialize, ToSchema)]
pub(crate) struct ImagesReply<'a> {
    os_options: &'a [ImageItem<'a>],
    os: &'a [ImageItem<'a>],
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ImageItem<'a> {
    id: ImageId<'a>,
    name: &'a str,
    arch: &'a str,
    family: &'a str,
}

impl ShopWindow {
    pub(crate) fn render(shelf: &Shelf) -> Result<Self, ApiError> {
        let window = Self::new(shelf.revision, &shelf.plans, &shelf.regions, &shelf.images)?;
        // Whoever has a machine sees its size, whether its provider sells at present or not.
        let known = shelf.known_plans();
        let sizes = known.map(|priced| (priced.plan.id.clone(), size(&priced.plan)));
        Ok(Self {
            sizes: sizes.collect(),
            ..window
        })
    }

    fn new(
        revision: u64,
        plans: &[PricedPlan],
        regions: &[Region],
        images: &[OsImage],
    ) -> Result<Self, ApiError> {
        let regions: Vec<_> = regions.iter().map(RegionItem::new).collect();
        let items: Vec<_> = images.iter().map(ImageItem::new).collect();
        // What is sold out everywhere is still known, for whoever has it, but not shown.
        let on_sale = || {
            plans
                .iter()
                .filter(|priced| !priced.plan.locations.is_empty())
        };
        let family_page = |family: PlanFamily| {
            let page = plans_page(on_sale().filter(|priced| priced.plan.family == family));
            page.map(|page| (family, page))
        };
        Ok(Self {
            revision,
            all_plans: plans_page(on_sale())?,
            plans_by_family: PlanFamily::ALL
                .iter()
                .map(|family| family_page(*family))
                .collect::<Result<_, _>>()?,
            regions: catalogue_page(&RegionsReply { regions })?,
            images: catalogue_page(&ImagesReply {
                os_options: &items,
                os: &items,
            })?,
            sizes: plans
                .iter()
                .map(|priced| (priced.plan.id.clone(), size(&priced.plan)))
                .collect(),
            image_names: images
                .iter()
                .map(|os| (os.id.clone(), os.name.clone()))
                .collect(),
        })
    }

    pub(crate) const fn revision(&self) -> u64 {
        self.revision
    }

    /// All plans, or those of one family.
    pub(crate) fn plans(&self, family: Option<PlanFamily>) -> &Page {
        let of_family = family.and_then(|wanted| {
            self.plans_by_family
                .iter()
                .find(|(family, _)| *family == wanted)
                .map(|(_, page)| page)
        });
        of_family.unwrap_or(&self.all_plans)
    }

    pub(crate) fn size_of(&self, plan: &PlanId) -> Option<Size> {
        self.sizes.get(plan).copied()
    }

    pub(crate) fn image_name(&self, os: &OsId) -> Option<&str> {
        self.image_names.get(os).map(String::as_str)
    }
}

fn catalogue_page(reply: &impl Serialize) -> Result<Page, ApiError> {
    Page::json(reply, CATALOGUE_CACHE)
}

fn plans_page<'a>(plans: impl Iterator<Item = &'a PricedPlan>) -> Result<Page, ApiError> {
    let plans: Vec<_> = plans.map(PlanItem::new).collect();
    catalogue_page(&PlansReply {
        count: plans.len(),
        plans,
    })
}

impl<'a> PlanItem<'a> {
    fn new(priced: &'a PricedPlan) -> Self {
        let PricedPlan {
            plan,
            rate,
            daily,
            monthly,
        } = priced;
        Self {
            id: plan.id.as_str(),
            name: plan_name(plan),
            provider: plan.provider.as_str(),
            kind: family_name(plan.family),
            vcpu_count: plan.vcpu_count,
            ram: plan.ram_mib,
            disk: plan.disk_gb,
            // One client drops plans with any other count; we sell the sum of all disks.
            disk_count: 1,
            bandwidth: plan.bandwidth_gb,
            monthly_cost: Dollars(*monthly),
            our_hourly: Dollars(rate.usd()),
            our_daily: Dollars(*daily),
            our_monthly: Dollars(*monthly),
            gpu_vram_gb: plan.gpu.as_ref().map(|gpu| gpu.vram_gb),
            gpu_type: plan.gpu.as_ref().map(|gpu| gpu.model.as_str()),
            locations: plan
                .locations
                .iter()
                .map(|region| region.as_str())
                .collect(),
        }
    }
}

impl<'a> RegionItem<'a> {
    pub(super) fn new(region: &'a Region) -> Self {
        Self {
            id: region.id.as_str(),
            city: &region.city,
            country: &region.country,
            continent: &region.continent,
        }
    }
}

impl<'a> ImageItem<'a> {
    pub(super) fn new(image: &'a OsImage) -> Self {
        Self {
            id: ImageId(&image.id),
            name: &image.name,
            arch: &image.arch,
            family: &image.family,
        }
    }
}

fn size(plan: &Plan) -> Size {
    Size {
        vcpu_count: plan.vcpu_count,
        ram_mib: plan.ram_mib,
        disk_gb: plan.disk_gb,
    }
}

fn plan_name(plan: &Plan) -> String {
    let gpu = plan
        .gpu
        .as_ref()
        .map(|gpu| format!(", {}", gpu.model))
        .unwrap_or_default();
    format!(
        "{} vCPU, {} MB RAM, {} GB disk{gpu}",
        plan.vcpu_count, plan.ram_mib, plan.disk_gb
    )
}

const fn family_name(family: PlanFamily) -> &'static str {
    match family {
        PlanFamily::Vps => "VPS",
        PlanFamily::HighPerformance => "High Performance",
        PlanFamily::Dedicated => "Dedicated",
        PlanFamily::Gpu => "GPU",
    }
}

#[cfg(test)]
#[path = "shelf/tests.rs"]
mod tests;

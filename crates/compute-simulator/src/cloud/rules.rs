//! Which plans a vendor changes a machine to (providers.md 1.11, 2.11).

use compute_domain::catalog::{Catalog, Plan, ProviderId};
use compute_engine::ports::ResizeCheck;

use super::account::Machine;
use crate::catalogue;

/// What the vendor that `catalog` belongs to says of a machine and another plan.
pub(super) fn check_resize(
    provider: ProviderId,
    catalog: &Catalog,
    machine: &Machine,
    to: &Plan,
) -> ResizeCheck {
    let Some(from) = catalogue::find_plan(catalog, &machine.plan) else {
        return ResizeCheck::Never;
    };
    let disk = catalogue::find_plan(catalog, &machine.disk_of).map_or(from.disk_gb, |p| p.disk_gb);
    if from.id == to.id || from.gpu.is_some() || to.gpu.is_some() {
        return ResizeCheck::Never;
    }
    if to.locations.binary_search(&machine.region).is_err() {
        return ResizeCheck::OtherFamily;
    }
    match provider {
        ProviderId::Vultr if from.family != to.family => ResizeCheck::OtherFamily,
        ProviderId::Vultr => {
            let is_smaller =
                to.vcpu_count < from.vcpu_count || to.ram_mib < from.ram_mib || to.disk_gb < disk;
            if is_smaller {
                ResizeCheck::Smaller
            } else {
                ResizeCheck::Possible { grows_disk: false }
            }
        }
        ProviderId::DigitalOcean if line_of(from) != line_of(to) => ResizeCheck::OtherFamily,
        ProviderId::DigitalOcean if to.disk_gb < disk => ResizeCheck::Smaller,
        ProviderId::DigitalOcean => ResizeCheck::Possible {
            grows_disk: to.disk_gb > disk,
        },
    }
}

/// The line of a slug: what stands before its first hyphen, and whose processors it names.
fn line_of(plan: &Plan) -> (&str, Option<&'static str>) {
    let slug = plan.id.as_str().trim_start_matches("do:");
    let line = slug.split('-').next().unwrap_or(slug);
    let makers = ["-amd", "-intel"];
    let maker = makers.into_iter().find(|maker| slug.ends_with(maker));
    (line, maker)
}

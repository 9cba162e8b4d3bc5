//! The catalogues that come with the build, distilled from the vendors' own answers.
//!
//! `data/README.md` has their origin and the rules of their making.

use compute_domain::catalog::{Catalog, OsId, Plan, PlanId, ProviderId};

use crate::error::SimulatorError;

const VULTR: &str = include_str!("../data/vultr.json");
const DIGITALOCEAN: &str = include_str!("../data/digitalocean.json");

/// What the simulated `provider` sells, always.
pub(crate) fn load(provider: ProviderId) -> Result<Catalog, SimulatorError> {
    let text = match provider {
        ProviderId::Vultr => VULTR,
        ProviderId::DigitalOcean => DIGITALOCEAN,
    };
    serde_json::from_str(text).map_err(|source| SimulatorError::Catalog {
        provider: provider.as_str(),
        source,
    })
}

/// The plan with this id.
pub(crate) fn find_plan<'a>(catalog: &'a Catalog, id: &PlanId) -> Option<&'a Plan> {
    let found = catalog
        .plans
        .binary_search_by(|plan| plan.id.cmp(id))
        .ok()?;
    catalog.plans.get(found)
}

/// Whether there is an image with this id.
pub(crate) fn has_image(catalog: &Catalog, id: &OsId) -> bool {
    catalog
        .images
        .binary_search_by(|image| image.id.cmp(id))
        .is_ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use compute_domain::catalog::PlanFamily;

    use super::*;

    fn plan(id: &str) -> Plan {
        let id = PlanId::parse(id).unwrap();
        find_plan(&load(id.provider()).unwrap(), &id)
            .unwrap()
            .clone()
    }

    #[test]
    fn catalogues_are_ascending_and_name_known_regions() {
        for provider in ProviderId::ALL {
            let catalog = load(*provider).unwrap();
            assert!(catalog.plans.is_sorted_by(|a, b| a.id < b.id));
            assert!(catalog.regions.is_sorted_by(|a, b| a.id < b.id));
            assert!(catalog.images.is_sorted_by(|a, b| a.id < b.id));
            let regions: BTreeSet<_> = catalog.regions.iter().map(|region| &region.id).collect();
            for plan in &catalog.plans {
                assert!(plan.provider == *provider && plan.id.provider() == *provider);
                assert!(!plan.locations.is_empty() && plan.locations.is_sorted_by(|a, b| a < b));
                let named = plan.locations.iter().chain(plan.regional_cost.keys());
                assert!(
                    named.into_iter().all(|region| regions.contains(region)),
                    "{}",
                    plan.id
                );
                assert!(plan.vcpu_count > 0 && plan.ram_mib > 0 && plan.disk_gb > 0);
            }
        }
    }

    #[test]
    fn the_quick_start_can_be_bought() {
        for (id, region, family) in [
            ("vc2-1c-1gb", "ewr", PlanFamily::Vps),
            ("vc2-2c-4gb", "lax", PlanFamily::Vps),
            ("vcg-a100-1c-2g-6gb", "ewr", PlanFamily::Gpu),
            ("do:s-1vcpu-1gb", "nyc3", PlanFamily::Vps),
            ("do:s-2vcpu-4gb", "nyc3", PlanFamily::Vps),
        ] {
            let plan = plan(id);
            assert_eq!(plan.family, family, "{id}");
            assert!(
                plan.locations
                    .iter()
                    .any(|location| location.as_str() == region),
                "{id}"
            );
        }
        for (provider, image) in [
            (ProviderId::Vultr, "2284"),
            (ProviderId::DigitalOcean, "ubuntu-24-04-x64"),
        ] {
            assert!(has_image(
                &load(provider).unwrap(),
                &OsId::parse(image).unwrap()
            ));
        }
    }

    #[test]
    fn a_cost_is_the_larger_of_both_prices_rounded_up() {
        // 5 dollars a month over 672 hours is more than 0.007 dollars an hour.
        assert_eq!(plan("vc2-1c-1gb").cost.micros(), 7_441);
        assert_eq!(plan("do:s-1vcpu-1gb").cost.micros(), 8_930);
    }

    #[test]
    fn every_family_is_for_sale() {
        let mut families = BTreeSet::new();
        for provider in ProviderId::ALL {
            families.extend(
                load(*provider)
                    .unwrap()
                    .plans
                    .iter()
                    .map(|plan| plan.family),
            );
        }
        assert_eq!(families, PlanFamily::ALL.iter().copied().collect());
    }
}

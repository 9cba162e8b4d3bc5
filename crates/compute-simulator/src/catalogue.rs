//! The catalogues that come with the build, distilled from the vendors' own answers.
//!
//! `data/README.md` has their origin and the rules of their making.

use compute_domain::catalog::{Catalog, OsId, Plan, PlanId, ProviderId};
use compute_domain::money::HourlyRate;

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

/// Sells so many plans more: copies of its own, one after the other, under names of their own.
pub(crate) fn add_copies(catalog: &mut Catalog, count: usize) {
    let copies = catalog.plans.iter().cycle().take(count).enumerate();
    let copies = copies.filter_map(|(number, plan)| {
        Some(Plan {
            id: PlanId::parse(&format!("{}-copy-{number}", plan.id)).ok()?,
            ..plan.clone()
        })
    });
    let copies: Vec<Plan> = copies.collect();
    catalog.plans.extend(copies);
    catalog.plans.sort_by(|a, b| a.id.cmp(&b.id));
}

/// Other prices with every reading, a few micro-dollars above the vendor's.
pub(crate) fn move_prices(catalog: &mut Catalog, reading: u32) {
    let surplus = i64::from(reading % 100);
    for plan in &mut catalog.plans {
        if let Ok(cost) = HourlyRate::from_micros(plan.cost.micros().saturating_add(surplus)) {
            plan.cost = cost;
        }
    }
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
    fn copies_are_plans_like_their_models() {
        let mut catalog = load(ProviderId::DigitalOcean).unwrap();
        let own = catalog.plans.len();
        add_copies(&mut catalog, own + 3);
        assert_eq!(catalog.plans.len(), 2 * own + 3);
        assert!(catalog.plans.is_sorted_by(|a, b| a.id < b.id));
        let provider = ProviderId::DigitalOcean;
        let mut plans = catalog.plans.iter();
        assert!(plans.all(|plan| plan.id.provider() == provider));
    }

    #[test]
    fn prices_move_with_every_reading() {
        let first = load(ProviderId::Vultr).unwrap();
        let mut second = first.clone();
        move_prices(&mut second, 1);
        for (before, after) in first.plans.iter().zip(&second.plans) {
            assert_eq!(after.cost.micros(), before.cost.micros() + 1);
        }
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

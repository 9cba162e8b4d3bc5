use std::collections::BTreeSet;
use std::io;

use serde::Deserialize;
use serde_json::value::RawValue;

/// What the double sells: stored answers of the real service, passed on digit by digit.
#[derive(Debug)]
pub(super) struct Catalogue {
    pub(super) plans: Vec<Plan>,
    pub(super) regions: Vec<Row>,
    pub(super) images: Vec<Row>,
}

/// One row: its id, and its text exactly as the vendor wrote it.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) text: String,
}

/// A plan's row, and what the double itself must know of it.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) text: String,
    pub(super) facts: PlanFacts,
}

#[derive(Debug, Deserialize)]
pub(super) struct PlanFacts {
    pub(super) id: String,
    pub(super) vcpu_count: u32,
    pub(super) ram: u32,
    pub(super) disk: u32,
    pub(super) bandwidth: u32,
    pub(super) locations: Vec<String>,
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) storage_type: String,
    #[serde(default = "yes")]
    pub(super) deploy_ondemand: bool,
}

const fn yes() -> bool {
    true
}

#[derive(Deserialize)]
struct Plans<'a> {
    #[serde(borrow)]
    plans: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Regions<'a> {
    #[serde(borrow)]
    regions: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Images<'a> {
    #[serde(borrow)]
    os: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct RegionFacts {
    id: String,
}

#[derive(Deserialize)]
struct ImageFacts {
    id: u32,
    name: String,
}

impl Catalogue {
    pub(super) fn load() -> io::Result<Self> {
        let mut seen = BTreeSet::new();
        let mut plans = Vec::new();
        for file in [
            include_str!("../../fixtures/vultr/plans.json"),
            include_str!("../../fixtures/vultr/plans_2026_shapes.json"),
        ] {
            for raw in serde_json::from_str::<Plans<'_>>(file)?.plans {
                let facts: PlanFacts = serde_json::from_str(raw.get())?;
                if seen.insert(facts.id.clone()) {
                    plans.push(Plan {
                        text: raw.get().to_owned(),
                        facts,
                    });
                }
            }
        }
        let file = include_str!("../../fixtures/vultr/regions.json");
        let regions = rows(serde_json::from_str::<Regions<'_>>(file)?.regions, |text| {
            let facts: RegionFacts = serde_json::from_str(text)?;
            Ok((facts.id.clone(), facts.id))
        })?;
        let file = include_str!("../../fixtures/vultr/os.json");
        let images = rows(serde_json::from_str::<Images<'_>>(file)?.os, |text| {
            let facts: ImageFacts = serde_json::from_str(text)?;
            Ok((facts.id.to_string(), facts.name))
        })?;
        Ok(Self {
            plans,
            regions,
            images,
        })
    }

    pub(super) fn plan(&self, id: &str) -> Option<&PlanFacts> {
        self.plans
            .iter()
            .map(|plan| &plan.facts)
            .find(|facts| facts.id == id)
    }

    /// What a machine of this plan can be changed to in a region: the same kind, and nothing smaller.
    pub(super) fn upgrades<'a>(
        &'a self,
        from: &'a PlanFacts,
        region: &'a str,
    ) -> impl Iterator<Item = &'a str> {
        let plans = self.plans.iter().map(|plan| &plan.facts);
        let fits = move |to: &&PlanFacts| {
            to.id != from.id
                && to.kind == from.kind
                && to.locations.iter().any(|place| place == region)
                && to.ram >= from.ram
                && to.disk >= from.disk
                && to.vcpu_count >= from.vcpu_count
        };
        plans.filter(fits).map(|to| to.id.as_str())
    }

    pub(super) fn image_name(&self, id: u32) -> Option<&str> {
        let id = id.to_string();
        self.images
            .iter()
            .find(|row| row.id == id)
            .map(|row| row.name.as_str())
    }

    /// The plans that can be had in a region, or `None` for an unknown one.
    pub(super) fn available_in(&self, region: &str) -> Option<Vec<&str>> {
        self.regions.iter().find(|row| row.id == region)?;
        let here = |facts: &&PlanFacts| facts.locations.iter().any(|place| place == region);
        let plans = self.plans.iter().map(|plan| &plan.facts).filter(here);
        Some(plans.map(|facts| facts.id.as_str()).collect())
    }
}

fn rows(
    raw: Vec<&RawValue>,
    facts: impl Fn(&str) -> Result<(String, String), serde_json::Error>,
) -> io::Result<Vec<Row>> {
    let row = |raw: &RawValue| {
        let (id, name) = facts(raw.get())?;
        Ok(Row {
            id,
            name,
            text: raw.get().to_owned(),
        })
    };
    raw.into_iter().map(row).collect()
}

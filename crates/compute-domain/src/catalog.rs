//! What providers sell: plans, regions and images, with what they cost us.

use core::fmt;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::money::HourlyRate;
use crate::text_enum;

text_enum! {
    /// Who runs the machines. A simulator plays one of them.
    ProviderId {
        /// Vultr.
        Vultr = "vultr",
        /// DigitalOcean; its plan ids start with `do:`.
        DigitalOcean = "digitalocean",
    }
}

text_enum! {
    /// The families of plans that the `type` filter of the catalogue knows.
    PlanFamily {
        /// Shared plans, and everything that is not one of the others.
        Vps = "vps",
        /// High performance.
        HighPerformance = "vhp",
        /// Dedicated.
        Dedicated = "vdc",
        /// GPU.
        Gpu = "vcg",
    }
}

/// An identifier of the catalogue is 1 to 96 printable ASCII characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a catalogue id is 1 to 96 printable ASCII characters without blanks")]
pub struct InvalidCatalogId;

macro_rules! catalog_id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Reads an id.
            ///
            /// # Errors
            /// `InvalidCatalogId` when it is empty, longer than 96 bytes, or not printable ASCII.
            pub fn parse(text: &str) -> Result<Self, InvalidCatalogId> {
                let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
                if text.is_empty() || text.len() > 96 || !printable {
                    return Err(InvalidCatalogId);
                }
                Ok(Self(text.to_owned()))
            }

            /// The id's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidCatalogId;
            fn try_from(text: String) -> Result<Self, InvalidCatalogId> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

catalog_id! {
    /// A plan: Vultr's own id, or `do:<slug>`.
    PlanId,
    /// A region such as `ewr` or `nyc3`.
    RegionId,
    /// An image: a number as text at Vultr (`2284`), a slug or number at DigitalOcean.
    OsId,
    /// A machine at its provider.
    ProviderInstanceId,
}

impl PlanId {
    /// Whose plan this is, by the prefix of the public contract.
    pub fn provider(&self) -> ProviderId {
        if self.0.starts_with("do:") {
            ProviderId::DigitalOcean
        } else {
            ProviderId::Vultr
        }
    }
}

/// The graphics processors of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gpu {
    /// The vendor's name of the model, such as `NVIDIA_A16`.
    pub model: String,
    /// Memory of all GPUs of the plan together, in GB.
    pub vram_gb: u32,
}

/// One size of machine, with our cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Its id in our API.
    pub id: PlanId,
    /// Whose it is.
    pub provider: ProviderId,
    /// Which `type` filter finds it.
    pub family: PlanFamily,
    /// Virtual processors.
    pub vcpu_count: u32,
    /// Memory in MiB.
    pub ram_mib: u32,
    /// Disk in GB, all disks together.
    pub disk_gb: u32,
    /// Traffic included, in GB a month.
    pub bandwidth_gb: u32,
    /// Its GPUs, if any.
    pub gpu: Option<Gpu>,
    /// What an hour costs us where no region says otherwise.
    pub cost: HourlyRate,
    /// Regions with a price of their own.
    pub regional_cost: BTreeMap<RegionId, HourlyRate>,
    /// Where it can be bought, ascending.
    pub locations: Vec<RegionId>,
}

impl Plan {
    /// What an hour in this region costs us.
    pub fn cost_in(&self, region: &RegionId) -> HourlyRate {
        self.regional_cost.get(region).copied().unwrap_or(self.cost)
    }
}

/// A place where machines run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// Its id.
    pub id: RegionId,
    /// City.
    pub city: String,
    /// Country, ISO code or name as the vendor gives it.
    pub country: String,
    /// Continent.
    pub continent: String,
}

/// An operating system image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OsImage {
    /// Its id.
    pub id: OsId,
    /// Its name, such as `Ubuntu 24.04 LTS x64`.
    pub name: String,
    /// Processor architecture, such as `x64`.
    pub arch: String,
    /// Family, such as `ubuntu`.
    pub family: String,
    /// Other ids that an order may name it by, such as the number behind a slug.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<OsId>,
}

/// Everything one provider sells at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    /// Sellable plans, ascending by id.
    pub plans: Vec<Plan>,
    /// Regions, ascending by id.
    pub regions: Vec<Region>,
    /// Images, ascending by id.
    pub images: Vec<OsImage>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_names_the_provider() {
        assert_eq!(
            PlanId::parse("do:s-1vcpu-1gb").unwrap().provider(),
            ProviderId::DigitalOcean
        );
        assert_eq!(
            PlanId::parse("vc2-1c-1gb").unwrap().provider(),
            ProviderId::Vultr
        );
    }

    #[test]
    fn ids_are_printable_ascii() {
        for raw in ["", "a b", "a\nb", "ä", &"x".repeat(97)] {
            assert!(PlanId::parse(raw).is_err(), "{raw:?}");
        }
    }
}

//! What providers sell: plans, regions and images, with what they cost us.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

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
    /// How many there are, where it is a whole number and the vendor says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
}

impl Gpu {
    /// Who makes them, by the start of the model's name; unknown for another name.
    pub fn maker(&self) -> Option<GpuMaker> {
        let model = self.model.to_ascii_lowercase();
        let mut makers = GpuMaker::ALL.iter().copied();
        makers.find(|maker| model.starts_with(maker.as_str()))
    }
}

text_enum! {
    /// Who makes graphics processors.
    GpuMaker {
        /// AMD.
        Amd = "amd",
        /// NVIDIA.
        Nvidia = "nvidia",
    }
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
    /// Which machines it can run on.
    #[serde(default, skip_serializing_if = "ImageNeeds::is_nothing")]
    pub needs: ImageNeeds,
}

/// What an image needs of a machine. One without GPU drivers boots on a machine with GPUs as well: its
/// owner may install them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageNeeds {
    /// The smallest disk, in GB.
    pub min_disk_gb: u32,
    /// Where it is; everywhere when the vendor does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regions: Option<BTreeSet<RegionId>>,
    /// The GPUs that its drivers are for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu: Option<GpuNeed>,
}

/// GPUs that drivers are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuNeed {
    /// Their maker.
    pub maker: GpuMaker,
    /// How many there must be; any number when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
}

/// Why an image cannot run on a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ImageMisfit {
    /// It is not there.
    #[error("the image is not available in this region")]
    Region,
    /// The disk is too small.
    #[error("the image needs a disk of at least {0} GB")]
    Disk(u32),
    /// Its drivers are for other GPUs, or for any at all.
    #[error("the image is for plans with {} GPUs", .0.as_str().to_ascii_uppercase())]
    Gpu(GpuMaker),
    /// Its drivers are for another number of GPUs.
    #[error("the image is for plans with {0} of these GPUs")]
    GpuCount(u32),
}

impl ImageNeeds {
    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a machine of this plan in this region has what the image needs. What the vendor does
    /// not say of the plan's GPUs speaks against nothing but their maker.
    ///
    /// # Errors
    /// [`ImageMisfit`] names the first thing that is missing.
    pub fn check(&self, plan: &Plan, region: &RegionId) -> Result<(), ImageMisfit> {
        if let Some(need) = self.gpu {
            let gpu = plan.gpu.as_ref();
            if gpu.and_then(Gpu::maker) != Some(need.maker) {
                return Err(ImageMisfit::Gpu(need.maker));
            }
            if let (Some(need), Some(own)) = (need.count, gpu.and_then(|gpu| gpu.count))
                && need != own
            {
                return Err(ImageMisfit::GpuCount(need));
            }
        }
        if plan.disk_gb < self.min_disk_gb {
            return Err(ImageMisfit::Disk(self.min_disk_gb));
        }
        match &self.regions {
            Some(regions) if !regions.contains(region) => Err(ImageMisfit::Region),
            _ => Ok(()),
        }
    }
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

    fn plan(gpu: Option<(&str, Option<u32>)>) -> Plan {
        Plan {
            id: PlanId::parse("do:x").unwrap(),
            provider: ProviderId::DigitalOcean,
            family: PlanFamily::Vps,
            vcpu_count: 1,
            ram_mib: 1_024,
            disk_gb: 25,
            bandwidth_gb: 1_000,
            gpu: gpu.map(|(model, count)| Gpu {
                model: model.to_owned(),
                vram_gb: 80,
                count,
            }),
            cost: HourlyRate::from_micros(1).unwrap(),
            regional_cost: BTreeMap::new(),
            locations: Vec::new(),
        }
    }

    #[test]
    fn an_image_runs_where_it_is_and_has_room_and_drivers() {
        let nyc3 = RegionId::parse("nyc3").unwrap();
        let check = |needs: &ImageNeeds, gpu| needs.check(&plan(gpu), &nyc3);
        let nothing = ImageNeeds::default();
        assert_eq!(check(&nothing, None), Ok(()));
        // Without drivers it boots on any machine.
        assert_eq!(check(&nothing, Some(("nvidia_h100", Some(1)))), Ok(()));

        let disk = |min_disk_gb| ImageNeeds {
            min_disk_gb,
            ..ImageNeeds::default()
        };
        assert_eq!(check(&disk(25), None), Ok(()));
        assert_eq!(check(&disk(26), None), Err(ImageMisfit::Disk(26)));

        let there = |region: &str| ImageNeeds {
            regions: Some([RegionId::parse(region).unwrap()].into()),
            ..ImageNeeds::default()
        };
        assert_eq!(check(&there("nyc3"), None), Ok(()));
        assert_eq!(check(&there("nyc1"), None), Err(ImageMisfit::Region));

        let drivers = |maker, count| ImageNeeds {
            gpu: Some(GpuNeed { maker, count }),
            ..ImageNeeds::default()
        };
        let amd = drivers(GpuMaker::Amd, None);
        let eight = drivers(GpuMaker::Nvidia, Some(8));
        let other = |maker| Err(ImageMisfit::Gpu(maker));
        for (needs, gpu, expected) in [
            (&amd, Some(("amd_mi300x", Some(8))), Ok(())),
            (&amd, Some(("AMD_MI325X", None)), Ok(())),
            (&amd, Some(("nvidia_h100", Some(1))), other(GpuMaker::Amd)),
            (&amd, Some(("mystery", None)), other(GpuMaker::Amd)),
            (&amd, None, other(GpuMaker::Amd)),
            (&eight, Some(("nvidia_h100", Some(8))), Ok(())),
            (&eight, Some(("NVIDIA_A100", None)), Ok(())),
            (
                &eight,
                Some(("nvidia_h100", Some(1))),
                Err(ImageMisfit::GpuCount(8)),
            ),
            (
                &eight,
                Some(("amd_mi300x", Some(8))),
                other(GpuMaker::Nvidia),
            ),
        ] {
            assert_eq!(check(needs, gpu), expected, "{needs:?} {gpu:?}");
        }
    }

    #[test]
    fn catalogues_of_older_builds_can_still_be_read() {
        let image = r#"{"id":"2284","name":"Ubuntu","arch":"x64","family":"ubuntu"}"#;
        let image: OsImage = serde_json::from_str(image).unwrap();
        assert_eq!(image.needs, ImageNeeds::default());
        let text = serde_json::to_string(&image).unwrap();
        assert!(!text.contains("needs"), "{text}");
        let gpu: Gpu = serde_json::from_str(r#"{"model":"m","vram_gb":1}"#).unwrap();
        assert_eq!(gpu.count, None);
    }

    #[test]
    fn ids_are_printable_ascii() {
        for raw in ["", "a b", "a\nb", "ä", &"x".repeat(97)] {
            assert!(PlanId::parse(raw).is_err(), "{raw:?}");
        }
    }
}

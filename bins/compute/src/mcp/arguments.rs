//! What tools are called with. The words here are read by models.

use compute_client::{Means, Usd};
use rmcp::schemars::{self, JsonSchema};
use serde::Deserialize;

use crate::args::{Filter, Sort};
use crate::goods::Image;

/// Hours when none are named.
const HOURS: u32 = 24;

/// Plans when no limit is named.
const PLANS: usize = 20;

/// Nothing is asked.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Plans {
    /// Only plans of this cloud, such as vultr.
    provider: Option<String>,
    /// Only plans that can be had in this region now.
    region: Option<String>,
    /// Only plans with a GPU.
    #[serde(default)]
    gpu: bool,
    /// At least so much GPU memory, in GB.
    min_vram_gb: Option<u32>,
    /// At least so many processors.
    min_vcpus: Option<u32>,
    /// At least so much memory, in GB.
    min_ram_gb: Option<u64>,
    /// At most so many US dollars an hour, such as "0.25".
    #[schemars(with = "Option<String>")]
    max_hourly_usd: Option<Usd>,
    /// By what they are sorted.
    #[serde(default)]
    sort: Sort,
    /// At most so many plans; 20 when absent.
    #[serde(default = "plans")]
    limit: usize,
}

impl From<Plans> for Filter {
    fn from(wanted: Plans) -> Self {
        Self {
            provider: wanted.provider,
            region: wanted.region,
            gpu: wanted.gpu,
            min_vram: wanted.min_vram_gb,
            min_vcpus: wanted.min_vcpus,
            min_ram: wanted.min_ram_gb,
            max_hourly: wanted.max_hourly_usd,
            sort: wanted.sort,
            limit: wanted.limit,
        }
    }
}

/// A machine that is wanted, with its price or to be bought.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Quote {
    /// The plan, an id from the tool plans.
    pub(super) plan: String,
    /// The region, one of the plan's locations.
    pub(super) region: String,
    /// The image, an id from the tool images; Ubuntu 24.04 of Vultr when absent.
    #[serde(default = "usual_image")]
    pub(super) os_id: Image,
    /// Prepaid hours, 24 to 4320; 24 when absent.
    #[serde(default = "hours")]
    pub(super) hours: u32,
    /// How it would be paid; whatever the shop offers first when absent.
    #[serde(default)]
    pub(super) pay_with: PayWith,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Provision {
    /// The plan, an id from the tool plans.
    pub(super) plan: String,
    /// The region, one of the plan's locations.
    pub(super) region: String,
    /// The image, an id from the tool images; Ubuntu 24.04 of Vultr when absent.
    #[serde(default = "usual_image")]
    pub(super) os_id: Image,
    /// Prepaid hours, 24 to 4320; 24 when absent.
    #[serde(default = "hours")]
    pub(super) hours: u32,
    /// A word of your own for the machine.
    pub(super) label: Option<String>,
    /// The public SSH key that may log in; without one there is a root password, see the tool password.
    pub(super) ssh_public_key: Option<String>,
    /// How to pay; whatever the shop offers first when absent.
    #[serde(default)]
    pub(super) pay_with: PayWith,
    /// The most that it may cost in US dollars, such as "5.00". It never lifts the limits of whoever runs this server.
    #[schemars(with = "Option<String>")]
    pub(super) max_price_usd: Option<Usd>,
    /// Your name for this one purchase, 8 to 128 characters of A-Z a-z 0-9 _ - : and the point. Use the same
    /// idempotency_key when retrying, and a new one for another purchase.
    pub(super) idempotency_key: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Extend {
    /// The machine.
    pub(super) id: String,
    /// More hours, 24 to 4320; 24 when absent.
    #[serde(default = "hours")]
    pub(super) hours: u32,
    /// How to pay; whatever the shop offers first when absent.
    #[serde(default)]
    pub(super) pay_with: PayWith,
    /// The most that it may cost in US dollars, such as "5.00". It never lifts the limits of whoever runs this server.
    #[schemars(with = "Option<String>")]
    pub(super) max_price_usd: Option<Usd>,
    /// Your name for this one purchase, 8 to 128 characters of A-Z a-z 0-9 _ - : and the point. Use the same
    /// idempotency_key when retrying, and a new one for another purchase.
    pub(super) idempotency_key: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TopUp {
    /// US dollars, such as "10.00".
    #[schemars(with = "String")]
    pub(super) amount_usd: Usd,
    /// Your name for this one purchase, 8 to 128 characters of A-Z a-z 0-9 _ - : and the point. Use the same
    /// idempotency_key when retrying, and a new one for another purchase.
    pub(super) idempotency_key: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Machine {
    /// The machine, an id from the tool list.
    pub(super) id: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wait {
    /// The machine, an id from the tool list.
    pub(super) id: String,
    /// At most so many seconds, up to 300; 45 when absent. Call again when it is still on its way.
    #[serde(default = "seconds")]
    pub(super) seconds: u64,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Resize {
    /// The machine, an id from the tool list.
    pub(super) id: String,
    /// The plan that it is to have, an id from the tool plans.
    pub(super) plan: String,
    /// Agree to a larger disk, which never gets smaller again.
    #[serde(default)]
    pub(super) confirm_disk_resize: bool,
    /// Only say what would happen.
    #[serde(default)]
    pub(super) dry_run: bool,
}

/// How something is paid.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum PayWith {
    /// Whatever the shop offers first and the wallet can pay.
    #[default]
    Any,
    /// USDC on Base.
    Base,
    /// USDC on Solana.
    Solana,
    /// USDm on MegaETH.
    MegaEth,
    /// USDC.e on Tempo.
    Tempo,
    /// Credits at the shop.
    Credits,
}

impl From<PayWith> for Means {
    fn from(wanted: PayWith) -> Self {
        match wanted {
            PayWith::Any => Self::Any,
            PayWith::Base => Self::Base,
            PayWith::Solana => Self::Solana,
            PayWith::MegaEth => Self::MegaEth,
            PayWith::Tempo => Self::Tempo,
            PayWith::Credits => Self::Credits,
        }
    }
}

const fn plans() -> usize {
    PLANS
}

const fn usual_image() -> Image {
    Image::USUAL
}

const fn hours() -> u32 {
    HOURS
}

const fn seconds() -> u64 {
    45
}

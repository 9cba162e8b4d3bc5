//! The command line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use compute_client::{Means, Usd};
use rmcp::schemars::{self, JsonSchema};
use serde::Deserialize;

use crate::goods::Image;

#[derive(Debug, Parser)]
#[command(
    name = "compute",
    version,
    about = "Finds, buys and runs machines of an x402Compute shop",
    after_help = "Exit codes: 0 done · 1 failed · 2 wrong command · 3 refused, nothing charged · 4 not allowed by a \
                  limit or the wallet, nothing sent · 5 paid, not delivered, credited · 6 not known yet, see \
                  `compute recover` · 7 shop out of reach"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The shop.
    #[arg(
        long,
        global = true,
        env = "COMPUTE_URL",
        default_value = "http://127.0.0.1:4020"
    )]
    pub(crate) url: String,
    /// Print one JSON document instead of text.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Do what is asked without asking back.
    #[arg(long, short, global = true)]
    pub(crate) yes: bool,
    /// A file that holds the private key of the wallet: in hex of one on EVM chains, in base58 or as a list of
    /// numbers of one on Solana; `-` is the input. Or set COMPUTE_KEY.
    #[arg(long, global = true, env = "COMPUTE_KEY_FILE", value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// Read the private key from the first line of the input.
    #[arg(long, global = true, conflicts_with = "key_file")]
    pub(crate) key_stdin: bool,
    /// A wallet of `ows` that signs requests, and payments on Base, instead of a key.
    #[arg(long, global = true, env = "COMPUTE_OWS_WALLET", value_name = "NAME")]
    pub(crate) ows_wallet: Option<String>,
    /// Which account of that wallet: evm or solana.
    #[arg(long, global = true, env = "COMPUTE_OWS_CHAIN", value_enum, default_value_t = Chain::Evm)]
    pub(crate) ows_chain: Chain,
    /// The program of the Open Wallet Standard.
    #[arg(
        long,
        global = true,
        env = "COMPUTE_OWS_BIN",
        default_value = "ows",
        value_name = "FILE"
    )]
    pub(crate) ows_bin: PathBuf,
    /// A node of Solana, which is asked before paying there.
    #[arg(
        long,
        global = true,
        env = "COMPUTE_SOLANA_NODE",
        value_name = "URL",
        hide_env_values = true
    )]
    pub(crate) solana_node: Option<String>,
    /// A node of MegaETH, which is asked before paying there.
    #[arg(
        long,
        global = true,
        env = "COMPUTE_MEGAETH_NODE",
        value_name = "URL",
        hide_env_values = true
    )]
    pub(crate) megaeth_node: Option<String>,
    /// A file that holds an API key, to act for its owner. Or set COMPUTE_API_KEY.
    #[arg(long, global = true, env = "COMPUTE_API_KEY_FILE", value_name = "FILE")]
    pub(crate) api_key_file: Option<PathBuf>,
    /// Where the book of purchases, and the wallet for development servers, are kept.
    #[arg(long, global = true, env = "COMPUTE_STATE_DIR", value_name = "FOLDER")]
    pub(crate) state_dir: Option<PathBuf>,
    /// The most that may be spent in all, beside the cap that `compute budget` sets.
    #[arg(long, global = true, env = "COMPUTE_SPEND_CAP", value_name = "USD")]
    pub(crate) spend_cap: Option<Usd>,
}

/// Where an account of a wallet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Chain {
    /// On chains like Ethereum.
    Evm,
    /// On Solana.
    Solana,
}

impl Global {
    /// Whether the private key is the first line of the input.
    pub(crate) fn is_key_in_input(&self) -> bool {
        self.key_stdin || self.key_file.as_deref() == Some(Path::new("-"))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// What is for sale.
    Plans(Filter),
    /// Where it is.
    Regions,
    /// What can run on it.
    Images,
    /// What a machine costs; buys nothing.
    Quote(Machine),
    /// Buy a machine.
    Provision(Provision),
    /// The machines of this wallet or key.
    List,
    /// One machine.
    Show {
        /// Its id.
        id: String,
    },
    /// Buy more time for a machine.
    Extend(Extend),
    /// Give a machine another plan; what is left of its prepaid money stays with it.
    Resize(Resize),
    /// The root password, which is shown once.
    Password {
        /// The machine.
        id: String,
    },
    /// End a machine, and get back what was not used.
    Destroy {
        /// The machine.
        id: String,
    },
    /// Money at the shop.
    #[command(subcommand)]
    Credits(Credits),
    /// Keys that act for this wallet.
    #[command(subcommand)]
    Keys(Keys),
    /// What was spent, and the most that may be.
    Budget(Budget),
    /// Take up purchases of which nobody knows what became of them.
    Recover {
        /// How many seconds each is asked about.
        #[arg(long, default_value_t = 60)]
        patience: u64,
    },
    /// Purchases that came to an end.
    History,
    /// Offer these commands as tools to a model, by the Model Context Protocol.
    Mcp(Mcp),
    /// A script that completes this command in a shell.
    Completions {
        /// Which.
        shell: Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Filter {
    /// Only of this cloud.
    #[arg(long)]
    pub(crate) provider: Option<String>,
    /// Only what can be had there now.
    #[arg(long)]
    pub(crate) region: Option<String>,
    /// Only with a GPU.
    #[arg(long)]
    pub(crate) gpu: bool,
    /// At least so much GPU memory, in GB.
    #[arg(long, value_name = "GB")]
    pub(crate) min_vram: Option<u32>,
    /// At least so many processors.
    #[arg(long, value_name = "N")]
    pub(crate) min_vcpus: Option<u32>,
    /// At least so much memory, in GB.
    #[arg(long, value_name = "GB")]
    pub(crate) min_ram: Option<u64>,
    /// At most so many dollars an hour.
    #[arg(long, value_name = "USD")]
    pub(crate) max_hourly: Option<Usd>,
    /// By what they are sorted.
    #[arg(long, value_enum, default_value_t = Sort::Price)]
    pub(crate) sort: Sort,
    /// At most so many.
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub(crate) limit: usize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Sort {
    /// The cheapest first.
    #[default]
    Price,
    /// Most GPU memory first.
    Vram,
    /// Most memory first.
    Ram,
}

#[derive(Debug, Args)]
pub(crate) struct Machine {
    /// The plan, as `compute plans` lists it.
    #[arg(long)]
    pub(crate) plan: String,
    /// The region; the plan's first when absent.
    #[arg(long)]
    pub(crate) region: Option<String>,
    /// The image, as `compute images` lists it.
    #[arg(long, value_name = "ID", default_value_t = Image::USUAL)]
    pub(crate) os: Image,
    /// Prepaid hours, 24 to 4320.
    #[arg(long, default_value_t = 24)]
    pub(crate) hours: u32,
    /// A word of your own for it.
    #[arg(long)]
    pub(crate) label: Option<String>,
    /// A file with the public SSH key that may log in; without one there is a root password.
    #[arg(long, value_name = "FILE")]
    pub(crate) ssh_key: Option<PathBuf>,
    /// How to pay: any, base, solana, megaeth, tempo or credits.
    #[arg(long, visible_aliases = ["pay-with", "network"], default_value = "any")]
    pub(crate) pay: Means,
}

#[derive(Debug, Args)]
pub(crate) struct Provision {
    #[command(flatten)]
    pub(crate) machine: Machine,
    #[command(flatten)]
    pub(crate) purchase: Purchase,
    /// Wait until it runs, or until it failed.
    #[arg(long)]
    pub(crate) wait: bool,
}

/// What every purchase takes.
#[derive(Debug, Args)]
pub(crate) struct Purchase {
    /// The most that it may cost.
    #[arg(long, value_name = "USD")]
    pub(crate) max_price: Option<Usd>,
    /// Only say what it would cost.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How many seconds an unknown outcome is asked about.
    #[arg(long, default_value_t = 180)]
    pub(crate) patience: u64,
    /// Your own name for this purchase, 8 to 128 characters: the same again is the same purchase.
    #[arg(long, value_name = "NAME")]
    pub(crate) idempotency_key: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Extend {
    /// The machine.
    pub(crate) id: String,
    /// More hours, 24 to 4320.
    #[arg(long, default_value_t = 24)]
    pub(crate) hours: u32,
    /// How to pay: any, base, solana, megaeth, tempo or credits.
    #[arg(long, visible_aliases = ["pay-with", "network"], default_value = "any")]
    pub(crate) pay: Means,
    #[command(flatten)]
    pub(crate) purchase: Purchase,
}

#[derive(Debug, Args)]
pub(crate) struct Resize {
    /// The machine.
    pub(crate) id: String,
    /// The plan that it is to have.
    #[arg(long)]
    pub(crate) plan: String,
    /// Agree to a larger disk, which never gets smaller again.
    #[arg(long)]
    pub(crate) confirm_disk_resize: bool,
    /// Only say what would happen.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Credits {
    /// What there is.
    Balance,
    /// Buy some.
    Topup {
        /// Dollars.
        amount: Usd,
        /// How to pay: any, base, solana, megaeth or tempo.
        #[arg(long, visible_aliases = ["pay-with", "network"], default_value = "any")]
        pay: Means,
        #[command(flatten)]
        purchase: Purchase,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Make one; its text is shown once.
    Create {
        /// A word of your own for it.
        #[arg(long)]
        label: Option<String>,
        /// The most credits it may spend in all; without, all that there are.
        #[arg(long, value_name = "USD")]
        budget: Option<Usd>,
        /// When it ends, such as 2027-01-31T00:00:00Z; without, never.
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
    },
    /// Those that there are.
    List,
    /// End one.
    Revoke {
        /// Its id.
        id: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Budget {
    /// The most that may be spent in all from now on, with what was spent before.
    #[arg(long, value_name = "USD")]
    pub(crate) set: Option<Usd>,
    /// Take the limit away.
    #[arg(long, conflicts_with = "set")]
    pub(crate) unlimited: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Mcp {
    /// Serve streamable HTTP at this address of this machine, instead of the standard input and output.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) http: Option<SocketAddr>,
    /// A file that holds the bearer token which HTTP clients must send. Or set COMPUTE_MCP_TOKEN; without either
    /// one is made and kept beside the book.
    #[arg(long, env = "COMPUTE_MCP_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Offer only what changes nothing.
    #[arg(long)]
    pub(crate) read_only: bool,
    /// The most that one purchase may cost.
    #[arg(long, value_name = "USD")]
    pub(crate) max_price: Option<Usd>,
}

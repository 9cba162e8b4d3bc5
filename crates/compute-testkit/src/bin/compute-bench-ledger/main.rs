//! What a debit costs: through the store's port, as a bare loop of the same statements, and with full tables.
//!
//! `cargo xtask bench ledger` builds and starts it. The sides take turns debit by debit on one machine, and medians are
//! compared, so that ratios hold even where figures do not.
#![expect(
    clippy::print_stdout,
    reason = "a command-line tool reports on its standard output"
)]

mod bare;
mod fill;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Parser;
use compute_domain::id::{OperationId, OwnerId, TransferId};
use compute_domain::ledger::{Account, Transfer, TransferReason};
use compute_domain::money::Usd;
use compute_domain::time::Timestamp;
use compute_engine::ports::{Posted, Store, TxMode};
use compute_testkit::database::TestDatabase;
use uuid::Uuid;

use self::bare::Bare;
use self::fill::{OWNER_BARE, OWNER_STORE};

/// The port must reach this share of the bare loop, in thousandths.
const FLOOR: u128 = 500;

/// How much full tables may change the cost of a debit, in thousandths.
const TOLERANCE: u128 = 300;

/// Debits before the first that counts.
const WARM_UP: u64 = 200;

/// Transfers that each instance of the full database has.
const TRANSFERS_PER_INSTANCE: u64 = 10;

/// Measures the debit path of the ledger.
#[derive(Debug, Parser)]
#[command(name = "compute-bench-ledger")]
struct Arguments {
    /// Instances in the full database; it has ten times as many transfers.
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// Debits of each side.
    #[arg(long, default_value_t = 4_000)]
    debits: u64,
    /// Only this database: sqlite or postgres.
    #[arg(long)]
    database: Option<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut is_kept = true;
    for name in ["sqlite", "postgres"] {
        if arguments
            .database
            .as_deref()
            .is_none_or(|only| only == name)
        {
            is_kept &= bench(name, &arguments).await?;
        }
    }
    Ok(if is_kept {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A database with operations that are still to be paid for.
#[derive(Debug)]
struct Side {
    database: TestDatabase,
    store: Arc<dyn Store>,
    next: u64,
}

impl Side {
    async fn open(name: &str, rows: u64, spare: u64) -> anyhow::Result<Self> {
        let database = match name {
            "sqlite" => TestDatabase::sqlite().await,
            _ => TestDatabase::postgres().await,
        };
        fill::fill(&database, rows, spare).await?;
        let store = database.store();
        Ok(Self {
            database,
            store,
            next: rows + 1,
        })
    }

    fn take(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// Spends credits through the port, as the engine does.
    async fn debit(&mut self) -> anyhow::Result<()> {
        let number = self.take();
        let owner = OwnerId::from_uuid(uuid(OWNER_STORE));
        let transfer = Transfer {
            id: TransferId::from_uuid(Uuid::from_u128(u128::from(number) | (1 << 127))),
            debit: Account::Credits(owner),
            credit: Account::Sales,
            amount: Usd::from_micros(1)?,
            reason: TransferReason::Spend,
            cause: OperationId::from_uuid(uuid(number)).into(),
            created_at: Timestamp::from_millis(1),
        };
        let mut tx = self.store.begin(TxMode::Write).await?;
        tx.lock_credits(owner).await?;
        if tx.post_transfer(&transfer).await? != Posted::New {
            bail!("a debit was refused");
        }
        tx.commit().await?;
        Ok(())
    }

    async fn timed_debit(&mut self) -> anyhow::Result<u128> {
        let begin = tokio::time::Instant::now();
        self.debit().await?;
        Ok(begin.elapsed().as_micros())
    }

    async fn timed_bare_debit(&mut self, bare: &mut Bare) -> anyhow::Result<u128> {
        let number = self.take();
        let begin = tokio::time::Instant::now();
        bare.debit(number).await?;
        Ok(begin.elapsed().as_micros())
    }

    /// The time of pages of one owner's instances, each behind the one before.
    async fn pages(&self, count: u64) -> anyhow::Result<std::time::Duration> {
        let owner = OwnerId::from_uuid(uuid(fill::OWNER_FIRST));
        let begin = tokio::time::Instant::now();
        let mut after = None;
        for _ in 0..count {
            let mut tx = self.store.begin(TxMode::Read).await?;
            let page = tx.list_instances(owner, after, 20).await?;
            tx.rollback().await?;
            // Round and round, so that every call returns a whole page where there is one.
            after = page.last().map(|last| last.id);
        }
        Ok(begin.elapsed())
    }
}

/// The id that the statements of `fill` make from a number.
fn uuid(number: u64) -> Uuid {
    Uuid::from_u128(fill::ID_BASE | u128::from(number))
}

/// One database; false when a bound is broken.
async fn bench(name: &str, arguments: &Arguments) -> anyhow::Result<bool> {
    let Arguments { rows, debits, .. } = *arguments;
    let spare = debits + WARM_UP;
    // A database each: debits leave dead rows behind, and no side may pay for another's.
    let mut empty = Side::open(name, 0, spare).await?;
    let mut alone = Side::open(name, 0, spare).await?;
    let begin = tokio::time::Instant::now();
    let mut full = Side::open(name, rows, spare).await?;
    println!(
        "{name}: {rows} instances and {} transfers written in {} s",
        rows * TRANSFERS_PER_INSTANCE,
        begin.elapsed().as_secs()
    );
    let mut bare = Bare::connect(&alone.database, OWNER_BARE).await?;
    let (mut port, mut loops, mut filled) = (Vec::new(), Vec::new(), Vec::new());
    for debit in 0..debits + WARM_UP {
        // One after the other, and each in each place, so that a busy neighbour disturbs all alike.
        for place in 0..3 {
            let (times, time) = match (debit + place) % 3 {
                0 => (&mut port, empty.timed_debit().await?),
                1 => (&mut loops, alone.timed_bare_debit(&mut bare).await?),
                _ => (&mut filled, full.timed_debit().await?),
            };
            if debit >= WARM_UP {
                times.push(time);
            }
        }
    }
    bare.close().await?;
    let [port, bare, filled] = [port, loops, filled].map(median);
    let ratio = permille(bare, port).context("the port took no time")?;
    let change = permille(filled, port).context("the port took no time")?;
    let is_fast = ratio >= FLOOR;
    let is_same = change.abs_diff(1_000) <= TOLERANCE;
    let verdict = |kept: bool| if kept { "kept" } else { "BROKEN" };
    println!(
        "{name}: median debit through the port {} us, bare loop {} us: throughput {} of the bare loop's (bound 0.500: {})",
        port,
        bare,
        decimal(ratio),
        verdict(is_fast)
    );
    println!(
        "{name}: median debit with full tables {} us: cost {} of the empty ones' (bound 0.700 to 1.300: {})",
        filled,
        decimal(change),
        verdict(is_same)
    );
    full.pages(20).await?;
    let pages = full.pages(200).await?.as_micros() / 200;
    println!("{name}: a page of 20 instances with full tables {pages} us");
    Ok(is_fast && is_same)
}

fn median(mut times: Vec<u128>) -> u128 {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn permille(part: u128, whole: u128) -> Option<u128> {
    (part * 1_000).checked_div(whole)
}

fn decimal(permille: u128) -> String {
    format!("{}.{:03}", permille / 1_000, permille % 1_000)
}

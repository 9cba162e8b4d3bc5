//! `backup` and `restore`: a copy of a SQLite database that is in use, and the way back.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use compute_store::{Database, DatabaseConfig, check_copy, install, put_copy, require_vacant};

use crate::ambient::ServerClock;
use crate::settings::{self, Loaded, OperatorConfig, PrivateUrl};
use crate::wiring;
use crate::workers::synchronise;

/// What stands in the quarantine of a restored database.
const RESTORED: &str = "the database was restored from a backup";

/// Which database.
#[derive(Debug, Args)]
pub(crate) struct DatabaseArguments {
    /// The server's configuration file; only its database and its times are used [default: compute.toml, if it exists].
    #[arg(long, value_name = "FILE", conflicts_with = "database")]
    config: Option<PathBuf>,
    /// The database, instead of a configuration: `sqlite:<file>`.
    #[arg(long, value_name = "URL")]
    database: Option<String>,
}

/// Arguments of `backup`.
#[derive(Debug, Args)]
pub(crate) struct BackupArguments {
    #[command(flatten)]
    database: DatabaseArguments,
    /// The new file. It must not exist.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

/// Arguments of `restore`.
#[derive(Debug, Args)]
pub(crate) struct RestoreArguments {
    #[command(flatten)]
    database: DatabaseArguments,
    /// A copy that `backup` made. It is left as it is.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
}

impl DatabaseArguments {
    fn load(&self) -> anyhow::Result<OperatorConfig> {
        let loaded = match &self.database {
            Some(url) => {
                let mut loaded = Loaded::defaults();
                loaded.settings.database.url = PrivateUrl::new(url);
                loaded
            }
            None => settings::load(self.config.as_deref())?,
        };
        Ok(loaded.check_for_operator()?)
    }
}

/// Copies the database beside a running server, reads the copy, and audits its books.
///
/// # Errors
/// When there is no copy that can be trusted.
pub(crate) async fn back_up(arguments: BackupArguments) -> anyhow::Result<ExitCode> {
    let config = arguments.database.load()?;
    let database = Database::connect_beside_server(&wiring::store_config(&config.database))
        .await
        .context("open the database")?;
    let copied = database.back_up(&arguments.to).await;
    database.close().await;
    copied.context("back up the database")?;
    let findings = audit(&config, &arguments.to).await?;
    let path = arguments.to.display();
    if findings > 0 {
        print(&format!(
            "{path} is a whole copy, but {findings} promises are broken in it: see `compute-server ops audit`.\n"
        ))?;
        return Ok(ExitCode::FAILURE);
    }
    print(&format!(
        "{path} is a whole copy, and every promise is kept in it.\n"
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Puts a copy where the database is to be, in quarantine: it has forgotten what happened since.
///
/// # Errors
/// When the copy is not whole, or something is where the database is to be.
pub(crate) async fn restore(arguments: RestoreArguments) -> anyhow::Result<ExitCode> {
    let config = arguments.database.load()?;
    let target = file_of(&config)?;
    check_copy(&arguments.from).await?;
    // The quarantine must be there before any server can see the database.
    let mut waiting = target.as_os_str().to_owned();
    waiting.push(".restoring");
    let waiting = PathBuf::from(waiting);
    require_vacant(&target)
        .context("stop the server and move the database away, with its files -wal and -shm")?;
    put_copy(&arguments.from, &waiting).context("copy the backup")?;
    let prepared = prepare(&config, &waiting).await;
    if let Err(error) = prepared {
        std::fs::remove_file(&waiting).context("remove what is not restored")?;
        return Err(error);
    }
    if let Err(error) = install(&waiting, &target) {
        if waiting.exists() {
            std::fs::remove_file(&waiting).context("remove what is not restored")?;
        }
        return Err(error).context("put the database in its place");
    }
    print(&format!(
        "{} is restored, in quarantine: start the server, look at `compute-server ops suspects`, \
         and end it with `compute-server ops quarantine end`.\n",
        target.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// The file of the database.
fn file_of(config: &OperatorConfig) -> anyhow::Result<PathBuf> {
    let url = config.database.url.expose();
    let Some(path) = url.strip_prefix("sqlite:") else {
        bail!("only a SQLite database is one file; use pg_restore for PostgreSQL");
    };
    let path = path.split('?').next().unwrap_or_default();
    Ok(PathBuf::from(path.strip_prefix("//").unwrap_or(path)))
}

fn at(config: &OperatorConfig, path: &Path) -> anyhow::Result<DatabaseConfig> {
    let name = path.to_str().context("the name of the file is not UTF-8")?;
    Ok(DatabaseConfig {
        url: format!("sqlite:{name}"),
        ..wiring::store_config(&config.database)
    })
}

/// How many promises are broken in a copy.
async fn audit(config: &OperatorConfig, copy: &Path) -> anyhow::Result<usize> {
    let database = Database::connect_beside_server(&at(config, copy)?)
        .await
        .context("open the copy")?;
    let clock = Arc::new(ServerClock::start());
    let engine = wiring::operators_engine(&config.timing, Arc::new(database.clone()), &clock)?;
    let findings = engine.audit().await;
    database.close().await;
    Ok(findings.context("audit the copy")?.len())
}

/// Begins the quarantine, and sees to it that no number of an event is given twice.
async fn prepare(config: &OperatorConfig, copy: &Path) -> anyhow::Result<()> {
    let database = Database::connect_beside_server(&at(config, copy)?)
        .await
        .context("open the backup")?;
    let clock = Arc::new(ServerClock::start());
    synchronise(&clock, &database).await;
    let engine = wiring::operators_engine(&config.timing, Arc::new(database.clone()), &clock)?;
    let begun = engine.begin_quarantine(RESTORED).await;
    let skipped = database.skip_event_numbers().await;
    database.close().await;
    begun.context("begin the quarantine")?;
    skipped.context("leave out the numbers of events")
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
        .context("write to standard output")
}

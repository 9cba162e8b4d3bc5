//! A private PostgreSQL cluster: made for one command, gone with it.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{cargo, machine};

/// The variable through which tests find the cluster.
pub(crate) const TEST_VARIABLE: &str = "COMPUTE_TEST_POSTGRES";

/// The guardian: it waits until its standard input closes, which happens however its owner ends, and then stops the
/// server and removes the folder. Signals to the group of the terminal do not reach it.
///
/// Arguments: the folder, `pg_ctl`, and the words that change to another user (none for a plain user).
const GUARDIAN: &str = r#"
trap '' INT TERM HUP
folder=$1 pg_ctl=$2
shift 2
read -r _ || :
"$@" "$pg_ctl" -D "$folder/data" -m immediate stop
rm -rf "$folder"
"#;

/// Connections that the server accepts at once: tests run side by side, each with a pool or two.
const MAX_CONNECTIONS: u32 = 500;

/// The group of the server in its container (`deploy/Dockerfile`). A test runs it as that user, and it must get to the
/// socket.
const IMAGE_GROUP: u32 = 65_532;

/// A running cluster. It listens on a socket in its own folder only, and is removed when this value is dropped or its
/// process ends, killed or not.
#[derive(Debug)]
pub(crate) struct Cluster {
    folder: PathBuf,
    createdb: PathBuf,
    account: Account,
    programs: Programs,
    guardian: Child,
}

impl Cluster {
    /// Creates and starts a cluster, installing PostgreSQL first where that is possible.
    ///
    /// It runs without fsync: it survives the death of its clients, not that of the machine.
    pub(crate) fn start() -> Result<Self> {
        let programs = find_or_install()?;
        let account = Account::find()?;
        let folder = account.create_folder()?;
        let guardian = account.spawn_guardian(&folder, &programs)?;
        let cluster = Self {
            folder,
            createdb: programs.neighbour("createdb"),
            account,
            programs,
            guardian,
        };
        cluster.initialize()?;
        Ok(cluster)
    }

    /// The URL of the maintenance database, for a superuser without a password.
    pub(crate) fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// Makes an empty database and returns its URL.
    pub(crate) fn create_database(&self, name: &str) -> Result<String> {
        let mut createdb = Command::new(&self.createdb);
        createdb.arg("-h").arg(&self.folder);
        cargo::output(createdb.args(["-U", "postgres", name]))?;
        Ok(self.url_of(name))
    }

    fn url_of(&self, database: &str) -> String {
        format!(
            "postgres://postgres@localhost/{database}?host={}",
            self.folder.display()
        )
    }

    /// Ends every connection in the middle of whatever it does, as a crash would, and starts anew.
    pub(crate) fn crash(&self) -> Result<()> {
        let mut restart = self.account.command(&self.programs.pg_ctl, &self.folder);
        restart.arg("-D").arg(self.folder.join("data"));
        restart.arg("-l").arg(self.folder.join("log"));
        restart.args(["-m", "immediate", "-w", "-t", "60", "restart"]);
        cargo::output(&mut restart).map(drop)
    }

    fn initialize(&self) -> Result<()> {
        let Self {
            account, programs, ..
        } = self;
        let data = self.folder.join("data");
        let log = self.folder.join("log");
        let mut initdb = account.command(&programs.initdb, &self.folder);
        initdb.arg("-D").arg(&data);
        // Byte order, like SQLite's, and a locale that exists everywhere.
        initdb.args([
            "-U",
            "postgres",
            "-A",
            "trust",
            "-N",
            "-E",
            "UTF8",
            "--locale=C",
        ]);
        cargo::output(&mut initdb).context("create a PostgreSQL cluster")?;

        let options = format!(
            "-F -c listen_addresses='' -c unix_socket_directories='{}' -c max_connections={MAX_CONNECTIONS}",
            self.folder.display(),
        );
        let mut start = account.command(&programs.pg_ctl, &self.folder);
        start.arg("-D").arg(&data).arg("-l").arg(&log);
        start.args(["-w", "-t", "60", "-o", &options, "start"]);
        if let Err(error) = cargo::output(&mut start) {
            let log = fs::read_to_string(&log).unwrap_or_else(|error| error.to_string());
            return Err(error.context(format!("start PostgreSQL; its log says:\n{log}")));
        }
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Closing its input is the sign for the guardian.
        drop(self.guardian.stdin.take());
        if let Err(error) = self.guardian.wait() {
            println!(
                "xtask: the PostgreSQL cluster in {} may be left over: {error}",
                self.folder.display()
            );
        }
    }
}

/// Where the two programs are.
#[derive(Debug, PartialEq, Eq)]
struct Programs {
    initdb: PathBuf,
    pg_ctl: PathBuf,
}

impl Programs {
    fn find() -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .chain(versioned_folders(Path::new("/usr/lib/postgresql")))
            .find_map(|folder| Self::in_folder(&folder))
    }

    fn in_folder(folder: &Path) -> Option<Self> {
        let programs = Self {
            initdb: folder.join("initdb"),
            pg_ctl: folder.join("pg_ctl"),
        };
        (programs.initdb.is_file() && programs.pg_ctl.is_file()).then_some(programs)
    }

    /// Another program of the same installation, which links may point into; else one on the PATH.
    fn neighbour(&self, name: &str) -> PathBuf {
        let linked = self.pg_ctl.canonicalize();
        [Some(self.pg_ctl.clone()), linked.ok()]
            .into_iter()
            .flatten()
            .map(|program| program.with_file_name(name))
            .find(|program| program.is_file())
            .unwrap_or_else(|| PathBuf::from(name))
    }
}

/// Debian keeps one folder a major version; the newest comes first.
fn versioned_folders(parent: &Path) -> Vec<PathBuf> {
    let mut versions: Vec<u32> = fs::read_dir(parent)
        .map(|entries| {
            entries
                .flatten()
                .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
                .collect()
        })
        .unwrap_or_default();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions
        .iter()
        .map(|version| parent.join(version.to_string()).join("bin"))
        .collect()
}

fn find_or_install() -> Result<Programs> {
    if let Some(programs) = Programs::find() {
        return Ok(programs);
    }
    machine::install_packages(&["postgresql"])?;
    if let Some(programs) = Programs::find() {
        return Ok(programs);
    }
    let line = if machine::is_debian() {
        "sudo apt-get install -y postgresql"
    } else {
        "install PostgreSQL, so that initdb and pg_ctl are on the PATH"
    };
    bail!("the tests need PostgreSQL's initdb and pg_ctl, which are not here; run:\n\n    {line}\n")
}

/// The account that the server runs under: PostgreSQL refuses to run as root.
#[derive(Debug)]
enum Account {
    Own,
    Other { name: &'static str, uid: u32 },
}

impl Account {
    fn find() -> Result<Self> {
        if !machine::is_root()? {
            return Ok(Self::Own);
        }
        for name in ["postgres", "nobody"] {
            if let Ok(uid) = machine::user_id(Some(name)) {
                return Ok(Self::Other { name, uid });
            }
        }
        bail!(
            "PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody` to run it as"
        )
    }

    /// The words before a command that run it under this account.
    fn prefix(&self) -> Vec<&'static str> {
        match self {
            Self::Own => Vec::new(),
            Self::Other { name, .. } => vec!["runuser", "-u", name, "--"],
        }
    }

    /// A command under this account, in a folder it may enter, blind to our input.
    fn command(&self, program: &Path, folder: &Path) -> Command {
        let mut words: Vec<&OsStr> = self.prefix().into_iter().map(OsStr::new).collect();
        words.push(program.as_os_str());
        let mut words = words.into_iter();
        let mut command = Command::new(words.next().unwrap_or(program.as_os_str()));
        command.args(words).current_dir(folder).stdin(Stdio::null());
        command
    }

    /// A new folder for this account, which the group may pass through. It is short, because the path of a socket may have about 100 bytes, and below
    /// `/tmp`, because every parent must be open to the other account.
    fn create_folder(&self) -> Result<PathBuf> {
        let process = std::process::id();
        for attempt in 0..100_u32 {
            let folder = PathBuf::from(format!("/tmp/compute-pg-{process}-{attempt}"));
            match DirBuilder::new().mode(0o710).create(&folder) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => continue,
                Err(error) => {
                    return Err(error).with_context(|| format!("create {}", folder.display()));
                }
            }
            if let Self::Other { uid, .. } = self {
                chown(&folder, Some(*uid), Some(IMAGE_GROUP))
                    .with_context(|| format!("give {} to user {uid}", folder.display()))?;
            }
            return Ok(folder);
        }
        bail!("/tmp is full of folders named compute-pg-{process}-*; remove them")
    }

    fn spawn_guardian(&self, folder: &Path, programs: &Programs) -> Result<Child> {
        Command::new("sh")
            .args(["-c", GUARDIAN, "guardian"])
            .arg(folder)
            .arg(&programs.pg_ctl)
            .args(self.prefix())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("start the guardian of the PostgreSQL cluster")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_another_account_go_through_runuser() {
        let account = Account::Other {
            name: "postgres",
            uid: 101,
        };
        let command = account.command(Path::new("/usr/bin/initdb"), Path::new("/tmp"));
        assert_eq!(command.get_program(), "runuser");
        let words: Vec<_> = command.get_args().collect();
        assert_eq!(words, ["-u", "postgres", "--", "/usr/bin/initdb"]);
    }

    #[test]
    fn commands_of_our_own_account_run_directly() {
        let command = Account::Own.command(Path::new("/usr/bin/initdb"), Path::new("/tmp"));
        assert_eq!(command.get_program(), "/usr/bin/initdb");
        assert_eq!(command.get_args().count(), 0);
    }
}

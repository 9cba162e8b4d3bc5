//! A server process of a test's own, with its folder and its database.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use compute_store::{Database, DatabaseConfig};
use compute_testkit::database::{TestDatabase, count_rows};
use tempfile::TempDir;

use crate::http::{Answer, Client};

/// How long anything in these tests may take before it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

const PROGRAM: &str = env!("CARGO_BIN_EXE_compute-server");

/// The words before the database.
const DEV: &[&str] = &[
    "dev",
    "--listen",
    "127.0.0.1:0",
    "--time-scale",
    "20",
    "--database",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
}

/// A place to run servers in; it outlives them.
#[derive(Debug)]
pub(crate) struct Home {
    database: Option<TestDatabase>,
    folder: TempDir,
}

impl Home {
    pub(crate) async fn new(backend: Backend) -> Self {
        let database = match backend {
            Backend::Sqlite => None,
            Backend::Postgres => Some(TestDatabase::empty_postgres().await),
        };
        Self {
            database,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn database_url(&self) -> String {
        match &self.database {
            Some(database) => database.config().url.clone(),
            None => "sqlite:compute-dev.db".to_owned(),
        }
    }

    /// Starts `dev`, with everything outside faster than in real life.
    pub(crate) fn dev(&self) -> Server {
        let mut command = program(self.path());
        command.args(DEV).arg(self.database_url());
        Server::launch(self, command)
    }

    /// The same with more words.
    pub(crate) fn dev_with(&self, words: &[&str]) -> Server {
        let mut command = program(self.path());
        command.args(DEV).arg(self.database_url()).args(words);
        Server::launch(self, command)
    }

    /// The same with a limit of open files.
    pub(crate) fn dev_with_files(&self, files: u32) -> Server {
        let mut command = Command::new("/bin/sh");
        command.env_clear().current_dir(self.path());
        command.stdin(Stdio::null());
        command.args(["-c", r#"ulimit -n "$0" && exec "$@""#, &files.to_string()]);
        command.arg(PROGRAM).args(DEV).arg(self.database_url());
        Server::launch(self, command)
    }

    /// How many rows some tables of the server's database have, whatever the server says.
    pub(crate) async fn count_rows(&self, tables: &[&'static str]) -> BTreeMap<&'static str, i64> {
        count_rows(&self.absolute_url(), tables).await
    }

    /// The URL of the database, for a process with another working folder.
    pub(crate) fn absolute_url(&self) -> String {
        match &self.database {
            Some(database) => database.config().url.clone(),
            None => format!("sqlite://{}", self.path().join("compute-dev.db").display()),
        }
    }

    /// Opens the database beside the server.
    pub(crate) async fn open_database(&self) -> Database {
        let config = DatabaseConfig {
            url: self.absolute_url(),
            max_connections: 1,
            acquire_timeout: PATIENCE,
        };
        Database::connect_beside_server(&config).await.unwrap()
    }

    /// The lines of a journal that a simulator keeps.
    pub(crate) fn journal(&self, name: &str) -> Vec<String> {
        let path = self.path().join(format!("compute-dev.db.{name}"));
        std::fs::read_to_string(path)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }
}

/// A running server; killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    log: PathBuf,
    pub(crate) url: String,
    pub(crate) client: Client,
}

impl Server {
    pub(crate) fn start(home: &Home, words: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = program(home.path());
        command.args(words).envs(variables.iter().copied());
        Self::launch(home, command)
    }

    /// Starts a server by a command that becomes it.
    pub(crate) fn launch(home: &Home, mut command: Command) -> Self {
        let log = home.path().join("log");
        let errors = File::options()
            .append(true)
            .create(true)
            .open(&log)
            .unwrap();
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let Some(url) = line.trim().strip_prefix("listening on ") else {
            let _ = child.kill();
            panic!(
                "the server did not start: {line:?}\n{}",
                std::fs::read_to_string(&log).unwrap()
            );
        };
        let client = Client::new(url).unwrap();
        Self {
            child,
            log,
            url: url.to_owned(),
            client,
        }
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, String)],
        body: &str,
    ) -> Answer {
        self.client
            .send(method, path, headers, body.as_bytes())
            .await
            .unwrap()
    }

    pub(crate) async fn get(&self, path: &str, headers: &[(&str, String)]) -> Answer {
        self.send("GET", path, headers, "").await
    }

    /// The number of its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Asks it to end, as a supervisor does.
    pub(crate) fn terminate(&self) {
        let sent = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Kills it, as a power cut does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    pub(crate) async fn wait(&mut self) -> ExitStatus {
        tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status;
                }
                pause().await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("the server does not end:\n{}", self.log()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the log of the server:\n{}", self.log());
        }
    }
}

/// The program with an environment of its own.
pub(crate) fn program(folder: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.env_clear().current_dir(folder).stdin(Stdio::null());
    command
}

/// Gives another process a moment.
pub(crate) async fn pause() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

//! A development server, the command, and a folder for its book.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// The command under test.
const COMPUTE: &str = env!("CARGO_BIN_EXE_compute");

pub(crate) struct Town {
    pub(crate) url: String,
    pub(crate) folder: TempDir,
    server: Child,
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) json: Value,
}

impl Said {
    pub(crate) fn result(&self) -> &str {
        self.json["result"].as_str().unwrap_or_default()
    }
}

impl Town {
    pub(crate) fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Command::new(server())
            .args(["dev", "--listen", "127.0.0.1:0"])
            .current_dir(folder.path())
            .env_clear()
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
        let line = lines.find_map(|line| {
            line.unwrap()
                .strip_prefix("listening on ")
                .map(str::to_owned)
        });
        // What it says later is read, so that it never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            url: line.unwrap(),
            folder,
            server,
        }
    }

    /// Runs the command with `--json`, at another address when there is one.
    pub(crate) fn at(&self, url: &str, words: &[&str]) -> Said {
        let output = self
            .command(url)
            .arg("--json")
            .args(words)
            .output()
            .unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        Said {
            code: output.status.code().unwrap(),
            json: serde_json::from_str(&stdout).unwrap_or_default(),
        }
    }

    pub(crate) fn run(&self, words: &[&str]) -> Said {
        self.at(&self.url, words)
    }

    /// The command with nothing of this process' environment.
    pub(crate) fn command(&self, url: &str) -> Command {
        let mut command = Command::new(COMPUTE);
        command
            .env_clear()
            .env("COMPUTE_URL", url)
            .env("COMPUTE_STATE_DIR", self.folder.path().join("state"))
            .stdin(Stdio::null());
        command
    }

    /// The command's machines by the server's own list.
    pub(crate) fn machines(&self) -> Vec<Value> {
        let said = self.run(&["list"]);
        assert_eq!(said.code, 0, "{said:?}");
        said.json["instances"].as_array().unwrap().clone()
    }
}

impl Drop for Town {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The server's program, which stands beside the command's: `cargo test --workspace` builds both, with
/// the same features.
fn server() -> PathBuf {
    let server = PathBuf::from(COMPUTE)
        .with_file_name(format!("compute-server{}", std::env::consts::EXE_SUFFIX));
    assert!(
        server.exists(),
        "{} is not there; run: cargo build --workspace --bins --tests",
        server.display()
    );
    server
}

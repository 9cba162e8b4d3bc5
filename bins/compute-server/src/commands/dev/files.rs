//! What `dev` keeps beside its database, so that a restart finds everything again.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use compute_domain::time::Entropy as _;

use crate::ambient::OsEntropy;

/// The files of one development database.
#[derive(Debug)]
pub(super) struct Files {
    /// The database file, or what stands in for it; the others have its name and one word more.
    stem: PathBuf,
}

/// The generated secrets, 64 hex digits each.
pub(super) struct Keys {
    pub(super) sealing: String,
    pub(super) pepper: String,
}

impl Files {
    /// Beside a SQLite database; in the working directory for a server's database.
    ///
    /// # Errors
    /// When the folder of the database cannot be made.
    pub(super) fn beside(database: &str) -> anyhow::Result<Self> {
        let stem = match database.strip_prefix("sqlite:") {
            Some(rest) => {
                let file = rest
                    .trim_start_matches("//")
                    .split('?')
                    .next()
                    .unwrap_or_default();
                PathBuf::from(file)
            }
            None => PathBuf::from("compute-dev.db"),
        };
        if let Some(folder) = stem
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("make the folder {}", folder.display()))?;
        }
        Ok(Self { stem })
    }

    /// The journal of a simulator.
    pub(super) fn journal(&self, name: &str) -> PathBuf {
        self.with(name)
    }

    /// The secrets of this database; generated when there are none yet.
    ///
    /// # Errors
    /// When the file cannot be read or written, or was changed by hand.
    pub(super) fn keys(&self) -> anyhow::Result<Keys> {
        let path = self.with("keys");
        let text = keep(&path, &format!("{}\n{}\n", generate(), generate()))?;
        let mut lines = text.lines();
        let (Some(sealing), Some(pepper), None) = (lines.next(), lines.next(), lines.next()) else {
            bail!(
                "the keys {} are damaged; without them the database is lost",
                path.display()
            );
        };
        Ok(Keys {
            sealing: sealing.to_owned(),
            pepper: pepper.to_owned(),
        })
    }

    /// The secret under which challenges are made; generated when there is none yet.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub(super) fn challenge_secret(&self) -> anyhow::Result<String> {
        let text = keep(&self.with("challenges"), &format!("{}\n", generate()))?;
        Ok(text.trim().to_owned())
    }

    fn with(&self, name: &str) -> PathBuf {
        let mut path = self.stem.clone().into_os_string();
        path.push(".");
        path.push(name);
        PathBuf::from(path)
    }
}

fn generate() -> String {
    let mut bytes = [0_u8; 32];
    OsEntropy.fill(&mut bytes);
    hex::encode(bytes)
}

/// What the file holds; it is made with this text when there is none.
fn keep(path: &Path, fresh: &str) -> anyhow::Result<String> {
    match create_private(path, fresh) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let mut text = String::new();
            std::fs::File::open(path)
                .and_then(|mut file| file.read_to_string(&mut text))
                .with_context(|| format!("read the keys {}", path.display()))?;
            Ok(text)
        }
        Err(error) => Err(error).with_context(|| format!("write the keys {}", path.display())),
    }
}

/// Creates a file that only its owner can read; fails when it exists.
fn create_private(path: &Path, text: &str) -> std::io::Result<String> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn keys_stay_the_same_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let database = format!("sqlite:{}", folder.path().join("deep/dev.db").display());
        let files = Files::beside(&database).unwrap();
        let (first, second) = (files.keys().unwrap(), files.keys().unwrap());
        assert_eq!(
            (&first.sealing, &first.pepper),
            (&second.sealing, &second.pepper)
        );
        assert_ne!(first.sealing, first.pepper);
        let challenges = files.challenge_secret().unwrap();
        assert_eq!(files.challenge_secret().unwrap(), challenges);
        assert_eq!(challenges.len(), 64);
        let mode = std::fs::metadata(files.with("keys"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn files_stand_beside_the_database() {
        let stem = |url: &str| Files::beside(url).unwrap().stem;
        assert_eq!(stem("sqlite:dev.db?mode=rwc"), Path::new("dev.db"));
        assert_eq!(stem("sqlite://dev.db"), Path::new("dev.db"));
        assert_eq!(
            stem("postgres://localhost/shop"),
            Path::new("compute-dev.db")
        );
    }
}

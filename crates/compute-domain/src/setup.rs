//! What a customer puts onto a new machine: who may log in, and what runs at its first start.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::text::{SshPublicKey, TextError};

/// More keys than a machine may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a machine may have at most {} different SSH keys", SshKeys::MAX)]
pub struct TooManyKeys;

/// Who may log in to a machine: different keys, in the order in which they were named; none asks
/// for a root password.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<SshPublicKey>", into = "Vec<SshPublicKey>")]
pub struct SshKeys(Vec<SshPublicKey>);

impl SshKeys {
    /// The most keys of one machine.
    pub const MAX: usize = 10;

    /// These keys, each of them once.
    ///
    /// # Errors
    /// [`TooManyKeys`] for more than [`SshKeys::MAX`] different ones.
    pub fn of(keys: impl IntoIterator<Item = SshPublicKey>) -> Result<Self, TooManyKeys> {
        let mut different = Vec::new();
        for key in keys {
            if different.contains(&key) {
                continue;
            }
            if different.len() == Self::MAX {
                return Err(TooManyKeys);
            }
            different.push(key);
        }
        Ok(Self(different))
    }

    /// Whether nobody may log in with a key.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys.
    pub fn iter(&self) -> core::slice::Iter<'_, SshPublicKey> {
        self.0.iter()
    }
}

impl From<SshPublicKey> for SshKeys {
    fn from(key: SshPublicKey) -> Self {
        Self(vec![key])
    }
}

impl TryFrom<Vec<SshPublicKey>> for SshKeys {
    type Error = TooManyKeys;

    fn try_from(keys: Vec<SshPublicKey>) -> Result<Self, TooManyKeys> {
        Self::of(keys)
    }
}

impl From<SshKeys> for Vec<SshPublicKey> {
    fn from(keys: SshKeys) -> Self {
        keys.0
    }
}

impl<'a> IntoIterator for &'a SshKeys {
    type Item = &'a SshPublicKey;
    type IntoIter = core::slice::Iter<'a, SshPublicKey>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// What a machine's cloud-init does at its first start. It often holds passwords and tokens of the
/// customer, so it is kept sealed and never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct UserData(String);

impl UserData {
    /// The longest text, in bytes. `DigitalOcean` takes 64 KiB, Vultr more; a request body has 64 KiB.
    pub const MAX_BYTES: usize = 32 * 1024;

    /// Reads a text.
    ///
    /// # Errors
    /// `Empty` for nothing but blanks, `TooLong` above [`UserData::MAX_BYTES`], `Invisible` for NUL.
    pub fn parse(text: &str) -> Result<Self, TextError> {
        if text.trim().is_empty() {
            return Err(TextError::Empty);
        }
        if text.len() > Self::MAX_BYTES {
            return Err(TextError::TooLong);
        }
        if text.contains('\0') {
            return Err(TextError::Invisible);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text, for sealing and for the provider.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for UserData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserData")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 2] = [
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f",
    ];

    fn key(index: u8) -> SshPublicKey {
        let mut data = [index; 32];
        data[0] = 1;
        let key = ssh_key::public::Ed25519PublicKey(data);
        let key = ssh_key::PublicKey::new(ssh_key::public::KeyData::Ed25519(key), "");
        SshPublicKey::parse(&key.to_openssh().unwrap()).unwrap()
    }

    #[test]
    fn a_key_counts_once() {
        let [a, b] = KEYS.map(|line| SshPublicKey::parse(line).unwrap());
        let again = SshPublicKey::parse(&format!("{} me@home", KEYS[0])).unwrap();
        let keys = SshKeys::of([a.clone(), b.clone(), again]).unwrap();
        assert_eq!(keys.iter().collect::<Vec<_>>(), [&a, &b]);
        assert!(SshKeys::default().is_empty() && !keys.is_empty());
    }

    #[test]
    fn ten_keys_are_taken_and_eleven_are_not() {
        assert!(SshKeys::of((0..10).map(key)).is_ok());
        assert!(SshKeys::of((0..10).map(key).chain((0..10).map(key))).is_ok());
        assert_eq!(SshKeys::of((0..11).map(key)), Err(TooManyKeys));
    }

    #[test]
    fn user_data_has_bounds_and_is_never_printed() {
        let text = "#cloud-config\npackages: [git]\n# größe\n";
        let data = UserData::parse(text).unwrap();
        assert_eq!(data.expose(), text);
        assert_eq!(format!("{data:?}"), "UserData");
        for (text, error) in [
            ("", TextError::Empty),
            (" \n", TextError::Empty),
            ("a\0", TextError::Invisible),
            (&"a".repeat(UserData::MAX_BYTES + 1), TextError::TooLong),
        ] {
            assert_eq!(UserData::parse(text), Err(error));
        }
        assert!(UserData::parse(&"a".repeat(UserData::MAX_BYTES)).is_ok());
    }
}

//! `[secrets]`: keys that never reach the database.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use compute_engine::{Sealer, SealingKey, Secrets as EngineSecrets};
use figment::value::Value;
use secrecy::SecretBox;
use zeroize::Zeroize as _;

use super::check::Check;
use super::section::section;
use super::value::{Secret, Setting};

/// One element of `secrets.sealing_keys`.
#[derive(Clone)]
pub(crate) struct KeyEntry {
    id: u8,
    key: Option<Secret>,
    key_file: Option<PathBuf>,
}

impl KeyEntry {
    /// A key with the id 1.
    pub(crate) const fn first(key: Secret) -> Self {
        Self {
            id: 1,
            key: Some(key),
            key_file: None,
        }
    }
}

impl fmt::Debug for KeyEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyEntry")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Setting for Vec<KeyEntry> {
    const KIND: &'static str =
        "list of `{ id = 1, key = \"…\" }` or `{ id = 1, key_file = \"…\" }`";
    const IS_SECRET: bool = true;

    fn read(value: &Value) -> Option<Self> {
        value.as_array()?.iter().map(read_entry).collect()
    }

    fn shown(&self) -> Option<String> {
        let ids: Vec<String> = self
            .iter()
            .map(|entry| format!("{{ id = {}, key = (hidden) }}", entry.id))
            .collect();
        (!ids.is_empty()).then(|| format!("[{}]", ids.join(", ")))
    }
}

fn read_entry(value: &Value) -> Option<KeyEntry> {
    let members = value.as_dict()?;
    if !members
        .keys()
        .all(|name| ["id", "key", "key_file"].contains(&name.as_str()))
    {
        return None;
    }
    let id = u32::read(members.get("id")?)?.try_into().ok()?;
    let key = members.get("key").map(Secret::read);
    let key_file = members.get("key_file").map(PathBuf::read);
    // An unreadable member is not an absent one.
    if key.as_ref().is_some_and(Option::is_none) || key_file.as_ref().is_some_and(Option::is_none) {
        return None;
    }
    Some(KeyEntry {
        id,
        key: key.flatten(),
        key_file: key_file.flatten(),
    })
}

section! {
    /// Keys that never reach the database. Every replica has the same. `openssl rand -hex 32` makes one.
    Secrets {
        /// Keys for secrets at rest, 64 hex digits each. The first seals, all open: to rotate, put a new key with a new id first and keep the old. Needed by `serve`.
        sealing_keys: Vec<KeyEntry> = Vec::new(),
        /// The key of the hashes of API keys, 64 hex digits. Changing it invalidates every API key. Needed by `serve`.
        api_key_pepper: Option<Secret> = None,
        /// A file that holds the pepper.
        api_key_pepper_file: Option<PathBuf> = None,
    }
}

impl Secrets {
    pub(super) fn check(&self, check: &mut Check<'_>) -> Option<EngineSecrets> {
        let sealer = self.check_sealer(check);
        let key = "secrets.api_key_pepper";
        let pepper = check.secret(
            key,
            self.api_key_pepper.as_ref(),
            self.api_key_pepper_file.as_ref(),
        );
        if pepper.is_none() && self.api_key_pepper_file.is_none() {
            check.problem(key, "is needed");
        }
        let pepper = pepper.and_then(|secret| read_key(check, key, &secret));
        Some(EngineSecrets {
            sealer: sealer?,
            api_key_pepper: pepper?,
        })
    }

    fn check_sealer(&self, check: &mut Check<'_>) -> Option<Sealer> {
        let path = "secrets.sealing_keys";
        if self.sealing_keys.is_empty() {
            check.problem(path, "is needed: at least one key");
        }
        let mut ids = BTreeSet::new();
        let mut keys = Vec::new();
        for entry in &self.sealing_keys {
            if !ids.insert(entry.id) {
                check.problem(path, format!("the id {} occurs twice", entry.id));
            }
            let secret = check.secret(path, entry.key.as_ref(), entry.key_file.as_ref());
            if secret.is_none() && entry.key_file.is_none() {
                check.problem(path, format!("the key with id {} is empty", entry.id));
            }
            if let Some(key) = secret.and_then(|secret| read_key(check, path, &secret)) {
                keys.push(SealingKey { id: entry.id, key });
            }
        }
        if keys.len() < self.sealing_keys.len() || keys.is_empty() {
            return None;
        }
        let first = keys.remove(0);
        Some(Sealer::new(first, keys))
    }
}

/// Reads 32 bytes of hex that are not all the same.
fn read_key(check: &mut Check<'_>, path: &str, secret: &Secret) -> Option<SecretBox<[u8; 32]>> {
    let mut bytes = [0_u8; 32];
    let is_hex = hex::decode_to_slice(secret.expose(), &mut bytes).is_ok();
    let is_constant = bytes.iter().all(|byte| Some(byte) == bytes.first());
    let key = SecretBox::new(Box::new(bytes));
    bytes.zeroize();
    if !is_hex {
        check.problem(path, "must be 64 hex digits");
    } else if is_constant {
        check.problem(path, "must be random: `openssl rand -hex 32` makes one");
    }
    (is_hex && !is_constant).then_some(key)
}

//! SSH keys of the account. Their material is unique there, so orders with one key share a record:
//! it goes with the last machine that has it, and only when this installation registered it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use compute_domain::text::SshPublicKey;
use compute_engine::ports::ProviderError;
use md5::{Digest as _, Md5};

use crate::classify::Failure;
use crate::client::{Client, List};
use crate::mark;
use crate::wire::DropletRow;

/// An SSH key at the vendor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub(crate) id: u64,
    /// Whether this attempt registered it.
    pub(crate) is_new: bool,
}

/// The fingerprint by which the vendor knows a key: the MD5 of its blob, in hex with colons.
fn fingerprint(key: &SshPublicKey) -> Option<String> {
    let blob = STANDARD.decode(key.as_str().split(' ').nth(1)?).ok()?;
    let digest = Md5::digest(blob);
    let pairs: Vec<String> = digest.iter().map(|byte| hex::encode([*byte])).collect();
    Some(pairs.join(":"))
}

impl Client {
    /// Registers a key, or finds the record that has it.
    pub(crate) async fn provide_key(
        &self,
        environment: &str,
        key: &SshPublicKey,
    ) -> Result<Key, ProviderError> {
        let Some(fingerprint) = fingerprint(key) else {
            return Err(ProviderError::Rejected {
                reason: "the SSH key has no blob".to_owned(),
            });
        };
        let name = mark::key_name(environment, &fingerprint);
        let provided = match self.add_key(&name, key.as_str()).await {
            Ok(id) => Ok(Key { id, is_new: true }),
            Err(Failure::KeyExists) => self.key(&fingerprint).await.map(|row| Key {
                id: row.id,
                is_new: false,
            }),
            Err(failure) => Err(failure),
        };
        provided.map_err(|failure| match failure {
            // It was removed between the two requests: the next try registers it.
            Failure::NotFound => ProviderError::Unreachable,
            failure => match ProviderError::from(failure) {
                // Whatever became of the key, no machine was asked for yet, and the next try finds it.
                ProviderError::Ambiguous(_) => ProviderError::Unreachable,
                error => error,
            },
        })
    }

    /// Removes a key that no machine but `except` has. Failures cost nothing and grant nothing: they are
    /// worth a line in the log, not more.
    pub(crate) async fn release_key(&self, environment: &str, id: u64, except: Option<u64>) {
        match self.try_release_key(environment, id, except).await {
            Ok(()) | Err(Failure::NotFound) => {}
            Err(failure) => {
                let error = ProviderError::from(failure);
                tracing::warn!(
                    provider.name = "digitalocean", key.id = id, %error,
                    "an SSH key is left over"
                );
            }
        }
    }

    async fn try_release_key(
        &self,
        environment: &str,
        id: u64,
        except: Option<u64>,
    ) -> Result<(), Failure> {
        let row = self.key(&id.to_string()).await?;
        if !row.name.starts_with(&mark::key_start(environment)) {
            return Ok(());
        }
        let tag = mark::ssh_key(id);
        if self.others_with(&tag, except).await? {
            return Ok(());
        }
        self.delete_key(id).await?;
        self.delete_tag(&tag).await
    }

    /// Removes an operation's tag from the account when no machine but `except` has it.
    pub(crate) async fn release_tag(&self, tag: &str, except: u64) {
        let released = async {
            if self.others_with(tag, Some(except)).await? {
                return Ok(());
            }
            self.delete_tag(tag).await
        };
        match released.await {
            Ok(()) | Err(Failure::NotFound) => {}
            Err(failure) => {
                let error = ProviderError::from(failure);
                tracing::warn!(provider.name = "digitalocean", tag, %error, "a tag is left over");
            }
        }
    }

    async fn others_with(&self, tag: &str, except: Option<u64>) -> Result<bool, Failure> {
        let list = List {
            resource: "droplets",
            query: Some(("tag_name", tag)),
        };
        let rows = self.list(list).await?;
        let others = rows.iter().filter(|row| {
            let row = serde_json::from_str::<DropletRow>(row.get());
            // A row that cannot be read counts.
            row.map_or(true, |row| Some(row.id) != except)
        });
        Ok(others.count() > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_is_the_vendors() {
        // A key and its fingerprint as the vendor shows them.
        let key =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINpTe+fd5AlbelHggfQ/iFZkdh+HskGVsA5XgweP5Tzi";
        assert_eq!(
            fingerprint(&SshPublicKey::parse(key).unwrap()).as_deref(),
            Some("b8:c6:15:ba:b5:11:c8:9b:96:db:df:0d:94:c3:35:e0")
        );
    }
}

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use serde_json::{Value, json};

use super::world::Refusal;

/// An SSH key of the account; its material is unique there.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) public_key: String,
    pub(super) fingerprint: String,
}

impl Key {
    pub(super) fn is(&self, named: &str) -> bool {
        self.id.to_string() == named || self.fingerprint == named
    }

    pub(super) fn view(&self) -> Value {
        json!({
            "id": self.id,
            "fingerprint": self.fingerprint,
            "public_key": self.public_key,
            "name": self.name,
        })
    }
}

/// The fingerprint of a public key in OpenSSH form: the MD5 of its blob, in hex with colons.
#[must_use]
pub fn fingerprint(public_key: &str) -> Option<String> {
    let blob = STANDARD.decode(public_key.split(' ').nth(1)?).ok()?;
    let digits = hex::encode(Md5::digest(blob));
    let pairs = digits.as_bytes().chunks(2).map(String::from_utf8_lossy);
    Some(pairs.collect::<Vec<_>>().join(":"))
}

pub(super) fn check(public_key: &str) -> Result<String, Refusal> {
    let is_known = ["ssh-", "ecdsa-", "sk-"];
    let fingerprint = is_known
        .iter()
        .any(|start| public_key.starts_with(start))
        .then(|| fingerprint(public_key))
        .flatten();
    fingerprint.ok_or_else(|| {
        let text = "Key invalid, key should be of the format `type key [comment]`";
        Refusal(422, text.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_is_the_vendors() {
        let key =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINpTe+fd5AlbelHggfQ/iFZkdh+HskGVsA5XgweP5Tzi";
        assert_eq!(
            fingerprint(key).as_deref(),
            Some("b8:c6:15:ba:b5:11:c8:9b:96:db:df:0d:94:c3:35:e0")
        );
    }
}

//! Customer-chosen text: labels, host names, SSH public keys.

use core::fmt;

use serde::{Deserialize, Serialize};
use ssh_key::{Algorithm, PublicKey};

/// Why a customer's text was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Nothing but blanks.
    #[error("must not be empty")]
    Empty,
    /// Longer than allowed.
    #[error("is too long")]
    TooLong,
    /// Control, zero-width or direction-changing characters.
    #[error("must not contain control or invisible characters")]
    Invisible,
    /// Not a host name.
    #[error("must be letters, digits, dots and hyphens, at most 63 between dots")]
    NotAHostname,
    /// Not one OpenSSH public key line of a known type.
    #[error(
        "must be one OpenSSH public key line (ed25519, ecdsa, rsa of 2048 bits or more, or sk-*)"
    )]
    NotAnSshKey,
}

/// A customer's name for an instance or key: 1 to 64 visible characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label(String);

impl Label {
    /// The most characters a label may have.
    pub const MAX_CHARS: usize = 64;

    /// Reads a label; outer blanks are dropped.
    ///
    /// # Errors
    /// When it is empty, longer than 64 characters, or has invisible characters.
    pub fn parse(raw: &str) -> Result<Self, TextError> {
        let text = raw.trim();
        if text.is_empty() {
            return Err(TextError::Empty);
        }
        if text.chars().any(is_invisible) || raw.chars().any(char::is_control) {
            return Err(TextError::Invisible);
        }
        if text.chars().count() > Self::MAX_CHARS {
            return Err(TextError::TooLong);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Characters that change how a terminal, a page or a log line reads without being seen.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A host name: labels of letters, digits and inner hyphens, separated by dots, at most 253 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hostname(String);

impl Hostname {
    /// Reads a host name and lowers its case.
    ///
    /// # Errors
    /// `NotAHostname` unless it follows RFC 1123.
    pub fn parse(raw: &str) -> Result<Self, TextError> {
        let label_is_fine = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if raw.len() > 253 || !raw.split('.').all(label_is_fine) {
            return Err(TextError::NotAHostname);
        }
        Ok(Self(raw.to_ascii_lowercase()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One OpenSSH public key, re-encoded by us: algorithm and key only, no options, no comment.
///
/// The parser of the `ssh-key` crate lets a line break through in the comment, so a second line
/// could reach `authorized_keys`; control characters are refused first and the comment is dropped.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SshPublicKey(String);

impl SshPublicKey {
    /// The longest line that is looked at, in bytes; a 16384-bit RSA key fits.
    pub const MAX_BYTES: usize = 4_096;

    /// Reads one line such as `ssh-ed25519 AAAA… comment`.
    ///
    /// # Errors
    /// `NotAnSshKey` for several lines, options, private keys, DSA, short RSA keys, or junk.
    pub fn parse(raw: &str) -> Result<Self, TextError> {
        let line = raw.trim_matches([' ', '\t']);
        let line = line
            .strip_suffix('\n')
            .unwrap_or(line)
            .trim_end_matches('\r');
        if line.len() > Self::MAX_BYTES || line.chars().any(char::is_control) {
            return Err(TextError::NotAnSshKey);
        }
        let mut key = PublicKey::from_openssh(line).map_err(|_| TextError::NotAnSshKey)?;
        if !is_accepted(&key) {
            return Err(TextError::NotAnSshKey);
        }
        key.set_comment("");
        let text = key.to_openssh().map_err(|_| TextError::NotAnSshKey)?;
        Ok(Self(text.trim_end().to_owned()))
    }

    /// Algorithm and key in OpenSSH form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_accepted(key: &PublicKey) -> bool {
    match key.algorithm() {
        Algorithm::Ed25519
        | Algorithm::Ecdsa { .. }
        | Algorithm::SkEd25519
        | Algorithm::SkEcdsaSha2NistP256 => true,
        // 2048 bits are 256 bytes of modulus.
        Algorithm::Rsa { .. } => key
            .key_data()
            .rsa()
            .and_then(|rsa| rsa.n.as_positive_bytes())
            .is_some_and(|modulus| modulus.len() >= 256),
        _ => false,
    }
}

macro_rules! text_conversions {
    ($($name:ident),+) => {$(
        impl TryFrom<String> for $name {
            type Error = TextError;
            fn try_from(text: String) -> Result<Self, TextError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

text_conversions!(Label, Hostname, SshPublicKey);

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    #[test]
    fn labels_keep_visible_text_only() {
        assert_eq!(Label::parse(" my agent ").unwrap().as_str(), "my agent");
        assert!(Label::parse("größe-中文-🚀").is_ok());
        for (raw, error) in [
            ("", TextError::Empty),
            ("   ", TextError::Empty),
            ("a\nb", TextError::Invisible),
            ("a\u{1b}[31m", TextError::Invisible),
            ("a\u{202e}b", TextError::Invisible),
            ("a\u{200b}b", TextError::Invisible),
        ] {
            assert_eq!(Label::parse(raw), Err(error), "{raw:?}");
        }
        assert_eq!(Label::parse(&"x".repeat(65)), Err(TextError::TooLong));
    }

    #[test]
    fn hostnames_follow_rfc_1123() {
        assert_eq!(
            Hostname::parse("Web-1.example").unwrap().as_str(),
            "web-1.example"
        );
        for raw in ["", "-a", "a-", "a..b", "a_b", "a b", "ä", "a\n"] {
            assert!(Hostname::parse(raw).is_err(), "{raw:?}");
        }
    }

    #[test]
    fn a_key_loses_its_comment() {
        let key = SshPublicKey::parse(&format!("{ED25519} me@host \"$(id)\"")).unwrap();
        assert_eq!(key.as_str(), ED25519);
        assert_eq!(
            SshPublicKey::parse(&format!("{ED25519}\n"))
                .unwrap()
                .as_str(),
            ED25519
        );
    }

    #[test]
    fn anything_but_one_plain_key_is_refused() {
        for raw in [
            String::new(),
            "ssh-ed25519 AAAA user@host".into(),
            format!("{ED25519} a\n{ED25519}"),
            format!("{ED25519} a\u{0}b"),
            format!("command=\"id\" {ED25519}"),
            ED25519[..60].to_owned(),
            "-----BEGIN OPENSSH PRIVATE KEY-----".into(),
            "ssh-dss AAAAB3NzaC1kc3MAAACBAP".into(),
            "x".repeat(10_000),
        ] {
            assert_eq!(
                SshPublicKey::parse(&raw),
                Err(TextError::NotAnSshKey),
                "{raw:?}"
            );
        }
    }
}

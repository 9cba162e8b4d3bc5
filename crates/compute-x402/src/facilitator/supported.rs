use compute_wallet::SolanaAddress;
use serde_json::{Map, Value};

use crate::networks::Network;
use crate::payload::Version;
use crate::wire::v2::EXACT;

/// What a facilitator can settle: the answer of `GET /supported`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Supported {
    kinds: Vec<SupportedKind>,
    extensions: Vec<String>,
}

/// One combination of version, scheme and network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupportedKind {
    /// The protocol version.
    pub version: Version,
    /// The scheme, as `exact`.
    pub scheme: String,
    /// The network, as the facilitator names it.
    pub network: String,
    /// Further data, as the fee payer on Solana.
    pub extra: Map<String, Value>,
}

/// The answer of `/supported` has no array `kinds`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer of /supported has no list of kinds")]
pub struct SupportedError;

impl Supported {
    /// Reads the answer body; kinds of unknown versions or shapes are left out.
    ///
    /// # Errors
    /// When the body is not JSON with an array `kinds`.
    pub fn parse(body: &[u8]) -> Result<Self, SupportedError> {
        let answer: Value = serde_json::from_slice(body).map_err(|_| SupportedError)?;
        let kinds = answer
            .get("kinds")
            .and_then(Value::as_array)
            .ok_or(SupportedError)?;
        Ok(Self {
            kinds: kinds.iter().filter_map(parse_kind).collect(),
            extensions: parse_extensions(&answer),
        })
    }

    /// All kinds that could be read.
    #[must_use]
    pub fn kinds(&self) -> &[SupportedKind] {
        &self.kinds
    }

    /// Whether it knows an extension, such as
    /// [`SPONSORING_EXTENSION`](crate::permit2::SPONSORING_EXTENSION).
    #[must_use]
    pub fn has_extension(&self, name: &str) -> bool {
        self.extensions.iter().any(|known| known == name)
    }

    /// Whether scheme `exact` is settled on this network in this version.
    #[must_use]
    pub fn supports(&self, version: Version, network: &Network) -> bool {
        self.exact_on(version, network).next().is_some()
    }

    /// Whether payments in scheme `exact` on this Solana network are settled in this version with
    /// this account as the payer of the fee.
    #[must_use]
    pub fn supports_fee_payer(
        &self,
        version: Version,
        network: &Network,
        fee_payer: &SolanaAddress,
    ) -> bool {
        let account = fee_payer.to_string();
        self.exact_on(version, network)
            .any(|kind| kind.extra.get("feePayer").and_then(Value::as_str) == Some(&account))
    }

    fn exact_on(
        &self,
        version: Version,
        network: &Network,
    ) -> impl Iterator<Item = &SupportedKind> {
        self.kinds.iter().filter(move |kind| {
            kind.version == version && kind.scheme == EXACT && network.is_named(&kind.network)
        })
    }
}

// Version 1 has no such member.
fn parse_extensions(answer: &Value) -> Vec<String> {
    let names = answer.get("extensions").and_then(Value::as_array);
    let names = names.into_iter().flatten().filter_map(Value::as_str);
    names.map(str::to_owned).collect()
}

fn parse_kind(kind: &Value) -> Option<SupportedKind> {
    let version = match kind.get("x402Version")?.as_u64()? {
        1 => Version::V1,
        2 => Version::V2,
        _ => return None,
    };
    Some(SupportedKind {
        version,
        scheme: kind.get("scheme")?.as_str()?.to_owned(),
        network: kind.get("network")?.as_str()?.to_owned(),
        extra: kind
            .get("extra")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_and_unknown_kinds_left_out() {
        let body = br#"{"kinds":[
            {"x402Version":1,"scheme":"exact","network":"base-sepolia"},
            {"x402Version":2,"scheme":"exact","network":"eip155:8453","extra":{"a":1}},
            {"x402Version":2,"scheme":"upto","network":"eip155:84532"},
            {"x402Version":3,"scheme":"exact","network":"eip155:84532"},
            {"scheme":"exact"}, 7],
            "extensions":["bazaar",7],"signers":{"eip155:*":["0x0"]}}"#;
        let supported = Supported::parse(body).unwrap();
        assert_eq!(supported.kinds().len(), 3);
        assert!(supported.supports(Version::V1, &Network::BASE_SEPOLIA));
        assert!(supported.supports(Version::V2, &Network::BASE));
        assert!(!supported.supports(Version::V2, &Network::BASE_SEPOLIA));
        assert!(!supported.supports(Version::V1, &Network::BASE));
        assert!(supported.has_extension("bazaar"));
        assert!(!supported.has_extension("eip2612GasSponsoring"));
        let first_version = Supported::parse(br#"{"kinds":[]}"#).unwrap();
        assert!(!first_version.has_extension("bazaar"));
    }

    #[test]
    fn the_fee_payer_is_the_one_of_its_network_and_version() {
        let (ours, other) = (SolanaAddress::new([1; 32]), SolanaAddress::new([2; 32]));
        let body = serde_json::json!({"kinds": [
            {"x402Version": 1, "scheme": "exact", "network": "solana", "extra": {"feePayer": other.to_string()}},
            {"x402Version": 2, "scheme": "exact", "network": "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp",
             "extra": {"feePayer": ours.to_string()}},
            {"x402Version": 1, "scheme": "exact", "network": "solana-devnet", "extra": {"feePayer": 7}},
        ]});
        let supported = Supported::parse(body.to_string().as_bytes()).unwrap();
        let has = |version, network: Network, account| {
            supported.supports_fee_payer(version, &network, account)
        };
        assert!(has(Version::V2, Network::SOLANA, &ours));
        assert!(has(Version::V1, Network::SOLANA, &other));
        assert!(!has(Version::V1, Network::SOLANA, &ours));
        assert!(!has(Version::V2, Network::SOLANA_DEVNET, &ours));
        assert!(!has(Version::V1, Network::SOLANA_DEVNET, &ours));
    }

    #[test]
    fn other_bodies_are_refused() {
        for body in ["", "[]", "{}", "<html>", r#"{"kinds":{}}"#] {
            assert_eq!(
                Supported::parse(body.as_bytes()),
                Err(SupportedError),
                "{body}"
            );
        }
    }
}

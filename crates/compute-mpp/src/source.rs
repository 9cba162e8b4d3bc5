//! Who a payer says it is.

use std::fmt;

use compute_wallet::EvmAddress;

/// An account on an EVM chain, written `did:pkh:eip155:<chain id>:<address>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Source {
    /// The chain id of EIP-155.
    pub chain_id: u64,
    /// The account. Texts in any case are the same account.
    pub address: EvmAddress,
}

/// A text names no account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a source is did:pkh:eip155:<chain id>:<0x address>")]
pub struct SourceError;

impl Source {
    /// Reads a source: a chain id in decimal digits without leading zeros, and an address of 42
    /// characters in any case.
    ///
    /// # Errors
    /// When the text is something else.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        let account = text.strip_prefix("did:pkh:eip155:").ok_or(SourceError)?;
        let (chain_id, address) = account.split_once(':').ok_or(SourceError)?;
        if chain_id.starts_with(['0', '+']) {
            return Err(SourceError);
        }
        Ok(Self {
            chain_id: chain_id.parse().map_err(|_| SourceError)?,
            address: EvmAddress::parse_any_case(address).map_err(|_| SourceError)?,
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { chain_id, address } = self;
        write!(f, "did:pkh:eip155:{chain_id}:{}", address.to_checksum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

    #[test]
    fn any_case_is_the_same_account() {
        let text = format!("did:pkh:eip155:4217:{ADDRESS}");
        let source = Source::parse(&text).unwrap();
        assert_eq!(source.to_string(), text);
        assert_eq!(source.chain_id, 4217);
        let lower = format!("did:pkh:eip155:4217:{}", ADDRESS.to_ascii_lowercase());
        assert_eq!(Source::parse(&lower), Ok(source));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            ADDRESS,
            &format!("eip155:4217:{ADDRESS}"),
            &format!("did:pkh:eip155:04217:{ADDRESS}"),
            &format!("did:pkh:eip155:0:{ADDRESS}"),
            &format!("did:pkh:eip155:+1:{ADDRESS}"),
            &format!("did:pkh:eip155::{ADDRESS}"),
            &format!("did:pkh:eip155:99999999999999999999:{ADDRESS}"),
            &format!("did:pkh:eip155:4217:{ADDRESS}0"),
            &format!("did:pkh:eip155:4217:{ADDRESS} "),
            &format!("did:pkh:eip155:4217:{}", &ADDRESS[2..]),
            &format!("DID:pkh:eip155:4217:{ADDRESS}"),
            "did:pkh:eip155:4217",
        ] {
            assert_eq!(Source::parse(text), Err(SourceError), "{text}");
        }
    }
}

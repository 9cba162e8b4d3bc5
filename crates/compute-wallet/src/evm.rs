//! Addresses of EVM chains.

use std::fmt;

use crate::address::AddressError;
use crate::digest::keccak256;

/// An account of an EVM chain: 20 bytes.
///
/// `Display` is the lower-case form, which is the canonical key everywhere in this project.
/// Use [`EvmAddress::to_checksum`] where people or older clients compare letter case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EvmAddress([u8; 20]);

impl EvmAddress {
    /// The zero address, which nobody holds.
    pub const ZERO: Self = Self([0; 20]);

    /// Wraps 20 bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }

    /// Reads `0x` and 40 hex digits; mixed case must carry the checksum of EIP-55.
    ///
    /// # Errors
    /// When the shape is wrong, or letters of both cases disagree with the checksum.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let address = Self::parse_any_case(text)?;
        let digits = text.get(2..).unwrap_or_default();
        let has_lower = digits.bytes().any(|byte| byte.is_ascii_lowercase());
        let has_upper = digits.bytes().any(|byte| byte.is_ascii_uppercase());
        if has_lower && has_upper && address.to_checksum() != text {
            return Err(AddressError::Checksum);
        }
        Ok(address)
    }

    /// Reads `0x` and 40 hex digits and ignores letter case, as published clients need it.
    ///
    /// # Errors
    /// When the shape is wrong.
    pub fn parse_any_case(text: &str) -> Result<Self, AddressError> {
        let digits = text.strip_prefix("0x").ok_or(AddressError::Malformed)?;
        let mut bytes = [0_u8; 20];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| AddressError::Malformed)?;
        Ok(Self(bytes))
    }

    /// The 20 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }

    /// The mixed-case form of EIP-55.
    #[must_use]
    pub fn to_checksum(&self) -> String {
        let digits = hex::encode(self.0);
        let hash = hex::encode(keccak256(digits.as_bytes()));
        let mut text = String::with_capacity(42);
        text.push_str("0x");
        for (digit, nibble) in digits.chars().zip(hash.bytes()) {
            // EIP-55: a letter is upper case where the hash nibble is 8 or more.
            let is_upper = nibble >= b'8';
            text.push(if is_upper {
                digit.to_ascii_uppercase()
            } else {
                digit
            });
        }
        text
    }
}

impl fmt::Display for EvmAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0_u8; 40];
        // The buffer is twice the input, so encoding cannot fail; `fmt::Error` keeps it total.
        hex::encode_to_slice(self.0, &mut digits).map_err(|_| fmt::Error)?;
        f.write_str("0x")?;
        f.write_str(std::str::from_utf8(&digits).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for EvmAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // The test cases printed in EIP-55.
    const CHECKSUMMED: [&str; 8] = [
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
        "0xde709f2102306220921060314715629080e2fb77",
        "0x27b1fdb04752bbc536007a920d24acb045561c26",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    ];

    #[test]
    fn the_examples_of_eip55_round_trip() {
        for text in CHECKSUMMED {
            let address = EvmAddress::parse(text).unwrap();
            assert_eq!(address.to_checksum(), text);
            assert_eq!(address.to_string(), text.to_ascii_lowercase());
        }
    }

    #[test]
    fn one_case_needs_no_checksum() {
        let lower = "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed";
        let upper = "0x5AAEB6053F3E94C9B9A09F33669435E7EF1BEAED";
        assert_eq!(EvmAddress::parse(lower), EvmAddress::parse(upper));
    }

    #[test]
    fn a_wrong_checksum_is_refused_unless_case_is_ignored() {
        let text = "0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
        assert_eq!(EvmAddress::parse(text), Err(AddressError::Checksum));
        assert!(EvmAddress::parse_any_case(text).is_ok());
    }

    #[test]
    fn other_shapes_are_refused() {
        for text in [
            "",
            "0x",
            "5aaeb6053f3e94c9b9a09f33669435e7ef1beaed",
            "0X5aaeb6053f3e94c9b9a09f33669435e7ef1beaed",
            "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beae",
            "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed0",
            "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaeg",
            " 0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed",
        ] {
            assert_eq!(
                EvmAddress::parse(text),
                Err(AddressError::Malformed),
                "{text:?}"
            );
        }
    }

    proptest! {
        // Both written forms name the address they came from.
        #[test]
        fn written_forms_round_trip(bytes: [u8; 20]) {
            let address = EvmAddress::new(bytes);
            prop_assert_eq!(EvmAddress::parse(&address.to_checksum()), Ok(address));
            prop_assert_eq!(EvmAddress::parse(&address.to_string()), Ok(address));
        }

        // Arbitrary text is an address or an error, never a panic.
        #[test]
        fn arbitrary_text_never_panics(text in ".{0,64}") {
            let _ = EvmAddress::parse(&text);
        }
    }
}

use std::fmt;

/// 2^256 − 1 has 78 decimal digits.
const MAX_DECIMAL_DIGITS: usize = 78;

/// An unsigned 256-bit integer as the EVM encodes it: 32 bytes, big-endian.
///
/// It carries values between text and hashes. It does no arithmetic on purpose: amounts are
/// compared as [`u128`], see [`Uint256::to_u128`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uint256([u8; 32]);

/// Why a text is not a 256-bit decimal number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Uint256Error {
    /// Empty, longer than 78 characters, or something other than ASCII digits.
    #[error("a number must be 1 to 78 decimal digits")]
    NotDecimal,
    /// Larger than 2^256 − 1.
    #[error("a number must be below 2^256")]
    TooLarge,
}

impl Uint256 {
    /// Wraps 32 big-endian bytes.
    #[must_use]
    pub const fn from_be_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 big-endian bytes: the word that EIP-712 hashes.
    #[must_use]
    pub const fn to_be_bytes(self) -> [u8; 32] {
        self.0
    }

    /// Reads a decimal number: only ASCII digits, no sign, no blanks, leading zeros permitted.
    ///
    /// # Errors
    /// When the text is not 1 to 78 digits, or the number needs more than 256 bits.
    pub fn parse_decimal(text: &str) -> Result<Self, Uint256Error> {
        if text.is_empty() || text.len() > MAX_DECIMAL_DIGITS {
            return Err(Uint256Error::NotDecimal);
        }
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Uint256Error::NotDecimal);
        }
        if let Ok(small) = text.parse::<u128>() {
            return Ok(Self::from(small));
        }
        let mut word = [0_u8; 32];
        for digit in text.bytes().map(|byte| byte & 0x0f) {
            let mut carry = u16::from(digit);
            for byte in word.iter_mut().rev() {
                // At most 255 × 10 + 9 < 2^16: a carry is one decimal digit at first, then below 10.
                let [high, low] = (u16::from(*byte) * 10 + carry).to_be_bytes();
                *byte = low;
                carry = u16::from(high);
            }
            if carry != 0 {
                return Err(Uint256Error::TooLarge);
            }
        }
        Ok(Self(word))
    }

    /// The value, when it needs at most 128 bits.
    #[must_use]
    pub fn to_u128(self) -> Option<u128> {
        let (high, low) = self.halves();
        (high == 0).then_some(low)
    }

    /// The value, when it needs at most 64 bits.
    #[must_use]
    pub fn to_u64(self) -> Option<u64> {
        self.to_u128().and_then(|value| u64::try_from(value).ok())
    }

    fn halves(self) -> (u128, u128) {
        let (mut high, mut low) = ([0_u8; 16], [0_u8; 16]);
        for (slot, byte) in high.iter_mut().chain(low.iter_mut()).zip(self.0) {
            *slot = byte;
        }
        (u128::from_be_bytes(high), u128::from_be_bytes(low))
    }
}

impl From<u128> for Uint256 {
    fn from(value: u128) -> Self {
        let mut word = [0_u8; 32];
        for (slot, byte) in word.iter_mut().skip(16).zip(value.to_be_bytes()) {
            *slot = byte;
        }
        Self(word)
    }
}

impl From<u64> for Uint256 {
    fn from(value: u64) -> Self {
        Self::from(u128::from(value))
    }
}

impl fmt::Display for Uint256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(small) = self.to_u128() {
            return write!(f, "{small}");
        }
        let mut word = self.0;
        let mut digits = Vec::with_capacity(MAX_DECIMAL_DIGITS);
        while word.iter().any(|byte| *byte != 0) {
            let mut remainder = 0_u16;
            for byte in &mut word {
                let value = remainder * 256 + u16::from(*byte);
                let [_, quotient] = (value / 10).to_be_bytes();
                *byte = quotient;
                remainder = value % 10;
            }
            let [_, digit] = remainder.to_be_bytes();
            digits.push(char::from(b'0' + digit));
        }
        f.write_str(&digits.into_iter().rev().collect::<String>())
    }
}

impl fmt::Debug for Uint256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX: &str =
        "115792089237316195423570985008687907853269984665640564039457584007913129639935";

    #[test]
    fn the_largest_value_is_read_and_printed() {
        let max = Uint256::parse_decimal(MAX).unwrap();
        assert_eq!(max.to_be_bytes(), [0xff; 32]);
        assert_eq!(max.to_string(), MAX);
        assert_eq!(max.to_u128(), None);
    }

    #[test]
    fn one_more_than_the_largest_value_is_refused() {
        let text = format!("{}6", &MAX[..77]);
        assert_eq!(Uint256::parse_decimal(&text), Err(Uint256Error::TooLarge));
        assert_eq!(
            Uint256::parse_decimal(&"9".repeat(78)),
            Err(Uint256Error::TooLarge)
        );
        assert_eq!(
            Uint256::parse_decimal(&"0".repeat(79)),
            Err(Uint256Error::NotDecimal)
        );
    }

    #[test]
    fn anything_but_digits_is_refused() {
        for text in [
            "", "-1", "+1", " 1", "1 ", "1e6", "0x10", "1.0", "1_000", "١٢",
        ] {
            assert_eq!(
                Uint256::parse_decimal(text),
                Err(Uint256Error::NotDecimal),
                "{text:?}"
            );
        }
    }

    proptest! {
        // Printing and reading again gives the same number, for all 256 bits.
        #[test]
        fn decimal_text_round_trips(bytes: [u8; 32]) {
            let value = Uint256::from_be_bytes(bytes);
            prop_assert_eq!(Uint256::parse_decimal(&value.to_string()), Ok(value));
        }

        // Numbers of 128 bits survive the way through the word.
        #[test]
        fn small_numbers_round_trip(value: u128) {
            prop_assert_eq!(Uint256::from(value).to_u128(), Some(value));
            prop_assert_eq!(Uint256::from(value).to_string(), value.to_string());
        }
    }
}

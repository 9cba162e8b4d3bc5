//! Strict RLP: one byte string has one meaning, and one meaning has one byte string.

use std::fmt;

use alloy_rlp::{Decodable, Encodable, Header};
use compute_wallet::{EvmAddress, Uint256};

use super::error::DecodeError;

/// Deeper nesting than any list of a transaction has.
const MAX_DEPTH: u8 = 16;

/// A list in canonical RLP that is carried along without being understood.
#[derive(Clone, PartialEq, Eq)]
pub struct RlpList(Vec<u8>);

impl RlpList {
    /// Reads exactly one list; everything inside it must be canonical too.
    ///
    /// # Errors
    /// When the bytes are anything else, or nested more than 16 deep.
    pub fn parse(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let list = reader.any_list("list")?;
        reader.finish()?;
        Ok(list)
    }

    /// Whether the list has no items.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0 == [alloy_rlp::EMPTY_LIST_CODE]
    }

    /// The list with its own header.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Default for RlpList {
    fn default() -> Self {
        Self(vec![alloy_rlp::EMPTY_LIST_CODE])
    }
}

impl fmt::Debug for RlpList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RlpList(0x{})", hex::encode(&self.0))
    }
}

/// Reads the items of a list one after another.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Whether the next item is a list; nothing is not.
    pub(super) fn is_at_list(&self) -> bool {
        self.rest
            .first()
            .is_some_and(|byte| *byte >= alloy_rlp::EMPTY_LIST_CODE)
    }

    /// How many items are left.
    pub(super) fn count(&self, field: &'static str) -> Result<usize, DecodeError> {
        let mut walk = Self::new(self.rest);
        let mut count = 0_usize;
        while !walk.is_empty() {
            walk.item(field)?;
            count = count.saturating_add(1);
        }
        Ok(count)
    }

    pub(super) fn list(&mut self, field: &'static str) -> Result<Self, DecodeError> {
        match self.item(field)? {
            (true, payload) => Ok(Self::new(payload)),
            (false, _) => Err(DecodeError::Kind {
                field,
                expected: "a list",
            }),
        }
    }

    pub(super) fn bytes(&mut self, field: &'static str) -> Result<&'a [u8], DecodeError> {
        match self.item(field)? {
            (false, payload) => Ok(payload),
            (true, _) => Err(DecodeError::Kind {
                field,
                expected: "a byte string",
            }),
        }
    }

    /// An integer of a fixed width without leading zeros.
    pub(super) fn uint<T: Decodable>(&mut self, field: &'static str) -> Result<T, DecodeError> {
        T::decode(&mut self.rest).map_err(|_| DecodeError::Integer { field })
    }

    pub(super) fn uint256(&mut self, field: &'static str) -> Result<Uint256, DecodeError> {
        let digits = self.bytes(field)?;
        if digits.len() > 32 || digits.first() == Some(&0) {
            return Err(DecodeError::Integer { field });
        }
        let mut word = [0_u8; 32];
        for (slot, byte) in word.iter_mut().rev().zip(digits.iter().rev()) {
            *slot = *byte;
        }
        Ok(Uint256::from_be_bytes(word))
    }

    pub(super) fn array<const N: usize>(
        &mut self,
        field: &'static str,
    ) -> Result<[u8; N], DecodeError> {
        let bytes = self.bytes(field)?;
        bytes.try_into().map_err(|_| DecodeError::Width {
            field,
            expected: N,
            found: bytes.len(),
        })
    }

    /// An address, or nothing where the field is empty.
    pub(super) fn optional_address(
        &mut self,
        field: &'static str,
    ) -> Result<Option<EvmAddress>, DecodeError> {
        if self.rest.first() == Some(&alloy_rlp::EMPTY_STRING_CODE) {
            self.bytes(field)?;
            return Ok(None);
        }
        self.array(field).map(|bytes| Some(EvmAddress::new(bytes)))
    }

    /// A list as it stands, once everything inside it proved to be canonical.
    pub(super) fn any_list(&mut self, field: &'static str) -> Result<RlpList, DecodeError> {
        let before = self.rest;
        let inside = self.list(field)?;
        check_inside(inside, field, MAX_DEPTH)?;
        let length = before.len().saturating_sub(self.rest.len());
        Ok(RlpList(before.get(..length).unwrap_or_default().to_vec()))
    }

    pub(super) fn finish(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            found => Err(DecodeError::TrailingBytes { found }),
        }
    }

    fn item(&mut self, field: &'static str) -> Result<(bool, &'a [u8]), DecodeError> {
        let header =
            Header::decode(&mut self.rest).map_err(|_| DecodeError::NotCanonical { field })?;
        let (payload, rest) = self
            .rest
            .split_at_checked(header.payload_length)
            .ok_or(DecodeError::NotCanonical { field })?;
        self.rest = rest;
        Ok((header.list, payload))
    }
}

fn check_inside(
    mut reader: Reader<'_>,
    field: &'static str,
    depth_left: u8,
) -> Result<(), DecodeError> {
    let deeper = depth_left
        .checked_sub(1)
        .ok_or(DecodeError::NotCanonical { field })?;
    while !reader.is_empty() {
        if let (true, payload) = reader.item(field)? {
            check_inside(Reader::new(payload), field, deeper)?;
        }
    }
    Ok(())
}

/// Appends a byte string.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    bytes.encode(out);
}

/// Appends a big-endian integer without its leading zeros.
pub(super) fn put_uint(out: &mut Vec<u8>, digits: &[u8]) {
    put_bytes(out, without_leading_zeros(digits));
}

/// Appends a list with these items, which are encoded already.
pub(super) fn put_list(out: &mut Vec<u8>, items: &[u8]) {
    Header {
        list: true,
        payload_length: items.len(),
    }
    .encode(out);
    out.extend_from_slice(items);
}

/// The digits of a big-endian integer; nothing for zero.
pub(super) fn without_leading_zeros(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|byte| **byte == 0).count();
    digits.get(zeros..).unwrap_or_default()
}

//! Reading transactions: strictly, since every other form would have another hash on the chain.

use compute_wallet::{EvmAddress, EvmSignature};

use super::error::{DecodeError, SignatureError};
use super::payload::MAX_TRANSACTION_BYTES;
use super::rlp::Reader;
use super::signature::SenderSignature;
use super::transaction::{
    AccessListItem, Call, FEE_PAYER_TYPE, Sponsorship, TRANSACTION_TYPE, Transaction,
    TransactionBody,
};

/// Items of a transaction that authorises no key.
const ITEMS: usize = 14;
/// Items of one that does.
const ITEMS_WITH_KEY: usize = 15;

impl Transaction {
    /// Reads a complete transaction (`0x76`), or one that waits for a sponsor (`0x76` with the
    /// placeholder, or the envelope `0x78`).
    ///
    /// Strict: canonical RLP of exactly 14 or 15 items and nothing after it, integers in their widths
    /// without leading zeros, at least one call, a signature that the chain could accept. Recovery
    /// values 0 and 1 are read as 27 and 28, as the chain reads them.
    ///
    /// # Errors
    /// What is wrong first, from the front.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > MAX_TRANSACTION_BYTES {
            return Err(DecodeError::TooLong {
                max: MAX_TRANSACTION_BYTES,
                found: bytes.len(),
            });
        }
        let (kind, rlp) = bytes.split_first().ok_or(DecodeError::Empty)?;
        let is_envelope = match *kind {
            TRANSACTION_TYPE => false,
            FEE_PAYER_TYPE => true,
            found => return Err(DecodeError::Type { found }),
        };
        let mut outer = Reader::new(rlp);
        let mut items = outer.list("transaction")?;
        outer.finish()?;
        let has_key_authorization = match items.count("transaction")? {
            ITEMS => false,
            ITEMS_WITH_KEY => true,
            found => return Err(DecodeError::ItemCount { found }),
        };
        let transaction = read(&mut items, is_envelope, has_key_authorization)?;
        items.finish()?;
        Ok(transaction)
    }
}

fn read(
    items: &mut Reader<'_>,
    is_envelope: bool,
    has_key_authorization: bool,
) -> Result<Transaction, DecodeError> {
    let chain_id = items.uint("chainId")?;
    let max_priority_fee_per_gas = items.uint("maxPriorityFeePerGas")?;
    let max_fee_per_gas = items.uint("maxFeePerGas")?;
    let gas_limit = items.uint("gasLimit")?;
    let calls = read_calls(items)?;
    let access_list = read_access_list(items)?;
    let nonce_key = items.uint256("nonceKey")?;
    let nonce = items.uint("nonce")?;
    let valid_before = read_bound(items, "validBefore")?;
    let valid_after = read_bound(items, "validAfter")?;
    let fee_token = items.optional_address("feeToken")?;
    let sponsorship = if is_envelope {
        Sponsorship::Envelope {
            sender: EvmAddress::new(items.array("sender")?),
        }
    } else {
        read_sponsorship(items)?
    };
    let authorization_list = items.any_list("authorizationList")?;
    let key_authorization = if has_key_authorization {
        Some(items.any_list("keyAuthorization")?)
    } else {
        None
    };
    let signature =
        SenderSignature::parse(items.bytes("senderSignature")?).map_err(DecodeError::Signature)?;
    Ok(Transaction {
        body: TransactionBody {
            chain_id,
            max_priority_fee_per_gas,
            max_fee_per_gas,
            gas_limit,
            calls,
            access_list,
            nonce_key,
            nonce,
            valid_before,
            valid_after,
            fee_token,
            authorization_list,
            key_authorization,
        },
        sponsorship,
        signature,
    })
}

fn read_bound(items: &mut Reader<'_>, field: &'static str) -> Result<Option<u64>, DecodeError> {
    let seconds: u64 = items.uint(field)?;
    Ok((seconds > 0).then_some(seconds))
}

fn read_calls(items: &mut Reader<'_>) -> Result<Vec<Call>, DecodeError> {
    let mut list = items.list("calls")?;
    let mut calls = Vec::new();
    while !list.is_empty() {
        let mut members = list.list("calls")?;
        match members.count("calls")? {
            3 => {}
            found => return Err(DecodeError::CallMembers { found }),
        }
        calls.push(Call {
            to: members.optional_address("calls.to")?,
            value: members.uint256("calls.value")?,
            input: members.bytes("calls.input")?.to_vec(),
        });
    }
    if calls.is_empty() {
        return Err(DecodeError::NoCalls);
    }
    Ok(calls)
}

fn read_access_list(items: &mut Reader<'_>) -> Result<Vec<AccessListItem>, DecodeError> {
    let mut list = items.list("accessList")?;
    let mut access_list = Vec::new();
    while !list.is_empty() {
        let mut members = list.list("accessList")?;
        let address = EvmAddress::new(members.array("accessList.address")?);
        let mut keys = members.list("accessList.storageKeys")?;
        members.finish()?;
        let mut storage_keys = Vec::new();
        while !keys.is_empty() {
            storage_keys.push(keys.array("accessList.storageKeys")?);
        }
        access_list.push(AccessListItem {
            address,
            storage_keys,
        });
    }
    Ok(access_list)
}

fn read_sponsorship(items: &mut Reader<'_>) -> Result<Sponsorship, DecodeError> {
    const FIELD: &str = "feePayerSignature";
    if !items.is_at_list() {
        return match items.bytes(FIELD)? {
            [] => Ok(Sponsorship::None),
            [0] => Ok(Sponsorship::Requested),
            _ => Err(DecodeError::Kind {
                field: FIELD,
                expected: "a list, empty, or the placeholder 0x00",
            }),
        };
    }
    let mut members = items.list(FIELD)?;
    let y_parity: u8 = members.uint(FIELD)?;
    let (r, s) = (members.uint256(FIELD)?, members.uint256(FIELD)?);
    members.finish()?;
    // A list has no old form with 27 and 28.
    if y_parity > 1 {
        return Err(DecodeError::Integer { field: FIELD });
    }
    let mut bytes = [0_u8; 65];
    let parts = r.to_be_bytes().into_iter().chain(s.to_be_bytes());
    for (slot, byte) in bytes.iter_mut().zip(parts.chain([y_parity])) {
        *slot = byte;
    }
    EvmSignature::from_bytes(&bytes)
        .map(Sponsorship::Signed)
        .map_err(|error| DecodeError::FeePayerSignature(SignatureError::Secp256k1(error)))
}

//! A Solana transaction: read strictly, written back byte for byte.

use std::collections::BTreeSet;
use std::fmt;

use base64_simd::STANDARD;
use compute_wallet::SolanaAddress;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use solana_message::VersionedMessage;
use solana_message::compiled_instruction::CompiledInstruction;
use solana_pubkey::Pubkey;

use crate::exact_svm::fault::{MalformedTransaction, SvmFault};
use crate::exact_svm::instruction::Instruction;

/// The longest transaction that the network carries: the smallest IPv6 packet without its headers.
pub const MAX_WIRE_BYTES: usize = 1_232;

/// Padded base64 of [`MAX_WIRE_BYTES`].
const MAX_BASE64_CHARS: usize = MAX_WIRE_BYTES.div_ceil(3) * 4;

const SIGNATURE_BYTES: usize = 64;

/// More than the parts of any transaction of [`MAX_WIRE_BYTES`] take in memory, so that a length
/// that lies costs nothing.
const MAX_PREALLOCATED_BYTES: usize = 64 * 1024;

/// The member of `payload` that carries the transaction (x402, scheme `exact` on Solana).
const MEMBER: &str = "transaction";

/// A well-formed transaction, legacy or version 0; nothing is said about what it does.
#[derive(Clone, PartialEq, Eq)]
pub struct SvmTransaction {
    signatures: Vec<[u8; SIGNATURE_BYTES]>,
    message_bytes: Vec<u8>,
    message: VersionedMessage,
    fee_payer: SolanaAddress,
}

impl SvmTransaction {
    /// Reads the member `transaction` of a payment's `payload`.
    ///
    /// # Errors
    /// When it is no text, or not padded base64 of one transaction and nothing more.
    pub fn from_payload(payload: &Map<String, Value>) -> Result<Self, SvmFault> {
        let text = payload.get(MEMBER).and_then(Value::as_str);
        Self::decode(text.ok_or(MalformedTransaction::NoText)?)
    }

    /// Reads padded base64 of one transaction.
    ///
    /// # Errors
    /// When it is anything else. The length is looked at first.
    pub fn decode(base64: &str) -> Result<Self, SvmFault> {
        if base64.len() > MAX_BASE64_CHARS {
            return Err(MalformedTransaction::TooLong.into());
        }
        let wire = STANDARD.decode_to_vec(base64);
        Self::from_wire(&wire.map_err(|_| MalformedTransaction::NotBase64)?)
    }

    /// Reads the bytes of one transaction.
    ///
    /// # Errors
    /// When it is cut off, goes on too long, contradicts itself, or could be written in another
    /// way.
    pub fn from_wire(wire: &[u8]) -> Result<Self, SvmFault> {
        if wire.len() > MAX_WIRE_BYTES {
            return Err(MalformedTransaction::TooLong.into());
        }
        // The number of signatures is a compact-u16, which is one byte for as many as fit.
        let (count, rest) = wire.split_first().ok_or(MalformedTransaction::Signatures)?;
        let (signatures, message_bytes) = rest
            .split_at_checked(usize::from(*count) * SIGNATURE_BYTES)
            .ok_or(MalformedTransaction::Signatures)?;
        let (signatures, _) = signatures.as_chunks();
        let message = read_message(message_bytes)?;
        if signatures.len() != usize::from(message.header().num_required_signatures) {
            return Err(MalformedTransaction::SignatureCount.into());
        }
        let keys = message.static_account_keys();
        if keys.iter().collect::<BTreeSet<_>>().len() != keys.len() {
            return Err(MalformedTransaction::DuplicateAccount.into());
        }
        let fee_payer = keys.first().ok_or(MalformedTransaction::Unsound)?;
        Ok(Self {
            signatures: signatures.to_vec(),
            message_bytes: message_bytes.to_vec(),
            fee_payer: address(fee_payer),
            message,
        })
    }

    /// The bytes of the transaction, equal to those that were read.
    #[must_use]
    pub fn to_wire(&self) -> Vec<u8> {
        self.wire_with(self.signatures.iter())
    }

    /// Padded base64 of the transaction, equal to what was read.
    #[must_use]
    pub fn to_base64(&self) -> String {
        STANDARD.encode_to_string(self.to_wire())
    }

    /// The `payload` member of a payment.
    #[must_use]
    pub fn to_payload(&self) -> Value {
        json!({ MEMBER: self.to_base64() })
    }

    /// The bytes of the transaction with this signature of the fee payer, ready to be sent.
    #[must_use]
    pub fn with_fee_payer_signature(&self, signature: [u8; 64]) -> Vec<u8> {
        self.wire_with(std::iter::once(&signature).chain(self.signatures.iter().skip(1)))
    }

    /// What every signer signs.
    #[must_use]
    pub fn message_bytes(&self) -> &[u8] {
        &self.message_bytes
    }

    /// SHA-256 of the message: the identity of the payment.
    ///
    /// Neither the text of the transaction nor a signature may identify it, because the slot of
    /// the fee payer can hold anything until it is filled.
    #[must_use]
    pub fn message_hash(&self) -> [u8; 32] {
        Sha256::digest(&self.message_bytes).into()
    }

    /// Who pays the fee: the first account.
    #[must_use]
    pub const fn fee_payer(&self) -> SolanaAddress {
        self.fee_payer
    }

    /// The blockhash that the transaction lives and dies with.
    #[must_use]
    pub fn recent_blockhash(&self) -> [u8; 32] {
        self.message.recent_blockhash().to_bytes()
    }

    /// The place of an account in the list of the message, by which a node names it in what it
    /// tells of the transaction.
    #[must_use]
    pub fn position_of(&self, account: &SolanaAddress) -> Option<usize> {
        let mut keys = self.message.static_account_keys().iter().map(address);
        keys.position(|key| key == *account)
    }

    /// The accounts that must sign, the fee payer first, each with its signature, not yet checked.
    pub(super) fn signers(&self) -> impl Iterator<Item = (SolanaAddress, &[u8; SIGNATURE_BYTES])> {
        let keys = self.message.static_account_keys().iter();
        keys.map(address).zip(&self.signatures)
    }

    pub(super) fn has_lookup_tables(&self) -> bool {
        let lookups = self.message.address_table_lookups();
        lookups.is_some_and(|lookups| !lookups.is_empty())
    }

    pub(super) fn instruction_count(&self) -> usize {
        self.message.instructions().len()
    }

    /// An instruction by its place, from 0. Nothing when one of its accounts is in a lookup table.
    pub(super) fn instruction(&self, place: usize) -> Option<Instruction<'_>> {
        self.look_up(self.message.instructions().get(place)?)
    }

    fn look_up<'a>(&self, compiled: &'a CompiledInstruction) -> Option<Instruction<'a>> {
        let keys = self.message.static_account_keys();
        let find = |index: u8| keys.get(usize::from(index)).map(address);
        let accounts = compiled.accounts.iter().copied().map(find);
        Some(Instruction {
            program: find(compiled.program_id_index)?,
            accounts: accounts.collect::<Option<_>>()?,
            data: &compiled.data,
        })
    }

    fn wire_with<'a>(
        &self,
        signatures: impl Iterator<Item = &'a [u8; SIGNATURE_BYTES]>,
    ) -> Vec<u8> {
        let mut wire = Vec::with_capacity(MAX_WIRE_BYTES);
        // As many as the header of the message requires, which is one byte.
        wire.push(self.message.header().num_required_signatures);
        wire.extend(signatures.flatten());
        wire.extend_from_slice(&self.message_bytes);
        wire
    }
}

impl fmt::Debug for SvmTransaction {
    /// Whoever holds the buyer's signature can have it settled, so it stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SvmTransaction")
            .field("fee_payer", &self.fee_payer)
            .field("message_hash", &hex::encode(self.message_hash()))
            .finish_non_exhaustive()
    }
}

/// Reads a message that is sound, of a version we know, and in the one form it can be written.
fn read_message(bytes: &[u8]) -> Result<VersionedMessage, MalformedTransaction> {
    let config = wincode::config::Configuration::default()
        .with_preallocation_size_limit::<MAX_PREALLOCATED_BYTES>();
    let message: VersionedMessage =
        wincode::config::deserialize(bytes, config).map_err(|_| MalformedTransaction::Message)?;
    if matches!(message, VersionedMessage::V1(_)) {
        return Err(MalformedTransaction::Version);
    }
    // Bytes after the message, or a second way to write it, would be another identity of one
    // payment.
    if wincode::serialize(&message).ok().as_deref() != Some(bytes) {
        return Err(MalformedTransaction::Message);
    }
    message
        .sanitize()
        .map_err(|_| MalformedTransaction::Unsound)?;
    Ok(message)
}

pub(super) fn address(key: &Pubkey) -> SolanaAddress {
    SolanaAddress::new(key.to_bytes())
}

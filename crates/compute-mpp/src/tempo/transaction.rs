//! Transactions of type `0x76`: their fields, their one canonical form and their hashes.

use compute_wallet::{
    Digest32, EvmAddress, EvmKey, EvmSignature, Uint256, keccak256, recover_digest,
};

use super::error::SignatureError;
use super::rlp::{RlpList, put_bytes, put_list, put_uint};
use super::signature::{KeySignature, SenderSignature};

/// The type byte of a complete transaction.
pub(super) const TRANSACTION_TYPE: u8 = 0x76;
/// The type byte of what a fee payer signs, and of the envelope that clients send to one.
pub(super) const FEE_PAYER_TYPE: u8 = 0x78;

/// The nonce key whose nonces expire instead of counting: 2^256 − 1.
pub const EXPIRING_NONCE_KEY: Uint256 = Uint256::from_be_bytes([0xff; 32]);

/// A signed transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// What it does, and when.
    pub body: TransactionBody,
    /// Who pays the fee.
    pub sponsorship: Sponsorship,
    /// Who sends it.
    pub signature: SenderSignature,
}

/// A transaction without its signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionBody {
    /// The chain it is for.
    pub chain_id: u64,
    /// Units of 10⁻¹⁸ dollar for one unit of gas.
    pub max_priority_fee_per_gas: u128,
    /// Units of 10⁻¹⁸ dollar for one unit of gas.
    pub max_fee_per_gas: u128,
    /// Units of gas.
    pub gas_limit: u64,
    /// What is called, in this order, all or nothing. Never empty when decoded.
    pub calls: Vec<Call>,
    /// What is touched and paid for in advance.
    pub access_list: Vec<AccessListItem>,
    /// The lane of the nonce; zero is the protocol's own, [`EXPIRING_NONCE_KEY`] has none.
    pub nonce_key: Uint256,
    /// The number in its lane.
    pub nonce: u64,
    /// Unix seconds from which on it cannot be included. Zero is written as absent.
    pub valid_before: Option<u64>,
    /// Unix seconds from which on it can be included. Zero is written as absent.
    pub valid_after: Option<u64>,
    /// The token in which the fee is paid, when the sender chose one.
    pub fee_token: Option<EvmAddress>,
    /// Delegations of code, not understood here.
    pub authorization_list: RlpList,
    /// The authorisation of a new access key, not understood here.
    pub key_authorization: Option<RlpList>,
}

/// One call of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Whom it goes to; nobody creates a contract.
    pub to: Option<EvmAddress>,
    /// Native value; the chain has none.
    pub value: Uint256,
    /// Call data.
    pub input: Vec<u8>,
}

/// One account of an access list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessListItem {
    /// The account.
    pub address: EvmAddress,
    /// Its storage slots.
    pub storage_keys: Vec<Digest32>,
}

/// Who pays the fee of a transaction, and how far that has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sponsorship {
    /// The sender pays.
    None,
    /// The sender left the place open: `0x00` in the slot, as the specification writes it.
    Requested,
    /// The sender left the place open, in the envelope `0x78` that clients send; it names the sender.
    Envelope {
        /// Whom the envelope names.
        sender: EvmAddress,
    },
    /// A fee payer signed.
    Signed(EvmSignature),
}

/// What stands in the slot of the fee payer's signature.
enum Slot<'a> {
    Empty,
    Placeholder,
    Sender(&'a EvmAddress),
    Signature(&'a EvmSignature),
}

impl Transaction {
    /// The one canonical form; what the chain hashes when the transaction is complete.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (kind, slot) = match &self.sponsorship {
            Sponsorship::None => (TRANSACTION_TYPE, Slot::Empty),
            Sponsorship::Requested => (TRANSACTION_TYPE, Slot::Placeholder),
            Sponsorship::Envelope { sender } => (FEE_PAYER_TYPE, Slot::Sender(sender)),
            Sponsorship::Signed(signature) => (TRANSACTION_TYPE, Slot::Signature(signature)),
        };
        let mut items = self.body.items(self.body.fee_token, &slot);
        put_bytes(&mut items, &self.signature.to_bytes());
        typed(kind, &items)
    }

    /// The hash under which the chain knows the transaction. Of no use while a sponsor is missing.
    #[must_use]
    pub fn hash(&self) -> Digest32 {
        keccak256(&self.encode())
    }

    /// What the sender signed.
    #[must_use]
    pub fn sender_hash(&self) -> Digest32 {
        self.body.sender_hash(self.is_sponsored())
    }

    /// What a fee payer signs who pays in `fee_token` for `sender`. Without a token the chain chooses.
    #[must_use]
    pub fn fee_payer_hash(&self, sender: &EvmAddress, fee_token: Option<EvmAddress>) -> Digest32 {
        let items = self.body.items(fee_token, &Slot::Sender(sender));
        keccak256(&typed(FEE_PAYER_TYPE, &items))
    }

    /// Who sends it.
    ///
    /// # Errors
    /// When the signature was made over something else.
    pub fn sender(&self) -> Result<EvmAddress, SignatureError> {
        self.signature.sender(&self.sender_hash())
    }

    /// Who pays the fee, when that is not the sender and is known.
    ///
    /// # Errors
    /// When one of the two signatures was made over something else.
    pub fn fee_payer(&self) -> Result<Option<EvmAddress>, SignatureError> {
        let Sponsorship::Signed(signature) = &self.sponsorship else {
            return Ok(None);
        };
        let hash = self.fee_payer_hash(&self.sender()?, self.body.fee_token);
        recover_digest(&hash, signature)
            .map(Some)
            .map_err(SignatureError::Secp256k1)
    }

    /// The name under which the chain remembers an expiring nonce, and nothing for other nonces.
    ///
    /// Unlike the hash it does not depend on the form of the signature, nor on who pays the fee. It is the
    /// hash of what the sender signs, byte for byte, and of its address, as the chain's own types
    /// (`expiring_nonce_hash` of tempo-primitives) compute it. Published texts say *the hash* of what the
    /// sender signs, and its address; no chain remembers that one.
    #[must_use]
    pub fn expiring_id(&self, sender: &EvmAddress) -> Option<Digest32> {
        (self.body.nonce_key == EXPIRING_NONCE_KEY).then(|| {
            let mut bytes = self.body.signable(self.is_sponsored());
            bytes.extend_from_slice(sender.as_bytes());
            keccak256(&bytes)
        })
    }

    const fn is_sponsored(&self) -> bool {
        !matches!(self.sponsorship, Sponsorship::None)
    }

    /// The transaction with a fee payer's signature: complete, and ready to be sent.
    ///
    /// What a sponsor risks (gas, price, time, budget) is for the caller to bound.
    ///
    /// # Errors
    /// When the sender's signature was made over something else.
    pub fn co_sign(&self, key: &EvmKey, fee_token: EvmAddress) -> Result<Self, SignatureError> {
        let hash = self.fee_payer_hash(&self.sender()?, Some(fee_token));
        let mut complete = self.clone();
        complete.body.fee_token = Some(fee_token);
        complete.sponsorship = Sponsorship::Signed(key.sign_digest(&hash));
        Ok(complete)
    }
}

impl TransactionBody {
    /// What the sender signs. Whoever asks for a sponsor leaves the choice of the fee token to it.
    #[must_use]
    pub fn sender_hash(&self, is_sponsored: bool) -> Digest32 {
        keccak256(&self.signable(is_sponsored))
    }

    /// The bytes whose hash the sender signs.
    fn signable(&self, is_sponsored: bool) -> Vec<u8> {
        let items = if is_sponsored {
            self.items(None, &Slot::Placeholder)
        } else {
            self.items(self.fee_token, &Slot::Empty)
        };
        typed(TRANSACTION_TYPE, &items)
    }

    /// Signs as the sender, who pays the fee too.
    #[must_use]
    pub fn sign(self, key: &EvmKey) -> Transaction {
        let signature = key.sign_digest(&self.sender_hash(false));
        self.with_signature(SenderSignature::Own(KeySignature::Secp256k1(signature)))
    }

    /// Signs as the sender and asks for a sponsor, in the envelope that clients use.
    #[must_use]
    pub fn sign_sponsored(self, key: &EvmKey) -> Transaction {
        let signature = key.sign_digest(&self.sender_hash(true));
        Transaction {
            body: Self {
                fee_token: None,
                ..self
            },
            sponsorship: Sponsorship::Envelope {
                sender: key.address(),
            },
            signature: SenderSignature::Own(KeySignature::Secp256k1(signature)),
        }
    }

    /// Completes it with a signature that was made over [`sender_hash`](Self::sender_hash).
    #[must_use]
    pub const fn with_signature(self, signature: SenderSignature) -> Transaction {
        Transaction {
            body: self,
            sponsorship: Sponsorship::None,
            signature,
        }
    }

    /// Items 0 to 12, and 13 where there is one.
    fn items(&self, fee_token: Option<EvmAddress>, slot: &Slot<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        put_uint(&mut out, &self.chain_id.to_be_bytes());
        put_uint(&mut out, &self.max_priority_fee_per_gas.to_be_bytes());
        put_uint(&mut out, &self.max_fee_per_gas.to_be_bytes());
        put_uint(&mut out, &self.gas_limit.to_be_bytes());
        self.put_calls(&mut out);
        self.put_access_list(&mut out);
        put_uint(&mut out, &self.nonce_key.to_be_bytes());
        put_uint(&mut out, &self.nonce.to_be_bytes());
        for bound in [self.valid_before, self.valid_after] {
            put_uint(&mut out, &bound.unwrap_or_default().to_be_bytes());
        }
        put_address(&mut out, fee_token.as_ref());
        match slot {
            Slot::Empty => put_bytes(&mut out, &[]),
            Slot::Placeholder => put_bytes(&mut out, &[0]),
            Slot::Sender(address) => put_address(&mut out, Some(address)),
            Slot::Signature(signature) => put_fee_payer(&mut out, signature),
        }
        out.extend_from_slice(self.authorization_list.as_bytes());
        if let Some(authorization) = &self.key_authorization {
            out.extend_from_slice(authorization.as_bytes());
        }
        out
    }

    fn put_calls(&self, out: &mut Vec<u8>) {
        let mut calls = Vec::new();
        for call in &self.calls {
            let mut members = Vec::new();
            put_address(&mut members, call.to.as_ref());
            put_uint(&mut members, &call.value.to_be_bytes());
            put_bytes(&mut members, &call.input);
            put_list(&mut calls, &members);
        }
        put_list(out, &calls);
    }

    fn put_access_list(&self, out: &mut Vec<u8>) {
        let mut items = Vec::new();
        for item in &self.access_list {
            let mut members = Vec::new();
            put_address(&mut members, Some(&item.address));
            let mut keys = Vec::new();
            for key in &item.storage_keys {
                put_bytes(&mut keys, key);
            }
            put_list(&mut members, &keys);
            put_list(&mut items, &members);
        }
        put_list(out, &items);
    }
}

fn put_address(out: &mut Vec<u8>, address: Option<&EvmAddress>) {
    put_bytes(out, address.map_or(&[], |it| it.as_bytes().as_slice()));
}

/// `[yParity, r, s]`.
fn put_fee_payer(out: &mut Vec<u8>, signature: &EvmSignature) {
    let bytes = signature.to_bytes();
    let (r, rest) = bytes.split_at(32);
    let (s, v) = rest.split_at(32);
    let mut members = Vec::new();
    put_uint(&mut members, &[u8::from(v == [28])]);
    put_uint(&mut members, r);
    put_uint(&mut members, s);
    put_list(out, &members);
}

fn typed(kind: u8, items: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    put_list(&mut out, items);
    out
}

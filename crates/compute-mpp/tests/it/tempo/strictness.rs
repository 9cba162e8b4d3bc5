//! Spellings of one meaning that only a strict reader tells from the canonical one.

use alloy_rlp::{Encodable as _, Header};
use compute_mpp::tempo::{
    AccessListItem, DecodeError, SenderSignature, SignatureError, Transaction, TransactionBuilder,
};
use compute_wallet::{EvmAddress, EvmKey};

use super::{NOW, charge, key, terms};

const NONCE_KEY: usize = 6;
const ACCESS_LIST: usize = 5;
const FEE_PAYER_SIGNATURE: usize = 11;

fn list(items: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Header {
        list: true,
        payload_length: items.len(),
    }
    .encode(&mut out);
    out.extend_from_slice(items);
    out
}

fn string(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    bytes.encode(&mut out);
    out
}

/// The transaction with one of its items replaced.
fn with_item(transaction: &Transaction, wanted: usize, item: &[u8]) -> Vec<u8> {
    let raw = transaction.encode();
    let mut rest = Header::decode_bytes(&mut &raw[1..], true).unwrap();
    let mut items = Vec::new();
    let mut at = 0;
    while !rest.is_empty() {
        let before = rest;
        let header = Header::decode(&mut rest).unwrap();
        rest = &rest[header.payload_length..];
        let own = &before[..before.len() - rest.len()];
        items.extend_from_slice(if at == wanted { item } else { own });
        at += 1;
    }
    let mut out = vec![raw[0]];
    out.extend(list(&items));
    out
}

fn payment() -> TransactionBuilder {
    TransactionBuilder::payment(&charge(&terms()), None, NOW + 25)
}

#[test]
fn a_replaced_item_with_its_own_bytes_changes_nothing() {
    let signed = payment().build().sign(&key());
    let nonce_key = string(&[0xff; 32]);
    assert_eq!(
        Transaction::decode(&with_item(&signed, NONCE_KEY, &nonce_key)),
        Ok(signed)
    );
}

#[test]
fn a_nonce_key_wider_than_256_bits_is_refused() {
    let signed = payment().build().sign(&key());
    assert_eq!(
        Transaction::decode(&with_item(&signed, NONCE_KEY, &string(&[0xff; 33]))),
        Err(DecodeError::Integer { field: "nonceKey" })
    );
}

#[test]
fn a_fee_payer_signature_has_three_members_and_a_parity_of_one_bit() {
    let sponsor = EvmKey::from_bytes(&[0x22; 32]).unwrap();
    let open = payment().build().sign_sponsored(&key());
    let complete = open.co_sign(&sponsor, terms().currency).unwrap();
    let compute_mpp::tempo::Sponsorship::Signed(signature) = complete.sponsorship else {
        panic!("a signature of the sponsor");
    };
    let bytes = signature.to_bytes();
    let parity = bytes[64] - 27;
    let members = |parity: u8, more: &[u8]| {
        let mut members = Vec::new();
        parity.encode(&mut members);
        members.extend(string(&bytes[..32]));
        members.extend(string(&bytes[32..64]));
        members.extend_from_slice(more);
        with_item(&complete, FEE_PAYER_SIGNATURE, &list(&members))
    };
    assert_eq!(
        Transaction::decode(&members(parity, &[])).as_ref(),
        Ok(&complete)
    );
    assert_eq!(
        Transaction::decode(&members(parity + 27, &[])),
        Err(DecodeError::Integer {
            field: "feePayerSignature"
        })
    );
    assert_eq!(
        Transaction::decode(&members(parity, &[0x80])),
        Err(DecodeError::TrailingBytes { found: 1 })
    );
}

#[test]
fn an_item_of_the_access_list_has_two_members() {
    let mut body = payment().build();
    body.access_list.push(AccessListItem {
        address: EvmAddress::new([1; 20]),
        storage_keys: vec![[2; 32]],
    });
    let signed = body.sign(&key());
    let items = |more: &[u8]| {
        let mut members = string(&[1; 20]);
        members.extend(list(&string(&[2; 32])));
        members.extend_from_slice(more);
        with_item(&signed, ACCESS_LIST, &list(&list(&members)))
    };
    assert_eq!(Transaction::decode(&items(&[])).as_ref(), Ok(&signed));
    assert_eq!(
        Transaction::decode(&items(&[0x80])),
        Err(DecodeError::TrailingBytes { found: 1 })
    );
}

#[test]
fn a_passkey_signature_fits_into_what_the_chain_takes() {
    // Nothing in it is a signature, so a length that is taken fails by its values.
    let parse = |length: usize| SenderSignature::parse(&vec![2; length]);
    assert_eq!(parse(2050), Err(SignatureError::Length { found: 2050 }));
    assert_eq!(parse(128), Err(SignatureError::Length { found: 128 }));
    for length in [129, 2049] {
        assert_eq!(parse(length), Err(SignatureError::NotOnCurve));
    }
}

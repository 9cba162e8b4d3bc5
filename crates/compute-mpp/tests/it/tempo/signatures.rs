use compute_mpp::tempo::{
    KeySignature, P256Signature, SenderSignature, SignatureError, Transaction, TransactionBuilder,
};
use compute_wallet::keccak256;
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::ecdsa::{Signature, SigningKey};
use sha2::{Digest as _, Sha256};

use super::{NOW, bytes, charge, fixture, list, name, terms};

/// A payment signed by a P-256 key, directly or over the SHA-256 of the sender hash.
fn signed(prehash: bool) -> (Transaction, SigningKey) {
    let key = SigningKey::from_slice(&[5; 32]).unwrap();
    let body = TransactionBuilder::payment(&charge(&terms()), None, NOW + 25).build();
    let digest = body.sender_hash(false);
    let message: [u8; 32] = if prehash {
        Sha256::digest(digest).into()
    } else {
        digest
    };
    let signature: Signature = key.sign_prehash(&message).unwrap();
    let signature = P256Signature::new(signature, *key.verifying_key(), prehash);
    let signature = SenderSignature::Own(KeySignature::P256(signature));
    (body.with_signature(signature), key)
}

#[test]
fn a_p256_key_pays_from_the_account_of_its_point() {
    for prehash in [false, true] {
        let (transaction, key) = signed(prehash);
        let read = Transaction::decode(&transaction.encode()).unwrap();
        assert_eq!(read, transaction);
        let point = key.verifying_key().to_encoded_point(false);
        let expected = hex::encode(&keccak256(&point.as_bytes()[1..])[12..]);
        assert_eq!(read.sender().unwrap().to_string(), format!("0x{expected}"));
    }
}

#[test]
fn the_two_ways_of_hashing_are_not_mixed_up() {
    let mut bytes = signed(true).0.encode();
    *bytes.last_mut().unwrap() = 0;
    let transaction = Transaction::decode(&bytes).unwrap();
    assert_eq!(transaction.sender(), Err(SignatureError::NotSigner));
}

#[test]
fn rules_of_p256_signatures() {
    let bytes = signed(false).0.signature.to_bytes();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        SenderSignature::parse(&bytes)
    };
    assert_eq!(with(&|it| it[129] = 2), Err(SignatureError::PrehashFlag));
    assert_eq!(
        with(&|it| it[33..65].fill(0)),
        Err(SignatureError::OutOfRange)
    );
    assert_eq!(
        with(&|it| it[65..97].fill(0x11)),
        Err(SignatureError::NotOnCurve)
    );
    assert_eq!(
        with(&|it| it.push(0)),
        Err(SignatureError::Length { found: 131 })
    );
    assert_eq!(
        with(&|it| {
            let low = Signature::from_slice(&it[1..65]).unwrap();
            let high = Signature::from_scalars(*low.r(), -*low.s()).unwrap();
            it[1..65].copy_from_slice(&high.to_bytes());
        }),
        Err(SignatureError::HighS)
    );
}

#[test]
fn unknown_and_retired_types_are_named() {
    let inner = signed(false).0.signature.to_bytes();
    let wrapped = |kind: u8, inner: &[u8]| {
        let mut bytes = vec![kind];
        bytes.extend([9; 20]);
        bytes.extend_from_slice(inner);
        bytes
    };
    for (bytes, expected) in [
        (vec![], SignatureError::UnknownType),
        (vec![7; 130], SignatureError::UnknownType),
        (wrapped(3, &inner), SignatureError::KeychainV1),
        (wrapped(5, &inner), SignatureError::Multisig),
        (
            wrapped(4, &wrapped(4, &inner)),
            SignatureError::NestedKeychain,
        ),
        (
            wrapped(4, &wrapped(3, &inner)),
            SignatureError::NestedKeychain,
        ),
        (vec![4; 10], SignatureError::Length { found: 10 }),
        (vec![2; 2050], SignatureError::Length { found: 2050 }),
    ] {
        assert_eq!(SenderSignature::parse(&bytes), Err(expected));
    }
}

#[test]
fn an_access_key_cannot_sign_for_another_root() {
    let file = fixture("tempo_transactions.json");
    for case in list(&file["good"])
        .iter()
        .filter(|it| name(it).starts_with("keychain V2 with a P256"))
    {
        let transaction = Transaction::decode(&bytes(&case["raw"])).unwrap();
        let mut signature = transaction.signature.to_bytes();
        signature[1] ^= 1;
        let moved = transaction
            .body
            .with_signature(SenderSignature::parse(&signature).unwrap());
        assert_eq!(moved.sender(), Err(SignatureError::NotSigner));
    }
}

#[test]
fn a_passkey_must_have_signed_this_transaction_with_somebody_present() {
    let file = fixture("tempo_transactions.json");
    let case = list(&file["good"])
        .iter()
        .find(|it| name(it) == "WebAuthn")
        .unwrap();
    let transaction = Transaction::decode(&bytes(&case["raw"])).unwrap();
    let good = transaction.signature.to_bytes();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        let signature = SenderSignature::parse(&bytes).unwrap();
        transaction.body.clone().with_signature(signature).sender()
    };
    // The type byte, 32 bytes of the relying party, then the flags.
    for (flags, reason) in [
        (0x00, "nobody was present"),
        (0x41, "the authenticator data has more parts"),
        (0x81, "the authenticator data has more parts"),
    ] {
        assert_eq!(
            with(&|it| it[33] = flags),
            Err(SignatureError::Passkey(reason))
        );
    }
    let client = String::from_utf8_lossy(&good).into_owned();
    let at = good
        .windows(12)
        .position(|it| it == b"webauthn.get")
        .unwrap_or_else(|| panic!("client data in {client}"));
    assert_eq!(
        with(&|it| it[at..at + 12].copy_from_slice(b"webauthn.put")),
        Err(SignatureError::Passkey(
            "the client data is of another type"
        ))
    );
    // The counter is not looked at, but signed.
    assert_eq!(with(&|it| it[37] ^= 1), Err(SignatureError::NotSigner));
    let mut other = transaction.body.clone();
    other.gas_limit += 1;
    assert_eq!(
        other.with_signature(transaction.signature.clone()).sender(),
        Err(SignatureError::Passkey(
            "the client data has another challenge"
        ))
    );
}

//! Digests and signatures of payments, computed with eth-account 0.14 (keys are throw-away).

use compute_wallet::{
    Digest32, Eip712Domain, EvmAddress, EvmKey, EvmSignature, StructHasher, Uint256, auth_message,
    keccak256, message_digest, recover_digest, signing_digest,
};

fn address(text: &str) -> EvmAddress {
    EvmAddress::parse(text).unwrap()
}

fn key() -> EvmKey {
    EvmKey::from_bytes(&[1; 32]).unwrap()
}

fn check(digest: &Digest32, expected_digest: &str, expected_signature: &str) {
    assert_eq!(hex::encode(digest), expected_digest);
    let signature = key().sign_digest(digest);
    assert_eq!(signature.to_hex(), expected_signature);
    let read = EvmSignature::parse(expected_signature).unwrap();
    assert_eq!(recover_digest(digest, &read), Ok(key().address()));
}

#[test]
fn the_auth_messages_hash_and_sign_as_published() {
    let nonce = "00112233445566778899aabbccddeeff";
    let message = |method, path, body| {
        let address = key().address().to_string();
        auth_message("base", &address, method, path, body, "1767225600000", nonce)
    };
    let post = message("POST", "/compute/api-keys", br#"{"label":"my-agent"}"#);
    assert_eq!(post.len(), 203);
    check(
        &message_digest(post.as_bytes()),
        "79ada31afab669260d47e60cd40370dc4f21588c602b1e10eb760c7f499b0e46",
        "0x36db3040b2fd0df8aa08d4846a85137a65b59889d6645e0cff201f457c7bb7bb4e94b46e60d51e3fc19a58b73ec4142af39ac57df7414c4e62df614815c915911b",
    );
    let get = message("GET", "/compute/instances", b"");
    assert_eq!(get.len(), 203);
    check(
        &message_digest(get.as_bytes()),
        "1c117a5e5fc422e082383b98a1825898c8b8b8be8da260141eaeafe20dc062fe",
        "0xc894e3efd73846c12b1a30e81d71b7927090a4886dd16c6c554856e60d966d191cae5622e8d33809284130523958c356c8e49e16cf092e40f0a08d1512fd31ba1b",
    );
}

#[test]
fn a_transfer_authorization_on_base_signs_as_published() {
    let usdc = Eip712Domain {
        name: "USD Coin",
        version: "2",
        chain_id: 8453,
        verifying_contract: address("0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"),
    };
    let type_hash = keccak256(b"TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)");
    let transfer = StructHasher::new(&type_hash)
        .address(&key().address())
        .address(&address("0x3325a78425F17a7E487Eb5666b2bFd93aBb06c70"))
        .uint(Uint256::parse_decimal("216000").unwrap())
        .uint(0_u64.into())
        .uint(1_767_229_200_u64.into())
        .word(&[4; 32])
        .finish();
    check(
        &signing_digest(&usdc.separator(), &transfer),
        "ed366ba0c726c18d0ed5c043fddfd838b97d5b85ae26266baeb081cb12651b9b",
        "0x1c2792c863ca5ab62cf438089908938790af2670b37513c615f2002b836e667b2e3bcc1637825cf05dbba0ad7306efe4c2c53756d32b42ed3990ce72d499da7f1b",
    );
}

#[test]
fn a_permit_on_megaeth_signs_as_published() {
    let usdm = Eip712Domain {
        name: "MegaUSD",
        version: "1",
        chain_id: 4326,
        verifying_contract: address("0xFAfDdbb3FC7688494971a79cc65DCa3EF82079E7"),
    };
    let type_hash = keccak256(
        b"Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)",
    );
    let permit = StructHasher::new(&type_hash)
        .address(&key().address())
        .address(&address("0xd09Ad14080d4b257a819a4f579b8485Be88f086c"))
        .uint(216_000_000_000_000_000_u128.into())
        .uint(0_u64.into())
        .uint(1_767_229_200_u64.into())
        .finish();
    check(
        &signing_digest(&usdm.separator(), &permit),
        "08c59c52f8001d3da3195a9151563f8d577ce458c66566f765ae463f4c4a25af",
        "0xcf434062688837355b570547f71bf0508c93402509d658bef720936cc3735a6e2f6abed778593f7685678a2cccdcd9f99aba7a29eee0c992e7ea8c8f2a4d08ef1b",
    );
}

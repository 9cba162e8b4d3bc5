use compute_mpp::tempo::{AttributionMemo, proof};
use compute_wallet::{EvmKey, EvmSignature, SignatureError};

use super::{address, fixture, hash, list};

#[test]
fn memos_are_those_of_the_other_libraries() {
    let file = fixture("attribution_memos.json");
    let cases = list(&file["cases"]);
    assert_eq!(cases.len(), 5);
    for case in cases {
        let (realm, id) = (
            case["realm"].as_str().unwrap(),
            case["id"].as_str().unwrap(),
        );
        let client = case.get("client").and_then(|it| it.as_str());
        let memo = AttributionMemo::of(realm, id, client);
        assert_eq!(*memo.as_bytes(), hash(&case["memo"]));
        assert!(memo.is_tagged() && memo.pays(realm, id));
        assert!(!memo.pays(realm, "another challenge"));
        assert!(!memo.pays("another.example", id));
    }
}

#[test]
fn proofs_are_those_of_the_other_libraries() {
    let file = fixture("proofs.json");
    let cases = list(&file["cases"]);
    assert_eq!(cases.len(), 3);
    for case in cases {
        let (realm, id) = (
            case["realm"].as_str().unwrap(),
            case["id"].as_str().unwrap(),
        );
        let chain_id = case["chainId"].as_u64().unwrap();
        let account = address(&case["account"]);
        let signature = EvmSignature::parse(case["signature"].as_str().unwrap()).unwrap();
        assert_eq!(
            proof::digest(chain_id, &account, id, realm),
            hash(&case["digest"])
        );
        proof::verify(chain_id, &account, id, realm, &signature).unwrap();
        let other = EvmKey::from_bytes(&[9; 32]).unwrap().address();
        assert_eq!(
            proof::verify(chain_id, &other, id, realm, &signature),
            Err(SignatureError::NotSigner)
        );
    }
}

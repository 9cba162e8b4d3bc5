use compute_mpp::tempo::{DecodeError, Fault, Sponsorship, TempoError, TempoPayload, Transaction};
use serde_json::{Value, json};

use super::{address, bytes, fixture, hash, key, list, name};

fn decimal<T: std::str::FromStr>(text: &Value) -> T {
    text.as_str().unwrap().parse().ok().unwrap()
}

fn bound(text: &Value) -> Option<u64> {
    Some(decimal(text)).filter(|seconds| *seconds > 0)
}

#[test]
fn good_transactions_have_the_fields_that_other_libraries_wrote() {
    let file = fixture("tempo_transactions.json");
    let mut checked = 0;
    for case in list(&file["good"])
        .iter()
        .filter(|it| !it["chainId"].is_null())
    {
        let body = Transaction::decode(&bytes(&case["raw"])).unwrap().body;
        assert_eq!(body.chain_id, decimal::<u64>(&case["chainId"]));
        assert_eq!(body.gas_limit, decimal::<u64>(&case["gas"]));
        assert_eq!(body.max_fee_per_gas, decimal::<u128>(&case["maxFeePerGas"]));
        assert_eq!(
            body.max_priority_fee_per_gas,
            decimal::<u128>(&case["maxPriorityFeePerGas"])
        );
        assert_eq!(
            body.nonce_key.to_string(),
            case["nonceKey"].as_str().unwrap()
        );
        assert_eq!(body.nonce, decimal::<u64>(&case["nonce"]));
        assert_eq!(body.valid_before, bound(&case["validBefore"]));
        assert_eq!(body.valid_after, bound(&case["validAfter"]));
        assert_eq!(
            body.fee_token,
            case.get("feeToken").map(address),
            "{}",
            name(case)
        );
        let calls = list(&case["calls"]);
        assert_eq!(body.calls.len(), calls.len());
        for (call, expected) in body.calls.iter().zip(calls) {
            assert_eq!(call.to, Some(address(&expected["to"])));
            assert_eq!(call.value.to_string(), expected["value"].as_str().unwrap());
            assert_eq!(call.input, bytes(&expected["data"]));
        }
        checked += 1;
    }
    assert_eq!(checked, 17);
}

#[test]
fn good_transactions_have_the_hashes_and_senders_that_other_libraries_found() {
    let file = fixture("tempo_transactions.json");
    let cases = list(&file["good"]);
    assert_eq!(cases.len(), 18);
    for case in cases {
        let transaction = Transaction::decode(&bytes(&case["raw"])).unwrap();
        let sender = transaction.sender().unwrap();
        assert_eq!(sender, address(&case["sender"]), "{}", name(case));
        let signed = case.get("signHash").or(case.get("senderSignHash")).unwrap();
        assert_eq!(transaction.sender_hash(), hash(signed), "{}", name(case));
        if let Some(expected) = case.get("hash") {
            assert_eq!(transaction.hash(), hash(expected), "{}", name(case));
        }
        assert_eq!(
            transaction.expiring_id(&sender),
            case.get("expiringNonceId").map(hash).or_else(|| {
                // The envelope has no id of its own in the vectors; its twin with the placeholder has.
                let twin = list(&file["good"]).iter().find(|it| {
                    case.get("senderSlot").is_some() && it.get("signHash") == Some(signed)
                });
                twin.map(|it| hash(&it["expiringNonceId"]))
            }),
            "{}",
            name(case)
        );
        assert_eq!(
            transaction.fee_payer().unwrap(),
            case.get("feePayer").map(address),
            "{}",
            name(case)
        );
    }
}

#[test]
fn encoding_gives_the_bytes_back_but_for_the_old_recovery_value() {
    let file = fixture("tempo_transactions.json");
    let first = bytes(&list(&file["good"])[0]["raw"]);
    for case in list(&file["good"]) {
        let raw = bytes(&case["raw"]);
        let canonical = Transaction::decode(&raw).unwrap().encode();
        if name(case).starts_with("recovery id written the other way") {
            assert_ne!(raw, first);
            assert_eq!(canonical, first);
        } else {
            assert_eq!(canonical, raw, "{}", name(case));
        }
    }
}

#[test]
fn a_recovery_value_inside_a_keychain_is_written_the_same_way() {
    let file = fixture("tempo_transactions.json");
    let case = list(&file["good"])
        .iter()
        .find(|it| name(it).starts_with("keychain V2 (access key"))
        .unwrap();
    let mut raw = bytes(&case["raw"]);
    *raw.last_mut().unwrap() -= 27;
    let transaction = Transaction::decode(&raw).unwrap();
    assert_eq!(transaction.hash(), hash(&case["hash"]));
    assert_eq!(transaction.encode(), bytes(&case["raw"]));
}

#[test]
fn undecodable_transactions_are_refused_with_the_problem_of_their_kind() {
    // What breaks a rule of signatures is a payment that fails, the rest has the wrong shape.
    const SIGNATURES: [&str; 12] = [
        "signature empty",
        "signature of 64 bytes",
        "signature of 66 bytes",
        "recovery id 2",
        "recovery id 29",
        "high s",
        "r is zero",
        "s is zero",
        "unknown signature type 0x07",
        "keychain V1 (type 0x03)",
        "keychain inside keychain",
        "P256 signature with r = 0",
    ];
    let file = fixture("tempo_transactions.json");
    let cases = list(&file["undecodable"]);
    assert_eq!(cases.len(), 41);
    for case in cases {
        let payload = json!({"type": "transaction", "signature": case["raw"]});
        let error = TempoPayload::parse(payload.as_object().unwrap())
            .map_err(TempoError::from)
            .and_then(|payload| match payload {
                TempoPayload::Transaction(bytes) => Ok(Transaction::decode(&bytes)?),
                TempoPayload::Hash(_) => unreachable!(),
            })
            .unwrap_err();
        let expected = if SIGNATURES.contains(&name(case)) {
            Fault::VerificationFailed
        } else {
            Fault::InvalidPayload
        };
        assert_eq!(error.fault(), expected, "{}: {error}", name(case));
    }
}

#[test]
fn structural_faults_are_told_apart() {
    let file = fixture("tempo_transactions.json");
    let error = |wanted: &str| {
        let case = list(&file["undecodable"])
            .iter()
            .find(|it| name(it) == wanted)
            .unwrap();
        Transaction::decode(&bytes(&case["raw"])).unwrap_err()
    };
    assert_eq!(error("EIP-1559 type"), DecodeError::Type { found: 2 });
    assert_eq!(
        error("one trailing byte"),
        DecodeError::TrailingBytes { found: 1 }
    );
    assert_eq!(error("13 fields"), DecodeError::ItemCount { found: 13 });
    assert_eq!(error("16 fields"), DecodeError::ItemCount { found: 16 });
    assert_eq!(error("calls is empty"), DecodeError::NoCalls);
    assert_eq!(
        error("call with two members"),
        DecodeError::CallMembers { found: 2 }
    );
    assert_eq!(
        error("fee token of 19 bytes"),
        DecodeError::Width {
            field: "feeToken",
            expected: 20,
            found: 19
        }
    );
    assert_eq!(
        error("chain id with a leading zero byte"),
        DecodeError::Integer { field: "chainId" }
    );
    assert_eq!(
        error("15 fields, index 13 no list"),
        DecodeError::Kind {
            field: "keyAuthorization",
            expected: "a list"
        }
    );
    assert_eq!(
        error("truncated by one byte"),
        DecodeError::NotCanonical {
            field: "transaction"
        }
    );
}

#[test]
fn a_transaction_longer_than_the_bound_is_refused_unread() {
    let error = Transaction::decode(&vec![0x76; 16 * 1024 + 1]).unwrap_err();
    assert_eq!(
        error,
        DecodeError::TooLong {
            max: 16384,
            found: 16385
        }
    );
}

#[test]
fn co_signing_gives_the_transaction_that_the_vectors_have() {
    let file = fixture("tempo_transactions.json");
    let sponsored: Vec<&Value> = list(&file["good"])
        .iter()
        .filter(|it| name(it).starts_with("sponsored"))
        .collect();
    let [placeholder, envelope, complete] = sponsored.as_slice() else {
        panic!("three forms of one sponsored transaction");
    };
    let sponsor = [0x22, 0x33]
        .into_iter()
        .map(|fill| compute_wallet::EvmKey::from_bytes(&[fill; 32]).unwrap())
        .find(|key| key.address() == address(&complete["feePayer"]))
        .unwrap();
    let token = address(&complete["feeToken"]);
    for open in [placeholder, envelope] {
        let open = Transaction::decode(&bytes(&open["raw"])).unwrap();
        let sender = open.sender().unwrap();
        assert_eq!(
            open.fee_payer_hash(&sender, Some(token)),
            hash(&complete["feePayerSignHash"])
        );
        let signed = open.co_sign(&sponsor, token).unwrap();
        assert_eq!(signed.encode(), bytes(&complete["raw"]));
        assert_eq!(signed.hash(), hash(&complete["hash"]));
    }
}

#[test]
fn what_our_own_client_signs_is_what_others_signed() {
    let file = fixture("tempo_transactions.json");
    let case = &list(&file["good"])[0];
    let body = Transaction::decode(&bytes(&case["raw"])).unwrap().body;
    let ours = body.clone().sign(&key());
    assert_eq!(ours.encode(), bytes(&case["raw"]));

    let envelope = list(&file["good"])
        .iter()
        .find(|it| it.get("senderSlot").is_some())
        .unwrap();
    let ours = body.sign_sponsored(&key());
    assert_eq!(ours.encode(), bytes(&envelope["raw"]));
    assert_eq!(
        ours.sponsorship,
        Sponsorship::Envelope {
            sender: key().address()
        }
    );
}

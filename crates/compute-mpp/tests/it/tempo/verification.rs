use compute_mpp::tempo::{
    DecodeError, Fault, KeySignature, SenderSignature, Sponsorship, TempoError, Transaction,
    TransactionBody, TransactionBuilder, VerifiedPull, verify_transaction,
};
use compute_wallet::{EvmKey, Uint256};

use super::{EXPIRES, NOW, bytes, charge, fixture, hash, key, list, name, terms};

fn verify(transaction: &Transaction) -> Result<VerifiedPull, TempoError> {
    verify_transaction(transaction, &charge(&terms()), EXPIRES, None, NOW)
}

fn payment() -> TransactionBody {
    TransactionBuilder::payment(&charge(&terms()), Some("agent"), NOW + 25)
        .valid_after(12_345)
        .build()
}

fn changed(change: impl FnOnce(&mut TransactionBody)) -> TempoError {
    let mut body = payment();
    change(&mut body);
    verify(&body.sign(&key())).unwrap_err()
}

#[test]
fn the_good_payments_of_the_challenge_verify() {
    const OTHERS: [&str; 4] = ["plain transfer", "two calls (split)", "Moderato", "pathUSD"];
    let file = fixture("tempo_transactions.json");
    let mut paid = 0;
    for case in list(&file["good"]) {
        let transaction = Transaction::decode(&bytes(&case["raw"])).unwrap();
        let verified = verify(&transaction);
        let is_open = matches!(
            transaction.sponsorship,
            Sponsorship::Requested | Sponsorship::Envelope { .. }
        );
        if OTHERS.contains(&name(case)) || is_open {
            verified.unwrap_err();
            continue;
        }
        let verified = verified.unwrap();
        assert_eq!(verified.hash, hash(&case["hash"]), "{}", name(case));
        assert_eq!(verified.payer.to_string(), case["sender"].as_str().unwrap());
        assert_eq!(
            verified.expiring_id,
            case.get("expiringNonceId").map(hash),
            "{}",
            name(case)
        );
        paid += 1;
    }
    assert_eq!(paid, 12);
}

#[test]
fn wrong_payments_are_refused_for_what_is_wrong_with_them() {
    let file = fixture("tempo_transactions.json");
    let cases = list(&file["wrongPayment"]);
    assert_eq!(cases.len(), 17);
    for case in cases {
        let transaction = Transaction::decode(&bytes(&case["raw"])).unwrap();
        transaction.sender().unwrap();
        let error = verify(&transaction).unwrap_err();
        let is_expected = match name(case) {
            "amount too small" => error
                .to_string()
                .contains("1250000 base units, found 1249999"),
            "amount too large" => error
                .to_string()
                .contains("1250000 base units, found 1250001"),
            "other recipient" => matches!(error, TempoError::Recipient { .. }),
            "other token" => matches!(error, TempoError::Token { .. }),
            "other chain" => matches!(
                error,
                TempoError::Chain {
                    expected: 4217,
                    found: 42431
                }
            ),
            "memo of another challenge" => {
                error == TempoError::Memo("the memo of another challenge")
            }
            "no memo" => error == TempoError::Memo("a transfer without memo"),
            "memo not of MPP" => error == TempoError::Memo("a memo of another kind"),
            "payment twice" | "payment and a foreign call" => {
                error == TempoError::CallCount { found: 2 }
            }
            "call with value" => error == TempoError::CallValue,
            "calldata with trailing bytes" | "calldata cut" => {
                error == TempoError::CallData("arguments of another length")
            }
            "dirty upper bytes in the recipient word" => {
                error == TempoError::CallData("an address word with dirty upper bytes")
            }
            "validBefore in the past" => matches!(error, TempoError::TooLate { .. }),
            "validAfter in the future" => matches!(error, TempoError::TooEarly { .. }),
            "transferFrom selector" => error == TempoError::CallData("another function"),
            other => panic!("a case without an expectation: {other}"),
        };
        assert!(is_expected, "{}: {error:?}", name(case));
        assert_eq!(error.fault(), Fault::VerificationFailed, "{}", name(case));
    }
}

#[test]
fn a_payment_that_our_client_builds_verifies() {
    let signed = payment().sign(&key());
    let verified = verify(&Transaction::decode(&signed.encode()).unwrap()).unwrap();
    assert_eq!(verified.payer, key().address());
    assert_eq!(verified.valid_before, Some(NOW + 25));
    assert_eq!(verified.raw, signed.encode());
}

#[test]
fn a_contract_creation_is_refused() {
    assert_eq!(
        changed(|body| body.calls[0].to = None),
        TempoError::ContractCreation
    );
}

#[test]
fn authorisations_are_refused_unless_the_terms_take_them() {
    let list = compute_mpp::tempo::RlpList::parse(&[0xc1, 0x05]).unwrap();
    assert_eq!(
        changed(|body| body.authorization_list = list.clone()),
        TempoError::AuthorizationList
    );
    assert_eq!(
        changed(|body| body.key_authorization = Some(list.clone())),
        TempoError::KeyAuthorization
    );
    let mut body = payment();
    body.key_authorization = Some(list);
    let mut terms = terms();
    terms.takes_key_authorization = true;
    let signed = Transaction::decode(&body.sign(&key()).encode()).unwrap();
    verify_transaction(&signed, &charge(&terms), EXPIRES, None, NOW).unwrap();
}

#[test]
fn the_window_of_validity_is_kept_to_the_second() {
    let before = |seconds| {
        let mut body = payment();
        body.valid_before = Some(seconds);
        verify(&body.sign(&key())).err()
    };
    assert_eq!(
        before(NOW + 4),
        Some(TempoError::TooLate {
            earliest: NOW + 5,
            found: NOW + 4
        })
    );
    assert_eq!(before(NOW + 5), None);
    assert_eq!(before(EXPIRES + 60), None);
    assert_eq!(
        before(EXPIRES + 61),
        Some(TempoError::TooLong {
            latest: EXPIRES + 60,
            found: EXPIRES + 61
        })
    );
    let after = |seconds| {
        let mut body = payment();
        body.valid_after = Some(seconds);
        verify(&body.sign(&key())).err()
    };
    assert_eq!(after(NOW), None);
    assert_eq!(
        after(NOW + 1),
        Some(TempoError::TooEarly {
            now: NOW,
            found: NOW + 1
        })
    );
}

#[test]
fn only_a_counted_nonce_may_do_without_an_end() {
    assert_eq!(
        changed(|body| body.valid_before = None),
        TempoError::ExpiringNonce
    );
    assert_eq!(changed(|body| body.nonce = 1), TempoError::ExpiringNonce);
    let mut body = payment();
    body.nonce_key = Uint256::from(5_u64);
    body.valid_before = None;
    let verified = verify(&body.sign(&key())).unwrap();
    assert_eq!((verified.valid_before, verified.expiring_id), (None, None));
}

#[test]
fn the_source_must_be_the_signer_on_this_chain() {
    let signed = payment().sign(&key());
    let with = |source: &str| {
        verify_transaction(&signed, &charge(&terms()), EXPIRES, Some(source), NOW).err()
    };
    let address = key().address();
    assert_eq!(with(&format!("did:pkh:eip155:4217:{address}")), None);
    assert_eq!(
        with(&format!("did:pkh:eip155:4217:{}", address.to_checksum())),
        None
    );
    for source in [
        format!("did:pkh:eip155:1:{address}"),
        format!("did:pkh:eip155:04217:{address}"),
        format!("did:pkh:eip155:4217:{address}00"),
        address.to_string(),
        String::new(),
    ] {
        assert_eq!(
            with(&source),
            Some(TempoError::SourceForm { chain_id: 4217 }),
            "{source}"
        );
    }
    let other = EvmKey::from_bytes(&[9; 32]).unwrap().address();
    assert_eq!(
        with(&format!("did:pkh:eip155:4217:{other}")),
        Some(TempoError::SourceAccount {
            named: other,
            signer: address
        })
    );
}

#[test]
fn a_request_for_a_sponsor_needs_an_offer_of_one() {
    let open = payment().sign_sponsored(&key());
    let error = verify(&open).unwrap_err();
    assert_eq!(error, TempoError::SponsorshipNotOffered);
    assert_eq!(error.fault(), Fault::InvalidPayload);

    let mut terms = terms();
    terms.fee_payer = true;
    let offered = |transaction: &Transaction| {
        verify_transaction(transaction, &charge(&terms), EXPIRES, None, NOW)
    };
    assert_eq!(offered(&open).unwrap().payer, key().address());

    let mut lied = open;
    let other = EvmKey::from_bytes(&[9; 32]).unwrap().address();
    lied.sponsorship = Sponsorship::Envelope { sender: other };
    assert_eq!(
        offered(&lied).unwrap_err(),
        TempoError::EnvelopeSender {
            named: other,
            signer: key().address()
        }
    );
}

#[test]
fn a_signature_over_another_transaction_names_another_payer() {
    let honest = payment().sign(&key());
    let mut body = payment();
    body.gas_limit += 1;
    let moved = body.with_signature(honest.signature);
    assert_ne!(verify(&moved).unwrap().payer, key().address());
}

#[test]
fn signature_faults_fail_the_verification() {
    let signed = payment().sign(&key());
    let mut bytes = signed.encode();
    *bytes.last_mut().unwrap() = 29;
    let error = TempoError::from(Transaction::decode(&bytes).unwrap_err());
    assert!(matches!(
        error,
        TempoError::Decode(DecodeError::Signature(_))
    ));
    assert_eq!(error.fault(), Fault::VerificationFailed);
}

#[test]
fn the_simulation_says_what_the_transaction_says() {
    let mut body = payment();
    body.fee_token = Some(terms().currency);
    let simulation = verify(&body.clone().sign(&key())).unwrap().simulation();
    let call = &simulation["calls"][0];
    assert_eq!(simulation["type"], "0x76");
    assert_eq!(simulation["from"], key().address().to_string());
    assert_eq!(simulation["chainId"], "0x1079");
    assert_eq!(simulation["gas"], "0x16e360");
    assert_eq!(simulation["nonce"], "0x0");
    assert_eq!(simulation["nonceKey"], format!("0x{}", "f".repeat(64)));
    assert_eq!(simulation["validBefore"], format!("{:#x}", NOW + 25));
    assert_eq!(simulation["feeToken"], terms().currency.to_string());
    assert_eq!(call["to"], terms().currency.to_string());
    assert_eq!(call["value"], "0x0");
    assert_eq!(
        call["data"],
        format!("0x{}", hex::encode(&body.calls[0].input))
    );
}

#[test]
fn nothing_of_a_signed_payment_reaches_a_log() {
    let verified = verify(&payment().sign(&key())).unwrap();
    let SenderSignature::Own(KeySignature::Secp256k1(signature)) = &verified.transaction.signature
    else {
        panic!("a plain signature");
    };
    let secret = hex::encode(&signature.to_bytes()[..32]);
    let shown = format!("{verified:?} {:?}", verified.transaction);
    assert!(!shown.contains(&secret));
}

#[test]
fn somebody_else_may_pay_the_fee_of_a_complete_transaction() {
    let sponsor = EvmKey::from_bytes(&[0x22; 32]).unwrap();
    let open = payment().sign_sponsored(&key());
    let complete = open.co_sign(&sponsor, terms().currency).unwrap();
    assert_eq!(complete.fee_payer(), Ok(Some(sponsor.address())));
    let verified = verify(&complete).unwrap();
    assert_eq!(verified.payer, key().address());
    assert_eq!(verified.hash, complete.hash());

    // A signature that no key could have made over it.
    let Sponsorship::Signed(signature) = complete.sponsorship else {
        panic!("a signature of the sponsor");
    };
    let mut broken = complete.encode();
    let r = &signature.to_bytes()[..32];
    let at = broken.windows(32).position(|it| it == r).unwrap();
    broken[at..at + 32].fill(0xff);
    let error = TempoError::from(Transaction::decode(&broken).unwrap_err());
    assert!(matches!(
        error,
        TempoError::Decode(DecodeError::FeePayerSignature(_))
    ));
    assert_eq!(error.fault(), Fault::VerificationFailed);
}

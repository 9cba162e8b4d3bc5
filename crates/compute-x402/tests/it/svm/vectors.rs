//! Every transaction of `svm-vectors.json`: this project's answer, and what other libraries read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use compute_wallet::{SolanaAddress, SolanaKey, verify_ed25519};
use compute_x402::exact_svm::{
    SvmFault, SvmLimits, SvmPayTo, SvmTerms, SvmTransaction, SvmVerified, TokenProgram,
    associated_token_account,
};
use compute_x402::{Amount, Network};
use serde_json::Value;

use super::account;

const VECTORS: &str = include_str!("../../fixtures/svm-vectors.json");

pub(crate) fn file() -> Value {
    serde_json::from_str(VECTORS).unwrap()
}

pub(crate) fn vectors() -> Vec<Value> {
    file()["vectors"].as_array().unwrap().clone()
}

pub(crate) fn vector(id: &str) -> Value {
    vectors()
        .into_iter()
        .find(|vector| vector["id"] == id)
        .unwrap()
}

pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name]
        .as_str()
        .unwrap_or_else(|| panic!("{name} is no text"))
}

pub(crate) fn key(name: &str) -> SolanaKey {
    let seed = hex::decode(text(&file()["accounts"][name], "seed_hex")).unwrap();
    SolanaKey::from_seed(&seed.try_into().unwrap())
}

fn bytes(vector: &Value, name: &str) -> Vec<u8> {
    STANDARD.decode(text(vector, name)).unwrap()
}

/// The terms the payment answers. Only a chain knows which program keeps a mint, so one vector
/// takes USDC for a token of Token-2022.
pub(crate) fn terms(vector: &Value, program: TokenProgram) -> SvmTerms {
    let requirements = &vector["payment_requirements"];
    let network = Network::find(text(requirements, "network")).unwrap();
    let fee_payer = account(text(&requirements["extra"], "feePayer"));
    let mint = account(text(requirements, "asset"));
    let terms = SvmTerms::new(network, mint, program, 6, fee_payer).unwrap();
    match requirements["extra"]["memo"].as_str() {
        Some(memo) => terms.with_memo(memo),
        None => terms,
    }
}

pub(crate) fn program(vector: &Value) -> TokenProgram {
    if vector["id"] == "svm-v2-token2022" {
        TokenProgram::Token2022
    } else {
        TokenProgram::Token
    }
}

pub(crate) fn amount(vector: &Value) -> Amount {
    let requirements = &vector["payment_requirements"];
    let amount = requirements
        .get("amount")
        .unwrap_or(&requirements["maxAmountRequired"]);
    Amount::parse(amount.as_str().unwrap()).unwrap()
}

pub(crate) fn pay_to(vector: &Value) -> SvmPayTo {
    SvmPayTo::Wallet(account(text(&vector["payment_requirements"], "payTo")))
}

fn answer(vector: &Value, terms: &SvmTerms) -> Result<SvmVerified, SvmFault> {
    let payload = vector["payment_payload"]["payload"].as_object().unwrap();
    SvmTransaction::from_payload(payload)?.verify(
        terms,
        &pay_to(vector),
        amount(vector),
        &SvmLimits::default(),
    )
}

#[test]
fn every_payment_gets_its_expected_answer() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 33);
    for vector in vectors {
        let (id, expected) = (&vector["id"], &vector["expected"]);
        match answer(&vector, &terms(&vector, program(&vector))) {
            Ok(verified) => {
                assert_eq!(expected["valid"], true, "{id}");
                assert_eq!(verified.payer, account(text(expected, "payer")), "{id}");
                assert_eq!(verified.transfer.amount, amount(&vector), "{id}");
                let hash = bytes(&vector, "message_sha256_base64");
                assert_eq!(verified.message_hash.as_slice(), hash, "{id}");
            }
            Err(fault) => {
                assert_eq!(fault.code().as_str(), text(expected, "error"), "{id}");
                let is_undecodable = text(expected, "error").ends_with("could_not_be_decoded");
                assert_eq!(fault.is_malformed(), is_undecodable, "{id}");
            }
        }
    }
}

#[test]
fn a_token_of_the_older_program_is_not_paid_with_the_newer_one() {
    let vector = vector("svm-v2-token2022");
    let answer = answer(&vector, &terms(&vector, TokenProgram::Token));
    assert_eq!(answer, Err(SvmFault::Mint));
}

// What the fee payer was charged on a chain, which is the base fee and the priority fee.
#[test]
fn the_fee_is_what_a_chain_took() {
    let mut compared = 0;
    for vector in vectors() {
        let (Ok(verified), Some((_, paid))) = (
            answer(&vector, &terms(&vector, program(&vector))),
            text(&vector, "local_svm_result").split_once("fee payer paid "),
        ) else {
            continue;
        };
        let lamports = paid.strip_suffix(" lamports").unwrap().parse();
        assert_eq!(Ok(verified.fee_lamports), lamports, "{}", vector["id"]);
        compared += 1;
    }
    assert_eq!(compared, 6);
}

#[test]
fn transactions_are_read_as_another_library_reads_them() {
    let mut compared = 0;
    for vector in vectors() {
        let Ok(transaction) = SvmTransaction::decode(text(&vector, "transaction_base64")) else {
            continue;
        };
        let id = &vector["id"];
        let message = bytes(&vector, "message_base64");
        assert_eq!(transaction.message_bytes(), message, "{id}");
        assert_eq!(
            transaction.to_base64(),
            vector["transaction_base64"],
            "{id}"
        );
        assert_eq!(
            transaction.to_payload(),
            vector["payment_payload"]["payload"],
            "{id}"
        );
        let first = account(vector["required_signers"][0].as_str().unwrap());
        assert_eq!(transaction.fee_payer(), first, "{id}");
        let blockhash = SolanaAddress::new(transaction.recent_blockhash());
        assert_eq!(blockhash.to_string(), text(&file(), "blockhash"), "{id}");
        compared += 1;
    }
    assert_eq!(compared, 30);
}

#[test]
fn garbage_in_the_empty_slot_is_the_same_payment() {
    let [plain, garbage] = ["svm-v2-memo", "svm-garbage-fee-signature"].map(|id| {
        let vector = vector(id);
        let transaction = SvmTransaction::decode(text(&vector, "transaction_base64")).unwrap();
        let verified = answer(&vector, &terms(&vector, TokenProgram::Token)).unwrap();
        (transaction, verified)
    });
    assert_ne!(plain.0.to_base64(), garbage.0.to_base64());
    assert_eq!(plain.0.message_hash(), garbage.0.message_hash());
    assert_eq!(plain.1, garbage.1);
    let signature = [5; 64];
    assert_eq!(
        plain.0.with_fee_payer_signature(signature),
        garbage.0.with_fee_payer_signature(signature)
    );
}

#[test]
fn token_accounts_are_where_another_library_finds_them() {
    let file = file();
    for (holder, network) in [
        ("buyer", ""),
        ("merchant", ""),
        ("buyer", "_devnet"),
        ("merchant", "_devnet"),
    ] {
        let mint = match network {
            "" => "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v",
            _ => "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU",
        };
        let found =
            associated_token_account(&key(holder).address(), TokenProgram::Token, &account(mint));
        let name = format!("{holder}_usdc{network}");
        assert_eq!(found.to_string(), text(&file["token_accounts"], &name));
    }
}

#[test]
fn a_payment_is_identified_only_when_its_payer_signed() {
    let payer = key("buyer").address();
    for (id, expected) in [
        ("svm-v2-memo", Ok(payer)),
        ("svm-overpay", Ok(payer)),
        ("svm-wrong-destination", Ok(payer)),
        (
            "svm-fee-payer-is-authority",
            Err(SvmFault::FeePayerTransferring),
        ),
        ("svm-missing-buyer-signature", Err(SvmFault::Signature)),
        ("svm-corrupt-buyer-signature", Err(SvmFault::Signature)),
        ("svm-extra-signer", Err(SvmFault::ExcessiveSigners)),
        ("svm-plain-transfer", Err(SvmFault::NoTransfer)),
    ] {
        let transaction = SvmTransaction::decode(text(&vector(id), "transaction_base64")).unwrap();
        let identified = transaction.identify();
        if let Ok(identified) = &identified {
            assert_eq!(identified.message_hash, transaction.message_hash(), "{id}");
            assert_eq!(Some(identified.transfer), transaction.transfer(), "{id}");
        }
        assert_eq!(identified.map(|it| it.payer), expected, "{id}");
    }
}

#[test]
fn the_fee_payer_completes_the_transaction() {
    let fee_payer = key("fee_payer");
    let transaction =
        SvmTransaction::decode(text(&vector("svm-v2-memo"), "transaction_base64")).unwrap();
    let signature = fee_payer.sign(transaction.message_bytes());
    let wire = transaction.with_fee_payer_signature(signature);
    assert_eq!(wire.len(), transaction.to_wire().len());
    assert_eq!(wire[1..65], signature);
    assert_eq!(wire[65..], transaction.to_wire()[65..]);
    let complete = SvmTransaction::from_wire(&wire).unwrap();
    assert_eq!(complete.message_bytes(), transaction.message_bytes());
    let checked = verify_ed25519(&fee_payer.address(), complete.message_bytes(), &signature);
    assert_eq!(checked, Ok(()));
}

#[test]
fn debug_shows_no_signature() {
    let vector = vector("svm-v2-memo");
    let transaction = SvmTransaction::decode(text(&vector, "transaction_base64")).unwrap();
    let shown = format!("{transaction:?}");
    assert!(shown.contains(&hex::encode(transaction.message_hash())));
    assert!(shown.len() < 256, "{shown}");
}

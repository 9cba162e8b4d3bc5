use compute_mpp::tempo::{Paid, ReceiptError, ReceiptView, find_payment};
use serde_json::Value;

use super::{address, charge, fixture, hash, list, name, terms};

fn judge(case: &Value, expected_hash: &Value, payer: &Value) -> Result<Paid, ReceiptError> {
    let receipt = ReceiptView::parse(&case["receipt"])?;
    find_payment(
        &receipt,
        &charge(&terms()),
        &address(payer),
        &hash(expected_hash),
    )
}

fn judged(file: &Value, case: &Value) -> Result<Paid, ReceiptError> {
    let asked = if case["origin"] == "edited" {
        &list(&file["cases"])[0]
    } else {
        case
    };
    judge(case, &asked["transaction"]["hash"], &file["sender"])
}

#[test]
fn receipts_are_judged_as_the_vectors_say() {
    let file = fixture("tempo_receipts.json");
    let cases = list(&file["cases"]);
    assert_eq!(cases.len(), 19);
    for case in cases {
        assert_eq!(
            judged(&file, case).is_ok(),
            case["expect"] == "accept",
            "{}",
            name(case)
        );
    }
}

#[test]
fn every_refusal_says_whether_anything_is_known() {
    let file = fixture("tempo_receipts.json");
    for case in list(&file["cases"])
        .iter()
        .filter(|it| it["expect"] == "reject")
    {
        let error = judged(&file, case).unwrap_err();
        let is_expected = match name(case) {
            "reverted: balance too small" => error == ReceiptError::Reverted,
            "payment and a split"
            | "memo of another challenge"
            | "plain transfer without memo"
            | "amount too small"
            | "other recipient"
            | "logs of a look-alike token"
            | "transfer from another account than the sender" => {
                matches!(error, ReceiptError::WrongPayment(_))
            }
            _ => matches!(error, ReceiptError::Unclear(_)),
        };
        assert!(is_expected, "{}: {error:?}", name(case));
    }
}

#[test]
fn a_payment_is_found_with_the_transfer_that_belongs_to_it() {
    let file = fixture("tempo_receipts.json");
    assert_eq!(
        judged(&file, &list(&file["cases"])[0]),
        Ok(Paid {
            transfer_log_index: 0,
            memo_log_index: 1,
            block: 0x46e
        })
    );
}

/// The first receipt with one member replaced, or taken out.
fn edited(pointer: &str, value: Option<Value>) -> Result<Paid, ReceiptError> {
    let file = fixture("tempo_receipts.json");
    let mut case = list(&file["cases"])[0].clone();
    let (parent, member) = pointer.rsplit_once('/').unwrap();
    let parent = case["receipt"].pointer_mut(parent).unwrap();
    match (value, member.parse::<usize>()) {
        (Some(value), Ok(at)) => parent[at] = value,
        (Some(value), Err(_)) => parent[member] = value,
        (None, Ok(at)) => drop(parent.as_array_mut().unwrap().remove(at)),
        (None, Err(_)) => drop(parent.as_object_mut().unwrap().remove(member)),
    }
    let payer = file["sender"].clone();
    let expected = case["transaction"]["hash"].clone();
    judge(&case, &expected, &payer)
}

#[test]
fn garbled_receipts_prove_nothing() {
    for (pointer, value) in [
        ("/status", None),
        ("/status", Some(Value::Bool(true))),
        ("/status", Some("0x2".into())),
        ("/blockNumber", Some(Value::Null)),
        ("/blockNumber", Some("0x".into())),
        ("/blockNumber", Some("0x+1".into())),
        ("/transactionHash", Some("0x12".into())),
        ("/from", Some("0x12".into())),
        ("/logs", Some(Value::Null)),
        ("/logs/1/logIndex", None),
        ("/logs/1/removed", Some("false".into())),
        ("/logs/1/topics/3", Some("0x12".into())),
        ("/logs/1/data", Some("0x1".into())),
        // A log of the token that cannot be read hides what was paid.
        ("/logs/1/data", Some("0x12".into())),
        ("/logs/2/topics/2", None),
        // The memo without its transfer, and a transfer that is not beside it.
        ("/logs/0", None),
        ("/logs/0/logIndex", Some("0x9".into())),
    ] {
        let error = edited(pointer, value.clone()).unwrap_err();
        assert!(
            matches!(error, ReceiptError::Unclear(_)),
            "{pointer} {value:?}: {error:?}"
        );
    }
}

#[test]
fn other_contracts_may_write_what_they_like() {
    let odd = serde_json::json!({
        "address": "0x1111111111111111111111111111111111111111",
        "topics": ["0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"],
        "data": "0x", "logIndex": "0x2"
    });
    assert!(edited("/logs/2", Some(odd)).is_ok());
}

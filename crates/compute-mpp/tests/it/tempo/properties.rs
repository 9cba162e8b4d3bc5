use compute_mpp::tempo::{
    ReceiptView, RlpList, SenderSignature, Transaction, TransactionBuilder, find_payment,
};
use compute_wallet::{EvmAddress, Uint256};
use proptest::prelude::*;
use serde_json::Value;

use super::{bytes, charge, fixture, key, list, terms};

fn good() -> Vec<Vec<u8>> {
    let file = fixture("tempo_transactions.json");
    list(&file["good"])
        .iter()
        .map(|it| bytes(&it["raw"]))
        .collect()
}

/// A value of JSON of the kinds that a node could send.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<u64>().prop_map(Value::from),
        "(0x)?[0-9a-f]{0,66}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop::collection::vec(inner, 0..4).prop_map(Value::from)
    })
}

proptest! {
    // Arbitrary bytes are a transaction or an error, never a panic; what is read is written the same.
    #[test]
    fn arbitrary_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300), kind in 0x75_u8..0x79) {
        let _ = RlpList::parse(&bytes);
        let _ = SenderSignature::parse(&bytes);
        bytes.insert(0, kind);
        if let Ok(transaction) = Transaction::decode(&bytes) {
            let _ = transaction.sender();
            prop_assert_eq!(Transaction::decode(&transaction.encode()), Ok(transaction));
        }
    }

    // A receipt with one strange member is an error or a payment, never a panic.
    #[test]
    fn strange_receipts_never_panic(member in 0_usize..5, value in json()) {
        let file = fixture("tempo_receipts.json");
        let mut receipt = list(&file["cases"])[0]["receipt"].clone();
        let name = ["status", "logs", "blockNumber", "transactionHash", "from"][member];
        receipt[name] = value;
        if let Ok(receipt) = ReceiptView::parse(&receipt) {
            let hash = receipt.transaction_hash;
            let _ = find_payment(&receipt, &charge(&terms()), &receipt.from, &hash);
        }
    }

    // Whatever a builder is told, its transaction reads as it was written.
    #[test]
    fn built_transactions_read_as_they_were_written(
        before: u64, after: u64, lane: [u8; 32], nonce: u64, token: [u8; 20], access: bool,
    ) {
        let mut body = TransactionBuilder::payment(&charge(&terms()), None, before.max(1))
            .valid_after(after.max(1))
            .lane(Uint256::from_be_bytes(lane), nonce)
            .fee_token(EvmAddress::new(token))
            .build();
        if access {
            body.access_list.push(compute_mpp::tempo::AccessListItem {
                address: EvmAddress::new(token),
                storage_keys: vec![lane],
            });
        }
        let signed = body.sign(&key());
        prop_assert_eq!(Transaction::decode(&signed.encode()), Ok(signed.clone()));
        prop_assert_eq!(signed.sender(), Ok(key().address()));
    }
}

#[test]
fn no_changed_byte_keeps_the_sender_and_the_hash() {
    for raw in good() {
        let transaction = Transaction::decode(&raw).unwrap();
        let (sender, hash) = (transaction.sender().unwrap(), transaction.hash());
        for at in 0..raw.len() {
            let mut changed = raw.clone();
            changed[at] ^= 1 << (at % 8);
            let Ok(changed) = Transaction::decode(&changed) else {
                continue;
            };
            let same_sender = changed.sender() == Ok(sender);
            assert!(!(same_sender && changed.hash() == hash), "byte {at}");
        }
    }
}

#[test]
fn deep_nesting_is_refused() {
    let mut deep = vec![0xc0];
    for _ in 0..40 {
        let length = u8::try_from(deep.len()).unwrap();
        deep.insert(0, 0xc0 + length);
    }
    RlpList::parse(&deep).unwrap_err();
}

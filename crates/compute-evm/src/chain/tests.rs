use compute_wallet::EvmAddress;
use compute_x402::Amount;

use super::*;

fn address(byte: u8) -> EvmAddress {
    EvmAddress::new([byte; 20])
}

fn transfer(nonce: u8) -> AuthorizedTransfer {
    AuthorizedTransfer {
        token: address(1),
        from: address(2),
        to: address(3),
        amount: Amount::new(90),
        nonce: [nonce; 32],
        valid_before: 1_000,
    }
}

fn log(contract: u8, topics: &[String], amount: u8, index: u32) -> Log {
    Log {
        address: address(contract).to_string(),
        topics: topics.to_vec(),
        data: format!("0x{amount:064x}"),
        block_number: "0x1".into(),
        transaction_hash: "0xab".into(),
        log_index: format!("{index:#x}"),
        removed: false,
    }
}

fn used(nonce: u8, index: u32) -> Log {
    let topics = [
        abi::AUTHORIZATION_USED.to_owned(),
        abi::address_topic(address(2)),
        abi::word(&[nonce; 32]),
    ];
    log(1, &topics, 0, index)
}

fn moved(contract: u8, to: u8, amount: u8, index: u32) -> Log {
    let topics = [
        abi::TRANSFER.to_owned(),
        abi::address_topic(address(2)),
        abi::address_topic(address(to)),
    ];
    log(contract, &topics, amount, index)
}

fn check(logs: &[Log], expected: Option<u32>) {
    assert_eq!(find_payment(logs, &transfer(7)), expected);
}

#[test]
fn the_transfer_after_the_use_is_the_payment() {
    check(&[used(7, 0), moved(1, 3, 90, 1)], Some(1));
}

#[test]
fn each_of_several_payments_has_its_own_transfer() {
    let logs = [
        used(6, 0),
        moved(1, 3, 90, 1),
        used(7, 2),
        moved(1, 3, 90, 3),
    ];
    check(&logs, Some(3));
    assert_eq!(find_payment(&logs, &transfer(6)), Some(1));
    check(&[used(7, 0), used(6, 1), moved(1, 3, 90, 2)], None);
}

#[test]
fn anything_else_is_not_the_payment() {
    check(&[], None);
    check(&[moved(1, 3, 90, 0)], None);
    check(&[used(7, 0)], None);
    check(&[used(7, 0), moved(1, 3, 89, 1)], None);
    check(&[used(7, 0), moved(1, 4, 90, 1)], None);
    check(&[used(7, 0), moved(9, 3, 90, 1)], None);
    check(&[moved(1, 3, 90, 0), used(7, 1)], None);
    let mut undone = moved(1, 3, 90, 1);
    undone.removed = true;
    check(&[used(7, 0), undone], None);
}

#[test]
fn a_log_entry_of_another_payment_is_no_use_of_this_one() {
    assert!(is_use(&used(7, 0), &transfer(7)));
    assert!(!is_use(&used(6, 0), &transfer(7)));
    let mut foreign = used(7, 0);
    foreign.address = address(9).to_string();
    assert!(!is_use(&foreign, &transfer(7)));
}

use compute_wallet::{Uint256, keccak256};
use compute_x402::Amount;
use compute_x402::exact_evm::Authorization;
use compute_x402::permit::Permit;
use compute_x402::permit2::{EXACT_PROXY, Permit2Transfer};

use super::*;
use crate::calls::Signature as Signed;

const TOKEN: EvmAddress = EvmAddress::new([1; 20]);
const TREASURY: EvmAddress = EvmAddress::new([2; 20]);
const RECIPIENT: EvmAddress = EvmAddress::new([3; 20]);
const PAYER: EvmAddress = EvmAddress::new([4; 20]);
const STRANGER: EvmAddress = EvmAddress::new([9; 20]);

const FEES: Fees = Fees {
    max: 40,
    priority: 2,
};

fn wallet_of(seed: u8) -> HotWallet {
    let rules = Rules {
        token: TOKEN,
        treasury: TREASURY,
        recipients: vec![RECIPIENT],
        max_fee_per_gas: 100,
    };
    HotWallet::new(EvmKey::from_bytes(&[seed; 32]).unwrap(), 8453, rules)
}

fn signature() -> EvmSignature {
    EvmKey::from_bytes(&[8; 32]).unwrap().sign_digest(&[5; 32])
}

fn authorization(token: EvmAddress, to: EvmAddress, value: u128) -> Call {
    Call::Authorization {
        token,
        authorization: Authorization {
            from: PAYER,
            to,
            value: value.into(),
            valid_after: 0,
            valid_before: 1_000,
            nonce: [6; 32],
        },
        signature: Signed::Key(signature()),
    }
}

fn permit(token: EvmAddress, spender: EvmAddress) -> Call {
    Call::Permit {
        token,
        permit: approval(spender),
        signature: signature(),
    }
}

fn approval(spender: EvmAddress) -> Permit {
    Permit {
        owner: PAYER,
        spender,
        value: 90_u128.into(),
        nonce: 0_u128.into(),
        deadline: 1_000,
    }
}

fn pull(token: EvmAddress, to: EvmAddress, amount: u128) -> Call {
    Call::Pull {
        token,
        owner: PAYER,
        to,
        amount: Amount::new(amount),
    }
}

fn sweep(token: EvmAddress, to: EvmAddress) -> Call {
    Call::Sweep {
        token,
        to,
        amount: Amount::new(90),
    }
}

fn permit2(token: EvmAddress, to: EvmAddress, approved: Option<EvmAddress>) -> Call {
    Call::Permit2 {
        transfer: Permit2Transfer {
            from: PAYER,
            token,
            amount: 90_u128.into(),
            spender: EXACT_PROXY,
            nonce: Uint256::from_be_bytes([7; 32]),
            deadline: 1_000,
            to,
            valid_after: 0,
        },
        signature: signature(),
        sponsored: approved.map(|spender| Box::new((approval(spender), signature()))),
    }
}

#[test]
fn the_wallet_signs_its_own_settlements() {
    let wallet = wallet_of(1);
    let own = wallet.address();
    for call in [
        authorization(TOKEN, RECIPIENT, 90),
        permit(TOKEN, own),
        pull(TOKEN, TREASURY, 90),
        sweep(TOKEN, TREASURY),
        permit2(TOKEN, RECIPIENT, None),
        permit2(TOKEN, RECIPIENT, Some(PERMIT2)),
        Call::Fill { wallet: own },
    ] {
        let signed = wallet.sign(&call, 3, 200_000, FEES).unwrap();
        let hash = format!("0x{}", hex::encode(keccak256(&signed.raw)));
        assert_eq!(signed.hash, hash, "{call:?}");
        let read = wallet.read_own(&signed.raw).unwrap();
        assert_eq!(read.value, U256::ZERO, "{call:?}");
        assert_eq!((read.nonce, read.chain_id), (3, 8453), "{call:?}");
        assert_eq!(read.input.to_vec(), call.data(), "{call:?}");
        let to = TxKind::Call(Address::from(*call.to().as_bytes()));
        assert_eq!(read.to, to, "{call:?}");
    }
}

#[test]
fn the_wallet_signs_nothing_else() {
    let wallet = wallet_of(1);
    let own = wallet.address();
    for (call, reason) in [
        (authorization(STRANGER, RECIPIENT, 90), Forbidden::Token),
        (authorization(TOKEN, STRANGER, 90), Forbidden::Recipient),
        // The treasury gets what payers signed for it only where it is a recipient.
        (authorization(TOKEN, TREASURY, 90), Forbidden::Recipient),
        (authorization(TOKEN, RECIPIENT, 0), Forbidden::Amount),
        (permit(STRANGER, own), Forbidden::Token),
        (permit(TOKEN, STRANGER), Forbidden::Spender),
        (pull(STRANGER, TREASURY, 90), Forbidden::Token),
        (pull(TOKEN, STRANGER, 90), Forbidden::Recipient),
        (pull(TOKEN, own, 90), Forbidden::Recipient),
        (pull(TOKEN, TREASURY, 0), Forbidden::Amount),
        (sweep(STRANGER, TREASURY), Forbidden::Token),
        (sweep(TOKEN, RECIPIENT), Forbidden::Recipient),
        (permit2(STRANGER, RECIPIENT, None), Forbidden::Token),
        (permit2(TOKEN, STRANGER, None), Forbidden::Recipient),
        (permit2(TOKEN, RECIPIENT, Some(own)), Forbidden::Spender),
        (Call::Fill { wallet: STRANGER }, Forbidden::Recipient),
    ] {
        let signed = wallet.sign(&call, 0, 200_000, FEES);
        assert_eq!(signed.err(), Some(reason), "{call:?}");
    }
}

#[test]
fn gas_and_its_price_have_ceilings() {
    let wallet = wallet_of(1);
    let call = pull(TOKEN, TREASURY, 90);
    let dear = Fees { max: 101, ..FEES };
    let signed = wallet.sign(&call, 0, MAX_GAS + 1, FEES);
    assert_eq!(signed.err(), Some(Forbidden::Gas));
    let signed = wallet.sign(&call, 0, MAX_GAS, dear);
    assert_eq!(signed.err(), Some(Forbidden::GasPrice));
    // 1 000 000 gas at 100 wei are a tenth of a gwei: rounded up to one.
    let highest = Fees { max: 100, ..FEES };
    let signed = wallet.sign(&call, 0, MAX_GAS, highest).unwrap();
    assert_eq!(signed.max_cost_gwei, 1);
}

#[test]
fn a_replacement_is_the_same_transaction_at_a_higher_price() {
    let wallet = wallet_of(1);
    let first = wallet
        .sign(&pull(TOKEN, TREASURY, 90), 3, 200_000, FEES)
        .unwrap();
    let cheap = Fees {
        max: 1,
        priority: 1,
    };
    let second = wallet.sign_dearer(&first.raw, cheap).unwrap().unwrap();
    let (before, after) = (
        wallet.read_own(&first.raw).unwrap(),
        wallet.read_own(&second.raw).unwrap(),
    );
    // Nodes want at least a tenth more of both.
    assert!(after.max_fee_per_gas * 10 >= before.max_fee_per_gas * 11);
    assert!(after.max_priority_fee_per_gas * 10 >= before.max_priority_fee_per_gas * 11);
    assert_eq!(
        TxEip1559 {
            max_fee_per_gas: before.max_fee_per_gas,
            max_priority_fee_per_gas: before.max_priority_fee_per_gas,
            ..after
        },
        before
    );
    let dear = Fees {
        max: 90,
        priority: 50,
    };
    let third = wallet.sign_dearer(&first.raw, dear).unwrap().unwrap();
    let third = wallet.read_own(&third.raw).unwrap();
    assert_eq!(
        (third.max_fee_per_gas, third.max_priority_fee_per_gas),
        (90, 50)
    );
    let ruinous = Fees { max: 101, ..dear };
    assert!(wallet.sign_dearer(&first.raw, ruinous).unwrap().is_none());
}

#[test]
fn only_what_the_wallet_signed_is_signed_again() {
    let (wallet, stranger) = (wallet_of(1), wallet_of(2));
    let own = wallet
        .sign(&pull(TOKEN, TREASURY, 90), 3, 200_000, FEES)
        .unwrap();
    let foreign = stranger
        .sign(&pull(TOKEN, TREASURY, 90), 3, 200_000, FEES)
        .unwrap();
    let mut damaged = own.raw.clone();
    // Inside the calldata: the amount.
    let position = damaged.len() - 80;
    damaged[position] ^= 1;
    let mut longer = own.raw.clone();
    longer.push(0);
    for raw in [foreign.raw, damaged, longer, Vec::new(), vec![2]] {
        assert_eq!(
            wallet.sign_dearer(&raw, FEES).err(),
            Some(Forbidden::Foreign)
        );
    }
}

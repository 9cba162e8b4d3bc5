//! Transactions of Solana: read as another reader reads them, and never more than what was asked.

use std::sync::LazyLock;

use compute_wallet::SolanaAddress;
use compute_x402::exact_svm::{MAX_WIRE_BYTES, SvmLimits, SvmTransaction, SvmVerified};

use crate::shop::{SVM_BUYER, SVM_FEE_PAYER, SVM_PAY_TO, SVM_TERMS, USDC_PRICE, svm_payment};

/// What the one payment that the buyer made means.
static KNOWN: LazyLock<SvmVerified> = LazyLock::new(|| {
    let payment = SvmTransaction::from_wire(&svm_payment()).expect("a good payment");
    answer(&payment).expect("a good payment")
});

/// Input that begins with `#` is the bytes of a transaction, with `!` a message that the buyer signs,
/// anything else the text of a payment.
pub(super) fn transaction(data: &[u8]) {
    let read = match data {
        [b'#', wire @ ..] => SvmTransaction::from_wire(wire),
        [b'!', message @ ..] => {
            let signature = SVM_BUYER.sign(message);
            SvmTransaction::from_wire(&[&[2][..], &[0; 64], &signature, message].concat())
        }
        text => match std::str::from_utf8(text) {
            Ok(text) => SvmTransaction::decode(text),
            Err(_) => return,
        },
    };
    let Ok(transaction) = read else {
        return;
    };
    check_written(&transaction);
    let plain = Plain::read(&transaction.to_wire()).expect("a second reader reads it");
    check_second_reader(&transaction, &plain);
    if let Ok(identified) = transaction.identify() {
        assert_ne!(identified.payer, transaction.fee_payer());
        assert_eq!(identified.message_hash, transaction.message_hash());
        assert_eq!(Some(identified.transfer), transaction.transfer());
    }
    let Ok(verified) = answer(&transaction) else {
        return;
    };
    let is_signed_here = data.first() == Some(&b'!');
    assert!(is_signed_here || verified == *KNOWN, "nobody signed this");
    check_policy(&verified, &plain);
}

fn answer(transaction: &SvmTransaction) -> Result<SvmVerified, compute_x402::exact_svm::SvmFault> {
    transaction.verify(&SVM_TERMS, &SVM_PAY_TO, USDC_PRICE, &SvmLimits::default())
}

fn check_written(transaction: &SvmTransaction) {
    let wire = transaction.to_wire();
    assert!(wire.len() <= MAX_WIRE_BYTES);
    assert_eq!(SvmTransaction::from_wire(&wire).as_ref(), Ok(transaction));
    let text = transaction.to_base64();
    assert_eq!(SvmTransaction::decode(&text).as_ref(), Ok(transaction));
    // The slot of the fee payer is no part of the payment.
    let filled = SvmTransaction::from_wire(&transaction.with_fee_payer_signature([5; 64]));
    let filled = filled.expect("a filled slot changes nothing");
    assert_eq!(filled.message_hash(), transaction.message_hash());
    assert_eq!(filled.message_bytes(), transaction.message_bytes());
}

fn check_second_reader(transaction: &SvmTransaction, plain: &Plain) {
    assert_eq!(plain.keys.first(), Some(&transaction.fee_payer()));
    assert_eq!(plain.blockhash, transaction.recent_blockhash());
    let Some(transfer) = transaction.transfer() else {
        return;
    };
    let instruction = plain.instructions.get(2).expect("a third instruction");
    let key = |place: usize| {
        instruction
            .accounts
            .get(place)
            .and_then(|at| plain.key(*at))
    };
    assert_eq!(key(0), Some(transfer.source));
    assert_eq!(key(1), Some(transfer.mint));
    assert_eq!(key(2), Some(transfer.destination));
    assert_eq!(key(3), Some(transfer.authority));
    let [12, amount @ .., decimals] = instruction.data.as_slice() else {
        panic!("not TransferChecked");
    };
    assert_eq!(*decimals, transfer.decimals);
    let amount: [u8; 8] = amount.try_into().expect("64 bits");
    assert_eq!(
        u128::from(u64::from_le_bytes(amount)),
        transfer.amount.get()
    );
}

/// Pays the price to the merchant in the right token, within the limits, and cannot reach the fee payer.
fn check_policy(verified: &SvmVerified, plain: &Plain) {
    assert_eq!(verified.payer, SVM_BUYER.address());
    assert_eq!(verified.transfer.amount, USDC_PRICE);
    assert_eq!(verified.transfer.mint, SVM_TERMS.mint());
    assert_eq!(
        verified.transfer.destination,
        SVM_PAY_TO.destination(&SVM_TERMS)
    );
    assert_eq!(verified.transfer.token_program, SVM_TERMS.token_program());
    assert!(verified.fee_lamports <= 50_000, "too dear");
    assert_eq!(plain.keys.first(), Some(&SVM_FEE_PAYER.address()));
    assert!(plain.signatures <= 2 && !plain.has_lookups);
    for instruction in &plain.instructions {
        let names_fee_payer = instruction.accounts.contains(&0) || instruction.program == 0;
        assert!(!names_fee_payer, "the fee payer is in reach");
    }
}

/// The parts of a transaction, read without any of the code under test.
struct Plain {
    signatures: usize,
    keys: Vec<SolanaAddress>,
    blockhash: [u8; 32],
    instructions: Vec<PlainInstruction>,
    has_lookups: bool,
}

struct PlainInstruction {
    program: u8,
    accounts: Vec<u8>,
    data: Vec<u8>,
}

impl Plain {
    fn read(wire: &[u8]) -> Option<Self> {
        let mut rest = wire;
        let signatures = compact(&mut rest)?;
        take(&mut rest, signatures.checked_mul(64)?)?;
        let has_version = rest.first()? & 0x80 != 0;
        if has_version {
            take(&mut rest, 1)?;
        }
        take(&mut rest, 3)?;
        let mut keys = Vec::new();
        for _ in 0..compact(&mut rest)? {
            keys.push(SolanaAddress::new(take(&mut rest, 32)?.try_into().ok()?));
        }
        let blockhash = take(&mut rest, 32)?.try_into().ok()?;
        let mut instructions = Vec::new();
        for _ in 0..compact(&mut rest)? {
            let [program] = take(&mut rest, 1)?.try_into().ok()?;
            let count = compact(&mut rest)?;
            let accounts = take(&mut rest, count)?.to_vec();
            let count = compact(&mut rest)?;
            let data = take(&mut rest, count)?.to_vec();
            instructions.push(PlainInstruction {
                program,
                accounts,
                data,
            });
        }
        let mut has_lookups = false;
        if has_version {
            for _ in 0..compact(&mut rest)? {
                has_lookups = true;
                take(&mut rest, 32)?;
                for _ in 0..2 {
                    let count = compact(&mut rest)?;
                    take(&mut rest, count)?;
                }
            }
        }
        rest.is_empty().then_some(Self {
            signatures,
            keys,
            blockhash,
            instructions,
            has_lookups,
        })
    }

    fn key(&self, index: u8) -> Option<SolanaAddress> {
        self.keys.get(usize::from(index)).copied()
    }
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(count)?;
    *rest = left;
    Some(taken)
}

/// A compact-u16: seven bits a byte, the lowest first, in its shortest form.
fn compact(rest: &mut &[u8]) -> Option<usize> {
    let mut number = 0_usize;
    for place in 0..3 {
        let [byte] = take(rest, 1)?.try_into().ok()?;
        number |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            let is_short = place == 0 || byte != 0;
            return (is_short && number <= 0xffff).then_some(number);
        }
    }
    None
}

use compute_wallet::SolanaKey;
use compute_x402::Amount;
use compute_x402::exact_svm::client::Draft;
use compute_x402::exact_svm::{SvmLimits, SvmTransaction};
use proptest::prelude::*;

use super::by_hand::{ByHand, FEE_PAYER, signed};
use super::{PRICE, answer, buyer, fee_payer, merchant, pay_to, terms};

/// The account lists of a message, read without any of the code under test.
fn account_lists(message: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut rest = message.strip_prefix(&[0x80]).unwrap_or(message).get(3..)?;
    let mut take = |count: usize| {
        let (taken, left) = rest.split_at_checked(count)?;
        rest = left;
        Some(taken.to_vec())
    };
    let keys = take(1)?[0];
    take(usize::from(keys) * 32 + 32)?;
    let instructions = take(1)?[0];
    let mut lists = Vec::new();
    for _ in 0..instructions {
        take(1)?;
        let accounts = take(1)?[0];
        lists.push(take(usize::from(accounts))?);
        let data = take(1)?[0];
        take(usize::from(data))?;
    }
    Some(lists)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    // A transaction with one changed byte is refused, or still is the very same payment.
    #[test]
    fn one_changed_byte_never_makes_another_payment(at: prop::sample::Index, change in 1_u8..=255, is_legacy: bool) {
        let mut by_hand = ByHand::valid();
        by_hand.version = (!is_legacy).then_some(0);
        let mut wire = by_hand.wire();
        let expected = answer(&wire).unwrap();
        let index = at.index(wire.len());
        wire[index] ^= change;
        // Only the slot of the fee payer may hold anything.
        match answer(&wire) {
            Ok(verified) => prop_assert!((1..65).contains(&index) && verified == expected),
            Err(_) => prop_assert!(!(1..65).contains(&index)),
        }
    }

    // Whatever a buyer signs: it pays the price to the merchant, or it is refused; it never costs
    // more than the limits, and never names the fee payer.
    #[test]
    fn whatever_a_buyer_signs_pays_or_is_refused(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), is_legacy: bool) {
        let mut by_hand = ByHand::valid();
        by_hand.version = (!is_legacy).then_some(0);
        let mut message = by_hand.message();
        for (at, byte) in changes {
            let index = at.index(message.len());
            message[index] = byte;
        }
        if let Ok(verified) = answer(&signed(&message, &[buyer()])) {
            prop_assert_eq!(verified.payer, buyer().address());
            prop_assert_eq!(verified.transfer.amount, PRICE);
            prop_assert_eq!(verified.transfer.mint, terms().mint());
            prop_assert_eq!(verified.transfer.destination, pay_to().destination(&terms()));
            prop_assert!(verified.fee_lamports <= 50_000);
            let lists = account_lists(&message).unwrap();
            prop_assert!(lists.iter().all(|list| !list.contains(&FEE_PAYER)));
        }
    }

    // Arbitrary bytes, and transactions that were cut and spliced, are read or refused without a
    // panic; what is read is written back as it was.
    #[test]
    fn what_is_read_is_written_back(noise in prop::collection::vec(any::<u8>(), 0..300), cut: prop::sample::Index, from: prop::sample::Index) {
        let wire = ByHand::valid().wire();
        let spliced = [&wire[..cut.index(wire.len())], &noise, &wire[from.index(wire.len())..]].concat();
        for bytes in [noise, spliced] {
            if let Ok(transaction) = SvmTransaction::from_wire(&bytes) {
                prop_assert_eq!(transaction.to_wire(), bytes);
                let _ = transaction.identify();
            }
        }
    }

    // Arbitrary text is refused without a panic.
    #[test]
    fn arbitrary_text_never_pays(text in "[A-Za-z0-9+/=]{0,200}|.{0,40}") {
        if let Ok(transaction) = SvmTransaction::decode(&text) {
            prop_assert!(transaction.verify(&terms(), &pay_to(), PRICE, &SvmLimits::default()).is_err());
        }
    }
}

proptest! {
    // Whoever signs the asked amount has paid, exactly that, and what was sent reads back equal.
    #[test]
    fn a_signed_payment_verifies(seed: [u8; 32], blockhash: [u8; 32], atomic: u64, memo in "[ -~]{0,64}", units in 0_u32..=400_000, price in 0_u64..=100_000) {
        let key = SolanaKey::from_seed(&seed);
        prop_assume!(![fee_payer().address(), merchant()].contains(&key.address()));
        let (terms, amount) = (terms(), Amount::new(atomic.into()));
        let draft = Draft::new(&terms, pay_to(), amount, blockhash).with_memo(&memo);
        let payment = draft.with_cost(units, price).sign(&key).unwrap();
        let read = SvmTransaction::decode(&payment.to_base64()).unwrap();
        prop_assert_eq!(&read, &payment);
        prop_assert_eq!(read.recent_blockhash(), blockhash);
        let verified = read.verify(&terms, &pay_to(), amount, &SvmLimits::default()).unwrap();
        prop_assert_eq!(verified.payer, key.address());
        prop_assert_eq!(verified.transfer.amount, amount);
        prop_assert_eq!(verified.message_hash, payment.message_hash());
        let asked = terms.clone().with_memo(memo);
        prop_assert!(read.verify(&asked, &pay_to(), amount, &SvmLimits::default()).is_ok());
        let dearer = Amount::new(u128::from(atomic) + 1);
        prop_assert!(read.verify(&terms, &pay_to(), dearer, &SvmLimits::default()).is_err());
    }
}

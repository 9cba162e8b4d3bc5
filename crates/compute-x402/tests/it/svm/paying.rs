//! The paying side: what we build is what other libraries build, and verifies.

use compute_wallet::SolanaKey;
use compute_x402::Amount;
use compute_x402::exact_svm::client::{Draft, DraftError};
use compute_x402::exact_svm::{
    MalformedTransaction, SvmFault, SvmLimits, SvmPayTo, SvmTransaction, TokenProgram,
    associated_token_account,
};

use super::vectors::{self, text, vector};
use super::{PRICE, account, buyer, fee_payer, merchant, pay_to, terms};

#[test]
fn our_payments_equal_those_of_another_library_byte_for_byte() {
    for (id, cost, memo) in [
        (
            "svm-v2-memo",
            None,
            Some("e104c52c45c37a63b4269a0454937eba"),
        ),
        ("svm-v2-seller-memo", None, None),
        ("svm-v1-three-instructions", Some((200_000, 1_000)), None),
        (
            "svm-price-too-high",
            Some((20_000, 5_000_001)),
            Some("e104c52c45c37a63b4269a0454937eba"),
        ),
    ] {
        let vector = vector(id);
        let theirs = SvmTransaction::decode(text(&vector, "transaction_base64")).unwrap();
        let terms = vectors::terms(&vector, TokenProgram::Token);
        let (pay_to, amount) = (vectors::pay_to(&vector), vectors::amount(&vector));
        let mut draft = Draft::new(&terms, pay_to, amount, theirs.recent_blockhash());
        if let Some((units, price)) = cost {
            draft = draft.with_cost(units, price);
        }
        if let Some(memo) = memo {
            draft = draft.with_memo(memo);
        }
        let ours = draft.sign(&vectors::key("buyer")).unwrap();
        assert_eq!(
            ours.to_base64(),
            text(&vector, "transaction_base64"),
            "{id}"
        );
    }
}

#[test]
fn the_memo_that_the_seller_asks_for_wins() {
    let terms = terms().with_memo("order 7");
    let draft = Draft::new(&terms, pay_to(), PRICE, [9; 32]);
    let payment = draft.clone().with_memo("mine").sign(&buyer()).unwrap();
    assert_eq!(payment, draft.sign(&buyer()).unwrap());
    let verified = payment.verify(&terms, &pay_to(), PRICE, &SvmLimits::default());
    assert_eq!(verified.map(|it| it.payer), Ok(buyer().address()));
}

#[test]
fn a_token_account_can_be_paid_itself() {
    let shop = account("BmLqovrtar1ZfWzByucbGFrRNk6ZPGtdKFw5z2hFmxXD");
    let (terms, pay_to) = (terms(), SvmPayTo::TokenAccount(shop));
    let payment = Draft::new(&terms, pay_to, PRICE, [9; 32])
        .sign(&buyer())
        .unwrap();
    let check = |pay_to| payment.verify(&terms, &pay_to, PRICE, &SvmLimits::default());
    assert_eq!(check(pay_to).map(|it| it.transfer.destination), Ok(shop));
    // The same address taken for a wallet is paid elsewhere.
    assert_eq!(check(SvmPayTo::Wallet(shop)), Err(SvmFault::Recipient));
}

#[test]
fn the_token_account_of_the_merchant_is_the_same_either_way() {
    let terms = terms();
    let held = associated_token_account(&merchant(), TokenProgram::Token, &terms.mint());
    let payment = Draft::new(&terms, pay_to(), PRICE, [9; 32])
        .sign(&buyer())
        .unwrap();
    let limits = SvmLimits::default();
    let pay_to = SvmPayTo::TokenAccount(held);
    assert!(payment.verify(&terms, &pay_to, PRICE, &limits).is_ok());
}

#[test]
fn what_cannot_be_a_payment_is_not_built() {
    let terms = terms();
    let draft = |amount| Draft::new(&terms, pay_to(), amount, [9; 32]);
    let refuse = |draft: &Draft<'_>, key: &SolanaKey| draft.sign(key).unwrap_err();
    let malformed = |what| DraftError::Transaction(SvmFault::Malformed(what));

    let most = Amount::new(u64::MAX.into());
    assert_eq!(
        draft(most)
            .sign(&buyer())
            .unwrap()
            .transfer()
            .map(|it| it.amount),
        Some(most)
    );
    assert_eq!(
        refuse(&draft(Amount::new(u128::from(u64::MAX) + 1)), &buyer()),
        DraftError::Amount
    );
    let memo = "m".repeat(1_232);
    assert_eq!(
        refuse(&draft(PRICE).with_memo(&memo), &buyer()),
        malformed(MalformedTransaction::TooLong)
    );
    assert_eq!(
        refuse(&draft(PRICE), &fee_payer()),
        malformed(MalformedTransaction::DuplicateAccount)
    );
    let itself = SolanaKey::from_seed(&[2; 32]);
    assert_eq!(
        refuse(&draft(PRICE), &itself),
        DraftError::Transaction(SvmFault::SelfPayment)
    );
    let held = associated_token_account(&buyer().address(), TokenProgram::Token, &terms.mint());
    let to_own_account = Draft::new(&terms, SvmPayTo::TokenAccount(held), PRICE, [9; 32]);
    assert_eq!(
        refuse(&to_own_account, &buyer()),
        malformed(MalformedTransaction::DuplicateAccount)
    );
}

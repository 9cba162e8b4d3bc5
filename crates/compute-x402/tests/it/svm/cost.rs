//! What settling may cost the fee payer.

use compute_x402::exact_svm::{SvmFault, SvmLimits, SvmTransaction};

use super::by_hand::{BUYER, ByHand, LIMIT, MEMO_AT, MINT, SOURCE, SYSTEM, UNIT_PRICE};
use super::hostile::{accept, refuse};
use super::{PRICE, account, answer, pay_to, terms};

#[test]
fn the_limit_of_units_comes_first_and_is_low() {
    let set =
        |data: &'static [u8]| move |it: &mut ByHand| it.instructions[LIMIT].data = data.into();
    accept(set(&[2, 0x80, 0x1a, 6, 0])); // 400 000
    refuse(set(&[2, 0x81, 0x1a, 6, 0]), SvmFault::ComputeLimitTooHigh);
    refuse(
        set(&[2, 0xc0, 0x5c, 0x15, 0]),
        SvmFault::ComputeLimitTooHigh,
    ); // 1 400 000
    refuse(
        set(&[2, 0xff, 0xff, 0xff, 0xff]),
        SvmFault::ComputeLimitTooHigh,
    );
    for data in [
        &[][..],
        &[2],
        &[2, 0, 0, 0],
        &[2, 0, 0, 0, 0, 0],
        &[1, 0, 0, 0, 0],
    ] {
        refuse(set(data), SvmFault::ComputeLimit);
    }
    refuse(
        |it| it.instructions[LIMIT].program = MEMO_AT,
        SvmFault::ComputeLimit,
    );
    refuse(
        |it| it.instructions.swap(LIMIT, UNIT_PRICE),
        SvmFault::ComputeLimit,
    );
}

#[test]
fn a_durable_nonce_is_refused() {
    refuse(
        |it| {
            let system = it.add_account(account(SYSTEM));
            it.add_instruction(system, &[SOURCE, MINT, BUYER], &[4, 0, 0, 0]);
            it.instructions.rotate_right(1);
        },
        SvmFault::ComputeLimit,
    );
}

#[test]
fn the_price_of_a_unit_comes_second_and_is_low() {
    let set = |price: u64| {
        move |it: &mut ByHand| {
            it.instructions[UNIT_PRICE].data = [vec![3], price.to_le_bytes().to_vec()].concat();
        }
    };
    accept(set(0));
    accept(set(100_000));
    refuse(set(100_001), SvmFault::ComputePriceTooHigh);
    refuse(set(u64::MAX), SvmFault::ComputePriceTooHigh);
    for data in [&[][..], &[3], &[3, 0, 0, 0, 0, 0, 0, 0], &[3; 10], &[4; 9]] {
        refuse(
            |it| it.instructions[UNIT_PRICE].data = data.into(),
            SvmFault::ComputePrice,
        );
    }
    refuse(
        |it| it.instructions[UNIT_PRICE].program = MEMO_AT,
        SvmFault::ComputePrice,
    );
}

#[test]
fn the_fee_is_bounded_by_both_limits() {
    let dearest = ByHand::with(|it| {
        it.instructions[LIMIT].data = vec![2, 0x80, 0x1a, 6, 0];
        it.instructions[UNIT_PRICE].data = [vec![3], 100_000_u64.to_le_bytes().to_vec()].concat();
    });
    let verified = answer(&dearest.wire()).unwrap();
    assert_eq!(verified.fee_lamports, 50_000);

    let transaction = SvmTransaction::from_wire(&ByHand::valid().wire()).unwrap();
    let check = |max_units, max_unit_price_micro_lamports| {
        let limits = SvmLimits {
            max_units,
            max_unit_price_micro_lamports,
        };
        transaction
            .verify(&terms(), &pay_to(), PRICE, &limits)
            .map(|it| it.fee_lamports)
    };
    assert_eq!(check(20_000, 1), Ok(10_001));
    assert_eq!(check(19_999, 1), Err(SvmFault::ComputeLimitTooHigh));
    assert_eq!(check(20_000, 0), Err(SvmFault::ComputePriceTooHigh));
}

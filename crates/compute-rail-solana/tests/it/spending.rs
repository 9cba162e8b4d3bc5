//! What the fee payer spends, and on whom.

use compute_engine::ports::{Check, Rail as _, RailHealth, Settlement};
use compute_x402::Version;

use crate::{Market, fee_payer, reference};

#[tokio::test]
async fn no_more_is_spent_in_a_day_than_allowed() {
    // One payment costs two signatures and the least priority fee.
    let market = Market::with(|config| config.max_lamports_per_day = 60_000).await;
    let paid: Vec<_> = (1..=6).map(|payer| market.pay(payer)).collect();
    for (place, payment) in paid.iter().enumerate() {
        let outcome = market.rail.settle(payment).await;
        let is_spent = matches!(outcome, Settlement::NotSent { .. });
        assert_eq!(is_spent, place == 5, "{outcome:?}");
    }
    match market.rail.health().await {
        RailHealth::Withdrawn { reason } => assert!(reason.contains("of the day"), "{reason}"),
        RailHealth::Ready => panic!("offered without anything to spend"),
    }
    assert_eq!(market.node.carried_out().len(), 5);
    market.advance(216_100);
    let payment = market.pay(7);
    assert!(reference(&market.rail.settle(&payment).await).is_some());
}

#[tokio::test]
async fn an_account_that_cannot_pay_signs_nothing() {
    let market = Market::open().await;
    let payment = market.pay(3);
    market.node.fund(*fee_payer().address().as_bytes(), 900_000);
    let outcome = market.rail.settle(&payment).await;
    assert!(matches!(outcome, Settlement::NotSent { .. }), "{outcome:?}");
    assert_eq!(market.node.complete_transactions(), Vec::<Vec<u8>>::new());
    assert_eq!(market.row(&payment).await, None);
}

// x402 reference, 14.4 row 92.
#[tokio::test]
async fn a_payer_whose_transactions_fail_is_refused_for_a_while() {
    let market = Market::open().await;
    market.node.misbehave(|it| it.fail_execution = 3);
    let refused = Check::Refused {
        code: "invalid_transaction_state".to_owned(),
    };
    for _ in 0..3 {
        let payment = market.pay_in(Version::V2, 3);
        assert_eq!(market.rail.check(payment.proof()).await, Ok(Check::Fine));
        let outcome = market.rail.settle(&payment).await;
        assert!(
            matches!(outcome, Settlement::Declined { .. }),
            "{outcome:?}"
        );
    }
    let next = market.pay_in(Version::V2, 3);
    assert_eq!(market.rail.check(next.proof()).await, Ok(refused));
    let spent = market.node.carried_out().len();
    let outcome = market.rail.settle(&next).await;
    assert!(
        matches!(outcome, Settlement::Declined { .. }),
        "{outcome:?}"
    );
    assert_eq!(market.node.carried_out().len(), spent);
    // Others are not kept from paying, and an hour later neither is this one.
    assert!(reference(&market.rail.settle(&market.pay(4)).await).is_some());
    market.advance(9_001);
    let later = market.pay_in(Version::V2, 3);
    assert!(reference(&market.rail.settle(&later).await).is_some());
}

#[tokio::test]
async fn a_rail_that_contradicts_its_offers_is_not_made() {
    use std::sync::Arc;

    use compute_rail_solana::{SolanaConfig, SolanaConfigError, SolanaRail};
    use compute_wallet::SolanaKey;
    use compute_x402::Recipient;
    use compute_x402::networks::BASE_USDC;

    let market = Market::open().await;
    let fault = |spec, key| {
        let config = SolanaConfig::new(market.node.url(), key);
        let clock = Arc::new(market.clock.clone());
        SolanaRail::new(spec, config, Arc::clone(&market.store), clock).err()
    };
    let stranger = SolanaKey::from_seed(&[7; 32]);
    assert_eq!(
        fault(crate::spec(), stranger),
        Some(SolanaConfigError::FeePayer)
    );
    let mut to_us = crate::spec();
    to_us.pay_to = Recipient::new(fee_payer().address());
    assert_eq!(
        fault(to_us, fee_payer()),
        Some(SolanaConfigError::RecipientIsFeePayer)
    );
    let mut on_base = crate::spec();
    on_base.token = Arc::new(BASE_USDC.eip3009_terms().unwrap());
    assert_eq!(fault(on_base, fee_payer()), Some(SolanaConfigError::Token));
    assert_eq!(fault(crate::spec(), fee_payer()), None);
}

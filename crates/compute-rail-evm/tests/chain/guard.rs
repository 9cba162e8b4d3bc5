//! What the hot wallet does not sign, whatever it is asked.

use std::sync::Arc;

use compute_engine::ports::{Rail as _, Settlement, Settler as _};
use compute_testkit::faults_log::injected;
use compute_testkit::node_proxy::NodeFault;
use compute_testkit::rail_suite::record_sale;
use compute_wallet::EvmAddress;
use compute_x402::networks::MEGAETH_USDM;
use compute_x402::{Amount, Network, Offer, PermitPaths, Recipient, TokenTerms, identify};
use serde_json::json;

use crate::bill::Way;
use crate::cases;
use crate::till::{PRICE, Terms, Till, not_sent, refusal};
use crate::town::Town;

cases! {
    "F076", "a gas price above the ceiling: withdrawn, nothing is signed", price_above_ceiling;
    "F076", "the gas of the day is spent: nothing is signed until tomorrow", day_is_spent;
    "F076", "the hot wallet is empty: withdrawn, nothing is signed", empty_wallet;
    "F072", "gas is estimated at the newest block, not at a pending one", no_pending_state;
    "-", "too much money in the hot wallet withdraws the rail until it is swept", sweep_cap;
    "-", "crumbs in the hot wallet are not worth the gas", crumbs;
    "F071", "a sweep that is lost is made again", lost_sweep;
    "F061", "proofs for another recipient, token or amount are not signed for", foreign_proofs;
    "-", "what this shop sold for is settled for nobody else", own_sale;
    "F070", "permits for others are not used, even when this wallet is approved otherwise", foreign_permits;
}

async fn price_above_ceiling(town: &Town) {
    for way in Way::ALL {
        let chain = if way == Way::Transfer {
            &town.base
        } else {
            &town.megaeth
        };
        let till = Till::open(chain).await;
        let bill = till.bill(way).await;
        chain.set_next_base_fee(200_000_000_000).await;
        chain.mine(1).await;
        injected("F076");
        assert!(till.withdrawn().await.contains("ceiling"));
        not_sent(&till.settle(&bill).await);
        till.rail.tend().await;
        assert_eq!(till.signed_for(&bill).await, []);
        chain.settle_down().await;
        till.assert_ready().await;
        let evidence = till.insist(&bill).await;
        till.assert_paid_once(&bill, &evidence).await;
    }
    let till = Till::open(&town.base).await;
    let bill = till.bill(Way::Transfer).await;
    let greedy = NodeFault::Lie(json!("0xffffffffffffffffffffffff"));
    till.proxy
        .break_calls("F076", "eth_maxPriorityFeePerGas", "", greedy);
    assert!(till.withdrawn().await.contains("ceiling"));
    not_sent(&till.settle(&bill).await);
    let hungry = NodeFault::Lie(json!("0xf4240"));
    till.proxy.mend();
    till.proxy
        .break_calls("F076", "eth_estimateGas", "", hungry);
    not_sent(&till.settle(&bill).await);
    assert_eq!(till.signed_for(&bill).await, []);
}

async fn day_is_spent(town: &Town) {
    let mut till = Till::open(&town.base).await;
    let (first, second) = (
        till.bill(Way::Transfer).await,
        till.bill(Way::Transfer).await,
    );
    till.insist(&first).await;
    let cost = till.signed_for(&first).await[0].max_cost;
    till.change_terms(Terms {
        max_gas_per_day_gwei: cost + cost / 2,
        ..Terms::default()
    });
    injected("F076");
    not_sent(&till.settle(&second).await);
    assert_eq!(till.signed_for(&second).await, []);
    let next_day = 25 * 3_600;
    till.chain.wait_seconds(next_day.into()).await;
    till.chain.settle_down().await;
    till.pass(next_day);
    let third = till.bill(Way::Transfer).await;
    let evidence = till.insist(&third).await;
    till.assert_paid_once(&third, &evidence).await;
}

async fn empty_wallet(town: &Town) {
    for way in Way::ALL {
        let chain = if way == Way::Transfer {
            &town.base
        } else {
            &town.megaeth
        };
        let till = Till::open(chain).await;
        let bill = till.bill(way).await;
        chain.give_coin(till.hot, 1_000).await;
        injected("F076");
        assert!(till.withdrawn().await.contains("cannot pay for gas"));
        let wallet = till.rail.wallet().unwrap();
        assert_eq!((wallet.unit, wallet.held), ("wei", 1_000));
        assert!(wallet.floor > wallet.held);
        not_sent(&till.settle(&bill).await);
        till.rail.tend().await;
        assert_eq!(till.signed_for(&bill).await, []);
        till.assert_unpaid(&bill).await;
        chain.give_coin(till.hot, 1_000_000_000_000_000_000).await;
        till.assert_ready().await;
        let evidence = till.insist(&bill).await;
        till.assert_paid_once(&bill, &evidence).await;
    }
}

async fn no_pending_state(town: &Town) {
    let till = Till::open(&town.base).await;
    for method in [
        "eth_estimateGas",
        "eth_call",
        "eth_getTransactionCount",
        "eth_getBalance",
    ] {
        let lacks = NodeFault::Refuse(-32_000, "pending state is not available");
        till.proxy.break_calls("F072", method, "\"pending\"", lacks);
    }
    // The fault would strike if anything asked for it.
    injected("F072");
    let bill = till.bill(Way::Transfer).await;
    let evidence = till.insist(&bill).await;
    till.assert_paid_once(&bill, &evidence).await;
}

async fn sweep_cap(town: &Town) {
    let terms = Terms {
        sweep_cap: PRICE - 1,
        ..Terms::default()
    };
    let till = Till::on_terms(&town.megaeth, terms).await;
    let bill = till.bill(Way::Sponsored).await;
    // Whatever would sweep fails: the token's transfer cannot be simulated.
    till.proxy
        .break_calls("F049", "eth_estimateGas", "a9059cbb", NodeFault::HangUp);
    till.insist(&bill).await;
    assert_eq!(till.chain.balance(till.hot).await, PRICE);
    assert!(till.withdrawn().await.contains("too much money"));
    till.proxy.mend();
    till.sweep().await;
    assert_eq!(till.chain.balance(till.hot).await, 0);
    assert_eq!(till.chain.balance(till.treasury).await, PRICE);
    till.assert_ready().await;
}

async fn crumbs(town: &Town) {
    let till = Till::open(&town.megaeth).await;
    till.chain.mint(till.hot, PRICE - 1).await;
    till.sweep().await;
    assert_eq!(till.chain.count(till.hot).await, 0);
    till.chain.mint(till.hot, 1).await;
    till.sweep().await;
    assert_eq!(till.chain.balance(till.treasury).await, PRICE);
}

async fn lost_sweep(town: &Town) {
    let till = Till::open(&town.megaeth).await;
    till.chain.mint(till.hot, PRICE).await;
    let forgets = NodeFault::Lie(json!("0x1"));
    till.proxy
        .break_calls("F071", "eth_sendRawTransaction", "", forgets);
    till.rail.tend().await;
    let sweep = till.waiting().await;
    assert_eq!(sweep.len(), 1);
    till.proxy.mend();
    till.sweep().await;
    till.come_to_rest().await;
    assert_eq!(till.chain.balance(till.treasury).await, PRICE);
    assert_eq!(till.mined_and_failed().await, (1, 0));
    assert!(till.waiting().await.is_empty());
}

async fn foreign_proofs(town: &Town) {
    for way in Way::ALL {
        let chain = if way == Way::Transfer {
            &town.base
        } else {
            &town.megaeth
        };
        let till = Till::open(chain).await;
        let key = chain.fresh_key();
        chain.mint(key.address(), 2 * PRICE).await;
        let own = till.rail.spec().offer(Amount::new(PRICE));
        let stranger = Recipient::new(EvmAddress::new([0x55; 20]));
        let token = Arc::clone(&till.rail.spec().token);
        let elsewhere = Offer::new(token, stranger.clone(), Amount::new(PRICE), 300);
        let other_token = Offer::new(
            Arc::new(other_token(&till, way)),
            till.rail.spec().pay_to.clone(),
            Amount::new(PRICE),
            300,
        );
        let (_, now_s) = chain.head().await;
        // The offer that is signed for, and that which is stored with it.
        for (signed, stored) in [
            (&elsewhere, &elsewhere),
            (&elsewhere, &own),
            (&own, &elsewhere),
            (&other_token, &other_token),
            (&other_token, &own),
            (&own, &own.with_amount(Amount::new(PRICE + 1))),
            (&own.with_amount(Amount::new(PRICE - 1)), &own),
        ] {
            let nonce = chain.permit_nonce(key.address()).await;
            let payload = till.pay(way, &key, nonce, now_s, signed);
            let bill = till
                .claim(way, payload, stored.clone(), key.address(), now_s)
                .await;
            injected("F061");
            for _ in 0..2 {
                let outcome = till.settle(&bill).await;
                assert!(
                    !matches!(outcome, Settlement::Settled(_)),
                    "{way:?}: {outcome:?}"
                );
                till.rail.tend().await;
            }
            assert_eq!(till.signed_for(&bill).await, [], "{way:?}");
            till.assert_unpaid(&bill).await;
            assert_eq!(chain.balance(stranger_of(&stranger)).await, 0);
        }
        assert_eq!(chain.count(till.hot).await, 0);
    }
}

async fn own_sale(town: &Town) {
    let till = Till::open(&town.base).await;
    let bill = till.bill(Way::Transfer).await;
    let (proof, payment) = (bill.claimed.proof(), bill.claimed.payment());
    let identified = identify(&proof.payload, proof.offer.token()).unwrap();
    record_sale(&till.store, payment).await;
    let asked = till.rail.settle_for_others(proof, &identified.proof_key);
    let (outcome, _) = asked.await;
    assert_eq!(refusal(outcome), "duplicate_settlement");
    assert_eq!(till.signed_for(&bill).await, []);
    // For this shop it settles as ever.
    let evidence = till.insist(&bill).await;
    till.assert_paid_once(&bill, &evidence).await;
}

fn stranger_of(recipient: &Recipient) -> EvmAddress {
    EvmAddress::parse_any_case(recipient.as_str()).unwrap()
}

/// A token of the same kind at another address.
fn other_token(till: &Till<'_>, way: Way) -> TokenTerms {
    let asset = EvmAddress::new([0x44; 20]);
    let network = Network::evm(till.chain.id);
    match way {
        Way::Transfer => TokenTerms::eip3009(network, asset, "USD Coin", "2").unwrap(),
        _ => {
            let paths = PermitPaths::none()
                .with_spender(till.hot)
                .with_permit2(till.chain.id);
            let (name, version) = (MEGAETH_USDM.domain_name, MEGAETH_USDM.domain_version);
            TokenTerms::permit(network, asset, name, version, paths).unwrap()
        }
    }
}

/// The owner signed a permit for somebody else, which is in; and approved this wallet for another
/// reason.
async fn foreign_permits(town: &Town) {
    let till = Till::open(&town.megaeth).await;
    let key = till.chain.fresh_key();
    till.chain.mint(key.address(), 2 * PRICE).await;
    let stranger = Recipient::new(EvmAddress::new([0x55; 20]));
    let token = Arc::clone(&till.rail.spec().token);
    let elsewhere = Offer::new(token, stranger, Amount::new(PRICE), 300);
    let (_, now_s) = till.chain.head().await;
    let payload = till.pay(Way::Permit, &key, 0, now_s, &elsewhere);
    // An own permit of the same number brings the counter on and the approval.
    let own = till.bill_of(Way::Permit, &key, 0).await;
    let (to, data) = till.call_of(&own).await;
    let hash = till.chain.observe(to, &data).await;
    till.chain.expect_success(&hash).await;
    injected("F070");
    for stored in [
        elsewhere.clone(),
        till.rail.spec().offer(Amount::new(PRICE)),
    ] {
        let payer = key.address();
        let bill = till
            .claim(Way::Permit, payload.clone(), stored, payer, now_s)
            .await;
        let outcome = till.settle(&bill).await;
        assert!(!matches!(outcome, Settlement::Settled(_)), "{outcome:?}");
        assert_eq!(till.signed_for(&bill).await, []);
        till.assert_unpaid(&bill).await;
    }
    let evidence = till.insist(&own).await;
    till.assert_paid_once(&own, &evidence).await;
}

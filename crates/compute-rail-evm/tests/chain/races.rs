//! Others submit, cancel, spend, pause and block while we settle.

use compute_engine::ports::{Check, Lookup, Rail as _, Settlement};
use compute_testkit::faults_log::injected;
use compute_wallet::{EvmAddress, EvmKey, StructHasher, keccak256, signing_digest};
use compute_x402::Body;
use compute_x402::permit2::PERMIT2;

use crate::bill::{Bill, LIFE_S, Way};
use crate::cases;
use crate::till::{PRICE, Terms, Till, refusal, refused, unclear, unclear_or_early};
use crate::town::{Chain, Town, selector, uint, word};

cases! {
    "F046", "somebody submits the payment before us: settled by that transaction", observed_before;
    "F046", "somebody submits it while ours is in flight: settled by that transaction", observed_in_flight;
    "F046", "a payment that was used long ago buys nothing", used_long_ago;
    "F047", "the payer spends the money after the check: declined, nothing is signed", drained;
    "F047", "the payer spends the money while ours is in flight: declined, one failure", drained_in_flight;
    "F047", "the payer cancels after the check: declined once that is certain", cancelled;
    "F048", "the token is paused after the check: declined; and while ours is in flight", paused;
    "F048", "a payment that fails twice on the chain is given up", fails_twice;
    "F048", "the payer is put on the token's block list: declined", blocked;
    "F062", "a payment that expires unsent can never settle", expired;
    "F061", "rows 44, 46, 47, 56, 64 and 67 of bad input have their codes", bad_input;
}

const OBSERVABLE: [Way; 3] = [Way::Transfer, Way::Sponsored, Way::Approved];

fn chain_of(town: &Town, way: Way) -> &Chain {
    match way {
        Way::Transfer => &town.base,
        _ => &town.megaeth,
    }
}

async fn observed_before(town: &Town) {
    for way in OBSERVABLE {
        let till = Till::open(chain_of(town, way)).await;
        let bill = till.bill(way).await;
        let (to, data) = till.call_of(&bill).await;
        let observed = till.chain.observe(to, &data).await;
        till.chain.expect_success(&observed).await;
        injected("F046");
        assert_eq!(till.check(&bill).await, Check::Fine, "the order is due");
        let Settlement::Settled(evidence) = till.settle(&bill).await else {
            panic!("{way:?}: the money is there")
        };
        assert_eq!(evidence.reference, observed);
        till.assert_paid_once(&bill, &evidence).await;
        assert_eq!(till.signed_for(&bill).await, []);
    }
}

async fn observed_in_flight(town: &Town) {
    for way in OBSERVABLE {
        let mut till = Till::on_terms(chain_of(town, way), Terms::hasty()).await;
        let bill = till.bill(way).await;
        let (to, data) = till.call_of(&bill).await;
        till.chain.hold().await;
        unclear(&till.attempt(&bill).await);
        till.wait_until_sent(&bill).await;
        let observed = till.chain.observe(to, &data).await;
        injected("F046");
        till.chain.release().await;
        till.change_terms(Terms::default());
        let evidence = till.insist(&bill).await;
        assert_eq!(evidence.reference, observed, "{way:?}");
        till.assert_paid_once(&bill, &evidence).await;
        let settles = till.signed_for(&bill).await;
        assert_eq!(settles.len(), 1);
        assert_eq!(till.mined_and_failed().await.1, 1, "ours failed");
    }
}

async fn used_long_ago(town: &Town) {
    for way in OBSERVABLE {
        let till = Till::open(chain_of(town, way)).await;
        let bill = till.bill(way).await;
        let (to, data) = till.call_of(&bill).await;
        let observed = till.chain.observe(to, &data).await;
        till.chain.expect_success(&observed).await;
        injected("F046");
        till.chain.wait_seconds(300).await;
        till.catch_up().await;
        let code = refused(till.check(&bill).await);
        let expected = match way {
            Way::Transfer => "invalid_exact_evm_nonce_already_used",
            _ => "permit2_invalid_nonce",
        };
        assert_eq!(code, expected);
    }
}

async fn drained(town: &Town) {
    for way in Way::ALL {
        let till = Till::open(chain_of(town, way)).await;
        let bill = till.bill(way).await;
        assert_eq!(till.check(&bill).await, Check::Fine);
        till.chain.drain(bill.payer).await;
        injected("F047");
        for _ in 0..2 {
            assert_eq!(
                refusal(till.settle(&bill).await),
                "insufficient_funds",
                "{way:?}"
            );
        }
        assert_eq!(till.signed_for(&bill).await, []);
        till.assert_unpaid(&bill).await;
    }
}

async fn drained_in_flight(town: &Town) {
    for way in Way::ALL {
        let mut till = Till::on_terms(chain_of(town, way), Terms::hasty()).await;
        let bill = till.bill(way).await;
        if way == Way::Permit {
            till.stop_before_pull(&bill).await;
            till.chain.hold().await;
            till.attempt_until(&bill, compute_engine::ports::Purpose::Pull)
                .await;
        } else {
            till.chain.hold().await;
            unclear(&till.attempt(&bill).await);
        }
        till.wait_until_sent(&bill).await;
        till.chain.spend(bill.payer).await;
        injected("F047");
        till.chain.release().await;
        till.change_terms(Terms::default());
        for _ in 0..3 {
            assert_eq!(
                refusal(till.settle(&bill).await),
                "insufficient_funds",
                "{way:?}"
            );
            till.rail.tend().await;
        }
        assert_eq!(till.mined_and_failed().await.1, 1, "{way:?}");
        till.assert_unpaid(&bill).await;
    }
}

/// The payer burns the nonce of an authorization.
async fn cancel(till: &Till<'_>, bill: &Bill, key: &EvmKey) {
    let proof = bill.claimed.proof();
    let Body::Authorization(signed) = proof.payload.body() else {
        panic!("only an authorization is cancelled so")
    };
    let nonce = signed.authorization.nonce;
    let type_hash = keccak256(b"CancelAuthorization(address authorizer,bytes32 nonce)");
    let hash = StructHasher::new(&type_hash)
        .address(&bill.payer)
        .word(&nonce)
        .finish();
    let token = proof.offer.token().as_evm().unwrap();
    let signature = key
        .sign_digest(&signing_digest(token.domain_separator(), &hash))
        .to_bytes();
    let data = format!(
        "0x{}{}{}{}{}{}",
        selector("cancelAuthorization(address,bytes32,uint8,bytes32,bytes32)"),
        word(bill.payer),
        hex::encode(nonce),
        uint(signature[64].into()),
        hex::encode(&signature[..32]),
        hex::encode(&signature[32..64]),
    );
    let hash = till.chain.observe(till.chain.token, &data).await;
    till.chain.expect_success(&hash).await;
}

async fn cancelled(town: &Town) {
    let till = Till::open(&town.base).await;
    let key = till.chain.fresh_key();
    till.chain.mint(key.address(), 2 * PRICE).await;
    let bill = till.bill_of(Way::Transfer, &key, 0).await;
    assert_eq!(till.check(&bill).await, Check::Fine);
    cancel(&till, &bill, &key).await;
    injected("F047");
    assert_eq!(
        refused(till.check(&bill).await),
        "invalid_exact_evm_nonce_already_used"
    );
    unclear(&till.settle(&bill).await);
    till.chain.mine(5).await;
    assert_eq!(
        refusal(till.settle(&bill).await),
        "invalid_exact_evm_nonce_already_used"
    );
    let look = till.rail.lookup(&bill.claimed).await;
    assert!(matches!(look, Ok(Lookup::Never { .. })), "{look:?}");
    assert_eq!(till.signed_for(&bill).await, []);
    till.assert_unpaid(&bill).await;
}

async fn paused(town: &Town) {
    let till = Till::open(&town.base).await;
    let bill = till.bill(Way::Transfer).await;
    till.chain.set_paused(true).await;
    injected("F048");
    let code = "invalid_exact_evm_transaction_simulation_failed";
    assert_eq!(refused(till.check(&bill).await), code);
    assert_eq!(refusal(till.settle(&bill).await), code);
    assert_eq!(till.signed_for(&bill).await, []);
    till.chain.set_paused(false).await;

    let mut till = Till::on_terms(&town.base, Terms::hasty()).await;
    let bill = till.bill(Way::Transfer).await;
    till.chain.hold().await;
    unclear(&till.attempt(&bill).await);
    till.wait_until_sent(&bill).await;
    till.chain.pause_next().await;
    injected("F048");
    till.chain.release().await;
    till.change_terms(Terms::default());
    assert_eq!(refusal(till.settle(&bill).await), code);
    till.chain.set_paused(false).await;
    assert_eq!(till.mined_and_failed().await, (1, 1));
    till.assert_unpaid(&bill).await;
}

async fn fails_twice(town: &Town) {
    let mut till = Till::on_terms(&town.base, Terms::hasty()).await;
    let bill = till.bill(Way::Transfer).await;
    for failures in 1..=2 {
        till.change_terms(Terms::hasty());
        till.chain.hold().await;
        for _ in 0..50 {
            unclear_or_early(&till.settle(&bill).await);
            if till.signed_for(&bill).await.len() == failures {
                break;
            }
        }
        till.wait_until_sent(&bill).await;
        // It is stopped in the very block that has our transaction, and goes on after it.
        till.chain.pause_next().await;
        injected("F048");
        till.chain.release().await;
        till.chain.set_paused(false).await;
        till.change_terms(Terms::default());
        let outcome = till.settle(&bill).await;
        if failures == 1 {
            unclear(&outcome);
        } else {
            assert_eq!(refusal(outcome), "invalid_transaction_state");
        }
    }
    for _ in 0..3 {
        assert_eq!(
            refusal(till.settle(&bill).await),
            "invalid_transaction_state"
        );
        till.rail.tend().await;
    }
    assert_eq!(till.mined_and_failed().await, (2, 2));
    till.assert_unpaid(&bill).await;
}

async fn blocked(town: &Town) {
    let till = Till::open(&town.base).await;
    let bill = till.bill(Way::Transfer).await;
    assert_eq!(till.check(&bill).await, Check::Fine);
    till.chain.block_list(bill.payer).await;
    injected("F048");
    let code = "invalid_exact_evm_transaction_simulation_failed";
    assert_eq!(refused(till.check(&bill).await), code);
    assert_eq!(refusal(till.settle(&bill).await), code);
    assert_eq!(till.signed_for(&bill).await, []);
    till.assert_unpaid(&bill).await;
}

async fn expired(town: &Town) {
    for way in Way::ALL {
        let till = Till::open(chain_of(town, way)).await;
        let bill = till.bill(way).await;
        till.chain.wait_seconds(LIFE_S + 10).await;
        injected("F062");
        till.catch_up().await;
        unclear(&till.settle(&bill).await);
        till.chain.mine(5).await;
        till.catch_up().await;
        let code = refusal(till.settle(&bill).await);
        let expected = match way {
            Way::Transfer | Way::Permit => "invalid_exact_evm_payload_authorization_valid_before",
            _ => "permit2_deadline_expired",
        };
        assert_eq!(code, expected);
        let look = till.rail.lookup(&bill.claimed).await;
        assert_eq!(look, Ok(Lookup::Never { code }));
        assert_eq!(till.signed_for(&bill).await, []);
        till.assert_unpaid(&bill).await;
    }
}

async fn bad_input(town: &Town) {
    for way in Way::ALL {
        let till = Till::open(chain_of(town, way)).await;
        let poor = till.chain.fresh_key();
        till.chain.mint(poor.address(), PRICE - 1).await;
        if way == Way::Approved {
            till.chain.approve(poor.address(), PERMIT2, PRICE).await;
        }
        let bill = till.bill_of(way, &poor, 0).await;
        assert_eq!(
            refused(till.check(&bill).await),
            "insufficient_funds",
            "row 44"
        );
    }
    injected("F061");
    let till = Till::open(&town.megaeth).await;
    let key = till.chain.fresh_key();
    till.chain.mint(key.address(), 2 * PRICE).await;
    let ahead = till.bill_of(Way::Permit, &key, 7).await;
    assert_eq!(
        refused(till.check(&ahead).await),
        "invalid_permit_nonce",
        "row 56"
    );
    let unapproved = till.bill_of(Way::Approved, &key, 0).await;
    assert_eq!(
        refused(till.check(&unapproved).await),
        "permit2_allowance_required",
        "row 67"
    );

    let bill = till.bill(Way::Sponsored).await;
    burn_permit2_nonce(&till, &bill).await;
    assert_eq!(
        refused(till.check(&bill).await),
        "permit2_invalid_nonce",
        "row 64"
    );
    till.chain.mine(5).await;
    assert_eq!(refusal(till.settle(&bill).await), "permit2_invalid_nonce");
    till.assert_unpaid(&bill).await;
}

/// The payer sets the bit of a payment's nonce.
async fn burn_permit2_nonce(till: &Till<'_>, bill: &Bill) {
    let Body::Permit2(signed) = bill.claimed.proof().payload.body() else {
        panic!("no Permit2 payment")
    };
    let nonce = signed.transfer.nonce.to_be_bytes();
    let mut high = [0; 32];
    high[1..].copy_from_slice(&nonce[..31]);
    let mut mask = [0_u8; 32];
    mask[31 - usize::from(nonce[31] / 8)] = 1 << (nonce[31] % 8);
    let data = format!(
        "0x{}{}{}",
        selector("invalidateUnorderedNonces(uint256,uint256)"),
        hex::encode(high),
        hex::encode(mask)
    );
    let permit2 = EvmAddress::new(*PERMIT2.as_bytes());
    let hash = till.chain.act_as(bill.payer, permit2, &data).await;
    till.chain.expect_success(&hash).await;
}

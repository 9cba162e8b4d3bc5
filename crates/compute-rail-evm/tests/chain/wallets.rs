//! Contract wallets that say no in every way, and wrappers of wallets that are none yet.

use compute_engine::ports::{Check, Rail as _, Settlement};
use compute_testkit::faults_log::injected;
use compute_wallet::{EvmAddress, Uint256};
use compute_x402::exact_evm::Authorization;
use compute_x402::{Amount, ValidityWindow, verify};
use serde_json::json;

use crate::bill::{Way, envelope};
use crate::cases;
use crate::till::{PRICE, Terms, Till, not_sent, refused};
use crate::town::Town;

cases! {
    "F075", "a wallet that refuses, reverts, burns its gas or answers in 4 bytes (row 43)", unwilling;
    "F075", "a wallet that changes its mind after the check: nothing is delivered", changes_its_mind;
    "F074", "a wrapper of ERC-6492 with a hostile factory is never called (row 42)", hostile_factory;
}

async fn unwilling(town: &Town) {
    let till = Till::open(&town.base).await;
    for manner in ["refusing", "reverting", "burning", "short"] {
        let bill = till
            .bill_of_contract(till.chain.wallet(manner), &town.owner())
            .await;
        let payload = &bill.claimed.proof().payload;
        assert_eq!(till.rail.vouch(payload).await, Ok(false), "{manner}");
        injected("F075");
        let code = refused(till.check(&bill).await);
        assert_eq!(code, "invalid_exact_evm_payload_signature", "{manner}");
        let outcome = till.settle(&bill).await;
        assert!(
            matches!(
                outcome,
                Settlement::Declined { .. } | Settlement::NotSent { .. }
            ),
            "{manner}: {outcome:?}"
        );
        assert_eq!(till.signed_for(&bill).await, []);
        till.assert_unpaid(&bill).await;
    }
    // The time of a question is bounded by what it may burn.
    let calls = till.proxy.calls("eth_call");
    let is_question = |it: &&serde_json::Value| {
        it[0]["data"]
            .as_str()
            .is_some_and(|data| data.starts_with("0x1626ba7e"))
    };
    let questions: Vec<_> = calls.iter().filter(is_question).collect();
    assert!(questions.len() >= 8);
    for question in questions {
        assert_eq!(question[0]["gas"], "0x7a120");
    }
}

async fn changes_its_mind(town: &Town) {
    let till = Till::on_terms(&town.base, Terms::default()).await;
    let wallet = till.chain.wallet("honest");
    for manner in 1..=4 {
        let bill = till.bill_of_contract(wallet, &town.owner()).await;
        assert_eq!(till.check(&bill).await, Check::Fine);
        till.chain.become_(wallet, manner).await;
        injected("F075");
        for _ in 0..2 {
            let outcome = till.settle(&bill).await;
            assert!(
                matches!(
                    outcome,
                    Settlement::Declined { .. } | Settlement::NotSent { .. }
                ),
                "{manner}: {outcome:?}"
            );
        }
        assert_eq!(till.signed_for(&bill).await, [], "{manner}");
        till.assert_unpaid(&bill).await;
        till.chain.become_(wallet, 0).await;
    }
    let bill = till.bill_of_contract(wallet, &town.owner()).await;
    let evidence = till.insist(&bill).await;
    till.assert_paid_once(&bill, &evidence).await;
}

async fn hostile_factory(town: &Town) {
    let till = Till::open(&town.base).await;
    let factory = EvmAddress::new([0x66; 20]);
    let payer = till.chain.fresh_key();
    till.chain.mint(payer.address(), 2 * PRICE).await;
    let (_, now_s) = till.chain.head().await;
    let offer = till.rail.spec().offer(Amount::new(PRICE));
    let authorization = Authorization {
        from: payer.address(),
        to: till.treasury,
        value: Uint256::from(PRICE),
        valid_after: now_s - 600,
        valid_before: now_s + 300,
        nonce: till.chain.fresh_word(),
    };
    let signature = payer.sign_digest(&authorization.digest(offer.token().as_evm().unwrap()));
    // abi.encode(factory, calldata, signature) and the magic of ERC-6492.
    let wrapper = format!(
        "0x{}{}{}{}{}{}{}{}",
        crate::town::word(factory),
        crate::town::uint(0x60),
        crate::town::uint(0xa0),
        crate::town::uint(4),
        format_args!("{:0<64}", "deadbeef"),
        crate::town::uint(65),
        format_args!("{:0<192}", hex::encode(signature.to_bytes())),
        "6492".repeat(16),
    );
    let signed = json!({"signature": wrapper, "authorization": authorization.to_json()});
    let payload = envelope(&offer, &signed, None);
    let error = verify(
        &payload,
        core::slice::from_ref(&offer),
        ValidityWindow::at(now_s),
    )
    .unwrap_err();
    assert_eq!(error.code().as_str(), "eip6492_factory_not_allowed");
    assert_eq!(till.rail.vouch(&payload).await, Ok(false));
    let bill = till
        .claim(Way::Transfer, payload, offer, payer.address(), now_s)
        .await;
    injected("F074");
    assert!(
        till.rail.check(bill.claimed.proof()).await.is_err(),
        "it is no payment at all"
    );
    not_sent(&till.settle(&bill).await);
    for method in [
        "eth_call",
        "eth_estimateGas",
        "eth_sendRawTransaction",
        "eth_getCode",
    ] {
        for call in till.proxy.calls(method) {
            let text = call.to_string();
            assert!(
                !text.contains(&hex::encode(factory.as_bytes())),
                "{method}: {text}"
            );
        }
    }
    assert_eq!(till.signed_for(&bill).await, []);
    till.assert_unpaid(&bill).await;
}

//! Nothing goes wrong: every way to pay, once.

use compute_engine::ports::{Check, Rail as _};

use crate::bill::Way;
use crate::cases;
use crate::till::{PRICE, Till};
use crate::town::Town;

cases! {
    "-", "a transfer (EIP-3009) settles once", transfer;
    "-", "a direct permit settles by two transactions, straight to the treasury", permit;
    "-", "Permit2 with a sponsored permit settles, and the money is moved on", sponsored;
    "-", "Permit2 that was approved before settles, and the money is moved on", approved;
    "-", "a contract wallet is vouched for, and pays by the bytes form of the call", contract_wallet;
}

async fn transfer(town: &Town) {
    let till = Till::open(&town.base).await;
    till.assert_ready().await;
    let bill = till.bill(Way::Transfer).await;
    assert_eq!(till.check(&bill).await, Check::Fine);
    till.assert_unpaid(&bill).await;
    let evidence = till.insist(&bill).await;
    till.assert_paid_once(&bill, &evidence).await;
    assert_eq!(till.chain.balance(till.treasury).await, PRICE);
    assert_eq!(till.mined_and_failed().await, (1, 0));
}

async fn permit(town: &Town) {
    let till = Till::open(&town.megaeth).await;
    till.assert_ready().await;
    let bill = till.bill(Way::Permit).await;
    assert_eq!(till.check(&bill).await, Check::Fine);
    let evidence = till.insist(&bill).await;
    till.assert_paid_once(&bill, &evidence).await;
    assert_eq!(till.chain.balance(till.treasury).await, PRICE);
    assert_eq!(
        till.chain.balance(till.hot).await,
        0,
        "nothing lay in the hot wallet"
    );
    assert_eq!(
        till.chain.allowance(bill.payer, till.hot).await,
        0,
        "nothing is left to take"
    );
    assert_eq!(till.mined_and_failed().await, (2, 0));
}

async fn sponsored(town: &Town) {
    permit2(town, Way::Sponsored).await;
}

async fn approved(town: &Town) {
    permit2(town, Way::Approved).await;
}

async fn permit2(town: &Town, way: Way) {
    let till = Till::open(&town.megaeth).await;
    let bill = till.bill(way).await;
    assert_eq!(till.check(&bill).await, Check::Fine);
    let evidence = till.insist(&bill).await;
    till.assert_moved_once(&bill, &evidence).await;
    till.sweep().await;
    till.come_to_rest().await;
    till.assert_paid_once(&bill, &evidence).await;
    assert_eq!(till.chain.balance(till.treasury).await, PRICE);
    assert_eq!(till.chain.balance(till.hot).await, 0);
    assert_eq!(
        till.mined_and_failed().await,
        (2, 0),
        "the payment, and one sweep"
    );
    assert!(till.waiting().await.is_empty());
}

async fn contract_wallet(town: &Town) {
    let till = Till::open(&town.base).await;
    let wallet = till.chain.wallet("honest");
    let bill = till.bill_of_contract(wallet, &town.owner()).await;
    let payload = &bill.claimed.proof().payload;
    assert_eq!(till.rail.vouch(payload).await, Ok(true));
    let foreign = till.bill_of_contract(wallet, &till.chain.fresh_key()).await;
    assert_eq!(
        till.rail.vouch(&foreign.claimed.proof().payload).await,
        Ok(false)
    );
    assert_eq!(till.check(&bill).await, Check::Fine);
    let evidence = till.insist(&bill).await;
    till.assert_paid_once(&bill, &evidence).await;
    let input = till.chain.transaction(&evidence.reference).await["input"].clone();
    assert!(input.as_str().unwrap().starts_with("0xcf092995"), "{input}");
}

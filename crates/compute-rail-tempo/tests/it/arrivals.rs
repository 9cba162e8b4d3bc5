//! What arrives, asked for or not.

use compute_domain::WalletAddress;
use compute_domain::payment::Evidence;
use compute_engine::ports::{Rail as _, SeenTransfer, Settlement};
use compute_payment_double::tempo::Fault;
use compute_testkit::faults_log::injected;
use compute_wallet::EvmAddress;

use crate::{PRICE, Town, buyer, rail_with, shop, text};

#[tokio::test]
async fn what_settles_and_what_nobody_announced_is_seen_once() {
    let town = Town::open().await;
    let stranger = EvmAddress::new([9; 20]);
    town.chain.deposit(stranger, shop(), 1, None);
    let start = town.rail.arrivals(None).await.unwrap();
    assert!(
        start.transfers.is_empty(),
        "nothing is read before the start"
    );

    let outcome = town.rail.settle(&town.pay(1)).await;
    town.advance(3);
    injected("F085");
    let gift = town.chain.deposit(stranger, shop(), 7, Some([3; 32]));
    town.chain.deposit(shop(), stranger, 5, None);
    let page = town.rail.arrivals(Some(&start.cursor)).await.unwrap();
    let [sale, other] = <[SeenTransfer; 2]>::try_from(page.transfers).unwrap();
    let seen = Evidence {
        reference: sale.reference,
        log_index: Some(sale.log_index),
    };
    assert_eq!(outcome, Settlement::Settled(seen));
    assert_eq!(sale.payer, Some(WalletAddress::Evm(buyer(1).address())));
    assert_eq!(sale.atomic, PRICE);
    assert_eq!(other.reference, text(gift));
    assert_eq!(other.payer, Some(WalletAddress::Evm(stranger)));
    assert_eq!((other.atomic, page.has_more), (7, false));
    assert_eq!(page.read_up_to.secs(), town.chain.now());

    let rest = town.replica().arrivals(Some(&page.cursor)).await.unwrap();
    assert!(rest.transfers.is_empty());
}

#[tokio::test]
async fn the_newest_blocks_are_left_for_later() {
    let town = Town::open().await;
    let patient = rail_with(&town.chain.url(), &town.clock, |config| {
        config.arrival_blocks = 1;
    });
    town.advance(1);
    let start = patient.arrivals(None).await.unwrap();
    town.chain.deposit(buyer(1).address(), shop(), 7, None);
    let page = patient.arrivals(Some(&start.cursor)).await.unwrap();
    assert!(page.transfers.is_empty());
    town.advance(1);
    let page = patient.arrivals(Some(&page.cursor)).await.unwrap();
    assert_eq!(page.transfers.len(), 1);
}

#[tokio::test]
async fn a_failed_read_loses_nothing() {
    let town = Town::open().await;
    let start = town.rail.arrivals(None).await.unwrap();
    town.rail.settle(&town.pay(1)).await;
    for fault in [
        Fault::DropAfter,
        Fault::StatusAfter(500),
        Fault::GarbageAfter,
    ] {
        town.chain.disturb("eth_getBlockByNumber", fault);
        assert!(town.rail.arrivals(Some(&start.cursor)).await.is_err());
    }
    assert!(town.rail.arrivals(Some("tomorrow")).await.is_err());
    let page = town.rail.arrivals(Some(&start.cursor)).await.unwrap();
    assert_eq!(page.transfers.len(), 1);
}

#[tokio::test]
async fn the_source_names_chain_token_and_recipient() {
    let town = Town::open().await;
    let name = town.rail.arrival_source().unwrap();
    assert_eq!(
        name,
        format!(
            "eip155:4217/0x20c000000000000000000000b9537d11c60e8b50/{}",
            shop()
        )
    );
    assert_eq!(town.replica().arrival_source(), Some(name));
}

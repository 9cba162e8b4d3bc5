//! What a customer puts onto a new machine.

use compute_domain::setup::{SshKeys, UserData};
use compute_domain::text::SshPublicKey;
use compute_engine::Error;
use compute_testkit::market::{Buyer, Market, now};
use compute_testkit::scripted_provider::CreateFault;

use crate::world::World;

const SECRET: &str = "#cloud-config\nwrite_files: [{content: hunter2-hunter2}]\n";

const KEYS: [&str; 2] = [
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE1x3mP/UVbZfIt8BsWc8Sh5rzPmcPMdkmXIiOPwPGXI",
];

fn wish() -> compute_engine::ProvisionRequest {
    let mut request = Market::request();
    request.user_data = Some(UserData::parse(SECRET).unwrap());
    request
}

/// As the database holds it.
fn stored(operation: &compute_domain::operation::Operation) -> String {
    serde_json::to_string(&operation.data).unwrap()
}

#[tokio::test]
async fn every_attempt_gets_the_user_data_and_the_database_never_in_clear() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let provider = &world.market.provider;
    provider.misbehave([CreateFault::Throttles, CreateFault::MadeUnseen]);
    let payment = buyer.pay(&world.market.offer(&wish()).await, now(&world.market));
    let bought = world.market.buy(&wish(), &payment).await.unwrap();
    let sealed = stored(&world.operation(bought).await);
    for form in [SECRET, "hunter2", &hex::encode(SECRET)] {
        assert!(!sealed.contains(form), "{sealed}");
    }
    assert!(!sealed.contains("\"sealed_user_data\":null"), "{sealed}");
    world.market.quiesce().await;
    let orders = provider.orders();
    assert_eq!(orders.len(), 3);
    for order in &orders {
        assert_eq!(order.user_data, Some(UserData::parse(SECRET).unwrap()));
        assert!(!format!("{order:?}").contains("hunter2"));
    }
    let at_rest = stored(&world.operation(bought).await);
    assert!(at_rest.contains("\"sealed_user_data\":null"), "{at_rest}");
}

#[tokio::test]
async fn user_data_is_forgotten_when_the_purchase_fails() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    world.market.provider.misbehave([CreateFault::Rejects]);
    let payment = buyer.pay(&world.market.offer(&wish()).await, now(&world.market));
    let bought = world.market.buy(&wish(), &payment).await.unwrap();
    world.market.quiesce().await;
    let at_rest = stored(&world.operation(bought).await);
    assert!(at_rest.contains("\"sealed_user_data\":null"), "{at_rest}");
}

#[tokio::test]
async fn another_setup_is_another_request() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let payment = buyer.pay(&world.market.offer(&wish()).await, now(&world.market));
    world.market.buy(&wish(), &payment).await.unwrap();
    let mut others = [wish(), wish(), wish()];
    others[0].user_data = None;
    others[1].user_data = Some(UserData::parse("#!/bin/sh\n").unwrap());
    others[2].ssh_keys = SshPublicKey::parse(KEYS[0]).unwrap().into();
    for other in &others {
        let refused = world.market.buy(other, &payment).await.unwrap_err();
        assert!(matches!(refused, Error::PaymentAlreadyUsed), "{refused:?}");
    }
}

#[tokio::test]
async fn a_machine_gets_all_its_keys() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let mut request = Market::request();
    request.ssh_keys = SshKeys::of(KEYS.map(|line| SshPublicKey::parse(line).unwrap())).unwrap();
    let payment = buyer.pay(&world.market.offer(&request).await, now(&world.market));
    world.market.buy(&request, &payment).await.unwrap();
    world.market.quiesce().await;
    let [order] = &world.market.provider.orders()[..] else {
        panic!("one machine is asked for")
    };
    assert_eq!(order.machine.ssh_keys, request.ssh_keys);
}

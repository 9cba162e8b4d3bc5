//! The root password is handed out once, ever.

use std::sync::Arc;

use compute_domain::time::Span;
use compute_engine::Error;
use compute_engine::ports::{TakenPassword, TxMode};
use compute_testkit::faults_log::injected;
use compute_testkit::market::Buyer;
use secrecy::ExposeSecret;

use crate::world::World;

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "256 clients at once are 256 tasks"
)]
async fn of_256_readers_one_gets_it() {
    let world = Arc::new(World::open().await);
    let buyer = Arc::new(Buyer::new(1));
    let id = world.sold(&buyer).await.id;
    let readers = (0..256).map(|_| {
        let (world, buyer) = (Arc::clone(&world), Arc::clone(&buyer));
        tokio::spawn(async move {
            let engine = &world.market.engine;
            let caller = buyer.sign_in(engine, "POST", "/x").await.unwrap();
            engine.take_password(&caller, id).await
        })
    });
    let answers = futures::future::join_all(readers).await;
    injected("F155");
    let (mut got, mut taken) = (Vec::new(), 0);
    for answer in answers {
        match answer.unwrap() {
            Ok(access) => got.push(access),
            Err(Error::PasswordTaken) => taken += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!((got.len(), taken), (1, 255));
    let machine = world.market.provider.machines().remove(0).id;
    assert_eq!(
        got[0].password.expose_secret(),
        format!("root-of-{machine}")
    );
}

#[tokio::test]
async fn nobody_else_gets_it() {
    let world = World::open().await;
    let (buyer, stranger) = (Buyer::new(1), Buyer::new(2));
    let id = world.sold(&buyer).await.id;
    let caller = stranger
        .sign_in(&world.market.engine, "POST", "/x")
        .await
        .unwrap();
    let refused = world.market.engine.take_password(&caller, id).await;
    assert!(matches!(refused, Err(Error::NotFound)));
}

#[tokio::test]
async fn an_unread_password_is_erased_after_a_week() {
    let world = World::open().await;
    let buyer = Buyer::new(1);
    let id = world.sold(&buyer).await.id;
    world.market.clock.advance(Span::from_hours(7 * 24 + 1));
    world.market.engine.clean_up().await.unwrap();
    let caller = buyer
        .sign_in(&world.market.engine, "POST", "/x")
        .await
        .unwrap();
    let refused = world.market.engine.take_password(&caller, id).await;
    assert!(matches!(refused, Err(Error::PasswordTaken)), "{refused:?}");
}

#[tokio::test]
async fn a_password_that_nobody_read_is_erased_with_its_machine() {
    let world = World::open().await;
    let (market, buyer) = (&world.market, Buyer::new(1));
    let id = world.sold(&buyer).await.id;
    let caller = buyer.sign_in(&market.engine, "DELETE", "/x").await.unwrap();
    let submitted = market.engine.destroy(&caller, id).await.unwrap();
    market.engine.work(submitted).await;
    market.quiesce().await;
    assert!(market.provider.alive().is_empty());
    let caller = buyer.sign_in(&market.engine, "POST", "/x").await.unwrap();
    let refused = market.engine.take_password(&caller, id).await;
    assert!(
        matches!(refused, Err(Error::WrongState { .. })),
        "{refused:?}"
    );
    // Nor is it in the database any more.
    let mut tx = market.store.begin(TxMode::Write).await.unwrap();
    let left = tx.take_password(id, market.engine.now()).await.unwrap();
    assert!(!matches!(left, TakenPassword::Sealed(_)));
}

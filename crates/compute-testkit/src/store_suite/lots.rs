//! Prepaid value.

use std::sync::Arc;

use compute_domain::id::InstanceId;
use compute_domain::instance::Instance;
use compute_domain::money::{HourlyRate, Hours};
use compute_domain::operation::Operation;
use compute_domain::prepaid::{Lot, Prepaid};
use compute_domain::time::Timestamp;
use compute_engine::ports::{Store, StoreError};

use super::fixture::{
    add_active, at, begin_read, begin_write, fresh_uuid, open, provision_of, usd,
};

const DAY: i64 = 24 * 3_600_000;

fn rate(micros: i64) -> HourlyRate {
    HourlyRate::from_micros(micros).unwrap()
}

/// An active instance, its provision, and the lot of its first day.
async fn add_bought(store: &Arc<dyn Store>) -> (Instance, Operation, Prepaid) {
    let instance = add_active(store, at(DAY)).await;
    let operation = provision_of(&instance);
    open(store, &operation, "opener", at(10)).await;
    let hours = Hours::new(24).unwrap();
    let bought = Prepaid::bought(operation.id, usd(168_000), rate(7_000), hours, at(DAY));
    save(store, instance.id, &bought).await.unwrap();
    (instance, operation, bought)
}

async fn save(
    store: &Arc<dyn Store>,
    instance: InstanceId,
    prepaid: &Prepaid,
) -> Result<(), StoreError> {
    let mut tx = begin_write(store).await;
    tx.save_lots(instance, prepaid).await?;
    tx.commit().await
}

async fn lots(store: &Arc<dyn Store>, instance: InstanceId) -> Prepaid {
    begin_read(store).await.lots_of(instance).await.unwrap()
}

fn changed(prepaid: &Prepaid, number: usize, change: impl FnOnce(&mut Lot)) -> Prepaid {
    let mut lots = prepaid.lots().to_vec();
    change(lots.get_mut(number).unwrap());
    Prepaid::of(lots)
}

pub(super) async fn lots_read_back_oldest_first(store: Arc<dyn Store>) {
    let (instance, operation, bought) = add_bought(&store).await;
    assert_eq!(lots(&store, instance.id).await, bought);
    let stranger = InstanceId::from_uuid(fresh_uuid());
    assert!(lots(&store, stranger).await.is_empty());
    let extended = bought
        .extend(
            operation.id,
            usd(240_000),
            rate(10_000),
            Hours::new(24).unwrap(),
        )
        .unwrap();
    save(&store, instance.id, &extended).await.unwrap();
    assert_eq!(lots(&store, instance.id).await, extended);
    let converted = extended
        .convert(operation.id, rate(20_000), at(DAY / 2))
        .unwrap();
    save(&store, instance.id, &converted).await.unwrap();
    assert_eq!(lots(&store, instance.id).await, converted);
    let closed = converted.close(at(DAY));
    save(&store, instance.id, &closed).await.unwrap();
    assert_eq!(lots(&store, instance.id).await, closed);
    // The same once more changes nothing.
    save(&store, instance.id, &closed).await.unwrap();
    assert_eq!(lots(&store, instance.id).await, closed);
}

pub(super) async fn a_lot_that_was_written_never_changes(store: Arc<dyn Store>) {
    let (instance, operation, bought) = add_bought(&store).await;
    let hours = Hours::new(24).unwrap();
    let extended = bought.extend(operation.id, usd(1), rate(1), hours).unwrap();
    save(&store, instance.id, &extended).await.unwrap();
    let shorter = Prepaid::of(extended.lots().get(..1).unwrap().to_vec());
    let richer = changed(&extended, 0, |lot| lot.amount = usd(168_001));
    let longer = changed(&extended, 1, |lot| lot.to = at(3 * DAY));
    let earlier = changed(&extended, 0, |lot| lot.from = at(1));
    let cheaper = changed(&extended, 0, |lot| lot.rate = rate(6_999));
    for bad in [shorter, richer, longer, earlier, cheaper] {
        refuse(&store, instance.id, &bad, &extended).await;
    }
}

pub(super) async fn a_closing_is_never_undone(store: Arc<dyn Store>) {
    let (instance, _, bought) = add_bought(&store).await;
    let closed = bought.clone().close(at(DAY / 2));
    save(&store, instance.id, &closed).await.unwrap();
    let closing_at = |moment: Timestamp| {
        changed(&closed, 0, |lot| {
            lot.closed = lot.closed.map(|mut closing| {
                closing.at = moment;
                closing
            });
        })
    };
    for bad in [bought, closing_at(at(1))] {
        refuse(&store, instance.id, &bad, &closed).await;
    }
}

async fn refuse(store: &Arc<dyn Store>, instance: InstanceId, bad: &Prepaid, good: &Prepaid) {
    let outcome = save(store, instance, bad).await;
    assert!(
        matches!(outcome, Err(StoreError::Rejected(_))),
        "{outcome:?} of {bad:?}"
    );
    assert_eq!(&lots(store, instance).await, good);
}

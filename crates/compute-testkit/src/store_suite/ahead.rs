//! Notices of ends, and extensions that owners want.

use std::sync::Arc;

use compute_domain::id::{ApiKeyId, InstanceId};
use compute_domain::money::Hours;
use compute_engine::ports::{AutoExtension, ExpiryNotice, Store};

use super::fixture::{add_instance, at, begin_read, begin_write, fresh_uuid, usd};

pub(super) async fn a_machine_has_one_notice_at_a_time(store: Arc<dyn Store>) {
    let (one, other) = (add_instance(&store).await.id, add_instance(&store).await.id);
    let notice = |instance, due, hours_left| ExpiryNotice {
        instance,
        expires_at: at(100),
        hours_left,
        due_at: at(due),
    };
    let mut tx = begin_write(&store).await;
    assert_eq!(tx.find_expiry_notice(one).await.unwrap(), None);
    for notice in [notice(one, 5, 72), notice(other, 7, 24), notice(one, 9, 1)] {
        tx.set_expiry_notice(&notice).await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut tx = begin_read(&store).await;
    let found = tx.find_expiry_notice(one).await.unwrap();
    assert_eq!(found, Some(notice(one, 9, 1)));
    for (now, limit, expected) in [
        (6, 9, vec![]),
        (7, 9, vec![other]),
        (9, 9, vec![other, one]),
        (9, 1, vec![other]),
    ] {
        let due = tx.list_due_notices(at(now), limit).await.unwrap();
        assert_eq!(due, expected, "{now}");
    }
    tx.rollback().await.unwrap();
    let mut tx = begin_write(&store).await;
    for _ in 0..2 {
        tx.clear_expiry_notice(other).await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut tx = begin_read(&store).await;
    assert_eq!(tx.list_due_notices(at(9), 9).await.unwrap(), [one]);
}

pub(super) async fn a_machine_has_one_wish_to_be_extended(store: Arc<dyn Store>) {
    let (one, other) = (add_instance(&store).await.id, add_instance(&store).await.id);
    let wish = AutoExtension {
        instance: one,
        hours: Hours::new(48).unwrap(),
        max_total: usd(5_000_000),
        spent: usd(7),
        api_key: Some(ApiKeyId::from_uuid(fresh_uuid())),
        due_at: Some(at(5)),
        failures: 3,
        told: Some("cap_reached".to_owned()),
    };
    let idle = AutoExtension {
        instance: other,
        api_key: None,
        due_at: None,
        told: None,
        ..wish.clone()
    };
    let mut tx = begin_write(&store).await;
    for wish in [&wish, &idle] {
        tx.set_auto_extension(wish).await.unwrap();
        let found = tx.find_auto_extension(wish.instance).await.unwrap();
        assert_eq!(found.as_ref(), Some(wish));
    }
    // What nobody plans is never due.
    assert_eq!(tx.list_due_extensions(at(4), 9).await.unwrap(), []);
    assert_eq!(tx.list_due_extensions(at(5), 9).await.unwrap(), [one]);
    let later = AutoExtension {
        due_at: Some(at(8)),
        spent: usd(9),
        ..wish
    };
    tx.set_auto_extension(&later).await.unwrap();
    assert_eq!(tx.list_due_extensions(at(7), 9).await.unwrap(), []);
    assert_eq!(tx.list_due_extensions(at(8), 9).await.unwrap(), [one]);
    let found = tx.find_auto_extension(one).await.unwrap();
    assert_eq!(found, Some(later));
    for _ in 0..2 {
        tx.clear_auto_extension(one).await.unwrap();
    }
    assert_eq!(tx.find_auto_extension(one).await.unwrap(), None);
    tx.commit().await.unwrap();
}

pub(super) async fn what_is_planned_is_planned_for_an_instance(store: Arc<dyn Store>) {
    let nothing = InstanceId::from_uuid(fresh_uuid());
    let mut tx = begin_write(&store).await;
    let notice = ExpiryNotice {
        instance: nothing,
        expires_at: at(9),
        hours_left: 1,
        due_at: at(8),
    };
    assert!(tx.set_expiry_notice(&notice).await.is_err());
    tx.rollback().await.unwrap();
}

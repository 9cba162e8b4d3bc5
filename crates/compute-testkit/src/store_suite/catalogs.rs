//! Catalogues.

use std::sync::Arc;

use compute_domain::catalog::ProviderId;
use compute_domain::time::Timestamp;
use compute_engine::ports::{CatalogRevision, Store};

use super::fixture::{at, begin_read, begin_write, race};

const VULTR: ProviderId = ProviderId::Vultr;

async fn record(store: &Arc<dyn Store>, body: &str, now: Timestamp) -> CatalogRevision {
    let mut tx = begin_write(store).await;
    let recorded = tx.record_catalog(VULTR, body, now).await.unwrap();
    tx.commit().await.unwrap();
    recorded
}

pub(super) async fn an_unchanged_catalogue_is_confirmed(store: Arc<dyn Store>) {
    let seen = |revision, body: &str, first: i64, last: i64| CatalogRevision {
        provider: VULTR,
        revision,
        body: body.to_owned(),
        first_seen_at: at(first),
        confirmed_at: at(last),
    };
    assert_eq!(record(&store, "a", at(1)).await, seen(1, "a", 1, 1));
    assert_eq!(record(&store, "a", at(5)).await, seen(1, "a", 1, 5));
    // A clock that is behind takes nothing back.
    assert_eq!(record(&store, "a", at(3)).await, seen(1, "a", 1, 5));
    assert_eq!(record(&store, "b", at(6)).await, seen(2, "b", 6, 6));
    // What comes back is news.
    assert_eq!(record(&store, "a", at(7)).await, seen(3, "a", 7, 7));
    let mut tx = begin_read(&store).await;
    let newest = tx.load_catalogs(VULTR, 2).await.unwrap();
    assert_eq!(newest, [seen(3, "a", 7, 7), seen(2, "b", 6, 6)]);
    assert_eq!(
        tx.load_catalogs(ProviderId::DigitalOcean, 2).await.unwrap(),
        []
    );
}

pub(super) async fn the_newest_eight_revisions_are_kept(store: Arc<dyn Store>) {
    for number in 1..=11 {
        record(&store, &format!("body {number}"), at(number)).await;
    }
    let kept = begin_read(&store)
        .await
        .load_catalogs(VULTR, 99)
        .await
        .unwrap();
    let revisions: Vec<_> = kept.iter().map(|catalog| catalog.revision).collect();
    assert_eq!(revisions, [11, 10, 9, 8, 7, 6, 5, 4]);
}

pub(super) async fn racing_replicas_record_one_revision(store: Arc<dyn Store>) {
    let recorded = race(16, |_| {
        let store = Arc::clone(&store);
        async move { record(&store, "a", at(1)).await.revision }
    })
    .await;
    assert!(
        recorded.iter().all(|revision| *revision == 1),
        "{recorded:?}"
    );
}

//! The auditor's view of a good history. What it says to a bad one cannot be shown through the port,
//! which refuses to write one.

use std::sync::Arc;

use compute_engine::ports::Store;

use super::fixture::{begin_read, begin_write};
use super::history::tell;

pub(super) async fn an_empty_shop_breaks_no_promise(store: Arc<dyn Store>) {
    assert_eq!(begin_read(&store).await.audit().await.unwrap(), []);
}

pub(super) async fn a_good_history_breaks_no_promise(store: Arc<dyn Store>) {
    tell(&store).await;
    assert_eq!(begin_read(&store).await.audit().await.unwrap(), []);
    // Twice the trade, in the same books; and a writer may audit too.
    tell(&store).await;
    let mut tx = begin_write(&store).await;
    assert_eq!(tx.audit().await.unwrap(), []);
    tx.commit().await.unwrap();
}

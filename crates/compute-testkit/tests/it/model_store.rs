//! Every case of the `Store` suite on the database in memory.

use std::sync::Arc;

use compute_testkit::model_store::ModelStore;
use compute_testkit::store_suite;

macro_rules! instantiate {
    ($($group:ident :: $case:ident),+ $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            store_suite::$case(Arc::new(ModelStore::new())).await;
        }
    )+};
}

compute_testkit::for_each_store_case!(instantiate);

//! Every case of the `Store` suite, on each database.

use compute_testkit::database::TestDatabase;
use compute_testkit::store_suite;

macro_rules! instantiate {
    ($($group:ident :: $case:ident),+ $(,)?) => {
        mod sqlite {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let database = TestDatabase::sqlite().await;
                    store_suite::$case(database.store()).await;
                }
            )+
        }

        mod postgres {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let database = TestDatabase::postgres().await;
                    store_suite::$case(database.store()).await;
                }
            )+
        }
    };
}

compute_testkit::for_each_store_case!(instantiate);

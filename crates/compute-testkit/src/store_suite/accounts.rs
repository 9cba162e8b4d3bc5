//! Our accounts at the providers.

use std::sync::Arc;

use compute_domain::catalog::{PlanId, ProviderId};
use compute_domain::instance::{FailureCode, Instance, InstanceState};
use compute_domain::money::Usd;
use compute_engine::ports::{
    AccountRecord, AccountState, AccountTold, PlanDrift, ProviderAccount, Store,
};

use super::fixture::{
    RACERS, add_active, at, begin_read, begin_write, count, insert_instance, pending_instance, race,
};

const VULTR: ProviderId = ProviderId::Vultr;
const OCEAN: ProviderId = ProviderId::DigitalOcean;

fn seen(id: Option<&str>, state: AccountState) -> ProviderAccount {
    ProviderAccount {
        id: id.map(str::to_owned),
        state,
        funds: None,
        machine_limit: None,
    }
}

async fn accounts(store: &Arc<dyn Store>) -> Vec<AccountRecord> {
    let mut tx = begin_read(store).await;
    tx.list_accounts().await.unwrap()
}

async fn only_account(store: &Arc<dyn Store>) -> AccountRecord {
    let mut all = accounts(store).await;
    assert_eq!(all.len(), 1);
    all.remove(0)
}

pub(super) async fn what_an_account_tells_reads_back(store: Arc<dyn Store>) {
    assert_eq!(accounts(&store).await, []);
    let states = [
        AccountState::Open,
        AccountState::Warned,
        AccountState::Locked,
    ];
    for (moment, state) in (1..).zip(states) {
        let told = ProviderAccount {
            funds: Some(Usd::from_micros(1_234_567).unwrap()),
            machine_limit: Some(25),
            ..seen(Some("a"), state)
        };
        let mut tx = begin_write(&store).await;
        let noted = tx.note_account(VULTR, &told, at(moment)).await.unwrap();
        let other = seen(None, AccountState::Open);
        tx.note_account(OCEAN, &other, at(9)).await.unwrap();
        tx.commit().await.unwrap();
        let expected = AccountRecord {
            provider: VULTR,
            account: Some("a".to_owned()),
            other: None,
            refused_since: None,
            told: Some(AccountTold {
                at: at(moment),
                state,
                funds: told.funds,
                machine_limit: Some(25),
            }),
        };
        assert_eq!(noted, expected);
        let [ocean, vultr] = &accounts(&store).await[..] else {
            panic!("two accounts")
        };
        assert_eq!((ocean.provider, ocean.account.as_deref()), (OCEAN, None));
        assert_eq!(*vultr, expected);
    }
}

pub(super) async fn another_account_waits_to_be_accepted(store: Arc<dyn Store>) {
    let mut tx = begin_write(&store).await;
    let mut record = AccountRecord::unknown(VULTR);
    for id in [None, Some("a"), Some("b"), None, Some("c"), Some("a")] {
        let told = seen(id, AccountState::Open);
        record = record.after(&told, at(1));
        let noted = tx.note_account(VULTR, &told, at(1)).await.unwrap();
        assert_eq!(noted, record, "{id:?}");
    }
    let told = seen(Some("b"), AccountState::Open);
    tx.note_account(VULTR, &told, at(2)).await.unwrap();
    assert!(!tx.accept_account(VULTR, "c").await.unwrap());
    assert!(!tx.accept_account(OCEAN, "b").await.unwrap());
    assert!(tx.accept_account(VULTR, "b").await.unwrap());
    assert!(!tx.accept_account(VULTR, "b").await.unwrap());
    tx.commit().await.unwrap();
    let record = only_account(&store).await;
    assert_eq!(record.account.as_deref(), Some("b"));
    assert_eq!(record.other, None);
}

pub(super) async fn refused_credentials_are_news_once(store: Arc<dyn Store>) {
    let mut tx = begin_write(&store).await;
    assert!(!tx.readmit_account(VULTR).await.unwrap());
    assert!(tx.refuse_account(VULTR, at(1)).await.unwrap());
    assert!(!tx.refuse_account(VULTR, at(2)).await.unwrap());
    tx.commit().await.unwrap();
    let known = only_account(&store).await;
    assert_eq!(known.refused_since, Some(at(1)));
    assert_eq!(known.told, None);
    let mut tx = begin_write(&store).await;
    // What the account tells does not change it.
    let told = seen(Some("a"), AccountState::Open);
    let noted = tx.note_account(VULTR, &told, at(3)).await.unwrap();
    assert_eq!(noted.refused_since, Some(at(1)));
    assert!(tx.readmit_account(VULTR).await.unwrap());
    assert!(!tx.readmit_account(VULTR).await.unwrap());
    assert!(tx.refuse_account(VULTR, at(4)).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(only_account(&store).await.refused_since, Some(at(4)));
}

pub(super) async fn racing_replicas_record_one_account(store: Arc<dyn Store>) {
    let recorded = race(RACERS, |number| {
        let store = Arc::clone(&store);
        async move {
            let told = seen(Some(&number.to_string()), AccountState::Open);
            let mut tx = begin_write(&store).await;
            let noted = tx.note_account(VULTR, &told, at(1)).await.unwrap();
            tx.commit().await.unwrap();
            (noted.account, noted.other.is_none())
        }
    })
    .await;
    let first = only_account(&store).await.account;
    assert!(recorded.iter().all(|(account, _)| *account == first));
    let ours: Vec<bool> = recorded.iter().map(|(_, is_ours)| *is_ours).collect();
    assert_eq!(count(&ours, &true), 1);
}

pub(super) async fn live_instances_are_counted_by_provider(store: Arc<dyn Store>) {
    let active = add_active(&store, at(100)).await;
    let owner = active.owner;
    for (provider, state) in [
        (VULTR, InstanceState::Pending),
        (OCEAN, InstanceState::Pending),
        (
            VULTR,
            InstanceState::Failed {
                code: FailureCode::NoCapacity,
                at: at(1),
            },
        ),
    ] {
        let instance = Instance {
            provider,
            state,
            ..pending_instance(owner)
        };
        insert_instance(&store, &instance).await;
    }
    let mut tx = begin_read(&store).await;
    assert_eq!(active.provider, VULTR);
    assert_eq!(tx.count_live_at(VULTR).await.unwrap(), 2);
    assert_eq!(tx.count_live_at(OCEAN).await.unwrap(), 1);
}

fn plan(id: &str) -> PlanId {
    PlanId::parse(id).unwrap()
}

pub(super) async fn another_plan_is_remembered_by_looks(store: Arc<dyn Store>) {
    let (first, second) = (
        add_active(&store, at(100)).await,
        add_active(&store, at(100)).await,
    );
    let (big, small) = (plan("vc2-4c-8gb"), plan("vc2-1c-2gb"));
    let mut tx = begin_write(&store).await;
    for (moment, seen, since, looks) in [
        (1, &big, 1, 1),
        (2, &big, 1, 2),
        (3, &small, 3, 1),
        (4, &small, 3, 2),
    ] {
        let noted = tx.note_plan_drift(first.id, seen, at(moment)).await;
        let expected = PlanDrift {
            instance: first.id,
            plan: seen.clone(),
            since: at(since),
            looks,
        };
        assert_eq!(noted.unwrap(), expected);
    }
    tx.note_plan_drift(second.id, &big, at(2)).await.unwrap();
    let drifts = |found: Vec<PlanDrift>| -> Vec<_> {
        found.into_iter().map(|drift| drift.instance).collect()
    };
    let all = tx.list_plan_drifts(1, 9).await.unwrap();
    assert_eq!(drifts(all), [second.id, first.id]);
    let one = tx.list_plan_drifts(1, 1).await.unwrap();
    assert_eq!(drifts(one), [second.id]);
    let often = tx.list_plan_drifts(2, 9).await.unwrap();
    assert_eq!(drifts(often), [first.id]);
    assert!(tx.forget_plan_drift(first.id).await.unwrap());
    assert!(!tx.forget_plan_drift(first.id).await.unwrap());
    let left = tx.list_plan_drifts(1, 9).await.unwrap();
    assert_eq!(drifts(left), [second.id]);
    tx.commit().await.unwrap();
}

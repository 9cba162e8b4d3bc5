//! Operations and their logs.

use compute_domain::setup::SshKeys;
use std::sync::Arc;

use compute_domain::catalog::{OsId, PlanId, RegionId};
use compute_domain::id::{ApiKeyId, OperationId};
use compute_domain::instance::FailureCode;
use compute_domain::money::{HourlyRate, Hours};
use compute_domain::operation::{
    CreditsSpent, MachineSpec, Operation, OperationData, OperationKind, OperationState, PlanChange,
    PowerAction, Progress, Step, SwitchUse, TimeBought, Undo,
};
use compute_domain::request_key::RequestKey;
use compute_domain::text::{Hostname, Label};
use compute_engine::ports::{Opened, Store, StoreError};

use super::fixture::{
    RACERS, add_active, add_instance, add_operation, add_owner, at, begin_read, begin_write, count,
    extension_of, fresh_owner, fresh_uuid, fresh_wallet, open, payment_for, provision_of, race,
    topup_of, usd,
};

fn full_data() -> OperationData {
    let spec = MachineSpec {
        plan: PlanId::parse("do:s-1vcpu-1gb").unwrap(),
        region: RegionId::parse("nyc3").unwrap(),
        os: OsId::parse("ubuntu-24-04-x64").unwrap(),
        label: Label::parse("it's \"quoted\" 🚀").unwrap(),
        hostname: Some(Hostname::parse("web-1").unwrap()),
        ssh_keys: SshKeys::default(),
    };
    OperationData {
        spec: Some(spec),
        sealed_user_data: Some("00ff".to_owned()),
        time: Some(TimeBought {
            hours: Hours::new(24).unwrap(),
            rate: HourlyRate::from_micros(7_000).unwrap(),
            price: usd(168_000),
        }),
        credits: Some(CreditsSpent {
            amount: usd(168_000),
            api_key: Some(ApiKeyId::from_uuid(uuid::Uuid::from_u128(8))),
        }),
        request_keys: vec![RequestKey::idempotency_key("purchase-1").unwrap()],
        hold_released_at: Some(at(6)),
        marked_by: Some(OperationId::from_uuid(uuid::Uuid::from_u128(9))),
        machine_attempt: 3,
        undo: Some(Undo::Fail(FailureCode::NotReady)),
        step_since: Some(at(1)),
        settlement_unknown_since: Some(at(2)),
        overdue_looks: 4,
        unanswered: 2,
        looks: 21,
        seen_alive: true,
        seen_address: Some("192.0.2.7".parse().unwrap()),
        gone_since: Some(at(3)),
        change: Some(PlanChange {
            to: PlanId::parse("do:s-2vcpu-2gb").unwrap(),
            rate: HourlyRate::from_micros(21_000).unwrap(),
            grow_disk: true,
            switches_off: true,
            action: Some("36805096".to_owned()),
            is_done: true,
            given_up: Some(FailureCode::ResizeFailed),
            idle_since: Some(at(4)),
        }),
        switch: Some(SwitchUse {
            action: PowerAction::Reinstall,
            is_accepted: true,
            was_unclear: true,
        }),
        was_held: true,
    }
}

fn every_state() -> Vec<OperationState> {
    let mut states = vec![OperationState::Succeeded];
    for step in Step::ALL {
        for begun_at in [None, Some(at(7))] {
            let progress = Progress {
                step: *step,
                begun_at,
                attempt: u32::MAX,
                run_at: at(8),
            };
            states.push(OperationState::Running(progress));
        }
        let code = FailureCode::SettlementUnknown;
        states.push(OperationState::Stuck { code, step: *step });
    }
    states.extend(
        FailureCode::ALL
            .iter()
            .map(|code| OperationState::Failed { code: *code }),
    );
    states
}

pub(super) async fn every_operation_state_reads_back(store: Arc<dyn Store>) {
    for (state, data) in every_state()
        .into_iter()
        .zip([OperationData::default(), full_data()].into_iter().cycle())
    {
        let (operation, lease) = add_operation(&store).await;
        let mut tx = begin_write(&store).await;
        assert_eq!(
            tx.find_operation(operation.id).await.unwrap(),
            Some(operation.clone())
        );
        let finished_at = (state.name() != "running").then_some(at(9));
        let saved = Operation {
            state,
            data,
            finished_at,
            ..operation.clone()
        };
        tx.save_operation(&saved, &lease, at(20_000)).await.unwrap();
        assert_eq!(tx.find_operation(operation.id).await.unwrap(), Some(saved));
        tx.commit().await.unwrap();
    }
    let mut tx = begin_write(&store).await;
    let unknown = OperationId::from_uuid(fresh_uuid());
    assert_eq!(tx.find_operation(unknown).await.unwrap(), None);
}

pub(super) async fn what_is_finished_is_not_written_again(store: Arc<dyn Store>) {
    let code = FailureCode::NoCapacity;
    for state in [OperationState::Succeeded, OperationState::Failed { code }] {
        let (operation, lease) = add_operation(&store).await;
        let done = operation.clone().rest(state, at(9));
        let mut tx = begin_write(&store).await;
        tx.save_operation(&done, &lease, at(20)).await.unwrap();
        tx.commit().await.unwrap();
        // Neither by the same decision once more, nor by an older one.
        for again in [&done, &operation] {
            let mut tx = begin_write(&store).await;
            let outcome = tx.save_operation(again, &lease, at(30)).await;
            assert!(matches!(outcome, Err(StoreError::LeaseLost)), "{outcome:?}");
            tx.rollback().await.unwrap();
        }
        let mut tx = begin_write(&store).await;
        assert_eq!(tx.find_operation(operation.id).await.unwrap(), Some(done));
    }
}

pub(super) async fn an_instance_has_one_open_operation(store: Arc<dyn Store>) {
    let instance = add_instance(&store).await;
    let (first, second) = (provision_of(&instance), provision_of(&instance));
    let lease = open(&store, &first, "a", at(10)).await;
    assert_eq!(
        (lease.operation, lease.holder.as_str(), lease.epoch),
        (first.id, "a", 1)
    );
    let code = FailureCode::SettlementUnknown;
    let stuck = first.clone().rest(
        OperationState::Stuck {
            code,
            step: Step::Settle,
        },
        at(5),
    );
    let mut tx = begin_write(&store).await;
    let busy = tx.open_operation(&second, "b", at(10)).await.unwrap();
    assert_eq!(busy, Opened::InstanceBusy);
    tx.save_operation(&stuck, &lease, at(10)).await.unwrap();
    let busy = tx.open_operation(&second, "b", at(10)).await.unwrap();
    assert_eq!(busy, Opened::InstanceBusy);
    assert_eq!(tx.find_operation(second.id).await.unwrap(), None);
    tx.save_operation(
        &first.rest(OperationState::Succeeded, at(6)),
        &lease,
        at(10),
    )
    .await
    .unwrap();
    let opened = tx.open_operation(&second, "b", at(10)).await.unwrap();
    assert!(matches!(opened, Opened::Leased(_)));
    tx.commit().await.unwrap();
}

pub(super) async fn racing_requests_open_one_operation(store: Arc<dyn Store>) {
    let instance = add_instance(&store).await;
    let opened = race(16, |number| {
        let store = Arc::clone(&store);
        let operation = provision_of(&instance);
        async move {
            let mut tx = begin_write(&store).await;
            let holder = format!("holder-{number}");
            let opened = tx
                .open_operation(&operation, &holder, at(10))
                .await
                .unwrap();
            tx.commit().await.unwrap();
            opened
        }
    })
    .await;
    assert_eq!(count(&opened, &Opened::InstanceBusy), 15);
}

pub(super) async fn an_operation_that_let_go_holds_nothing(store: Arc<dyn Store>) {
    let instance = add_active(&store, at(100)).await;
    let (mut first, second) = (extension_of(&instance), extension_of(&instance));
    let lease = open(&store, &first, "a", at(10)).await;
    first.data.hold_released_at = Some(at(5));
    let mut tx = begin_write(&store).await;
    tx.save_operation(&first, &lease, at(10)).await.unwrap();
    let opened = tx.open_operation(&second, "b", at(10)).await.unwrap();
    assert!(matches!(opened, Opened::Leased(_)));
    let third = extension_of(&instance);
    let busy = tx.open_operation(&third, "c", at(10)).await.unwrap();
    assert_eq!(busy, Opened::InstanceBusy);
    tx.commit().await.unwrap();
    let mut tx = begin_read(&store).await;
    assert_eq!(tx.find_operation(first.id).await.unwrap(), Some(first));
    drop(tx);
    // It cannot take hold again.
    let mut tx = begin_write(&store).await;
    let mut again = extension_of(&instance);
    again.data.hold_released_at = Some(at(6));
    let opened = tx.open_operation(&again, "d", at(10)).await.unwrap();
    let Opened::Leased(lease) = opened else {
        panic!("{opened:?}")
    };
    again.data.hold_released_at = None;
    let outcome = tx.save_operation(&again, &lease, at(10)).await;
    assert!(
        matches!(outcome, Err(StoreError::Rejected(_))),
        "{outcome:?}"
    );
}

pub(super) async fn topups_do_not_stand_in_each_others_way(store: Arc<dyn Store>) {
    let owner = add_owner(&store).await;
    for holder in ["a", "b"] {
        let operation = topup_of(owner);
        open(&store, &operation, holder, at(10)).await;
        let mut tx = begin_read(&store).await;
        let found = tx.find_operation(operation.id).await.unwrap();
        assert_eq!(found, Some(operation));
    }
}

pub(super) async fn the_operations_of_an_instance_are_listed_oldest_first(store: Arc<dyn Store>) {
    let instance = add_instance(&store).await;
    add_operation(&store).await;
    let mut tx = begin_write(&store).await;
    assert_eq!(tx.operations_of(instance.id).await.unwrap(), []);
    assert_eq!(tx.provision_of(instance.id).await.unwrap(), None);
    tx.commit().await.unwrap();
    let provision = provision_of(&instance);
    let lease = open(&store, &provision, "a", at(10)).await;
    let provision = provision.rest(OperationState::Succeeded, at(5));
    let mut tx = begin_write(&store).await;
    tx.save_operation(&provision, &lease, at(10)).await.unwrap();
    tx.commit().await.unwrap();
    let destroy = Operation {
        kind: OperationKind::Destroy,
        created_at: at(6),
        ..extension_of(&instance)
    };
    open(&store, &destroy, "a", at(10)).await;
    let mut tx = begin_read(&store).await;
    assert_eq!(
        tx.operations_of(instance.id).await.unwrap(),
        [provision.clone(), destroy]
    );
    assert_eq!(tx.provision_of(instance.id).await.unwrap(), Some(provision));
}

pub(super) async fn what_a_human_may_want_to_see_is_listed(store: Arc<dyn Store>) {
    let owner = add_owner(&store).await;
    let opened_at = |moment| Operation {
        created_at: at(moment),
        ..topup_of(owner)
    };
    let code = FailureCode::SettlementUnknown;
    let step = Step::Settle;
    let stuck = opened_at(40).rest(OperationState::Stuck { code, step }, at(50));
    let done = opened_at(1).rest(OperationState::Succeeded, at(2));
    let failed = opened_at(2).rest(OperationState::Failed { code }, at(3));
    let (old, young) = (opened_at(10), opened_at(20));
    for operation in [&stuck, &done, &failed, &young, &old] {
        open(&store, operation, "a", at(9)).await;
    }
    let mut tx = begin_read(&store).await;
    for (opened_before, limit, expected) in [
        (at(10), 9, vec![&stuck]),
        (at(20), 9, vec![&old, &stuck]),
        (at(21), 9, vec![&old, &young, &stuck]),
        (at(21), 2, vec![&old, &young]),
    ] {
        let listed = tx.list_unresolved(opened_before, limit).await.unwrap();
        assert_eq!(listed.iter().collect::<Vec<_>>(), expected);
    }
}

pub(super) async fn a_hanging_operation_is_found(store: Arc<dyn Store>) {
    let (mut operation, lease) = add_operation(&store).await;
    let (owner, digest) = (operation.owner, operation.request_digest);
    let mut tx = begin_write(&store).await;
    let nothing = tx.find_hanging(owner, None, &digest, at(-9), at(99)).await;
    assert_eq!(nothing.unwrap(), None);
    operation.data.settlement_unknown_since = Some(at(3));
    tx.save_operation(&operation, &lease, at(10)).await.unwrap();
    let found = Some(operation.clone());
    for (who, what, since, expected) in [
        (owner, digest, at(0), &found),
        (owner, digest, at(1), &None),
        (owner, [8; 32], at(0), &None),
        (fresh_owner(), digest, at(0), &None),
    ] {
        let seen = tx
            .find_hanging(who, None, &what, since, at(0))
            .await
            .unwrap();
        assert_eq!(&seen, expected);
    }
    let code = FailureCode::SettlementUnknown;
    let step = Step::Settle;
    let stuck = operation.rest(OperationState::Stuck { code, step }, at(5));
    tx.save_operation(&stuck, &lease, at(10)).await.unwrap();
    let resting = tx.find_hanging(owner, None, &digest, at(0), at(99)).await;
    assert_eq!(resting.unwrap(), None);
    tx.commit().await.unwrap();
}

pub(super) async fn what_a_payer_has_hanging_is_found(store: Arc<dyn Store>) {
    let (mut operation, lease) = add_operation(&store).await;
    let digest = operation.request_digest;
    let payment = payment_for(&operation, &fresh_uuid().to_string());
    let payer = payment.payer.as_ref();
    let mut tx = begin_write(&store).await;
    tx.claim_payment(&payment, b"sealed").await.unwrap();
    operation.data.settlement_unknown_since = Some(at(3));
    tx.save_operation(&operation, &lease, at(10)).await.unwrap();
    // Whoever gets what it buys.
    let (stranger, other) = (fresh_owner(), fresh_wallet());
    for (payer, expected) in [(payer, true), (Some(&other), false), (None, false)] {
        let seen = tx
            .find_hanging(stranger, payer, &digest, at(0), at(0))
            .await;
        assert_eq!(seen.unwrap().is_some(), expected);
    }
    tx.save_payment(&payment.clone().decline("late".to_owned()).unwrap())
        .await
        .unwrap();
    let declined = tx
        .find_hanging(stranger, payer, &digest, at(0), at(0))
        .await;
    assert_eq!(declined.unwrap(), None);
    tx.commit().await.unwrap();
}

pub(super) async fn a_settlement_that_never_concluded_hangs(store: Arc<dyn Store>) {
    let (operation, lease) = add_operation(&store).await;
    let (owner, digest) = (operation.owner, operation.request_digest);
    let begun = operation.begin(at(4));
    let mut tx = begin_write(&store).await;
    tx.save_operation(&begun, &lease, at(10)).await.unwrap();
    let running = tx
        .find_hanging(owner, None, &digest, at(0), at(4))
        .await
        .unwrap();
    assert_eq!(running, None, "it may be about to conclude");
    let overdue = tx
        .find_hanging(owner, None, &digest, at(0), at(5))
        .await
        .unwrap();
    assert_eq!(overdue, Some(begun));
    tx.commit().await.unwrap();
}

pub(super) async fn log_lines_are_numbered_from_zero(store: Arc<dyn Store>) {
    let (operation, _) = add_operation(&store).await;
    let (other, _) = add_operation(&store).await;
    let mut tx = begin_write(&store).await;
    for (id, name) in [
        (operation.id, "settle.begun"),
        (other.id, "x"),
        (operation.id, "settle.done"),
    ] {
        tx.append_event(id, at(4), "a", name, r#"{"code":"ok"}"#)
            .await
            .unwrap();
    }
    let unknown = OperationId::from_uuid(fresh_uuid());
    assert_eq!(tx.list_events(unknown).await.unwrap(), []);
    tx.commit().await.unwrap();
    let events = begin_read(&store)
        .await
        .list_events(operation.id)
        .await
        .unwrap();
    let lines: Vec<_> = events
        .iter()
        .map(|event| (event.seq, event.name.as_str()))
        .collect();
    assert_eq!(lines, [(0, "settle.begun"), (1, "settle.done")]);
    assert!(events.iter().all(|event| event.at == at(4)
        && event.holder == "a"
        && event.detail == r#"{"code":"ok"}"#));
    let mut tx = begin_write(&store).await;
    let outcome = tx.append_event(unknown, at(4), "a", "x", "{}").await;
    let outcome = match outcome {
        // A reference may be checked at the commit.
        Ok(()) => tx.commit().await,
        Err(error) => Err(error),
    };
    assert!(
        matches!(outcome, Err(StoreError::Rejected(_))),
        "{outcome:?}"
    );
}

pub(super) async fn racing_writers_number_their_lines_apart(store: Arc<dyn Store>) {
    let (operation, _) = add_operation(&store).await;
    race(RACERS, |number| {
        let store = Arc::clone(&store);
        let id = operation.id;
        async move {
            let mut tx = begin_write(&store).await;
            let name = format!("line.{number}");
            tx.append_event(id, at(4), "a", &name, "{}").await.unwrap();
            tx.commit().await.unwrap();
        }
    })
    .await;
    let events = begin_read(&store)
        .await
        .list_events(operation.id)
        .await
        .unwrap();
    let numbers: Vec<_> = events.iter().map(|event| event.seq).collect();
    assert_eq!(
        numbers,
        (0..i64::try_from(RACERS).unwrap()).collect::<Vec<_>>()
    );
}

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_000);

fn instance(state: InstanceState) -> Instance {
    let uuid = uuid::Uuid::from_u128(1);
    Instance {
        id: InstanceId::from_uuid(uuid),
        owner: OwnerId::from_uuid(uuid),
        provider: ProviderId::Vultr,
        plan: PlanId::parse("vc2-1c-1gb").unwrap(),
        region: RegionId::parse("ewr").unwrap(),
        os: OsId::parse("2284").unwrap(),
        label: Label::parse("x").unwrap(),
        rate: HourlyRate::from_micros(7_000).unwrap(),
        hours: Hours::new(24).unwrap(),
        extended_hours: 0,
        price: Usd::from_micros(168_000).unwrap(),
        access: Access::Password,
        ip: None,
        suspended_since: None,
        resizing: None,
        is_protected: false,
        created_at: NOW,
        state,
    }
}

fn machine() -> ProviderInstanceId {
    ProviderInstanceId::parse("m-1").unwrap()
}

fn placement() -> Placement {
    Placement {
        machine: machine(),
        expires_at: NOW.plus(Span::from_hours(24)),
    }
}

fn every_state() -> Vec<InstanceState> {
    vec![
        InstanceState::Pending,
        InstanceState::Provisioning(None),
        InstanceState::Provisioning(Some(placement())),
        InstanceState::Active(placement()),
        InstanceState::Destroying {
            placement: placement(),
            reason: EndReason::Requested,
        },
        InstanceState::Destroyed {
            placement: placement(),
            reason: EndReason::Expired,
            at: NOW,
        },
        InstanceState::Failed {
            code: FailureCode::NoCapacity,
            at: NOW,
        },
    ]
}

/// Tries one move from every state and says from which it succeeded, by position.
fn allowed(event: impl Fn(Instance) -> Result<Instance, InvalidTransition>) -> Vec<usize> {
    let outcomes = every_state()
        .into_iter()
        .map(|state| event(instance(state)).is_ok());
    outcomes
        .enumerate()
        .filter_map(|(index, ok)| ok.then_some(index))
        .collect()
}

#[test]
fn each_move_has_its_states_and_no_others() {
    assert_eq!(allowed(Instance::paid), [0]);
    assert_eq!(allowed(|i| i.placed(machine(), NOW)), [1]);
    assert_eq!(allowed(Instance::displaced), [1, 2]);
    assert_eq!(allowed(|i| i.ready(IpAddr::from([192, 0, 2, 1]))), [2]);
    assert_eq!(allowed(|i| i.fail(FailureCode::NotReady, NOW)), [0, 1, 2]);
    assert_eq!(allowed(|i| i.begin_destroy(EndReason::Requested)), [3]);
    assert_eq!(allowed(|i| i.gone(NOW)), [4]);
}

#[test]
fn prepaid_time_starts_when_the_machine_exists() {
    let later = NOW.plus(Span::from_secs(90));
    let placed = instance(InstanceState::Provisioning(None))
        .placed(machine(), later)
        .unwrap();
    assert_eq!(placed.expires_at(), later.plus(Span::from_hours(24)));
    assert_eq!(
        instance(InstanceState::Pending).expires_at(),
        NOW.plus(Span::from_hours(24))
    );
}

#[test]
fn the_end_keeps_the_machine_and_the_reason() {
    let ended = instance(InstanceState::Active(placement()))
        .begin_destroy(EndReason::Expired)
        .and_then(|instance| instance.gone(NOW))
        .unwrap();
    assert_eq!(ended.placement(), Some(&placement()));
    assert!(matches!(
        ended.state,
        InstanceState::Destroyed {
            reason: EndReason::Expired,
            ..
        }
    ));
}

#[test]
fn an_extension_adds_exactly_its_hours_and_price() {
    let price = Usd::from_micros(200_000).unwrap();
    let longer = instance(InstanceState::Active(placement()))
        .extend(Hours::new(48).unwrap(), price)
        .unwrap();
    assert_eq!(longer.expires_at(), NOW.plus(Span::from_hours(72)));
    assert_eq!(longer.extended_hours, 48);
    assert_eq!(longer.price, Usd::from_micros(368_000).unwrap());
    let only_active = allowed(|instance| instance.extend(Hours::new(24).unwrap(), price));
    assert_eq!(only_active, [3]);
}

#[test]
fn what_is_over_uses_no_place() {
    let live: Vec<bool> = every_state()
        .into_iter()
        .map(|state| instance(state).is_live())
        .collect();
    assert_eq!(live, [true, true, true, true, true, false, false]);
}

fn larger() -> Resizing {
    Resizing {
        to: PlanId::parse("vc2-2c-4gb").unwrap(),
        rate: HourlyRate::from_micros(28_000).unwrap(),
        expires_at: NOW.plus(Span::from_hours(6)),
    }
}

#[test]
fn a_change_of_plan_is_one_at_a_time_and_moves_plan_rate_and_end_together() {
    assert_eq!(allowed(|i| i.begin_resize(larger())), [3]);
    assert!(allowed(|i| i.resized(NOW)).is_empty());

    let before = instance(InstanceState::Active(placement()));
    let under_way = before.clone().begin_resize(larger()).unwrap();
    assert!(under_way.clone().begin_resize(larger()).is_err());
    assert_eq!(under_way.clone().end_resize(), before);

    let end = NOW.plus(Span::from_hours(5));
    assert_eq!(under_way.place_rate(), larger().rate);
    let resized = under_way.resized(end).unwrap();
    assert_eq!(resized.plan, larger().to);
    assert_eq!((resized.rate, resized.expires_at()), (larger().rate, end));
    assert_eq!(resized.resizing.as_ref().unwrap().expires_at, end);
    assert_eq!(resized.end_resize().resizing, None);
}

#[test]
fn what_is_taken_down_is_not_changed_any_more() {
    let under_way = instance(InstanceState::Active(placement()))
        .begin_resize(larger())
        .and_then(|instance| instance.begin_destroy(EndReason::Requested));
    assert_eq!(under_way.unwrap().resizing, None);
}

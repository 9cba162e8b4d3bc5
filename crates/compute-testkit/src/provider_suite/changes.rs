//! What the contract says of a machine between its first start and its end. Each test is called by its
//! name, because it wants to know more of a provider than [`run`](super::run) does.

#![expect(clippy::panic, reason = "a conformance suite fails by panicking")]

use compute_domain::catalog::{Plan, PlanId, ProviderInstanceId};
use compute_engine::ports::{
    ActionId, ActionState, MachineState, Observed, Power, ProviderError, ResizeCheck,
};
use secrecy::ExposeSecret;

use super::{ProviderFixture, operation, spec};

/// How often a machine is looked at until it is as it was asked for.
const LOOKS: u32 = 60;

/// Contract 7: the switch may be used again and again, and a machine is afterwards as it was asked for.
///
/// # Panics
/// When it is not.
pub async fn power_may_be_repeated(fixture: &dyn ProviderFixture) {
    let machine = ready_machine(fixture, 21).await;
    for (power, state) in [
        (Power::On, MachineState::Ready),
        (Power::Off, MachineState::Stopped),
        (Power::On, MachineState::Ready),
        (Power::Cycle, MachineState::Ready),
    ] {
        switch(fixture, &machine, power).await;
        // Before and after it takes effect.
        if power != Power::Cycle {
            switch(fixture, &machine, power).await;
        }
        let seen = wait_for(fixture, &machine, |seen| seen.state == state).await;
        assert_eq!(seen.machine, machine, "{power:?}");
        if power != Power::Cycle {
            switch(fixture, &machine, power).await;
            wait_for(fixture, &machine, |seen| seen.state == state).await;
        }
    }
    fixture.provider().destroy(&machine).await.unwrap();
}

/// Contract 8: a machine gets another plan once, however often it is asked for, and no second machine.
///
/// # Panics
/// When it does not.
pub async fn a_resize_may_be_repeated(fixture: &dyn ProviderFixture, to: &PlanId) {
    let provider = fixture.provider();
    let machine = ready_machine(fixture, 22).await;
    let target = plan(fixture, to).await;
    let check = provider.check_resize(&machine, &target).await.unwrap();
    let ResizeCheck::Possible { grows_disk } = check else {
        panic!("{check:?}")
    };
    let mut rest = MachineState::Ready;
    if provider.resizes_when_off() {
        rest = MachineState::Stopped;
        switch(fixture, &machine, Power::Off).await;
        wait_for(fixture, &machine, |seen| seen.state == rest).await;
    }
    let action = provider.resize(&machine, to, grows_disk).await.unwrap();
    check_again(provider.resize(&machine, to, grows_disk).await);
    if let Some(action) = &action {
        finish(fixture, &machine, action).await;
    }
    let is_there = |seen: &Observed| seen.plan.as_ref() == Some(to) && seen.state == rest;
    let seen = wait_for(fixture, &machine, is_there).await;
    assert_eq!(seen.tag, Some(spec(fixture, 22, 1).tag), "its mark stays");
    check_again(provider.resize(&machine, to, grows_disk).await);
    wait_for(fixture, &machine, is_there).await;
    if provider.resizes_when_off() {
        switch(fixture, &machine, Power::On).await;
        let seen = wait_for(fixture, &machine, |seen| seen.state == MachineState::Ready).await;
        assert_eq!(seen.plan.as_ref(), Some(to));
    }
    let found = provider.find(operation(22)).await.unwrap();
    assert_eq!(
        super::ids(&found),
        std::slice::from_ref(&machine),
        "one machine"
    );
    provider.destroy(&machine).await.unwrap();
}

/// What is not there cannot be changed, and work that is not known is not over.
///
/// # Panics
/// When it can.
pub async fn what_is_absent_is_not_changed(fixture: &dyn ProviderFixture) {
    let provider = fixture.provider();
    let absent = fixture.absent_machine();
    let own = plan(fixture, &fixture.machine().plan).await;
    let error = provider.check_resize(&absent, &own).await.unwrap_err();
    assert!(matches!(error, ProviderError::Rejected { .. }), "{error:?}");
    let error = provider.resize(&absent, &own.id, false).await.unwrap_err();
    assert!(matches!(error, ProviderError::Rejected { .. }), "{error:?}");
    let machine = ready_machine(fixture, 23).await;
    for unknown in ["1", "b3123d06-ec83-456c-ac71-ae8c4bc95e18"] {
        let action = ActionId(unknown.to_owned());
        let state = provider.action(&machine, &action).await.unwrap();
        assert_eq!(state, ActionState::Running, "{unknown}");
    }
    provider.destroy(&machine).await.unwrap();
}

/// A machine that is set up anew is the same one, with another password where the provider tells one; a
/// provider that cannot do it says so and leaves the machine alone.
///
/// # Panics
/// When it does not.
pub async fn a_machine_is_set_up_anew_or_left_alone(fixture: &dyn ProviderFixture) {
    let provider = fixture.provider();
    let machine = ready_machine(fixture, 24).await;
    let before = provider.observe(&machine).await.unwrap();
    let outcome = provider.reinstall(&machine).await;
    if provider.reinstalls() {
        let password = outcome.unwrap();
        if let Some(password) = &password {
            assert!(password.expose_secret().len() >= 8, "worth its name");
            assert!(!format!("{password:?}").contains(password.expose_secret()));
        }
        let is_ready = |seen: &Observed| seen.state == MachineState::Ready;
        let after = wait_for(fixture, &machine, is_ready).await;
        assert_eq!((after.tag, after.plan), (before.tag, before.plan));
    } else {
        assert!(
            matches!(outcome, Err(ProviderError::Rejected { .. })),
            "{outcome:?}"
        );
        assert_eq!(provider.observe(&machine).await.unwrap(), before);
    }
    provider.destroy(&machine).await.unwrap();
}

/// The account is told, always with the same id.
///
/// # Panics
/// When it is not.
pub async fn the_account_is_told(fixture: &dyn ProviderFixture) {
    let provider = fixture.provider();
    let first = provider.account().await.unwrap();
    assert_eq!(provider.account().await.unwrap().id, first.id);
    let id = first.id.unwrap_or_default();
    assert!(!id.contains('@'), "no address of a person");
}

async fn plan(fixture: &dyn ProviderFixture, id: &PlanId) -> Plan {
    let catalog = fixture.provider().catalog().await.unwrap();
    let plan = catalog.plans.into_iter().find(|plan| plan.id == *id);
    plan.unwrap()
}

async fn ready_machine(fixture: &dyn ProviderFixture, number: u128) -> ProviderInstanceId {
    let made = fixture.provider().create(&spec(fixture, number, 1)).await;
    let machine = made.unwrap().machine;
    let is_ready = |seen: &Observed| seen.state == MachineState::Ready;
    let seen = wait_for(fixture, &machine, is_ready).await;
    assert_eq!(seen.plan, Some(fixture.machine().plan), "it tells its plan");
    machine
}

// A provider may do one thing after the other: what comes too early is asked for again.
async fn switch(fixture: &dyn ProviderFixture, machine: &ProviderInstanceId, power: Power) {
    for _ in 0..LOOKS {
        match fixture.provider().power(machine, power).await {
            Ok(()) => return,
            Err(ProviderError::Throttled { .. }) => {}
            Err(error) => panic!("{power:?}: {error:?}"),
        }
        fixture.finish_booting().await;
    }
    panic!("{power:?} is never accepted");
}

async fn finish(fixture: &dyn ProviderFixture, machine: &ProviderInstanceId, action: &ActionId) {
    for _ in 0..LOOKS {
        let state = fixture.provider().action(machine, action).await.unwrap();
        match state {
            ActionState::Done => return,
            ActionState::Running => fixture.finish_booting().await,
            ActionState::Failed => panic!("{action:?} failed"),
        }
    }
    panic!("{action:?} is never over");
}

async fn wait_for(
    fixture: &dyn ProviderFixture,
    machine: &ProviderInstanceId,
    is_as_wished: impl Fn(&Observed) -> bool,
) -> Observed {
    let mut last = None;
    for _ in 0..LOOKS {
        let seen = fixture.provider().observe(machine).await.unwrap();
        if is_as_wished(&seen) {
            return seen;
        }
        last = Some(seen);
        fixture.finish_booting().await;
    }
    panic!("it stays like this: {last:?}");
}

// It is certain that nothing more happens than was asked for before.
fn check_again(outcome: Result<Option<ActionId>, ProviderError>) {
    assert!(
        !matches!(outcome, Err(ProviderError::Ambiguous(_))),
        "{outcome:?}"
    );
}

//! The contract of the `Provider` port, checked against any implementation.
//!
//! A sentence that needs a misbehaving vendor (time-outs, unclear answers) is tested beside the
//! adapter, which knows how its vendor misbehaves.

#![expect(clippy::unwrap_used, reason = "a conformance suite fails by panicking")]

pub mod changes;

use compute_domain::setup::SshKeys;
use std::collections::BTreeSet;
use std::net::IpAddr;

use async_trait::async_trait;
use compute_domain::catalog::{OsId, PlanId, ProviderInstanceId, RegionId};
use compute_domain::id::OperationId;
use compute_domain::operation::MachineSpec;
use compute_engine::ports::{
    CreateSpec, Created, MachineState, MachineTag, Observed, Provider, ProviderError,
};
use secrecy::ExposeSecret;
use uuid::Uuid;

/// A provider under test and what the suite must know and do about it.
#[async_trait]
pub trait ProviderFixture: Send + Sync {
    /// The provider, with an account that no other test uses.
    fn provider(&self) -> &dyn Provider;
    /// The installation that it is set up for, as in [`MachineTag::environment`].
    fn environment(&self) -> &str;
    /// A machine that it sells, with an SSH key.
    fn machine(&self) -> MachineSpec;
    /// The id of a machine that never existed, in the vendor's form.
    fn absent_machine(&self) -> ProviderInstanceId;
    /// Lets everything that was asked for so far finish booting.
    async fn finish_booting(&self);
    /// The same account as another installation sees it, where accounts can be shared.
    fn neighbour(&self) -> Option<(&dyn Provider, &str)> {
        None
    }
}

/// Checks every sentence of the contract that can be checked from outside.
///
/// # Panics
/// When a sentence does not hold.
pub async fn run(fixture: &dyn ProviderFixture) {
    the_catalog_is_complete_and_ascending(fixture).await;
    the_sold_machine_is_in_the_catalog(fixture).await;
    a_machine_starts_and_becomes_ready(fixture).await;
    each_create_makes_one_machine(fixture).await;
    find_returns_all_attempts_oldest_first(fixture).await;
    a_refused_machine_does_not_exist(fixture).await;
    a_password_is_told_where_promised(fixture).await;
    destroying_an_absent_machine_succeeds(fixture).await;
    an_absent_machine_is_gone(fixture).await;
    machines_of_other_installations_are_not_seen(fixture).await;
}

/// Plans, regions and images are ascending, named once, and name each other.
///
/// # Panics
/// When they do not.
pub async fn the_catalog_is_complete_and_ascending(fixture: &dyn ProviderFixture) {
    let provider = fixture.provider();
    let catalog = provider.catalog().await.unwrap();
    assert!(
        !catalog.plans.is_empty() && !catalog.images.is_empty(),
        "something is for sale"
    );
    assert!(
        catalog.plans.is_sorted_by(|a, b| a.id < b.id),
        "plans ascend"
    );
    assert!(
        catalog.regions.is_sorted_by(|a, b| a.id < b.id),
        "regions ascend"
    );
    assert!(
        catalog.images.is_sorted_by(|a, b| a.id < b.id),
        "images ascend"
    );
    let regions: BTreeSet<_> = catalog.regions.iter().map(|region| &region.id).collect();
    for plan in &catalog.plans {
        assert_eq!(plan.provider, provider.id(), "{}", plan.id);
        assert_eq!(
            plan.id.provider(),
            provider.id(),
            "the prefix of {}",
            plan.id
        );
        assert!(
            plan.locations.is_sorted_by(|a, b| a < b),
            "the locations of {} ascend",
            plan.id
        );
        for region in &plan.locations {
            assert!(
                regions.contains(region),
                "{} is sold in {region}, which is listed",
                plan.id
            );
        }
    }
}

/// What the fixture buys is for sale.
///
/// # Panics
/// When it is not.
pub async fn the_sold_machine_is_in_the_catalog(fixture: &dyn ProviderFixture) {
    let (catalog, wanted) = (
        fixture.provider().catalog().await.unwrap(),
        fixture.machine(),
    );
    let plan = catalog
        .plans
        .iter()
        .find(|plan| plan.id == wanted.plan)
        .unwrap();
    assert!(plan.locations.contains(&wanted.region));
    assert!(catalog.images.iter().any(|image| image.id == wanted.os));
}

/// A new machine is seen at once with its mark, and later runs at a public address.
///
/// # Panics
/// When it does not.
pub async fn a_machine_starts_and_becomes_ready(fixture: &dyn ProviderFixture) {
    let provider = fixture.provider();
    let spec = spec(fixture, 1, 1);
    let machine = provider.create(&spec).await.unwrap().machine;

    let early = provider.observe(&machine).await.unwrap();
    assert_eq!(
        (&early.machine, &early.tag),
        (&machine, &Some(spec.tag.clone()))
    );
    assert!(matches!(
        early.state,
        MachineState::Starting | MachineState::Ready
    ));

    fixture.finish_booting().await;
    let ready = provider.observe(&machine).await.unwrap();
    assert_eq!(ready.state, MachineState::Ready);
    assert!(is_usable(ready.address.unwrap()), "{ready:?}");
    assert!(
        ready.created_at.is_some(),
        "the vendor says when it made the machine"
    );
    assert_eq!(ready.tag, Some(spec.tag));
    provider.destroy(&machine).await.unwrap();
}

/// Contract 2: one call makes one machine, also for an operation that has one.
///
/// # Panics
/// When it does not.
pub async fn each_create_makes_one_machine(fixture: &dyn ProviderFixture) {
    let provider = fixture.provider();
    let spec = spec(fixture, 2, 1);
    let mut made = Vec::new();
    for count in 1..=2 {
        made.push(provider.create(&spec).await.unwrap().machine);
        assert_eq!(
            provider.find(spec.tag.operation).await.unwrap().len(),
            count
        );
    }
    assert_ne!(made.first(), made.last(), "ids are not reused");
    for machine in &made {
        provider.destroy(machine).await.unwrap();
    }
}

/// Contract 5: the probe sees all machines of an operation, oldest first, and nobody else's.
///
/// # Panics
/// When it does not.
pub async fn find_returns_all_attempts_oldest_first(fixture: &dyn ProviderFixture) {
    let provider = fixture.provider();
    let mut made = Vec::new();
    for attempt in 1..=3 {
        made.push(
            provider
                .create(&spec(fixture, 3, attempt))
                .await
                .unwrap()
                .machine,
        );
    }
    let other = provider.create(&spec(fixture, 4, 1)).await.unwrap().machine;

    let found = provider.find(operation(3)).await.unwrap();
    assert_eq!(ids(&found), made);
    let attempts: Vec<_> = found
        .iter()
        .filter_map(|seen| Some(seen.tag.as_ref()?.attempt))
        .collect();
    assert_eq!(attempts, [1, 2, 3]);
    let listed = ids(&provider.list().await.unwrap());
    assert!(
        made.iter()
            .chain([&other])
            .all(|machine| listed.contains(machine))
    );

    for machine in made.iter().chain([&other]) {
        provider.destroy(machine).await.unwrap();
    }
    assert!(
        provider.find(operation(3)).await.unwrap().is_empty(),
        "what is gone is not found"
    );
    assert!(
        provider
            .list()
            .await
            .unwrap()
            .iter()
            .all(|seen| !made.contains(&seen.machine))
    );
}

/// Contract 6: an answer that is not `Ambiguous` means that there is no machine.
///
/// # Panics
/// When there is.
pub async fn a_refused_machine_does_not_exist(fixture: &dyn ProviderFixture) {
    let provider = fixture.provider();
    let prefix = fixture
        .machine()
        .plan
        .as_str()
        .split_once(':')
        .map_or("", |_| "do:");
    let strange_plan = PlanId::parse(&format!("{prefix}no-such-plan")).unwrap();
    let strange_region = RegionId::parse("nowhere").unwrap();
    let strange_image = OsId::parse("999999999").unwrap();
    let machine = fixture.machine();
    for machine in [
        MachineSpec {
            plan: strange_plan,
            ..machine.clone()
        },
        MachineSpec {
            region: strange_region,
            ..machine.clone()
        },
        MachineSpec {
            os: strange_image,
            ..machine
        },
    ] {
        let spec = CreateSpec {
            machine,
            ..spec(fixture, 5, 1)
        };
        let refusal = provider.create(&spec).await.unwrap_err();
        assert!(
            matches!(
                refusal,
                ProviderError::Rejected { .. } | ProviderError::NoCapacity { .. }
            ),
            "{refusal:?}"
        );
        assert!(provider.find(operation(5)).await.unwrap().is_empty());
    }
}

/// A provider that offers root passwords tells one for a machine without an SSH key; any other
/// refuses such a machine.
///
/// # Panics
/// When it does not.
pub async fn a_password_is_told_where_promised(fixture: &dyn ProviderFixture) {
    let provider = fixture.provider();
    let machine = MachineSpec {
        ssh_keys: SshKeys::default(),
        ..fixture.machine()
    };
    let outcome = provider
        .create(&CreateSpec {
            machine,
            ..spec(fixture, 6, 1)
        })
        .await;
    if !provider.offers_root_password() {
        assert!(
            matches!(outcome, Err(ProviderError::Rejected { .. })),
            "{outcome:?}"
        );
        assert!(provider.find(operation(6)).await.unwrap().is_empty());
        return;
    }
    let Created {
        machine,
        root_password,
    } = outcome.unwrap();
    let password = root_password.unwrap();
    assert!(
        password.expose_secret().len() >= 8,
        "a password worth its name"
    );
    assert!(!format!("{password:?}").contains(password.expose_secret()));
    provider.destroy(&machine).await.unwrap();
}

/// Contract 3: `destroy` may be repeated, and does not mind a machine that never was.
///
/// # Panics
/// When it does.
pub async fn destroying_an_absent_machine_succeeds(fixture: &dyn ProviderFixture) {
    let provider = fixture.provider();
    let machine = provider.create(&spec(fixture, 7, 1)).await.unwrap().machine;
    fixture.finish_booting().await;
    for _ in 0..3 {
        assert_eq!(provider.destroy(&machine).await, Ok(()));
    }
    assert_eq!(provider.destroy(&fixture.absent_machine()).await, Ok(()));
}

/// Contract 4: a machine that was destroyed or never was is `Gone`, not an error.
///
/// # Panics
/// When it is not.
pub async fn an_absent_machine_is_gone(fixture: &dyn ProviderFixture) {
    let provider = fixture.provider();
    let machine = provider.create(&spec(fixture, 8, 1)).await.unwrap().machine;
    provider.destroy(&machine).await.unwrap();
    for absent in [machine, fixture.absent_machine()] {
        let seen = provider.observe(&absent).await.unwrap();
        assert_eq!((seen.state, seen.machine), (MachineState::Gone, absent));
    }
}

/// Contract 5: two installations that share an account do not see each other's machines.
///
/// # Panics
/// When they do.
pub async fn machines_of_other_installations_are_not_seen(fixture: &dyn ProviderFixture) {
    let Some((neighbour, environment)) = fixture.neighbour() else {
        return;
    };
    let mut theirs = spec(fixture, 9, 1);
    environment.clone_into(&mut theirs.tag.environment);
    let machine = neighbour.create(&theirs).await.unwrap().machine;
    let provider = fixture.provider();
    assert!(provider.find(operation(9)).await.unwrap().is_empty());
    assert!(!ids(&provider.list().await.unwrap()).contains(&machine));
    assert_eq!(
        provider.observe(&machine).await.unwrap().tag,
        None,
        "the mark is not ours"
    );
    neighbour.destroy(&machine).await.unwrap();
}

fn operation(number: u128) -> OperationId {
    OperationId::from_uuid(Uuid::from_u128(number))
}

fn spec(fixture: &dyn ProviderFixture, number: u128, attempt: u32) -> CreateSpec {
    let environment = fixture.environment().to_owned();
    let tag = MachineTag {
        environment,
        operation: operation(number),
        attempt,
    };
    CreateSpec {
        machine: fixture.machine(),
        tag,
        user_data: None,
    }
}

fn ids(seen: &[Observed]) -> Vec<ProviderInstanceId> {
    seen.iter().map(|seen| seen.machine.clone()).collect()
}

fn is_usable(address: IpAddr) -> bool {
    let is_private = match address {
        IpAddr::V4(address) => address.is_private() || address.is_link_local(),
        IpAddr::V6(address) => address.is_unique_local() || address.is_unicast_link_local(),
    };
    !(address.is_unspecified() || address.is_loopback() || is_private)
}

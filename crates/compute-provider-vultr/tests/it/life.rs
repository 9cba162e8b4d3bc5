use std::net::IpAddr;

use compute_domain::setup::{SshKeys, UserData};
use compute_domain::text::{Hostname, SshPublicKey};
use compute_engine::ports::{CreateSpec, MachineState, Provider};
use compute_testkit::faults_log::injected;
use compute_testkit::vultr::{CreateBody, Event, Fault};
use secrecy::ExposeSecret;

use crate::{KEY, OTHER_KEY, connect, order, order_with_key, start, tag};

fn created(events: &[Event]) -> Vec<(&CreateBody, &str)> {
    fn body(event: &Event) -> Option<(&CreateBody, &str)> {
        match event {
            Event::Created { body, password, .. } => Some((&**body, password.as_str())),
            _ => None,
        }
    }
    events.iter().filter_map(body).collect()
}

#[tokio::test]
async fn a_machine_is_made_boots_and_is_deleted() {
    let (double, vultr) = start().await;
    let made = vultr.create(&order(1, 1)).await.unwrap();
    let journal = double.journal();
    let [(body, password)] = created(&journal)[..] else {
        panic!("{journal:?}")
    };
    assert_eq!(made.root_password.unwrap().expose_secret(), password);
    assert_eq!(
        (body.backups.as_deref(), body.activation_email),
        (Some("disabled"), Some(false))
    );
    assert_eq!(body.tags.len(), 3);
    assert!(
        !body.label.contains("agent"),
        "the vendor learns nothing about the customer"
    );

    let first = vultr.observe(&made.machine).await.unwrap();
    assert_eq!((first.state, first.address), (MachineState::Starting, None));
    let second = vultr.observe(&made.machine).await.unwrap();
    assert_eq!(second.state, MachineState::Ready);
    assert_eq!(second.address, Some(IpAddr::from([203, 0, 113, 1])));
    assert_eq!(second.tag, Some(tag(1, 1)));

    vultr.destroy(&made.machine).await.unwrap();
    assert_eq!(
        vultr.observe(&made.machine).await.unwrap().state,
        MachineState::Gone
    );
    vultr.destroy(&made.machine).await.unwrap();
    assert!(double.machines().is_empty());
}

#[tokio::test]
async fn an_ssh_key_comes_and_goes_with_its_machine() {
    let (double, vultr) = start().await;
    let mut spec = order_with_key(1);
    spec.machine.hostname = Some(Hostname::parse("web-1.example").unwrap());
    let made = vultr.create(&spec).await.unwrap();
    vultr.destroy(&made.machine).await.unwrap();
    let journal = double.journal();
    let [
        Event::KeyAdded { id, ssh_key, .. },
        ..,
        Event::KeyRemoved { id: removed },
    ] = &journal[..]
    else {
        panic!("{journal:?}")
    };
    assert_eq!((id, ssh_key.as_str()), (removed, KEY));
    let (body, _) = created(&journal)[0];
    assert_eq!(
        (&body.sshkey_id, body.hostname.as_str()),
        (&vec![id.clone()], "web-1.example")
    );
}

fn keys(events: &[Event]) -> Vec<&str> {
    fn added(event: &Event) -> Option<&str> {
        match event {
            Event::KeyAdded { id, .. } => Some(id.as_str()),
            _ => None,
        }
    }
    events.iter().filter_map(added).collect()
}

/// The process ends between the call for the key and the create.
#[tokio::test]
async fn an_interrupted_attempt_leaves_its_key_to_the_next_one() {
    let (double, vultr) = start().await;
    let first = order_with_key(1);
    double.inject(Fault::HangBeforeCreate);
    let key_is_there = async {
        while keys(&double.journal()).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        made = vultr.create(&first) => panic!("{made:?}"),
        () = key_is_there => injected("F010"),
    }
    assert!(double.machines().is_empty());
    double.clear_faults();

    let second = CreateSpec {
        tag: tag(1, 2),
        ..order_with_key(1)
    };
    let made = vultr.create(&second).await.unwrap();
    let journal = double.journal();
    let [key] = keys(&journal)[..] else {
        panic!("{journal:?}")
    };
    assert_eq!(created(&journal)[0].0.sshkey_id, [key]);
    vultr.destroy(&made.machine).await.unwrap();
    let removed = Event::KeyRemoved { id: key.to_owned() };
    assert_eq!(double.journal().last(), Some(&removed));
}

#[tokio::test]
async fn orders_with_one_key_share_nothing_at_the_vendor() {
    let (double, vultr) = start().await;
    for number in [1, 2] {
        vultr.create(&order_with_key(number)).await.unwrap();
    }
    let journal = double.journal();
    let own: Vec<&String> = created(&journal)
        .into_iter()
        .flat_map(|(body, _)| &body.sshkey_id)
        .collect();
    assert_eq!(own, keys(&journal));
    assert_ne!(own[0], own[1]);
}

#[tokio::test]
async fn all_keys_and_the_user_data_come_along_and_the_keys_go_with_the_machine() {
    let (double, vultr) = start().await;
    let mut spec = order(1, 1);
    let lines = [KEY, OTHER_KEY].map(|line| SshPublicKey::parse(line).unwrap());
    spec.machine.ssh_keys = SshKeys::of(lines).unwrap();
    let text = "#cloud-config\nfinal_message: \"🚀 $(id) `id` \\ ü\"\n";
    spec.user_data = Some(UserData::parse(text).unwrap());
    compute_testkit::faults_log::injected("F124");
    let made = vultr.create(&spec).await.unwrap();
    let journal = double.journal();
    let own = keys(&journal);
    let (body, _) = created(&journal)[0];
    assert_eq!(body.sshkey_id, own);
    assert_eq!(own.len(), 2);
    // Base64 of the text above, once.
    let encoded = "I2Nsb3VkLWNvbmZpZwpmaW5hbF9tZXNzYWdlOiAi8J+agCAkKGlkKSBgaWRgIFwgw7wiCg==";
    assert_eq!(body.user_data.as_deref(), Some(encoded));
    vultr.destroy(&made.machine).await.unwrap();
    let removed = double.journal();
    let removed: Vec<_> = removed
        .iter()
        .filter_map(|event| match event {
            Event::KeyRemoved { id } => Some(id.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(removed, own);
}

#[tokio::test]
async fn a_refused_machine_leaves_no_key() {
    let (double, vultr) = start().await;
    let mut spec = order_with_key(1);
    spec.machine.os = compute_domain::catalog::OsId::parse("1").unwrap();
    vultr.create(&spec).await.unwrap_err();
    assert!(matches!(
        double.journal()[..],
        [Event::KeyAdded { .. }, Event::KeyRemoved { .. }]
    ));
}

/// The first attempt's machine shows up late, when the second attempt was refused.
#[tokio::test]
async fn a_refused_attempt_leaves_the_key_of_the_one_before_it() {
    let (double, vultr) = start().await;
    double.inject(Fault::HideCreated { looks: 1 });
    double.inject(Fault::CreateThenDrop);
    vultr.create(&order_with_key(1)).await.unwrap_err();
    let operation = tag(1, 1).operation;
    assert_eq!(vultr.find(operation).await.unwrap(), []);

    double.inject(Fault::RefuseCreate {
        status: 400,
        error: "Plan is not available in this location".to_owned(),
    });
    let second = CreateSpec {
        tag: tag(1, 2),
        ..order_with_key(1)
    };
    vultr.create(&second).await.unwrap_err();
    let journal = double.journal();
    assert_eq!(keys(&journal).len(), 1, "the second attempt found the key");
    let is_removed = |event: &Event| matches!(event, Event::KeyRemoved { .. });
    assert!(!journal.iter().any(is_removed), "{journal:?}");

    // It goes with the machine it belongs to.
    let found = vultr.find(operation).await.unwrap();
    vultr.destroy(&found[0].machine).await.unwrap();
    assert!(double.journal().last().is_some_and(is_removed));
}

#[tokio::test]
async fn all_machines_of_an_operation_are_found_oldest_first() {
    let (_double, vultr) = start().await;
    let first = vultr.create(&order(1, 1)).await.unwrap().machine;
    let second = vultr.create(&order(1, 2)).await.unwrap().machine;
    vultr.create(&order(2, 1)).await.unwrap();
    let found = vultr.find(tag(1, 1).operation).await.unwrap();
    let mut ids: Vec<_> = found.iter().map(|seen| seen.machine.clone()).collect();
    // Both were made within the vendor's clock tick, so that only the set is certain.
    ids.sort();
    let mut expected = [first, second];
    expected.sort();
    assert_eq!(ids, expected);
    assert_eq!(vultr.find(tag(3, 1).operation).await.unwrap(), []);
    assert_eq!(vultr.list().await.unwrap().len(), 3);
}

#[tokio::test]
async fn another_installation_in_the_same_account_is_invisible() {
    let (double, vultr) = start().await;
    vultr.create(&order(1, 1)).await.unwrap();
    let other = connect(&double.api_url(), "test-key", "dev");
    assert_eq!(other.list().await.unwrap(), []);
    assert_eq!(other.find(tag(1, 1).operation).await.unwrap(), []);
    other.create(&order(2, 1)).await.unwrap_err();
    assert_eq!(double.machines().len(), 1);
}

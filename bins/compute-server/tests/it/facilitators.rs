//! Facilitators that demand fresh tokens, and lists of them, as an operator configures them.

use compute_testkit::facilitator::{CdpAccount, Event, Handle, Options, spawn};
use compute_testkit::vultr;
use tokio::net::TcpSocket;

use crate::buyer::{Buyer, order, pay};
use crate::rehearsal::serve_with;
use crate::server::{Backend, Home};

fn settlements(facilitator: &Handle) -> usize {
    let journal = facilitator.journal();
    let settled = journal.iter();
    settled
        .filter(|event| matches!(event, Event::Settled { .. }))
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_cdp_sells_until_it_is_revoked() {
    let account = CdpAccount::es256().unwrap();
    let options = Options {
        account: Some(account.clone()),
        ..Options::default()
    };
    let facilitator = spawn(options).await.unwrap();
    let cloud = vultr::spawn(vultr::Options::default()).await.unwrap();
    let home = Home::new(Backend::Sqlite).await;
    // As the environment often holds a key: in one line.
    let secret = account.secret.replace('\n', "\\n");
    let url = facilitator.deep_url();
    let variables = [
        ("COMPUTE_SERVER_RAILS__BASE__FACILITATOR_URL", url.as_str()),
        (
            "COMPUTE_SERVER_RAILS__BASE__FACILITATOR_CDP_KEY_ID",
            &account.key_id,
        ),
        (
            "COMPUTE_SERVER_RAILS__BASE__FACILITATOR_CDP_KEY_SECRET",
            &secret,
        ),
    ];
    let server = serve_with(&home, &cloud.api_url(), &facilitator, &variables);
    let buyer = Buyer::new();
    buyer.buy(&server, &order()).await;
    assert_eq!(settlements(&facilitator), 1);
    assert!(facilitator.refusals().is_empty());

    let payment = buyer.sign(&server, &order()).await;
    facilitator.demand(CdpAccount::es256().unwrap());
    let answer = pay(&server, &order(), &payment).await;
    assert_eq!(answer.status, 503);
    assert_eq!(settlements(&facilitator), 1);
    let log = server.log();
    assert!(log.contains("refuses our credentials, status 401"), "{log}");
    for line in account.secret.lines() {
        assert!(!log.contains(line), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_of_a_list_sells_when_the_first_is_gone() {
    // Bound, so that nobody else gets the address, and not listening.
    let gone = TcpSocket::new_v4().unwrap();
    gone.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let account = CdpAccount::ed25519(&[7; 32]).unwrap();
    let options = Options {
        account: Some(account.clone()),
        ..Options::default()
    };
    let second = spawn(options).await.unwrap();
    let cloud = vultr::spawn(vultr::Options::default()).await.unwrap();
    let home = Home::new(Backend::Sqlite).await;
    let list = format!(
        r#"[{{url="http://{}"}},{{url="{}",cdp_key_id="{}",cdp_key_secret="{}"}}]"#,
        gone.local_addr().unwrap(),
        second.deep_url(),
        account.key_id,
        account.secret
    );
    let variables = [("COMPUTE_SERVER_RAILS__BASE__FACILITATORS", list.as_str())];
    let server = serve_with(&home, &cloud.api_url(), &second, &variables);
    let buyer = Buyer::new();
    buyer.buy(&server, &order()).await;
    assert_eq!(settlements(&second), 1);
    let log = server.log();
    assert!(log.contains("facilitator is left out"), "{log}");
    assert!(!log.contains(&account.secret), "{log}");
}

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use compute_outbound::{
    Answer, OutboundClient, OutboundError, OutboundRequest, PublicRules, PublicUrl,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::peer::{config, read_request, say};

/// The life of a server certificate.
enum Life {
    Valid,
    Expired,
}

// A server with a certificate for `name`, and the authority that signed it.
fn server(name: &str, life: &Life) -> (SocketAddr, String) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let mut leaf = CertificateParams::new(vec![name.to_owned()]).unwrap();
    leaf.not_before = date_time_ymd(2001, 1, 1);
    leaf.not_after = match life {
        Life::Valid => date_time_ymd(2999, 1, 1),
        Life::Expired => date_time_ymd(2002, 1, 1),
    };
    let leaf_keys = KeyPair::generate().unwrap();
    let leaf = leaf.signed_by(&leaf_keys, &authority).unwrap();
    let keys = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(leaf_keys.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], keys)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            answer_over_tls(stream.unwrap(), Arc::new(config.clone()));
        }
    });
    (address, authority.pem())
}

fn answer_over_tls(stream: TcpStream, config: Arc<ServerConfig>) {
    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
    if !read_request(&mut stream).is_empty() {
        say(
            &mut stream,
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        );
    }
}

async fn ask(address: SocketAddr, authority: Option<String>) -> Result<Answer, OutboundError> {
    let mut config = config(&format!("https://127.0.0.1:{}", address.port()));
    config.total_timeout = std::time::Duration::from_secs(10);
    config.extra_roots_pem = authority.map(String::into_bytes);
    OutboundClient::new(&config)
        .unwrap()
        .send(OutboundRequest::get(&[]))
        .await
}

#[tokio::test]
async fn a_private_authority_is_trusted_when_configured() {
    let (address, authority) = server("127.0.0.1", &Life::Valid);
    assert_eq!(
        ask(address, Some(authority)).await.unwrap().body.as_ref(),
        b"ok"
    );
}

#[tokio::test]
async fn an_unknown_authority_is_not_sent() {
    let (address, _) = server("127.0.0.1", &Life::Valid);
    assert!(ask(address, None).await.unwrap_err().is_not_sent());
}

#[tokio::test]
async fn a_certificate_for_another_host_is_not_sent() {
    let (address, authority) = server("other.example", &Life::Valid);
    assert!(
        ask(address, Some(authority))
            .await
            .unwrap_err()
            .is_not_sent()
    );
}

#[tokio::test]
async fn an_expired_certificate_is_not_sent() {
    let (address, authority) = server("127.0.0.1", &Life::Expired);
    assert!(
        ask(address, Some(authority))
            .await
            .unwrap_err()
            .is_not_sent()
    );
}

/// No resolver knows the name, and still it is reached: where it was found before, under its own
/// certificate. So a second answer of DNS would count for nothing.
#[tokio::test]
async fn a_name_that_was_looked_up_is_not_looked_up_again() {
    const NAME: &str = "hooks.nowhere.example";
    let (address, authority) = server(NAME, &Life::Valid);
    let url = format!("https://{NAME}/hook");
    let url = PublicUrl::parse(&url, PublicRules::default()).unwrap();
    let ask = async |found: Vec<SocketAddr>| {
        let mut config = url.config(found).unwrap();
        config.extra_roots_pem = Some(authority.clone().into_bytes());
        let client = OutboundClient::new(&config).unwrap();
        client.send(OutboundRequest::post(&[])).await
    };
    assert_eq!(ask(vec![address]).await.unwrap().body.as_ref(), b"ok");
    // Nor does one that holds another name's certificate get anything there.
    let (stranger, _) = server("other.example", &Life::Valid);
    assert!(ask(vec![stranger]).await.unwrap_err().is_not_sent());
}

#[tokio::test]
async fn a_peer_that_does_not_speak_tls_is_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        say(&mut stream, "HTTP/1.1 400 Bad Request\r\n\r\n");
        read_request(&mut stream);
    });
    assert!(ask(address, None).await.unwrap_err().is_not_sent());
}

//! The example, spoken to over HTTP by a buyer.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use compute_mpp::stripe::SharedPaymentToken;
use compute_mpp::{
    BodyDigest, Challenge, ChallengeTerms, Method, Opaque, Realm, Receipt, Secret, Secrets, client,
};

#[path = "../../examples/priced_route.rs"]
#[expect(dead_code, reason = "the example's own entry is not what is tested")]
mod example;

const SECRET: &[u8] = b"the secret that this test shares";
const BODY: &str = "about the web";
/// Before every challenge of the example ends.
const EARLY_S: u64 = 0;

struct Answer {
    status: u16,
    fields: Vec<(String, String)>,
    body: String,
}

impl Answer {
    fn fields<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.fields.iter().filter(move |(it, _)| it == name);
        named.map(|(_, value)| value.as_str())
    }

    fn offer(&self) -> Challenge {
        let lines = self.fields("www-authenticate").map(str::as_bytes);
        let offers = client::offers(lines, EARLY_S).unwrap();
        let [offer] = offers.as_slice() else {
            panic!("{} offers", offers.len());
        };
        offer.clone()
    }

    fn check(&self, status: u16, problem: &str, is_offered: bool) {
        assert_eq!(self.status, status, "{}", self.body);
        assert!(
            self.body.contains(&format!("problems/{problem}\"")),
            "{}",
            self.body
        );
        assert_eq!(
            self.fields("www-authenticate").count(),
            usize::from(is_offered)
        );
        assert_eq!(self.fields("payment-receipt").count(), 0);
    }
}

/// Starts the example; it ends with the process.
fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let app = example::app(Secret::new(SECRET).unwrap()).unwrap();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, app).await.unwrap();
        });
    });
    address
}

fn post(address: SocketAddr, body: &str, credential: Option<&str>) -> Answer {
    let credential = credential.map(|value| format!("authorization: {value}\r\n"));
    let request = format!(
        "POST / HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n{}\r\n{body}",
        body.len(),
        credential.unwrap_or_default(),
    );
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let (status, fields) = head.split_once("\r\n").unwrap();
    let fields = fields.lines().map(|line| line.split_once(": ").unwrap());
    Answer {
        status: status.split(' ').nth(1).unwrap().parse().unwrap(),
        fields: fields
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        body: body.to_owned(),
    }
}

fn pay(offer: &Challenge, token: &str) -> String {
    let token = SharedPaymentToken::parse(token).unwrap();
    let payload = token.payload(&offer.charge().unwrap());
    client::answer(offer.clone(), None, payload).1
}

/// An offer of the example's own secret and price, for something else or long ago.
fn other_offer(offer: &Challenge, operation: &str, expires_s: u64) -> Challenge {
    let request = offer.charge().unwrap().encode().unwrap();
    let (realm, opaque) = (
        Realm::parse("127.0.0.1").unwrap(),
        Opaque::new(&[1; 16], operation),
    );
    let terms = ChallengeTerms::new(&realm, &Method::STRIPE, &request, &opaque, expires_s);
    let digest = BodyDigest::of(BODY.as_bytes());
    let secrets = Secrets::new(Secret::new(SECRET).unwrap());
    Challenge::issue(
        &secrets,
        ChallengeTerms {
            digest: digest.as_ref(),
            ..terms
        },
    )
}

#[test]
fn a_price_is_named_paid_once_and_no_more() {
    let address = start();
    let unpaid = post(address, BODY, None);
    unpaid.check(402, "payment-required", true);
    assert_eq!(
        unpaid.fields("cache-control").collect::<Vec<_>>(),
        ["no-store"]
    );

    let credential = pay(&unpaid.offer(), "spt_a");
    let paid = post(address, BODY, Some(&credential));
    assert_eq!(
        (paid.status, paid.body.as_str()),
        (200, "Why 402? 404 was lost.")
    );
    let receipt = Receipt::decode(paid.fields("payment-receipt").next().unwrap()).unwrap();
    assert_eq!(
        (receipt.method(), receipt.reference()),
        ("stripe", "pi_pretended")
    );

    let again = post(address, BODY, Some(&credential));
    again.check(403, "verification-failed", false);
    let offer = post(address, BODY, None).offer();
    assert_ne!(offer.id(), unpaid.offer().id());
    let same_token = post(address, BODY, Some(&pay(&offer, "spt_a")));
    same_token.check(403, "verification-failed", false);
}

#[test]
fn what_does_not_pay_this_request_is_refused_and_told_the_price() {
    let address = start();
    let offer = post(address, BODY, None).offer();
    let refuse = |body: &str, credential: &str, problem: &str| {
        post(address, body, Some(credential)).check(402, problem, true);
    };
    refuse(BODY, "Payment dGhpcyBpcyBnYXJiYWdl", "malformed-credential");
    refuse("about the sea", &pay(&offer, "spt_b"), "invalid-challenge");
    refuse("", &pay(&offer, "spt_b"), "invalid-challenge");
    let far_s = offer.expires_s().unwrap();
    let elsewhere = other_offer(&offer, "poem", far_s);
    refuse(BODY, &pay(&elsewhere, "spt_b"), "invalid-challenge");
    let late = other_offer(&offer, "joke", 1_000);
    refuse(BODY, &pay(&late, "spt_b"), "payment-expired");
    let mut forged = other_offer(&offer, "joke", far_s).www_authenticate();
    forged = forged.replace("id=\"", "id=\"A");
    let forged = Challenge::parse_www_authenticate([forged.as_bytes()]).unwrap();
    refuse(BODY, &pay(&forged[0], "spt_b"), "invalid-challenge");

    let twice = format!("{0}, {0}", pay(&offer, "spt_b"));
    post(address, BODY, Some(&twice)).check(400, "bad-request", false);
    // None of that has used the offer up.
    assert_eq!(post(address, BODY, Some(&pay(&offer, "spt_b"))).status, 200);
}

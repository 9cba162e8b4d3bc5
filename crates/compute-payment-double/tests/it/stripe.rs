use compute_outbound::{
    HeaderName, HeaderValue, OutboundClient, OutboundConfig, OutboundError, OutboundRequest,
};
use compute_payment_double::stripe::{
    ACCOUNT, Card, Fault, Flaw, Handle, OTHER_KEY, Refunded, SECRET_KEY, Token, VERSION, spawn,
};
use serde_json::Value;

const PAY: &str = "POST payment_intents";

async fn start() -> Handle {
    let stripe = spawn(1_800_000_000).await.unwrap();
    stripe.grant("spt_1", token(Card::Pays, None));
    stripe
}

const fn token(card: Card, flaw: Option<Flaw>) -> Token {
    Token {
        max_amount: 500,
        currency: "usd",
        card,
        flaw,
    }
}

async fn send(
    stripe: &Handle,
    request: OutboundRequest,
    key: Option<&'static str>,
) -> Result<(u16, Value), OutboundError> {
    send_as(stripe, SECRET_KEY, VERSION, request, key).await
}

async fn send_as(
    stripe: &Handle,
    secret: &str,
    version: &'static str,
    request: OutboundRequest,
    key: Option<&'static str>,
) -> Result<(u16, Value), OutboundError> {
    let client = OutboundClient::new(&OutboundConfig::new(stripe.url())).unwrap();
    let header = |name, value| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    };
    let (name, value) = header("stripe-version", version);
    let mut request = request.basic(secret.into()).header(name, value);
    if let Some(key) = key {
        let (name, value) = header("idempotency-key", key);
        request = request.header(name, value);
    }
    let answer = client.send(request).await?;
    Ok((answer.status.as_u16(), answer.json().unwrap()))
}

fn payment(token: &str, amount: &str) -> OutboundRequest {
    OutboundRequest::post(&["v1", "payment_intents"]).form([
        ("amount", amount),
        ("currency", "usd"),
        ("confirm", "true"),
        ("shared_payment_granted_token", token),
        ("automatic_payment_methods[enabled]", "true"),
        ("automatic_payment_methods[allow_redirects]", "never"),
        ("metadata[mpp_challenge_id]", "c1"),
    ])
}

#[tokio::test]
async fn the_first_answer_to_a_key_is_the_only_one() {
    let stripe = start().await;
    let first = send(&stripe, payment("spt_1", "500"), Some("k"))
        .await
        .unwrap();
    assert_eq!((first.0, &first.1["status"]), (200, &"succeeded".into()));
    let again = send(&stripe, payment("spt_1", "500"), Some("k"))
        .await
        .unwrap();
    assert_eq!(again, first);
    let (status, body) = send(&stripe, payment("spt_1", "400"), Some("k"))
        .await
        .unwrap();
    assert_eq!(status, 400);
    assert_eq!(body["error"]["type"], "idempotency_error");
    // Without the key it is another payment, and the token is used up.
    let (status, _) = send(&stripe, payment("spt_1", "500"), None).await.unwrap();
    assert_eq!(status, 400);
    assert_eq!(stripe.taken().len(), 1);
    assert_eq!(stripe.taken()[0].challenge_id, "c1");

    let stripe = start().await;
    stripe.disturb(PAY, Fault::StatusSaved(500));
    for _ in 0..2 {
        let (status, _) = send(&stripe, payment("spt_1", "500"), Some("k"))
            .await
            .unwrap();
        assert_eq!(status, 500);
    }
    assert!(stripe.taken().is_empty());
}

#[tokio::test]
async fn before_and_after_differ_by_whether_money_moved() {
    for (fault, taken) in [
        (Fault::DropBefore, 0),
        (Fault::DropAfter, 1),
        (Fault::StatusBefore(500), 0),
        (Fault::StatusAfter(500), 1),
    ] {
        let stripe = start().await;
        stripe.disturb(PAY, fault.clone());
        let answer = send(&stripe, payment("spt_1", "500"), Some("k")).await;
        assert_ne!(answer.map_or(0, |(status, _)| status), 200, "{fault:?}");
        assert_eq!(stripe.taken().len(), taken, "{fault:?}");
    }
}

#[tokio::test]
async fn only_what_is_open_is_cancelled() {
    let stripe = start().await;
    stripe.grant("spt_2", token(Card::WantsAction, None));
    stripe.grant("spt_3", token(Card::Pays, Some(Flaw::Expired)));
    for (name, status) in [
        ("spt_1", 200),
        ("spt_2", 200),
        ("spt_3", 400),
        ("spt_4", 400),
    ] {
        let answer = send(&stripe, payment(name, "500"), None).await.unwrap();
        assert_eq!(answer.0, status, "{name}");
    }
    for (id, status) in [("pi_0", 400), ("pi_1", 200), ("pi_1", 400), ("pi_9", 404)] {
        let cancel = OutboundRequest::post(&["v1", "payment_intents", id, "cancel"]);
        assert_eq!(send(&stripe, cancel, None).await.unwrap().0, status, "{id}");
    }
    let list = OutboundRequest::get(&["v1", "payment_intents"]).query("limit", "1");
    let (_, body) = send(&stripe, list, None).await.unwrap();
    assert_eq!(body["data"][0]["id"], "pi_1");
    assert_eq!(body["data"][0]["status"], "canceled");
    assert_eq!(body["has_more"], true);
}

#[tokio::test]
async fn what_stripe_would_refuse_is_refused() {
    let stripe = start().await;
    for (route, field) in [
        ("payment_intents", "metadata"),
        ("payment_intents", "shared_payment_token"),
        ("refunds", "reason_text"),
    ] {
        let form = [("amount", "500"), (field, "x")];
        let unknown = OutboundRequest::post(&["v1", route]).form(form);
        let (status, body) = send(&stripe, unknown, None).await.unwrap();
        assert_eq!(status, 400, "{field}");
        assert_eq!(body["error"]["code"], "parameter_unknown");
        assert_eq!(body["error"]["param"], field);
    }
    let list = || OutboundRequest::get(&["v1", "payment_intents"]).query("limit", "1");
    for version in ["2026-07-29", "2025-03-31.basil"] {
        let answer = send_as(&stripe, SECRET_KEY, version, list(), None).await;
        assert_eq!(answer.unwrap().0, 400, "{version}");
    }
    assert_eq!(send(&stripe, list(), None).await.unwrap().0, 200);
    assert_eq!(stripe.payments(), 0);
}

#[tokio::test]
async fn accounts_do_not_see_each_other() {
    let stripe = start().await;
    send(&stripe, payment("spt_1", "500"), Some("k"))
        .await
        .unwrap();
    for (key, account, payments) in [(SECRET_KEY, ACCOUNT, 1), (OTHER_KEY, "acct_stranger", 0)] {
        let ask = |path: &[&str]| send_as(&stripe, key, VERSION, OutboundRequest::get(path), None);
        let (_, body) = ask(&["v1", "account"]).await.unwrap();
        assert_eq!(body["id"], account);
        let (_, body) = ask(&["v1", "payment_intents"]).await.unwrap();
        assert_eq!(body["data"].as_array().unwrap().len(), payments);
    }
}

#[tokio::test]
async fn no_more_is_given_back_than_was_taken() {
    let stripe = start().await;
    send(&stripe, payment("spt_1", "500"), Some("k"))
        .await
        .unwrap();
    let refund = |amount: &str| {
        let form = [("payment_intent", "pi_0"), ("amount", amount)];
        OutboundRequest::post(&["v1", "refunds"]).form(form)
    };
    for (amount, status) in [
        ("501", 400),
        ("200", 200),
        ("301", 400),
        ("300", 200),
        ("1", 400),
    ] {
        let answer = send(&stripe, refund(amount), None).await.unwrap();
        assert_eq!(answer.0, status, "{amount}");
    }
    let of = |amount| Refunded {
        payment_intent: "pi_0".to_owned(),
        amount,
    };
    assert_eq!(stripe.refunded(), [of(200), of(300)]);
    stripe.set_refund("re_1", "failed");
    assert_eq!(stripe.refunded(), [of(200)]);
    let dispute = stripe.dispute("pi_0");
    let (status, body) = send(&stripe, refund("10"), None).await.unwrap();
    assert_eq!(
        (status, &body["error"]["code"]),
        (400, &"charge_disputed".into())
    );
    stripe.set_dispute(&dispute, "won");
    assert_eq!(send(&stripe, refund("10"), None).await.unwrap().0, 200);
}

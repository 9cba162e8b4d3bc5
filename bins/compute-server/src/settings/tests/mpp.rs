//! Payments by challenge.

use compute_engine::ChargeTerms;

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const RECIPIENT: &str = "0x1111111111111111111111111111111111111111";

/// A good configuration that also takes charges on Tempo.
fn good_tempo() -> String {
    good()
        + &format!(
            r#"[mpp]
secret = "{SECRET}"
[mpp.tempo]
recipient = "{RECIPIENT}"
rpc_url = "https://node.example/hunter2"
"#
        )
}

fn check_tempo(from: &str, to: &str, expected: &str) {
    let text = good_tempo();
    assert!(text.contains(from), "{from}");
    let found = problems(&text.replace(from, to));
    assert!(found.contains(expected), "{to}: {found}");
    assert!(!found.contains("hunter2"), "{found}");
}

#[test]
fn a_recipient_turns_it_on() {
    assert!(check(&good()).unwrap().mpp.is_none());
    let mpp = check(&good_tempo()).unwrap().mpp.unwrap();
    assert_eq!(mpp.terms.realm.as_str(), "compute.example");
    assert_eq!(mpp.terms.challenge_life.millis(), 300_000);
    let tempo = mpp.tempo.unwrap();
    let ChargeTerms::Tempo(terms) = tempo.spec.terms else {
        panic!("Tempo")
    };
    assert_eq!((terms.chain_id, tempo.spec.decimals), (4_217, 6));
    assert_eq!(terms.recipient.to_string(), RECIPIENT);
}

#[test]
fn a_shop_may_take_nothing_else() {
    let text = good_tempo();
    let (before, rest) = text.split_once("[rails.base]").unwrap();
    let (_, after) = rest.split_once("[mpp]").unwrap();
    let config = check(&format!("{before}[mpp]{after}")).unwrap();
    assert!(config.rails.is_empty() && config.mpp.is_some());
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let secret = format!("secret = \"{SECRET}\"\n");
    let rpc_url = "rpc_url = \"https://node.example/hunter2\"\n";
    let zero = format!("0x{}", "0".repeat(40));
    let token = format!("0x20c0{}", "0".repeat(36));
    for (from, to, expected) in [
        (secret.as_str(), "", "mpp.secret: is needed"),
        (SECRET, "hunter2", "mpp.secret: "),
        (
            "[mpp]",
            "[mpp]\nprevious_secret = \"hunter2\"",
            "mpp.previous_secret: ",
        ),
        ("[mpp]", "[mpp]\nrealm = \"two\\nlines\"", "mpp.realm: "),
        (
            "[mpp]",
            "[mpp]\nchallenge_life = \"19s\"",
            "mpp.challenge_life: must be 20s to 1h",
        ),
        (
            "[mpp]",
            "[mpp]\nchallenge_life = \"3601s\"",
            "mpp.challenge_life: must be 20s to 1h",
        ),
        (
            "[mpp]",
            "[mpp]\nunsettled_per_wallet = 0",
            "mpp.unsettled_per_wallet: must be at least 1",
        ),
        (rpc_url, "", "mpp.tempo.rpc_url: is needed"),
        (
            "https://node",
            "http://node",
            "mpp.tempo.rpc_url: must be https://",
        ),
        (
            rpc_url,
            "chain_id = 42431\n",
            "mpp.tempo.currency: is needed",
        ),
        (
            rpc_url,
            "decimals = 19\n",
            "mpp.tempo.decimals: must be at most 18",
        ),
        (
            rpc_url,
            "currency = \"0x11\"\n",
            "mpp.tempo.currency: must be an address",
        ),
        (RECIPIENT, "0x11", "mpp.tempo.recipient: must be an address"),
    ] {
        check_tempo(from, to, expected);
    }
    for address in [&zero, &token] {
        let text = good_tempo();
        let (start, tempo) = text.split_once("[mpp.tempo]").unwrap();
        let tempo = tempo.replace(RECIPIENT, address);
        let found = problems(&format!("{start}[mpp.tempo]{tempo}"));
        assert!(
            found.contains("mpp.tempo.recipient: is zero or a token"),
            "{found}"
        );
    }
}

#[test]
fn who_may_send_the_money_first_gets_the_price_it_was_sent_for() {
    let life = |life: &str| format!("[mpp]\nchallenge_life = \"{life}\"");
    let longer = good_tempo().replace("[mpp]", &life("301s"));
    check(&longer).unwrap();
    let push = |text: &str| text.replace("[mpp.tempo]", "[mpp.tempo]\npush = true");
    let found = problems(&push(&longer));
    assert!(
        found.contains("mpp.tempo.push: needs a pricing.grace"),
        "{found}"
    );
    let mpp = check(&push(&good_tempo())).unwrap().mpp.unwrap();
    let ChargeTerms::Tempo(terms) = mpp.tempo.unwrap().spec.terms else {
        panic!("Tempo")
    };
    assert_eq!(terms.modes, compute_mpp::tempo::Modes::PullAndPush);
}

#[test]
fn a_key_turns_stripe_on() {
    let text = good()
        + &format!(
            r#"[mpp]
secret = "{SECRET}"
[mpp.stripe]
secret_key = "sk_test_hunter2"
webhook_secret = "whsec_hunter2"
network_id = "profile_1"
"#
        );
    let mpp = check(&text).unwrap().mpp.unwrap();
    assert!(mpp.tempo.is_none());
    let stripe = mpp.stripe.unwrap();
    let ChargeTerms::Stripe { details, currency } = stripe.spec.terms else {
        panic!("Stripe")
    };
    assert_eq!(
        (details.network_id.as_str(), currency.as_str()),
        ("profile_1", "usd")
    );
    assert_eq!(stripe.spec.decimals, 2);
    assert_eq!(stripe.webhook_secret.unwrap().expose(), "whsec_hunter2");
    let without = text.replace("webhook_secret = \"whsec_hunter2\"\n", "");
    let mpp = check(&without).unwrap().mpp.unwrap();
    assert!(mpp.stripe.unwrap().webhook_secret.is_none());
    for (from, to, expected) in [
        (
            "network_id = \"profile_1\"\n",
            "",
            "mpp.stripe.network_id: is needed",
        ),
        (
            "network_id",
            "payment_method_types = []\nnetwork_id",
            "mpp.stripe.payment_method_types: ",
        ),
        (
            "network_id",
            "base_url = \"http://api.example\"\nnetwork_id",
            "mpp.stripe.base_url: ",
        ),
    ] {
        let found = problems(&text.replace(from, to));
        assert!(found.contains(expected), "{to}: {found}");
        assert!(!found.contains("hunter2"), "{found}");
    }
}

#[test]
fn secrets_are_taken_from_files_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (new, old) = (file("new", &format!("{SECRET}\n")), file("old", SECRET));
    let node = file("node", "https://node.example/hunter2");
    let text = good_tempo()
        .replace(
            &format!("secret = \"{SECRET}\""),
            &format!(
                "realm = \"pay.example\"\nsecret_file = \"{new}\"\nprevious_secret_file = \"{old}\""
            ),
        )
        .replace(
            "rpc_url = \"https://node.example/hunter2\"",
            &format!("rpc_url_file = \"{node}\""),
        );
    let mpp = check(&text).unwrap().mpp.unwrap();
    assert_eq!(mpp.terms.realm.as_str(), "pay.example");
    assert!(mpp.terms.secrets.previous.is_some());
    assert_eq!(
        mpp.tempo.unwrap().rpc_url.expose(),
        "https://node.example/hunter2"
    );
}

use crate::town::Town;

const PLAN: &str = "vc2-1c-1gb";

#[test]
fn a_machine_is_found_bought_shown_lengthened_and_destroyed() {
    let town = Town::open();
    let plans = town.run(&["plans", "--max-hourly", "0.01", "--provider", "vultr"]);
    let plans = plans.json["plans"].as_array().unwrap().clone();
    let prices: Vec<f64> = plans
        .iter()
        .map(|plan| plan["our_hourly"].as_str().unwrap().parse().unwrap())
        .collect();
    assert!(
        prices.is_sorted() && prices.iter().all(|price| *price <= 0.01),
        "{prices:?}"
    );
    assert!(plans.iter().any(|plan| plan["id"] == PLAN));

    let quote = town.run(&["quote", "--plan", PLAN]);
    let price = quote.json["price_usd"].as_str().unwrap().to_owned();
    assert_eq!(quote.json["real_money"], false);

    let bought = town.run(&["provision", "--plan", PLAN, "--label", "one", "--wait"]);
    assert_eq!((bought.code, bought.result()), (0, "done"), "{bought:?}");
    assert_eq!(bought.json["price_usd"], price.as_str());
    assert_eq!(bought.json["order"]["status"], "active");
    let id = bought.json["order"]["id"].as_str().unwrap();

    let shown = town.run(&["show", id]);
    assert_eq!(shown.json["reply"]["order"]["label"], "one");
    let password = town.run(&["password", id]);
    assert_eq!(password.json["reply"]["access"]["username"], "root");
    let again = town.run(&["password", id]);
    assert_eq!((again.code, again.result()), (3, "refused"));
    assert_eq!(again.json["code"], "password_already_retrieved");

    let longer = town.run(&["extend", id, "--pay", "tempo"]);
    assert_eq!(
        (longer.code, &longer.json["means"]),
        (0, &"tempo".into()),
        "{longer:?}"
    );
    assert_eq!(longer.json["reply"]["extended_hours"], 24);

    let destroyed = town.run(&["destroy", id]);
    assert_eq!(destroyed.json["reply"]["success"], true);
    assert_eq!(town.run(&["list"]).code, 0);
    let history = town.run(&["history"]);
    assert_eq!(history.json["purchases"].as_array().unwrap().len(), 2);
}

#[test]
fn credits_are_bought_once_and_spent_without_another_payment() {
    let town = Town::open();
    let bought = town.run(&["credits", "topup", "2.50"]);
    assert_eq!(bought.json["reply"]["new_balance"], "2.50", "{bought:?}");
    let machine = town.run(&[
        "provision",
        "--plan",
        PLAN,
        "--pay",
        "credits",
        "--max-price",
        "1",
    ]);
    assert_eq!(
        (machine.code, &machine.json["means"]),
        (0, &"credits".into()),
        "{machine:?}"
    );
    let budget = town.run(&["budget"]);
    assert_eq!(budget.json["spent_usd"], "2.50");
    assert_eq!(town.machines().len(), 1);
}

#[test]
fn a_key_acts_for_the_wallet_that_made_it() {
    let town = Town::open();
    town.run(&["provision", "--plan", PLAN]);
    let made = town.run(&["keys", "create", "--label", "x"]);
    let key = made.json["reply"]["api_key"].as_str().unwrap().to_owned();
    let list = |key: &str| {
        let mut command = town.command(&town.url);
        command.env("COMPUTE_API_KEY", key).args(["--json", "list"]);
        command.output().unwrap()
    };
    let listed = list(&key);
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed["instances"].as_array().unwrap().len(), 1);
    let id = made.json["reply"]["id"].as_str().unwrap();
    assert_eq!(town.run(&["keys", "revoke", id]).code, 0);
    assert_eq!(list(&key).status.code(), Some(3));
}

#[test]
fn a_key_has_a_budget_and_an_end() {
    let town = Town::open();
    town.run(&["credits", "topup", "5"]);
    let end = "2099-01-31T00:00:00Z";
    let made = town.run(&["keys", "create", "--budget", "0.01", "--expires", end]);
    let reply = &made.json["reply"];
    assert_eq!(reply["budget_usd"], "0.01", "{made:?}");
    assert_eq!(reply["expires_at"].as_str().unwrap()[..19], end[..19]);
    let mut command = town.command(&town.url);
    command.env("COMPUTE_API_KEY", reply["api_key"].as_str().unwrap());
    command.args(["--json", "provision", "--plan", PLAN, "--pay", "credits"]);
    let beyond = command.output().unwrap();
    assert_ne!(beyond.status.code(), Some(0), "{beyond:?}");
    assert_eq!(town.machines().len(), 0);
    let listed = town.command(&town.url).args(["keys", "list"]).output();
    let listed = String::from_utf8(listed.unwrap().stdout).unwrap();
    assert!(
        listed.contains("BUDGET") && listed.contains("0.01"),
        "{listed}"
    );
    for words in [["--expires", "2001-01-31T00:00:00Z"], ["--expires", "soon"]] {
        let refused = town.run(&["keys", "create", words[0], words[1]]);
        assert_eq!((refused.code, refused.result()), (3, "refused"));
    }
    assert_eq!(town.run(&["keys", "create", "--budget", "x"]).code, 2);
}

#[test]
fn people_read_text_and_scripts_one_document() {
    let town = Town::open();
    let output = town
        .command(&town.url)
        .args(["plans", "--limit", "1"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("PLAN "), "{text}");
    assert_eq!(text.lines().count(), 2);
    let unknown = town.run(&["provision", "--plan", "no-such-plan"]);
    assert_eq!((unknown.code, unknown.result()), (1, "failed"));
    assert!(
        unknown.json["error"]
            .as_str()
            .unwrap()
            .contains("compute plans")
    );
    let output = town
        .command(&town.url)
        .args(["completions", "bash"])
        .output()
        .unwrap();
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("_compute()")
    );
    assert_eq!(town.run(&["explode"]).code, 2);
}

#[test]
fn a_purchase_with_a_name_is_made_once() {
    let town = Town::open();
    let words = [
        "provision",
        "--plan",
        PLAN,
        "--region",
        "ewr",
        "--idempotency-key",
        "nightly-2026-11-30",
    ];
    let first = town.run(&words);
    assert_eq!((first.code, first.result()), (0, "done"), "{first:?}");
    let again = town.run(&words);
    assert_eq!(
        (again.code, &again.json["already_bought"]),
        (0, &true.into())
    );
    assert_eq!(again.json["order_id"], first.json["reply"]["order"]["id"]);
    assert_eq!(town.machines().len(), 1);
    let other = [words.as_slice(), &["--hours", "48"]].concat();
    assert_eq!(town.run(&other).result(), "failed");
    // The plan's first region may be another tomorrow.
    let vague = [
        "provision",
        "--plan",
        PLAN,
        "--idempotency-key",
        "nightly-2026-12-01",
    ];
    assert_eq!(town.run(&vague).code, 1);
    assert_eq!(town.machines().len(), 1);
}

/// Development servers take no money on Solana: what is missing is said, and nothing is sent.
#[test]
fn a_means_that_is_not_there_sends_nothing() {
    let town = Town::open();
    for network in ["solana", "megaeth"] {
        let words = ["provision", "--plan", PLAN, "--network", network];
        let refused = town.run(&words);
        assert_eq!(
            (refused.code, refused.result()),
            (4, "not_allowed"),
            "{refused:?}"
        );
    }
    let pair: Vec<u8> = [
        [2; 32].as_slice(),
        compute_wallet::SolanaKey::from_seed(&[2; 32])
            .address()
            .as_bytes(),
    ]
    .concat();
    let mut command = town.command(&town.url);
    command
        .env("COMPUTE_KEY", format!("{pair:?}"))
        .args(["--json", "list"]);
    let listed = command.output().unwrap();
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed["instances"], serde_json::json!([]), "{listed}");
    assert_eq!(town.machines().len(), 0);
}

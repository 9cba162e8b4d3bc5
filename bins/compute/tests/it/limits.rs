use crate::town::Town;

const PLAN: &str = "vc2-1c-1gb";

#[test]
fn the_cap_lasts_over_restarts_and_nothing_is_sent_beyond_it() {
    let town = Town::open();
    assert_eq!(
        town.run(&["budget", "--set", "0.20"]).json["cap_usd"],
        "0.20"
    );
    assert_eq!(town.run(&["provision", "--plan", PLAN]).code, 0);
    for _ in 0..2 {
        let beyond = town.run(&["provision", "--plan", PLAN]);
        assert_eq!(
            (beyond.code, beyond.result()),
            (4, "not_allowed"),
            "{beyond:?}"
        );
        assert!(
            beyond.json["error"].as_str().unwrap().contains("0.20"),
            "{beyond:?}"
        );
    }
    assert_eq!(town.machines().len(), 1);
    // A limit from outside holds beside it, and a higher one does not lift it.
    town.run(&["budget", "--set", "5"]);
    let outside = town.run(&["--spend-cap", "0.20", "provision", "--plan", PLAN]);
    assert_eq!(outside.code, 4);
    town.run(&["budget", "--set", "0.20"]);
    let higher = town.run(&["--spend-cap", "5", "provision", "--plan", PLAN]);
    assert_eq!(higher.code, 4);
    town.run(&["budget", "--unlimited"]);
    assert_eq!(town.run(&["provision", "--plan", PLAN]).code, 0);
    assert_eq!(town.machines().len(), 2);
}

#[test]
fn a_price_beyond_the_wish_buys_nothing() {
    let town = Town::open();
    let dear = town.run(&["provision", "--plan", PLAN, "--max-price", "0.10"]);
    assert_eq!((dear.code, dear.result()), (4, "not_allowed"));
    let dry = town.run(&["provision", "--plan", PLAN, "--dry-run"]);
    assert_eq!((dry.code, &dry.json["real_money"]), (0, &false.into()));
    assert_eq!(town.machines().len(), 0);
    assert_eq!(town.run(&["budget"]).json["spent_usd"], "0.00");
}

/// A wallet of somebody's own is asked before it pays, even where the money is worth nothing: it may not be.
#[test]
fn somebodys_own_wallet_pays_only_what_was_agreed_to() {
    let town = Town::open();
    let own = |words: &[&str]| {
        let mut command = town.command(&town.url);
        command
            .env("COMPUTE_KEY", "11".repeat(32))
            .arg("--json")
            .args(words);
        command.output().unwrap().status.code()
    };
    assert_eq!(own(&["provision", "--plan", PLAN]), Some(1));
    assert_eq!(
        own(&["provision", "--plan", PLAN, "--max-price", "0.01"]),
        Some(1)
    );
    assert_eq!(
        own(&["provision", "--plan", PLAN, "--max-price", "1"]),
        Some(0)
    );
    assert_eq!(own(&["provision", "--plan", PLAN, "--yes"]), Some(0));
}

#[test]
fn nobody_is_told_how_to_become_somebody() {
    let town = Town::open();
    // A port where nobody listens.
    let nowhere = "http://127.0.0.1:1";
    let away = town.at(nowhere, &["list"]);
    assert_eq!((away.code, away.result()), (7, "unreachable"), "{away:?}");
    // The book needs no shop.
    assert_eq!(town.at(nowhere, &["budget"]).code, 0);
    let bad = town.at("http://compute.example", &["plans"]);
    assert_eq!(bad.code, 1);
    assert!(
        bad.json["error"].as_str().unwrap().contains("http"),
        "{bad:?}"
    );
}

use super::*;

const OCEAN: &str = "[providers.digitalocean]\ntoken = \"OCEANTOKEN\"\n";

/// The good configuration with DigitalOcean besides Vultr.
fn both() -> String {
    good().replace("[rails.base]", &format!("{OCEAN}[rails.base]"))
}

#[test]
fn one_cloud_or_the_other_or_both_may_sell() {
    let providers = |text: &str| -> Vec<String> {
        let config = check(text).unwrap();
        let names = config.clouds.iter().map(|cloud| cloud.provider.to_string());
        names.collect()
    };
    let vultr = "[providers.vultr]\napi_key = \"VENDORKEY\"\n";
    assert_eq!(providers(&good()), ["vultr"]);
    assert_eq!(providers(&both()), ["vultr", "digitalocean"]);
    assert_eq!(providers(&both().replace(vultr, "")), ["digitalocean"]);
    let none = problems(&good().replace(vultr, ""));
    assert!(none.contains("no cloud is configured"), "{none}");
}

#[test]
fn each_cloud_has_its_own_margin_and_pace() {
    let lines = "markup_bps = 2000\nrequests_per_hour = 3600\n";
    let config = check(&both().replace(OCEAN, &format!("{OCEAN}{lines}"))).unwrap();
    let [vultr, ocean] = &config.clouds[..] else {
        panic!("{:?}", config.clouds)
    };
    assert_ne!(vultr.markup, ocean.markup);
    assert_eq!(config.sales.markup.len(), 2);
    assert_eq!(vultr.allowance.burst, 20);
    assert_eq!(vultr.allowance.every.as_millis(), 100);
    assert_eq!(ocean.allowance.every.as_millis(), 1_000);
}

#[test]
fn what_digitalocean_would_refuse_is_found_by_the_check() {
    let check_line = |line: &str, key: &str| {
        let found = problems(&both().replace(OCEAN, &format!("{OCEAN}{line}\n")));
        assert!(
            found.contains(&format!("providers.digitalocean.{key}")),
            "{found}"
        );
        assert!(!found.contains("OCEANTOKEN"), "{found}");
    };
    check_line("base_url = \"http://api.digitalocean.com\"", "base_url");
    check_line(
        "requests_per_hour = 0",
        "requests_per_hour: must be 1 to 4900",
    );
    check_line("requests_per_hour = 5000", "requests_per_hour");
    check_line("backend = \"simulated\"", "backend");
    check_line("timeout = \"30s\"", "timeout");
    check_line("markup_bps = 1000000", "markup_bps");
    check_line("token_file = \"/nowhere\"", "token");
    let found = problems(&both().replace("OCEANTOKEN", "OCEAN TOKEN"));
    assert!(found.contains("providers.digitalocean.token"), "{found}");
    check_change(
        "[rails.base]",
        "requests_per_second = 30\n[rails.base]",
        "providers.vultr.requests_per_second: must be 1 to 29",
    );
}

#[test]
fn a_cloud_may_be_switched_off_and_have_a_threshold() {
    let config = check(&both()).unwrap();
    assert!(config.sales.switched_off.is_empty() && config.sales.alarm_below.is_empty());
    let lines = "sells = false\nalarm_below_usd = \"25.50\"\n";
    let config = check(&both().replace(OCEAN, &format!("{OCEAN}{lines}"))).unwrap();
    let ocean = compute_domain::catalog::ProviderId::DigitalOcean;
    assert_eq!(config.clouds.len(), 2, "its machines go on");
    assert_eq!(Vec::from_iter(config.sales.switched_off), [ocean]);
    assert_eq!(config.sales.alarm_below[&ocean].to_string(), "25.50");
    assert_eq!(config.sales.alarm_below.len(), 1);
}

#[test]
fn accounts_are_not_asked_for_all_the_time() {
    check_change(
        "[rails.base]",
        "[timing]\naccount_every = \"59s\"\n[rails.base]",
        "timing.account_every: must be at least 1m",
    );
    let text = good().replace(
        "[rails.base]",
        "[timing]\naccount_every = \"1m\"\n[rails.base]",
    );
    assert_eq!(check(&text).unwrap().timing.every.account.millis(), 60_000);
}

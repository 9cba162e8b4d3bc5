mod clouds;
mod embedded;
mod facilitators;
mod metrics;
mod money;
mod mpp;
mod service;
mod solana;
mod traces;

use super::*;

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn good() -> String {
    format!(
        r#"
[server]
public_url = "https://compute.example"
[secrets]
sealing_keys = [{{ id = 1, key = "{KEY}" }}]
api_key_pepper = "{KEY}"
[providers.vultr]
api_key = "VENDORKEY"
[rails.base]
chain = "eip155:8453"
pay_to = "0x1111111111111111111111111111111111111111"
facilitator_url = "https://facilitator.example"
"#
    )
}

fn check(text: &str) -> Result<Config, Problems> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("compute.toml");
    std::fs::write(&file, text).unwrap();
    Loaded::read(Reader::open(Some(&file))).check()
}

fn problems(text: &str) -> String {
    check(text)
        .map(|_| "no problem".to_owned())
        .unwrap_or_else(|problems| problems.to_string())
}

/// The good configuration with one line changed, and the problem that must be reported.
fn check_change(from: &str, to: &str, expected: &str) {
    let text = good();
    assert!(text.contains(from), "{from}");
    let found = problems(&text.replace(from, to));
    assert!(found.contains(expected), "{to}: {found}");
}

#[test]
fn a_complete_configuration_is_accepted() {
    let config = check(&good()).unwrap();
    assert_eq!(config.server.public_url.as_str(), "https://compute.example");
    assert_eq!(config.rails.len(), 1);
    let rail = &config.rails[0];
    assert_eq!(
        (
            rail.terms.as_evm().unwrap().domain_name(),
            rail.terms.as_evm().unwrap().domain_version(),
            rail.decimals
        ),
        ("USD Coin", "2", 6)
    );
    assert_eq!(config.timing.engine, compute_engine::Timing::default());
}

#[test]
fn nothing_at_all_lists_everything_that_is_needed() {
    let found = problems("");
    for key in [
        "server.public_url",
        "secrets.sealing_keys",
        "secrets.api_key_pepper",
        "rails:",
        "providers:",
    ] {
        assert!(found.contains(key), "{key}: {found}");
    }
}

#[test]
fn an_unknown_key_is_an_error_wherever_it_stands() {
    check_change(
        "[secrets]",
        "colour = 1\n[secrets]",
        "server.colour: is not a key",
    );
    check_change(
        "[secrets]",
        "[colours]\nred = 1\n[secrets]",
        "colours: is not a key",
    );
    check_change(
        "chain =",
        "chainn = 1\nchain =",
        "rails.base.chainn: is not a key",
    );
    check_change(
        "[rails.base]",
        "[providers.linode]\nkey = 1\n[rails.base]",
        "providers.linode: is not a key",
    );
}

#[test]
fn all_problems_are_reported_at_once_with_their_origin() {
    let text = good().replace(
        "[secrets]",
        "listen = \"nowhere\"\n[log]\nformat = \"xml\"\n[auth]\nclock_skew = 300\n[secrets]",
    );
    let found = problems(&text);
    for key in ["server.listen", "log.format", "auth.clock_skew"] {
        assert!(found.contains(key), "{key}: {found}");
    }
    assert_eq!(found.matches("compute.toml)").count(), 3, "{found}");
}

#[test]
fn no_secret_is_printed_when_it_is_wrong() {
    for (from, to) in [
        (
            format!("api_key_pepper = \"{KEY}\""),
            "api_key_pepper = \"hunter2\"".to_owned(),
        ),
        (
            format!("api_key_pepper = \"{KEY}\""),
            "api_key_pepper = [\"hunter2\"]".to_owned(),
        ),
        (
            format!("id = 1, key = \"{KEY}\""),
            "id = 1, key = \"hunter2\"".to_owned(),
        ),
        (
            format!("id = 1, key = \"{KEY}\""),
            "id = 1, kye = \"hunter2\"".to_owned(),
        ),
        (
            "https://facilitator.example".to_owned(),
            "http://user:hunter2@facilitator.example".to_owned(),
        ),
    ] {
        let found = problems(&good().replace(&from, &to));
        assert!(
            found.contains("problem") && !found.contains("hunter2"),
            "{to}: {found}"
        );
    }
}

#[test]
fn simulations_are_refused_by_serve() {
    check_change(
        "[rails.base]",
        "backend = \"simulated\"\n[rails.base]",
        "providers.vultr.backend",
    );
    check_change(
        "chain =",
        "settlement = \"simulated\"\nchain =",
        "rails.base.settlement",
    );
    check_change(
        "[secrets]",
        "[database]\nmode = \"dev\"\n[secrets]",
        "database.mode",
    );
}

#[test]
fn plain_http_stays_on_this_machine() {
    check_change(
        "https://facilitator.example",
        "http://facilitator.example",
        "rails.base.facilitator_url",
    );
    check_change(
        "https://compute.example",
        "http://compute.example",
        "server.public_url",
    );
    check_change(
        "[rails.base]",
        "base_url = \"http://api.vultr.com\"\n[rails.base]",
        "providers.vultr.base_url",
    );
    assert!(check(&good().replace("https://facilitator.example", "http://127.0.0.1:4030")).is_ok());
}

#[test]
fn what_the_adapters_refuse_is_found_by_the_check() {
    for url in [
        "https://",
        "https://user:hunter2@facilitator.example",
        "https://facilitator.example/#x",
        "https://facilitator.example:port",
        "ftp://127.0.0.1",
    ] {
        check_change(
            "https://facilitator.example",
            url,
            "rails.base.facilitator_url: must be https://",
        );
    }
    check_change(
        "chain =",
        "rpc_url = \"https://rpc example/\"\nchain =",
        "rails.base.rpc_url: must be https://",
    );
    check_change(
        "chain =",
        "facilitator_token = \"two words\"\nchain =",
        "rails.base.facilitator_token",
    );
    check_change("VENDORKEY", "VENDOR KEY", "providers.vultr.api_key");
    check_change(
        "[rails.base]",
        "base_url = \"https://\"\n[rails.base]",
        "providers.vultr.base_url: must be https://",
    );
    check_change(
        "[secrets]",
        "[log]\nfilter = \"info,compute_engine=loud\"\n[secrets]",
        "log.filter: must be",
    );
}

#[test]
fn urls_may_stand_in_files_but_not_in_both_places() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    let line = |key: &str| format!("{key} = {:?}", file.display().to_string());

    std::fs::write(&file, "https://facilitator.example/hunter2\n").unwrap();
    let given = r#"facilitator_url = "https://facilitator.example""#;
    let text = good().replace(given, &line("facilitator_url_file"));
    let config = check(&text).unwrap();
    assert_eq!(
        config.rails[0].facilitators()[0].url,
        "https://facilitator.example/hunter2"
    );
    let both = text.replace("chain =", &format!("{given}\nchain ="));
    assert!(problems(&both).contains("rails.base.facilitator_url: is given twice"));

    std::fs::write(&file, "postgres://shop:hunter2@db/shop\n").unwrap();
    let database = format!("[database]\n{}\n", line("url_file"));
    let text = good().replace("[secrets]", &format!("{database}[secrets]"));
    assert!(check(&text).is_ok());
    let both = text.replace("[database]", "[database]\nurl = \"sqlite:compute.db\"");
    assert!(problems(&both).contains("database.url: is given twice"));
}

#[test]
fn proxies_are_exempt_from_the_limit_per_address() {
    let proxies = "trusted_proxies = [\"10.0.0.1\"]\n[secrets]";
    let limits = check(&good().replace("[secrets]", proxies))
        .unwrap()
        .listener_limits;
    assert!(limits.is_exempt("10.0.0.1".parse().unwrap()));
    assert!(!limits.is_exempt("10.0.0.2".parse().unwrap()));
    assert!(!limits.is_exempt("127.0.0.1".parse().unwrap()));
}

#[test]
fn a_live_database_keeps_its_time() {
    let timing = |line: &str| good().replace("[secrets]", &format!("[timing]\n{line}\n[secrets]"));
    for line in [
        "scale_divisor = 100",
        "lease = \"30s\"",
        "find_looks = 3",
        "find_window = \"1m\"",
        "hold_grace = \"59s\"",
        "store_every = \"4s\"",
        "request_key_life = \"71h\"",
        "lost_window = \"9m\"",
        "lost_fleet_window = \"5h\"",
        "lost_looks = 2",
        "orphan_age = \"14m\"",
        "orphan_quarantine = \"9m\"",
        "guard_window = \"59m\"",
    ] {
        assert!(
            problems(&timing(line)).contains("on a live database"),
            "{line}"
        );
    }
    let test =
        timing("scale_divisor = 100").replace("[timing]", "[database]\nmode = \"test\"\n[timing]");
    let timing = check(&test).unwrap().timing;
    assert_eq!(timing.engine.lease.millis(), 600);
    let every = timing.every;
    let rounds = [every.watch, every.sweep, every.audit];
    assert_eq!(
        rounds.map(compute_domain::time::Span::millis),
        [300, 6_000, 36_000]
    );
}

#[test]
fn a_wrong_rail_is_refused() {
    check_change("eip155:8453", "base", "rails.base.chain");
    check_change("eip155:8453", "eip155:31337", "rails.base.asset: is needed");
    check_change(
        "0x1111111111111111111111111111111111111111",
        "0x11",
        "rails.base.pay_to",
    );
    check_change(
        "0x1111111111111111111111111111111111111111",
        "0x0000000000000000000000000000000000000000",
        "zero address",
    );
    check_change("chain =", "name = \"USDC\"\nchain =", "known token");
    check_change("[rails.base]", "[rails.BASE]", "rails.BASE");
}

#[test]
fn a_secret_may_stand_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pepper");
    std::fs::write(&file, format!("{KEY}\n")).unwrap();
    let line = format!("api_key_pepper_file = {:?}", file.display().to_string());
    let text = good().replace(&format!("api_key_pepper = \"{KEY}\""), &line);
    assert!(check(&text).is_ok());
    let both = text.replace(&line, &format!("{line}\napi_key_pepper = \"{KEY}\""));
    assert!(problems(&both).contains("given twice"));
    std::fs::remove_file(&file).unwrap();
    assert!(problems(&text).contains("cannot be read"));
}

//! Bodies that break a rule.

use serde_json::{Value, json};

use super::Stage;
use crate::buyer::{PROVISION, order, text};
use crate::on_both_databases;
use crate::server::Backend;

on_both_databases!(a_bad_body_is_refused);

/// The good order with one member changed.
fn with(member: &str, value: Value) -> String {
    let mut order = order();
    order[member] = value;
    order.to_string()
}

/// One line or more that are not one plain public key of a kind that is accepted.
fn bad_keys() -> Vec<(String, u16, &'static str)> {
    let ssh = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
    let data = ssh.trim_start_matches("ssh-ed25519 ");
    let rsa_of_1024_bits = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDy//20X90snlWtXuaP1AE6OQoR9MHWaXdHv8h2h8lua\
        LzCev1H/3KISQ7qjyRN4tT7aJjUMfilGP9bGx0emcvuSEIgcK5RbA//FwpThqjopT3TTRz6L3UvEFy4RznNP6Pyoa2ME9eJggnVYA4\
        no7Ipb95Uuq9On/1EGKVWbSRAPQ==";
    let private = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU=\n\
        -----END OPENSSH PRIVATE KEY-----\n";
    let keys = [
        // Options, which could run a command at each login.
        format!("command=\"id\" {ssh}"),
        format!("no-pty {ssh}"),
        format!("restrict,from=\"192.0.2.1\" {ssh}"),
        format!("environment=\"LD_PRELOAD=/tmp/x\" {ssh}"),
        // A second line, however it begins.
        format!("{ssh}\n{ssh}"),
        format!("{ssh}\r\n{ssh}"),
        format!("{ssh} comment\n#cloud-config"),
        format!("\n{ssh}"),
        format!("{ssh} a\u{0}b"),
        format!("{ssh} a\u{85}b"),
        // Private keys.
        private.to_owned(),
        private.replace("OPENSSH", "RSA"),
        "PuTTY-User-Key-File-3: ssh-ed25519".to_owned(),
        // Kinds that are unknown, too weak, or no keys of a person.
        format!("ssh-unheard-of {data}"),
        format!("ssh-ed25519-cert-v01@openssh.com {data}"),
        format!("@cert-authority {ssh}"),
        rsa_of_1024_bits.to_owned(),
        "ssh-dss AAAAB3NzaC1kc3MAAACBAP".to_owned(),
        // The name says another kind than the key.
        format!("ssh-rsa {data}"),
        // Half a key, none, and words.
        ssh[..40].to_owned(),
        "ssh-ed25519".to_owned(),
        String::new(),
        "x".repeat(5_000),
    ];
    let one = keys.iter().map(|key| with("ssh_public_key", json!(key)));
    let listed = keys
        .iter()
        .map(|key| with("ssh_public_keys", json!([ssh, key])));
    one.chain(listed)
        .chain([
            with("ssh_public_key", json!(5)),
            with("ssh_public_key", json!([ssh])),
            with("ssh_public_keys", json!([5])),
        ])
        .map(|body| (body, 400, "invalid_request"))
        .collect()
}

/// What is put onto the new machine.
fn bad_setups() -> Vec<(String, u16, &'static str)> {
    let ssh = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
    let invalid = "invalid_request";
    vec![
        (
            with("ssh_public_key", json!(format!("{ssh}\n{ssh}"))),
            400,
            invalid,
        ),
        (
            with("ssh_public_key", json!(format!("{ssh} a\rb"))),
            400,
            invalid,
        ),
        (
            with("ssh_public_key", json!(format!("command=\"x\" {ssh}"))),
            400,
            invalid,
        ),
        (with("ssh_public_key", json!("ssh-dss AAAA")), 400, invalid),
        (with("ssh_public_keys", json!([ssh, "x"])), 400, invalid),
        (with("ssh_public_keys", json!({})), 400, invalid),
        (with("user_data", json!(" ")), 400, invalid),
        (with("user_data", json!(["x"])), 400, invalid),
    ]
}

fn bad_bodies() -> Vec<(String, u16, &'static str)> {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let good = order().to_string();
    let twice = good.replacen('{', "{\"region\":\"ewr\",", 1);
    let (invalid, no_ai) = ("invalid_request", "ai_machine_not_supported");
    vec![
        ("{".to_owned(), 400, invalid),
        (good[..good.len() / 2].to_owned(), 400, invalid),
        (format!("{good}x"), 400, invalid),
        ("null".to_owned(), 400, invalid),
        ("[]".to_owned(), 400, invalid),
        ("{}".to_owned(), 400, invalid),
        (deep, 400, invalid),
        (twice, 400, invalid),
        ("x".repeat(70_000), 413, "too_large"),
        (with("plan", json!(5)), 400, invalid),
        (with("plan", json!(null)), 400, invalid),
        (with("plan", json!("vc2-99c")), 400, "unknown_plan"),
        (with("plan", json!("../../etc")), 400, "unknown_plan"),
        (with("region", json!("moon")), 400, "unknown_region"),
        (with("region", json!("nyc3")), 400, "plan_not_in_region"),
        (with("os_id", json!(99_999_999)), 400, "unknown_image"),
        (with("os_id", json!(true)), 400, invalid),
        (with("network", json!("dogecoin")), 400, "unknown_network"),
        (
            with("provider", json!("digitalocean")),
            400,
            "provider_mismatch",
        ),
        (with("prepaid_hours", json!(23)), 400, invalid),
        (with("prepaid_hours", json!(4_321)), 400, invalid),
        (with("prepaid_hours", json!(-24)), 400, invalid),
        (with("prepaid_hours", json!(24.5)), 400, invalid),
        (with("prepaid_hours", json!("24")), 400, invalid),
        (with("label", json!("")), 400, invalid),
        (with("label", json!("two\nlines")), 400, invalid),
        (with("label", json!("zero\u{0}byte")), 400, invalid),
        (with("label", json!("right\u{202e}left")), 400, invalid),
        (with("label", json!("x".repeat(65))), 400, invalid),
        (with("hostname", json!("-x")), 400, invalid),
        (with("plans", json!("vc2-1c-1gb")), 400, invalid),
        (with("use_credits", json!(true)), 401, "auth_required"),
        (with("use_credits", json!(1)), 400, invalid),
        (with("auto_extend", json!(true)), 400, "not_supported"),
        (with("ai_machine", json!({})), 400, no_ai),
        (
            with("ssh_key_ids", json!(["1"])),
            400,
            "ssh_key_id_not_supported",
        ),
        (
            with("ssh_key_id", json!("1")),
            400,
            "ssh_key_id_not_supported",
        ),
    ]
}

async fn a_bad_body_is_refused(backend: Backend) {
    let stage = Stage::open(backend).await;
    let server = &stage.server;
    let json_type = [("content-type", "application/json".to_owned())];
    let all = bad_bodies().into_iter().chain(bad_setups());
    for (body, status, code) in all.chain(bad_keys()) {
        let answer = server.send("POST", PROVISION, &json_type, &body).await;
        let start: String = body.chars().take(100).collect();
        assert_eq!(answer.status, status, "{start}: {}", text(&answer));
        assert_eq!(
            answer.json(status).unwrap()["code"],
            code,
            "{start}: {}",
            text(&answer)
        );
    }
    let not_text = server
        .client
        .send("POST", PROVISION, &json_type, b"{\"plan\":\"\xff\"}")
        .await
        .unwrap();
    assert_eq!(not_text.status, 400);
    let form = [(
        "content-type",
        "application/x-www-form-urlencoded".to_owned(),
    )];
    let not_json = server.send("POST", PROVISION, &form, "plan=x").await;
    assert_eq!(not_json.status, 415);
    stage.expect_untouched().await;
}

use std::fs;

use serde_json::json;

use super::super::shop::{BASE, BASE_SEPOLIA};
use super::*;

const PAYER: &str = "0x1a642f0e3c3af545e7acbd38b07251b3990914f1";
const PAY_TO: &str = "0x1111111111111111111111111111111111111111";

/// Journals in a folder of their own, removed at the end.
struct Journals(Records);

impl Journals {
    fn write(name: &str, settlements: &[Value], machines: &[Value]) -> Self {
        Self::write_as(Keeper::StandIns, BASE, name, settlements, machines)
    }

    fn of_dev(name: &str, settlements: &[Value], machines: &[Value]) -> Self {
        let (keeper, network) = (Keeper::Simulators, BASE_SEPOLIA);
        Self::write_as(keeper, network, name, settlements, machines)
    }

    fn write_as(
        keeper: Keeper,
        network: Network,
        name: &str,
        settlements: &[Value],
        machines: &[Value],
    ) -> Self {
        let folder =
            std::env::temp_dir().join(format!("interop-records-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let write = |file: &str, events: &[Value]| {
            let path = folder.join(file);
            let lines: Vec<String> = events.iter().map(|event| format!("{event}\n")).collect();
            fs::write(&path, lines.concat()).unwrap();
            path
        };
        Self(Records {
            keeper,
            network,
            settlements: write("settlements", settlements),
            machines: write("machines", machines),
            pay_to: PAY_TO.to_owned(),
        })
    }

    fn check(&self) -> Result<()> {
        let body = json!({"plan": "vc2-1c-1gb", "region": "ewr", "os_id": 2284, "label": "x"});
        let expected = Expected {
            payer: "0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1",
            price: 168_000,
            transaction: "0xab",
            x402_version: 1,
            body: &body,
        };
        self.0.check(&expected, 0)
    }
}

impl Drop for Journals {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.0.machines.parent().unwrap());
    }
}

fn settled() -> Value {
    json!({
        "event": "settled", "network": "base", "from": PAYER, "to": PAY_TO, "value": "168000",
        "transaction": "0xab", "x402_version": 1,
    })
}

fn created(operation: &str) -> Value {
    let tags = [
        "x402compute-prod".to_owned(),
        format!("x402-op={operation}"),
    ];
    let body = json!({"plan": "vc2-1c-1gb", "region": "ewr", "os_id": 2284, "tags": tags});
    json!({"event": "created", "id": operation, "body": body})
}

/// A settlement as the simulator of `dev` writes it.
fn simulated() -> Value {
    let proof_key =
        format!("eip3009:84532:0x036cbd53842c5426634e7929541ec2318f3dcf7e:{PAYER}:0x01");
    json!({"settled": {
        "proof_key": proof_key, "payer": PAYER, "pay_to": PAY_TO, "value": "168000", "at": 1,
    }})
}

/// A machine as the simulator of `dev` writes it.
fn booted(operation: &str) -> Value {
    let tag = json!({"environment": "dev", "operation": operation, "attempt": 1});
    json!({"created": {"machine": "sim-1", "tag": tag, "plan": "vc2-1c-1gb", "region": "ewr"}})
}

#[test]
fn one_settlement_and_one_machine_are_a_purchase() {
    let journals = Journals::write("good", &[settled()], &[created("a")]);
    journals.check().unwrap();
    journals.0.check_totals(1).unwrap();
    assert_eq!(journals.0.count_machines().unwrap(), 1);
}

#[test]
fn every_other_settlement_is_refused() {
    for (member, other) in [
        ("network", json!("base-sepolia")),
        ("to", json!(PAYER)),
        ("value", json!("168001")),
        ("transaction", json!("0xcd")),
        ("x402_version", json!(2)),
    ] {
        let mut event = settled();
        event[member] = other;
        assert!(
            Journals::write(member, &[event], &[created("a")])
                .check()
                .is_err(),
            "{member}"
        );
    }
    assert!(
        Journals::write("none", &[], &[created("a")])
            .check()
            .is_err()
    );
    assert!(
        Journals::write("twice", &[settled(), settled()], &[created("a")])
            .check()
            .is_err()
    );
}

#[test]
fn every_other_machine_is_refused() {
    for (pointer, other) in [
        ("/body/plan", json!("vc2-2c-4gb")),
        ("/body/region", json!("lax")),
        ("/body/os_id", json!(1743)),
        ("/body/tags", json!(["x402-op=a"])),
        ("/body/tags", json!(["x402compute-prod"])),
    ] {
        let mut event = created("a");
        *event.pointer_mut(pointer).unwrap() = other;
        assert!(
            Journals::write("other", &[settled()], &[event])
                .check()
                .is_err(),
            "{pointer}"
        );
    }
    assert!(
        Journals::write("no-machine", &[settled()], &[])
            .check()
            .is_err()
    );
    let twice = [created("a"), created("a")];
    assert!(
        Journals::write("two-machines", &[settled()], &twice)
            .check()
            .is_err()
    );
}

#[test]
fn totals_count_operations_not_attempts() {
    let twice = [created("a"), created("a")];
    let journals = Journals::write("attempts", &[settled(), settled()], &twice);
    assert!(journals.0.check_totals(2).is_err());
    let deleted = json!({"event": "deleted", "id": "a"});
    let journals = Journals::write("deleted", &[settled()], &[created("a"), deleted]);
    assert!(journals.0.check_totals(1).is_err());
}

#[test]
fn the_journals_of_dev_are_read_as_well() {
    let journals = Journals::of_dev("dev", &[simulated()], &[booted("a")]);
    journals.check().unwrap();
    journals.0.check_totals(1).unwrap();
    let gone = json!({"destroyed": {"machine": "sim-1"}});
    let journals = Journals::of_dev("dev-gone", &[simulated()], &[booted("a"), gone]);
    assert!(journals.0.check_totals(1).is_err());
    let twice = [simulated(), simulated()];
    let journals = Journals::of_dev("dev-twice", &twice, &[booted("a")]);
    assert!(journals.check().is_err());
}

#[test]
fn every_other_record_of_dev_is_refused() {
    let other_chain = simulated()["settled"]["proof_key"]
        .as_str()
        .unwrap()
        .replace("84532", "8453");
    let other_payer = format!("eip3009:84532:0x03:{PAY_TO}:0x01");
    for (number, (pointer, other)) in [
        ("/settled/proof_key", json!(other_chain)),
        ("/settled/proof_key", json!(other_payer)),
        ("/settled/proof_key", json!("permit2:84532:a:b:c")),
        ("/settled/pay_to", json!(PAYER)),
        ("/settled/value", json!("168001")),
        ("/created/plan", json!("vc2-2c-4gb")),
        ("/created/region", json!("lax")),
        ("/created/tag/environment", json!("prod")),
        ("/created/tag/operation", json!(null)),
    ]
    .into_iter()
    .enumerate()
    {
        let (mut settled, mut created) = (simulated(), booted("a"));
        for event in [&mut settled, &mut created] {
            if let Some(member) = event.pointer_mut(pointer) {
                *member = other.clone();
            }
        }
        let journals = Journals::of_dev(&format!("dev-{number}"), &[settled], &[created]);
        assert!(journals.check().is_err(), "{pointer} {other}");
    }
}

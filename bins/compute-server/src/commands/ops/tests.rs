//! What the commands print.

use compute_domain::WalletAddress;
use compute_domain::catalog::{OsId, PlanId, ProviderId, ProviderInstanceId, RegionId};
use compute_domain::id::{InstanceId, OwnerId, PaymentId, TransferId};
use compute_domain::instance::{Access, FailureCode, Instance, InstanceState, Placement};
use compute_domain::ledger::{Account, CreditAccount, Transfer, TransferReason};
use compute_domain::money::{AssetAmount, HourlyRate, Hours, Usd};
use compute_domain::operation::{Operation, OperationKind, OperationState, Step, TimeBought};
use compute_domain::payment::{Payment, PaymentState, RailLabel};
use compute_domain::prepaid::Prepaid;
use compute_domain::text::{Label, SshPublicKey};
use compute_domain::time::Timestamp;
use compute_engine::OperationView;
use compute_engine::ports::{Event, Finding, Quarantine, Suspect, Watched};
use compute_wallet::EvmAddress;

use super::story::{Order, Owner};
use super::*;

/// 2026-03-17T00:00:00Z.
const NOW: Timestamp = Timestamp::from_millis(1_773_705_600_000);

const ORDER: &str = "00000000-0000-0000-0000-000000000001";
const OWNER: &str = "00000000-0000-0000-0000-000000000002";
const WORK: &str = "00000000-0000-0000-0000-000000000003";

fn usd(micros: i64) -> Usd {
    Usd::from_micros(micros).unwrap()
}

fn rate() -> HourlyRate {
    HourlyRate::new(usd(7_441)).unwrap()
}

fn instance() -> Instance {
    let placement = Placement {
        machine: ProviderInstanceId::parse("machine-1").unwrap(),
        expires_at: NOW.plus(compute_domain::time::Span::from_hours(24)),
    };
    Instance {
        id: ORDER.parse().unwrap(),
        owner: OWNER.parse().unwrap(),
        provider: ProviderId::Vultr,
        plan: PlanId::parse("vc2-1c-1gb").unwrap(),
        region: RegionId::parse("ewr").unwrap(),
        os: OsId::parse("2284").unwrap(),
        label: Label::parse("my agent").unwrap(),
        rate: rate(),
        hours: Hours::new(24).unwrap(),
        extended_hours: 0,
        price: usd(178_584),
        access: Access::Password,
        ip: None,
        suspended_since: None,
        resizing: None,
        is_protected: false,
        created_at: NOW,
        state: InstanceState::Active(placement),
    }
}

/// An extension that is stuck over an unknown settlement.
fn operation() -> Operation {
    let mut operation = Operation::open(
        WORK.parse().unwrap(),
        OperationKind::Extend,
        OWNER.parse().unwrap(),
        Some(ORDER.parse().unwrap()),
        [0; 32],
        NOW,
    );
    operation.data.time = Some(TimeBought {
        hours: Hours::new(24).unwrap(),
        rate: rate(),
        price: usd(178_584),
    });
    operation.data.settlement_unknown_since = Some(NOW);
    let stuck = OperationState::Stuck {
        code: FailureCode::SettlementUnknown,
        step: Step::Settle,
    };
    operation.rest(stuck, NOW)
}

fn payment() -> Payment {
    Payment {
        id: "00000000-0000-0000-0000-000000000004"
            .parse::<PaymentId>()
            .unwrap(),
        operation: WORK.parse().unwrap(),
        owner: OWNER.parse().unwrap(),
        rail: RailLabel::parse("base").unwrap(),
        proof_key: "eip3009:test".to_owned(),
        challenge_id: None,
        payer: Some(WalletAddress::Evm(EvmAddress::new([0x22; 20]))),
        price: usd(178_584),
        asset: AssetAmount {
            atomic: 178_584,
            decimals: 6,
        },
        void_after: NOW,
        claimed_at: NOW,
        state: PaymentState::Claimed,
    }
}

fn story() -> Story {
    let hours = Hours::new(24).unwrap();
    let instance = instance();
    let owner_id: OwnerId = OWNER.parse().unwrap();
    let work: OperationId = WORK.parse().unwrap();
    let event = Event {
        seq: 0,
        at: NOW,
        holder: "replica-1".to_owned(),
        name: "settle.stuck".to_owned(),
        detail: "the node said \u{1b}[31mno\n".to_owned(),
    };
    let transfer = Transfer {
        id: "00000000-0000-0000-0000-000000000005"
            .parse::<TransferId>()
            .unwrap(),
        debit: Account::Sales,
        credit: Account::Credits(owner_id),
        amount: usd(2_500_000),
        reason: TransferReason::PaymentRefund,
        cause: work.into(),
        created_at: NOW,
    };
    Story {
        now: NOW,
        order: Some(Order {
            lots: Prepaid::bought(work, usd(178_584), rate(), hours, instance.expires_at()),
            instance: instance.clone(),
        }),
        owner: Owner {
            id: owner_id,
            wallets: payment().payer.into_iter().collect(),
            credits: CreditAccount {
                balance: usd(2_500_000),
                deposited: usd(3_000_000),
                spent: usd(500_000),
            },
        },
        operations: vec![OperationView {
            instance: Some(instance),
            operation: operation(),
            payment: Some(payment()),
            reverted_since: None,
            transfers: vec![transfer],
            history: vec![event],
            balance: None,
        }],
    }
}

#[test]
fn nothing_to_do_is_said_in_words() {
    assert!(text::list(&[]).starts_with("Nothing is stuck"));
    assert_eq!(text::audit(&[]), "No promise is broken.\n");
    assert!(text::suspects(&[]).starts_with("Every machine"));
    assert_eq!(json::list(&[])["operations"], serde_json::json!([]));
    assert_eq!(json::audit(&[])["ok"], true);
}

#[test]
fn a_list_says_where_each_operation_stopped() {
    let text = text::list(&[operation()]);
    let line = text.lines().nth(1).unwrap();
    let cells: Vec<&str> = line.split_whitespace().collect();
    let opened = "2026-03-17T00:00:00Z";
    let expected = [
        WORK,
        "extend",
        "stuck",
        opened,
        "settle",
        "settlement_unknown",
        ORDER,
    ];
    assert_eq!(cells, expected);
    let document = json::list(&[operation()]);
    assert_eq!(document["operations"][0]["id"], WORK);
    assert_eq!(document["operations"][0]["step"], "settle");
    assert_eq!(
        document["operations"][0]["time_bought"]["price"],
        "0.178584"
    );
}

#[test]
fn a_story_has_order_owner_payment_money_and_events() {
    let text = text::show(&story());
    for part in [
        &format!("Order {ORDER}\n"),
        "machine-1 at vultr, vc2-1c-1gb in ewr",
        "  purchase  0.178584  0.007441  2026-03-17T00:00:00Z  2026-03-18T00:00:00Z  0.178584  –\n",
        "2.50 USD (3.00 put in, 0.50 spent)",
        &format!("Operation {WORK} (extend)\n"),
        "stuck at step settle",
        "24 hours at 0.007441 USD: 0.178584 USD",
        "0.178584 USD over base (178584 atomic units, 6 decimals)",
        "eip3009:test",
        &format!("payment_refund  2.50  sales  credits:{OWNER}\n"),
        "settle.stuck",
        "ops refund",
    ] {
        assert!(text.contains(part), "{part:?} is missing:\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "a control character:\n{text}");
}

#[test]
fn a_story_for_programs_has_the_same() {
    let document = json::show(&story());
    assert_eq!(document["order"]["id"], ORDER);
    assert_eq!(document["order"]["lots"][0]["left"], "0.178584");
    assert_eq!(document["owner"]["balance"], "2.50");
    let told = &document["operations"][0];
    assert_eq!(told["operation"]["code"], "settlement_unknown");
    assert_eq!(told["payment"]["proof_key"], "eip3009:test");
    assert_eq!(told["payment"]["atomic_amount"], "178584");
    assert_eq!(told["transfers"][0]["reason"], "payment_refund");
    assert_eq!(told["events"][0]["name"], "settle.stuck");
}

/// Customers' keys are not secret, but nobody needs them here.
#[test]
fn what_the_customer_sent_is_left_out() {
    let mut story = story();
    let line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
    let spec = compute_domain::operation::MachineSpec {
        plan: PlanId::parse("vc2-1c-1gb").unwrap(),
        region: RegionId::parse("ewr").unwrap(),
        os: OsId::parse("2284").unwrap(),
        label: Label::parse("my agent").unwrap(),
        hostname: None,
        ssh_keys: SshPublicKey::parse(line).unwrap().into(),
    };
    let key = compute_domain::request_key::RequestKey::idempotency_key("my-own-name").unwrap();
    let data = &mut story.operations[0].operation.data;
    data.spec = Some(spec);
    data.request_keys = vec![key];
    let printed = format!("{}{}", text::show(&story), json::show(&story));
    assert!(!printed.contains("AAAAC3Nza") && !printed.contains("my-own-name"));
}

#[test]
fn a_top_up_has_no_order() {
    let mut story = story();
    story.order = None;
    story.operations[0].operation.instance = None;
    assert!(text::show(&story).starts_with(&format!("Owner {OWNER}\n")));
    assert!(json::show(&story)["order"].is_null());
    let list = text::list(&[story.operations[0].operation.clone()]);
    assert!(list.lines().nth(1).unwrap().ends_with('–'));
}

#[test]
fn findings_and_suspects_are_tables() {
    let finding = Finding {
        promise: "M3",
        detail: "payment 7 has no inflow".to_owned(),
    };
    let text = text::audit(std::slice::from_ref(&finding));
    assert!(text.contains("M3       payment 7 has no inflow\n\n1 broken."));
    let document = json::audit(&[finding]);
    assert_eq!(document["ok"], false);
    assert_eq!(document["findings"][0]["promise"], "M3");

    let suspect = Suspect {
        provider: ProviderId::Vultr,
        machine: ProviderInstanceId::parse("machine-2").unwrap(),
        operation: WORK.parse().unwrap(),
        first_seen_at: NOW,
        rounds: 2,
    };
    let text = text::suspects(&[(suspect.clone(), false)]);
    assert!(text.contains("machine-2") && text.contains("left alone"));
    let document = json::suspects(&[(suspect, true)]);
    assert_eq!(document["suspects"][0]["rounds"], 2);
    assert_eq!(document["suspects"][0]["will_be_deleted"], true);
}

#[test]
fn missing_machines_are_a_table_with_the_next_step() {
    assert!(text::missing(&[]).starts_with("Every live order"));
    let watched = Watched {
        instance: ORDER.parse().unwrap(),
        provider: ProviderId::Vultr,
        machine: ProviderInstanceId::parse("machine-3").unwrap(),
        misses: 4,
        missing_since: Some(NOW),
    };
    let text = text::missing(std::slice::from_ref(&watched));
    assert!(text.contains("machine-3") && text.contains("ops give-up"));
    let document = json::missing(&[watched]);
    assert_eq!(document["missing"][0]["order"], ORDER);
    assert_eq!(document["missing"][0]["looks"], 4);
    let id = ORDER.parse().unwrap();
    assert!(text::given_up(id, usd(2_500_000)).contains("credited 2.50 USD"));
    assert_eq!(json::given_up(id, usd(2_500_000))["credited"], "2.50");
}

#[test]
fn a_quarantine_says_why_and_how_it_ends() {
    assert!(text::quarantine(None).starts_with("There is no quarantine"));
    assert!(json::quarantine(None)["quarantine"].is_null());
    let quarantine = Quarantine {
        since: NOW,
        cause: "restored from a backup".to_owned(),
    };
    let text = text::quarantine(Some(&quarantine));
    assert!(text.contains("2026-03-17T00:00:00") && text.contains("restored from a backup"));
    assert!(text.contains("ops quarantine end"));
    let document = json::quarantine(Some(&quarantine));
    assert_eq!(document["quarantine"]["cause"], "restored from a backup");
}

#[test]
fn decisions_say_what_happens_next() {
    let id: OperationId = WORK.parse().unwrap();
    let text = text::retried(&operation());
    assert!(text.contains("runs again at step settle") && text.contains("nothing twice"));
    let owner = story().owner;
    let text = text::refunded(id, usd(178_584), &owner);
    assert!(text.contains("got 0.178584 USD as credit and has 2.50 USD now"));
    let document = json::refunded(id, usd(178_584), &owner);
    assert_eq!(document["credited"], "0.178584");
    assert_eq!(json::retried(&operation())["operation"]["id"], WORK);
}

#[test]
fn refusals_name_the_operation_and_why() {
    let id: OperationId = WORK.parse().unwrap();
    for (error, words) in [
        (Error::NotFound, "there is no operation"),
        (
            Error::WrongState { state: "running" },
            "is running, not stuck",
        ),
        (Error::WrongState { state: "settled" }, "nothing to refund"),
        (
            Error::OperationInProgress {
                operation: Some(id),
                instance: None::<InstanceId>,
            },
            "a server is working",
        ),
    ] {
        let said = refusal(error, id).to_string();
        assert!(said.contains(words) && said.contains(WORK), "{said}");
    }
}

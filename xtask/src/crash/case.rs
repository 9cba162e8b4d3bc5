//! One death: a story, the point at which the server dies in it, and what must be true afterwards.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::buyer::{Buyer, Outcome, text};
use super::money;
use super::options::Database;
use super::records::{self, Machines, Settlement};
use super::shop::{PAY_TO, Programs, Shop, fresh_folder};
use super::story::{Story, TOPUP};
use crate::postgres::Cluster;

/// How long a server that broke a connection, or that has been through the whole story, may still
/// take to die.
const DEATH_LIMIT: Duration = Duration::from_secs(5);

/// The same for a second death, which need not come: the order is at rest, so it is on its way or
/// never comes.
const SECOND_DEATH_LIMIT: Duration = Duration::from_millis(200);

/// An order may ask for a limited number of machines, and each death can cost one.
const MAX_DEATHS: u32 = 2;

#[derive(Debug)]
pub(super) struct Case {
    pub(super) database: Database,
    pub(super) story: Story,
    pub(super) point: String,
}

/// A case in which nothing was lost.
#[derive(Debug)]
pub(super) struct Survived {
    pub(super) deaths: u32,
    pub(super) took: Duration,
}

/// What all cases share.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub(super) programs: &'a Programs,
    pub(super) cluster: Option<&'a Cluster>,
    pub(super) folder: &'a Path,
}

impl Case {
    pub(super) fn name(&self) -> String {
        let Self {
            database,
            story,
            point,
        } = self;
        format!("{}-{}-{point}", database.name(), story.name())
    }

    pub(super) fn folder(&self, place: &Place<'_>) -> PathBuf {
        place.folder.join(self.name())
    }

    /// Lets the server die and live again, and checks all records. What the processes wrote is kept
    /// when something is wrong.
    #[expect(
        clippy::disallowed_methods,
        reason = "the table tells how long each case took"
    )]
    pub(super) fn run(&self, number: usize, place: &Place<'_>) -> Result<Survived> {
        let begin = Instant::now();
        let folder = self.folder(place);
        fresh_folder(&folder)?;
        let database = match (self.database, place.cluster) {
            (Database::Sqlite, _) => "sqlite:crash.db".to_owned(),
            (Database::Postgres, Some(cluster)) => {
                cluster.create_database(&format!("crash_{number}"))?
            }
            (Database::Postgres, None) => bail!("there is no PostgreSQL"),
        };
        let mut shop = Shop::open(place.programs, &folder, &database, self.story, &self.point)?;
        let buyer = Buyer::prepare(&place.programs.tool, self.story, shop.url())?;
        let (id, deaths) = self.live_through(&mut shop, &buyer)?;
        let outcome = buyer.look_back(shop.url(), &id)?;
        let settlements = records::read_settlements(&shop.partners().settlements())?;
        let machines = records::read_machines(&shop.partners().machines())?;
        self.check(&outcome, &settlements, &machines, buyer.price)?;
        drop(shop);
        fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
        Ok(Survived {
            deaths,
            took: begin.elapsed(),
        })
    }

    /// The whole story, with a death in it, and another one where recovery passes the same point.
    fn live_through(&self, shop: &mut Shop<'_>, buyer: &Buyer) -> Result<(String, u32)> {
        let mut deaths = 0;
        loop {
            let url = shop.url().to_owned();
            let result = buyer.pursue(&url);
            let limit = if deaths == 0 || result.is_err() {
                DEATH_LIMIT
            } else {
                SECOND_DEATH_LIMIT
            };
            if shop.dies(limit, &self.point)? {
                deaths += 1;
                while !shop.reopen((deaths < MAX_DEATHS).then_some(self.point.as_str()))? {
                    deaths += 1;
                }
                continue;
            }
            // No answer may be wrong, and none may fail to come, unless the server died.
            let id = result.with_context(|| format!("after {deaths} deaths"))?;
            ensure!(
                deaths > 0,
                "the story is over and the fail point was never reached"
            );
            return Ok((id, deaths));
        }
    }

    fn check(
        &self,
        outcome: &Outcome,
        settlements: &[Settlement],
        machines: &Machines,
        price: u64,
    ) -> Result<()> {
        let wanted = self.story.payments(price);
        let amounts: Vec<String> = wanted.iter().map(u64::to_string).collect();
        let settled: Vec<&String> = settlements.iter().map(|it| &it.value).collect();
        let is_ours = |it: &Settlement| it.to.eq_ignore_ascii_case(PAY_TO);
        ensure!(
            settled.into_iter().eq(&amounts) && settlements.iter().all(is_ours),
            "the prices were {amounts:?}, and {settlements:?} were settled"
        );
        let is_told =
            |(told, it): (&String, &Settlement)| told.eq_ignore_ascii_case(&it.transaction);
        ensure!(
            outcome.transactions.len() == settlements.len()
                && outcome.transactions.iter().zip(settlements).all(is_told),
            "the buyer was told of {:?}, not of {settlements:?}",
            outcome.transactions
        );
        if self.story.buys_machine() {
            let status = text(&outcome.order, "/status");
            ensure!(
                status == self.story.status(),
                "the order {} is {status:?}, not {:?}",
                outcome.id,
                self.story.status()
            );
            let hours = outcome.order.get("prepaid_hours").and_then(Value::as_u64);
            ensure!(
                hours == Some(self.story.hours_in_the_end()),
                "the order {} has {hours:?} hours",
                outcome.id
            );
            let plan = text(&outcome.order, "/plan");
            let pending = outcome.order.pointer("/metadata/resize_pending");
            ensure!(
                plan == self.story.plan_in_the_end() && pending.is_none(),
                "the order {} has the plan {plan:?}, and is to become {pending:?}",
                outcome.id
            );
        }
        self.check_machines(outcome, machines)?;
        self.check_credit(outcome, price)
    }

    fn check_machines(&self, outcome: &Outcome, machines: &Machines) -> Result<()> {
        ensure!(
            machines.alive.len() == self.story.machines(),
            "{} machines exist, not {}",
            machines.alive.len(),
            self.story.machines()
        );
        if self.story == Story::WithKey {
            ensure!(
                machines.made == 1,
                "{} machines were made for a key",
                machines.made
            );
        }
        let operation = text(&outcome.status, "/operation/id");
        ensure!(
            machines.operations.iter().all(|own| own == operation),
            "machines were made for {:?}, not for {operation}",
            machines.operations
        );
        let Some((machine, password)) = machines.alive.first() else {
            return Ok(());
        };
        let given = machines.plans.get(machine).map(String::as_str);
        let wanted = self.story.plan_in_the_end();
        ensure!(
            given.unwrap_or("vc2-1c-1gb") == wanted,
            "the machine was given the plan {given:?}, not {wanted}"
        );
        let told = text(&outcome.order, "/provider_instance_id");
        ensure!(
            told == machine,
            "the buyer was told of machine {told:?}, not of {machine}"
        );
        ensure!(
            outcome
                .password
                .as_ref()
                .is_none_or(|told| told == password),
            "the buyer was told another password than the machine has"
        );
        Ok(())
    }

    /// The money is with the shop for a machine, or back with the owner, whole.
    fn check_credit(&self, outcome: &Outcome, price: u64) -> Result<()> {
        let balance = outcome.balance;
        let is_right = match self.story.as_paid_for() {
            // Of two days, one was not begun.
            Story::Destroyed => balance == price / 2,
            Story::NeverReady | Story::SoldOut => balance == price,
            Story::ToppedUp | Story::CreditsSoldOut => balance == TOPUP,
            _ => balance == 0,
        };
        ensure!(is_right, "the owner has {balance} after paying {price}");
        if !self.story.buys_machine() {
            return Ok(());
        }
        let told = outcome.status.get("credited").and_then(money::micros);
        let settlement = text(&outcome.status, "/settlement");
        let word = match (self.story.pays_with_credits(), self.story.delivers()) {
            (true, _) => "credits",
            (false, true) => "settled",
            (false, false) => "refunded",
        };
        let wanted = (!self.story.delivers()).then_some(price);
        ensure!(
            told == wanted && settlement == word,
            "{price} was paid, and the payment is {settlement}, {told:?} credited"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_case_has_a_name_of_its_own() {
        let case = case(Story::WithKey);
        assert_eq!(case.name(), "sqlite-with-key-provision.create.effect.after");
    }

    fn case(story: Story) -> Case {
        Case {
            database: Database::Sqlite,
            story,
            point: "provision.create.effect.after".to_owned(),
        }
    }

    const PRICE: u64 = 192_000;

    /// What is left of a story that ended as it should.
    fn records(story: Story) -> (Outcome, Vec<Settlement>, Machines) {
        let (settlement, credited) = match (story.pays_with_credits(), story.delivers()) {
            (true, _) => ("credits", json!(0.192)),
            (false, true) => ("settled", json!(null)),
            (false, false) => ("refunded", json!(0.192)),
        };
        let balance = match story.as_paid_for() {
            Story::Destroyed => PRICE / 2,
            Story::SoldOut => PRICE,
            Story::ToppedUp | Story::CreditsSoldOut => TOPUP,
            _ => 0,
        };
        let payments = story.payments(PRICE);
        let transaction = |index: usize| format!("0xT{index}");
        let outcome = Outcome {
            id: "o".to_owned(),
            status: json!({
                "operation": {"id": "op"},
                "settlement": settlement, "credited": credited,
            }),
            order: json!({"id": "o", "status": story.status(), "provider_instance_id": "m",
                "prepaid_hours": story.hours_in_the_end(), "plan": story.plan_in_the_end()}),
            password: story.has_password().then(|| "p".to_owned()),
            transactions: (0..payments.len())
                .map(|index| transaction(index).to_lowercase())
                .collect(),
            balance,
        };
        let settlement = |(index, value): (usize, &u64)| Settlement {
            from: "0xf".to_owned(),
            to: PAY_TO.to_owned(),
            value: value.to_string(),
            transaction: transaction(index),
        };
        let settlements = payments.iter().enumerate().map(settlement).collect();
        let machine = ("m".to_owned(), "p".to_owned());
        let machines = Machines {
            alive: vec![machine; story.machines()],
            made: 1,
            operations: ["op".to_owned()].into(),
            ..Machines::default()
        };
        (outcome, settlements, machines)
    }

    /// Whether a story passes after somebody changed its records.
    fn passes(
        story: Story,
        change: impl FnOnce(&mut Outcome, &mut Vec<Settlement>, &mut Machines),
    ) -> bool {
        let (mut outcome, mut settlements, mut machines) = records(story);
        change(&mut outcome, &mut settlements, &mut machines);
        let check = case(story).check(&outcome, &settlements, &machines, PRICE);
        check.is_ok()
    }

    #[test]
    fn right_records_pass() {
        for story in [
            Story::Delivered,
            Story::SoldOut,
            Story::Destroyed,
            Story::Lengthened,
            Story::ToppedUp,
            Story::CreditsSoldOut,
            Story::ByCredential,
            Story::ByCredentialSoldOut,
            Story::ByCredentialLengthened,
        ] {
            assert!(passes(story, |_, _, _| {}), "{story:?}");
        }
    }

    #[test]
    fn money_that_went_astray_is_a_violation() {
        let delivered = Story::Delivered;
        assert!(!passes(delivered, |_, paid, _| paid[0].value.push('0')));
        assert!(!passes(delivered, |_, paid, _| paid[0].to.push('0')));
        assert!(!passes(delivered, |_, paid, _| paid[0].transaction.clear()));
        assert!(!passes(delivered, |_, paid, _| paid.clear()));
        assert!(!passes(delivered, |_, paid, _| paid.push(paid[0].clone())));
        for story in [
            delivered,
            Story::SoldOut,
            Story::ToppedUp,
            Story::CreditsSoldOut,
        ] {
            assert!(!passes(story, |told, _, _| told.balance += 1), "{story:?}");
        }
        assert!(!passes(Story::Destroyed, |told, _, _| told.balance = 0));
        assert!(!passes(Story::Lengthened, |told, _, _| {
            told.order["prepaid_hours"] = json!(24);
        }));
        let credit = |amount: Value| {
            move |told: &mut Outcome, _: &mut Vec<Settlement>, _: &mut Machines| {
                told.status["credited"] = amount;
            }
        };
        assert!(!passes(delivered, credit(json!(0.192))));
        assert!(!passes(Story::SoldOut, credit(json!(0.191))));
        assert!(!passes(Story::SoldOut, credit(Value::Null)));
    }

    #[test]
    fn a_machine_too_many_or_too_few_is_a_violation() {
        let stray = ("n".to_owned(), "p".to_owned());
        let more =
            |_: &mut Outcome, _: &mut Vec<Settlement>, all: &mut Machines| all.alive.push(stray);
        assert!(!passes(Story::Delivered, more.clone()));
        assert!(!passes(Story::SoldOut, more.clone()));
        assert!(!passes(Story::Destroyed, more));
        assert!(!passes(Story::Delivered, |_, _, all| all.alive.clear()));
        assert!(!passes(Story::WithKey, |_, _, all| all.made = 2));
        assert!(!passes(Story::Delivered, |_, _, all| {
            all.operations.insert("other".to_owned());
        }));
        assert!(!passes(Story::Delivered, |told, _, _| {
            told.password = Some("other".to_owned());
        }));
        assert!(!passes(Story::Delivered, |told, _, _| {
            told.order["status"] = json!("provisioning");
        }));
    }
}

//! One death: a story, the point at which the server dies in it, and what must be true afterwards.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::buyer::{Buyer, Outcome, text};
use super::options::Database;
use super::records::{self, Machines, Settlement};
use super::shop::{PAY_TO, Programs, Shop, fresh_folder};
use super::story::Story;
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
        let mut buyer = Buyer::prepare(&place.programs.tool, self.story, shop.url())?;
        let (id, deaths) = self.live_through(&mut shop, &mut buyer)?;
        let outcome = buyer.look_back(shop.url(), &id)?;
        let settlement = records::read_settlement(&shop.settlements())?;
        let machines = records::read_machines(&shop.machines())?;
        self.check(&outcome, &settlement, &machines, &buyer.price)?;
        drop(shop);
        fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
        Ok(Survived {
            deaths,
            took: begin.elapsed(),
        })
    }

    /// The whole story, with a death in it, and another one where recovery passes the same point.
    fn live_through(&self, shop: &mut Shop<'_>, buyer: &mut Buyer<'_>) -> Result<(String, u32)> {
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
                shop.reopen((deaths < MAX_DEATHS).then_some(self.point.as_str()))?;
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
        settlement: &Settlement,
        machines: &Machines,
        price: &str,
    ) -> Result<()> {
        ensure!(
            settlement.value == price && settlement.to.eq_ignore_ascii_case(PAY_TO),
            "the price was {price}, and {settlement:?} was settled"
        );
        let told = text(&outcome.status, "/tx_hash");
        ensure!(
            told.eq_ignore_ascii_case(&settlement.transaction),
            "the buyer was told of transaction {told:?}, not of {settlement:?}"
        );
        let status = text(&outcome.order, "/status");
        ensure!(
            status == self.story.status(),
            "the order {} is {status:?}, not {:?}",
            outcome.id,
            self.story.status()
        );
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
    fn check_credit(&self, outcome: &Outcome, price: &str) -> Result<()> {
        let credited = outcome.status.get("credited").filter(|it| !it.is_null());
        let settlement = text(&outcome.status, "/settlement");
        if self.story.delivers() {
            ensure!(
                credited.is_none() && settlement == "settled",
                "the machine was delivered, and the payment is {settlement}, {credited:?} credited"
            );
            return Ok(());
        }
        let micros = credited.and_then(micro_dollars);
        // The token has six decimals, as our dollars have.
        ensure!(
            micros == price.parse().ok() && micros.is_some() && settlement == "refunded",
            "{price} was paid for nothing, and the payment is {settlement}, {credited:?} credited"
        );
        Ok(())
    }
}

/// Reads a number of dollars from its text, so that nothing is rounded.
fn micro_dollars(number: &Value) -> Option<u64> {
    let text = number.as_number()?.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let whole: u64 = whole.parse().ok()?;
    let fraction = format!("{fraction:0<6}");
    let fraction: u64 = Some(fraction)
        .filter(|text| text.len() == 6)?
        .parse()
        .ok()?;
    whole.checked_mul(1_000_000)?.checked_add(fraction)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn dollars_are_read_without_rounding() {
        let micros = |text: &str| micro_dollars(&serde_json::from_str(text).unwrap());
        assert_eq!(micros("0.192"), Some(192_000));
        assert_eq!(micros("7"), Some(7_000_000));
        assert_eq!(micros("1.000001"), Some(1_000_001));
        assert_eq!(micros("0.0000001"), None);
        assert_eq!(micros("\"1\""), None);
    }

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

    /// What is left of a story that ended as it should.
    fn records(story: Story) -> (Outcome, Settlement, Machines) {
        let (settlement, credited) = if story.delivers() {
            ("settled", json!(null))
        } else {
            ("refunded", json!(0.192))
        };
        let outcome = Outcome {
            id: "o".to_owned(),
            status: json!({
                "operation": {"id": "op"}, "tx_hash": "0xt",
                "settlement": settlement, "credited": credited,
            }),
            order: json!({"id": "o", "status": story.status(), "provider_instance_id": "m"}),
            password: story.has_password().then(|| "p".to_owned()),
        };
        let settlement = Settlement {
            to: PAY_TO.to_owned(),
            value: "192000".to_owned(),
            transaction: "0xT".to_owned(),
        };
        let machine = ("m".to_owned(), "p".to_owned());
        let machines = Machines {
            alive: vec![machine; story.machines()],
            made: 1,
            operations: ["op".to_owned()].into(),
        };
        (outcome, settlement, machines)
    }

    /// Whether a story passes after somebody changed its records.
    fn passes(
        story: Story,
        change: impl FnOnce(&mut Outcome, &mut Settlement, &mut Machines),
    ) -> bool {
        let (mut outcome, mut settlement, mut machines) = records(story);
        change(&mut outcome, &mut settlement, &mut machines);
        let check = case(story).check(&outcome, &settlement, &machines, "192000");
        check.is_ok()
    }

    #[test]
    fn right_records_pass() {
        for story in [Story::Delivered, Story::SoldOut, Story::Destroyed] {
            assert!(passes(story, |_, _, _| {}), "{story:?}");
        }
    }

    #[test]
    fn money_that_went_astray_is_a_violation() {
        let delivered = Story::Delivered;
        assert!(!passes(delivered, |_, paid, _| paid.value = "1".to_owned()));
        assert!(!passes(delivered, |_, paid, _| paid.to = "0x2".to_owned()));
        assert!(!passes(delivered, |_, paid, _| paid.transaction.clear()));
        let credit = |amount: Value| {
            move |told: &mut Outcome, _: &mut Settlement, _: &mut Machines| {
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
        let more = |_: &mut Outcome, _: &mut Settlement, all: &mut Machines| all.alive.push(stray);
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

//! The machines of a cloud, what may befall them, and what they are sold for.

use std::collections::{BTreeMap, BTreeSet};

use compute_domain::catalog::{
    Catalog, ImageNeeds, OsId, OsImage, Plan, PlanFamily, PlanId, ProviderId, ProviderInstanceId,
    Region, RegionId,
};
use compute_domain::money::HourlyRate;
use compute_engine::ports::{Ambiguity, CreateSpec, MachineTag, ProviderError};

use super::changes::Change;
use super::cloud::{SimCloud, unclear};
use super::reactor::lock;

/// A machine as its cloud knows it.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) id: ProviderInstanceId,
    pub(crate) tag: MachineTag,
    pub(crate) made_at: i64,
    /// When lists and looks begin to show it.
    pub(super) visible_at: i64,
    /// When it runs; never for one that is stuck.
    pub(super) ready_at: Option<i64>,
    /// When it was gone, and whether we had asked for it.
    pub(crate) ended: Option<(i64, bool)>,
    pub(crate) password: String,
    pub(crate) is_twin: bool,
    pub(super) suspended_until: i64,
    /// How many more deletions are refused, or accepted without effect.
    pub(super) stubborn: u32,
    pub(super) deaf: u32,
    pub(super) looks: u32,
    pub(super) flaps: bool,
    /// When it vanishes because placing it fails after all.
    pub(super) fails_at: Option<i64>,
    pub(super) lists_until: i64,
    pub(crate) plan: PlanId,
    pub(crate) is_on: bool,
    pub(super) change: Option<Change>,
}

impl Machine {
    pub(crate) const fn is_alive(&self) -> bool {
        self.ended.is_none()
    }

    pub(crate) const fn was_suspended(&self) -> bool {
        self.suspended_until > 0
    }
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) machines: Vec<Machine>,
    pub(super) rates: BTreeMap<String, i64>,
    pub(super) empty_lists_until: i64,
    pub(super) refuses_us_until: i64,
    pub(super) sold_out_until: i64,
    pub(super) last_password: String,
    /// What we were told is deleted.
    pub(super) deleted: BTreeSet<ProviderInstanceId>,
}

impl SimCloud {
    /// Everything that was ever made.
    pub(crate) fn machines(&self) -> Vec<Machine> {
        self.age();
        lock(&self.state).machines.clone()
    }

    /// A running machine vanishes.
    pub(crate) fn lose_one(&self) {
        self.change_one(|machine, now| machine.ended = Some((now, false)), "F112");
    }

    /// A running machine is stopped by the vendor for a while.
    pub(crate) fn suspend_one(&self) {
        let millis = self.reactor.dice.range(60_000, 7_200_000);
        self.change_one(
            |machine, now| machine.suspended_until = now + millis,
            "F113",
        );
    }

    fn change_one(&self, change: impl FnOnce(&mut Machine, i64), fault: &'static str) {
        let now = self.reactor.millis();
        let mut state = lock(&self.state);
        let alive = state
            .machines
            .iter_mut()
            .filter(|machine| machine.is_alive() && machine.ready_at.is_some_and(|at| at <= now));
        let mut alive: Vec<&mut Machine> = alive.collect();
        let index = self.reactor.dice.index(alive.len());
        if let Some(machine) = alive.get_mut(index) {
            change(machine, now);
            self.reactor.fault(fault);
        }
    }

    pub(crate) fn change_prices(&self) {
        let mut state = lock(&self.state);
        for rate in state.rates.values_mut() {
            *rate = (*rate + self.reactor.dice.range(-2_000, 3_000)).max(1_000);
        }
        self.reactor.fault("F116");
    }

    /// Lists are empty by mistake for a while.
    pub(crate) fn empty_lists(&self, millis: i64) {
        lock(&self.state).empty_lists_until = self.reactor.millis() + millis;
        self.reactor.fault("F115");
    }

    pub(crate) fn refuse_us(&self, millis: i64) {
        lock(&self.state).refuses_us_until = self.reactor.millis() + millis;
        self.reactor.fault("F105");
    }

    pub(crate) fn sell_out(&self, millis: i64) {
        lock(&self.state).sold_out_until = self.reactor.millis() + millis;
        self.reactor.fault("F104");
    }

    /// What nobody will do on purpose any more.
    pub(crate) fn calm_down(&self) {
        let mut state = lock(&self.state);
        state.empty_lists_until = 0;
        state.refuses_us_until = 0;
        state.sold_out_until = 0;
        for machine in &mut state.machines {
            machine.stubborn = 0;
            machine.deaf = 0;
        }
    }

    /// Placements that fail, fail, and changes of plan come about.
    pub(super) fn age(&self) {
        let now = self.reactor.millis();
        for machine in &mut lock(&self.state).machines {
            machine.go_on_changing(now);
            if machine.is_alive() && machine.fails_at.is_some_and(|at| at <= now) {
                machine.ended = Some((now, false));
            }
        }
    }

    pub(super) fn make(&self, spec: &CreateSpec, is_twin: bool) -> ProviderInstanceId {
        let now = self.reactor.millis();
        let dice = &self.reactor.dice;
        let lag = match (self.reactor.strikes(300), self.reactor.strikes(300)) {
            (false, _) => 0,
            (true, false) => dice.range(0, 30_000),
            (true, true) => {
                self.reactor.fault("F009");
                dice.range(30_000, 585_000)
            }
        };
        let mut ready_at = Some(now + dice.range(5_000, 90_000));
        if self.reactor.strikes(15) {
            self.reactor.fault("F108");
            ready_at = None;
        }
        let fails_at = if self.reactor.strikes(20) {
            self.reactor.fault("F102");
            Some(now + dice.range(1_000, 600_000))
        } else {
            None
        };
        let stubborn = if self.reactor.strikes(80) {
            self.reactor.fault("F109");
            u32::try_from(dice.range(1, 8)).unwrap_or(1)
        } else {
            0
        };
        let deaf = u32::from(self.reactor.strikes(60));
        let flaps = self.reactor.strikes(60);
        let mut state = lock(&self.state);
        let name = format!("{}-{}", self.id.as_str(), state.machines.len() + 1);
        let password = format!("root-of-{name}");
        let id = machine_id(&name);
        state.machines.push(Machine {
            id: id.clone(),
            tag: spec.tag.clone(),
            made_at: now,
            visible_at: now + lag,
            ready_at,
            ended: None,
            password,
            is_twin,
            suspended_until: 0,
            stubborn,
            deaf,
            looks: 0,
            flaps,
            fails_at,
            lists_until: 0,
            plan: spec.machine.plan.clone(),
            is_on: true,
            change: None,
        });
        drop(state);
        self.check_single(&spec.tag);
        id
    }

    pub(super) fn catalog_now(&self) -> Result<Catalog, ProviderError> {
        let unreadable = |_| ProviderError::Ambiguous(Ambiguity::Unreadable);
        let (regions, os): (&[&str], &str) = match self.id {
            ProviderId::Vultr => (&["ewr", "lax"], "2284"),
            ProviderId::DigitalOcean => (&["ams3", "nyc3"], "ubuntu-24-04-x64"),
        };
        let mut places = Vec::new();
        for id in regions {
            places.push(RegionId::parse(id).map_err(unreadable)?);
        }
        let mut plans = Vec::new();
        for (id, rate) in &lock(&self.state).rates {
            plans.push(Plan {
                id: PlanId::parse(id).map_err(unreadable)?,
                provider: self.id,
                family: PlanFamily::Vps,
                vcpu_count: 1,
                ram_mib: 1_024,
                disk_gb: 25,
                bandwidth_gb: 1_024,
                gpu: None,
                cost: HourlyRate::from_micros(*rate).map_err(|_| unclear())?,
                regional_cost: BTreeMap::new(),
                locations: places.clone(),
            });
        }
        Ok(Catalog {
            plans,
            regions: places.iter().map(region).collect(),
            images: vec![OsImage {
                id: OsId::parse(os).map_err(unreadable)?,
                name: "Ubuntu 24.04 LTS x64".to_owned(),
                arch: "x64".to_owned(),
                family: "ubuntu".to_owned(),
                aliases: Vec::new(),
                needs: ImageNeeds::default(),
            }],
        })
    }
}

fn region(id: &RegionId) -> Region {
    Region {
        id: id.clone(),
        city: "City".to_owned(),
        country: "US".to_owned(),
        continent: "North America".to_owned(),
    }
}

#[expect(clippy::expect_used, reason = "a name of the double's own making")]
fn machine_id(name: &str) -> ProviderInstanceId {
    ProviderInstanceId::parse(name).expect("a name")
}

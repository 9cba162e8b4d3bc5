use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::catalogue::PlanFacts;

/// How machines boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Active at the given look, counted from 1; 0 is the same as 1.
    Looks(u32),
    /// Active after this long.
    Elapsed(Duration),
}

/// The body of `POST /v2/instances`. Unknown members are refused, to catch adapters that rely on
/// one the vendor ignores.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CreateBody {
    /// Where.
    pub region: String,
    /// Which size.
    pub plan: String,
    /// Image by number.
    pub os_id: Option<u32>,
    /// Name in the panel.
    pub label: String,
    /// Host name.
    pub hostname: String,
    /// Free marks, kept as they are.
    pub tags: Vec<String>,
    /// Ids of registered keys.
    pub sshkey_id: Vec<String>,
    /// Start-up data in base64.
    pub user_data: Option<String>,
    /// `enabled` or `disabled`.
    pub backups: Option<String>,
    /// Whether to give an IPv6 network.
    pub enable_ipv6: Option<bool>,
    /// Whether the vendor writes an e-mail.
    pub activation_email: Option<bool>,
    /// `root` or `limited`.
    pub user_scheme: Option<String>,
}

/// The moment from which something takes its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Since {
    pub(super) looks: u32,
    pub(super) at: Duration,
}

impl Since {
    /// What is done, and what is needed.
    fn progress(self, pace: Pace, looks: u32, now: Duration) -> (u128, u128) {
        match pace {
            Pace::Looks(needed) => (
                u128::from(looks.saturating_sub(self.looks)),
                u128::from(needed),
            ),
            Pace::Elapsed(needed) => (now.saturating_sub(self.at).as_millis(), needed.as_millis()),
        }
    }
}

/// A change of plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) job: String,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) since: Since,
    pub(super) fails: bool,
    /// Whether the job is over.
    pub(super) is_over: bool,
    /// For how many looks the machine shows its old plan after that.
    pub(super) late: u32,
}

#[derive(Debug)]
pub(super) struct Machine {
    pub(super) id: String,
    pub(super) number: usize,
    pub(super) body: CreateBody,
    pub(super) created: Duration,
    pub(super) looks: u32,
    pub(super) booting_since: Since,
    pub(super) has_booted: bool,
    pub(super) is_halted: bool,
    /// When its switch was used, and whether it was off before.
    pub(super) switched: Option<(Since, bool)>,
    pub(super) change: Option<Change>,
    pub(super) is_stuck: bool,
    pub(super) hidden_looks: u32,
    pub(super) forced: Option<[String; 3]>,
}

impl Machine {
    pub(super) fn new(id: String, number: usize, body: CreateBody, created: Duration) -> Self {
        Self {
            id,
            number,
            body,
            created,
            looks: 0,
            booting_since: Since {
                looks: 0,
                at: created,
            },
            has_booted: false,
            is_halted: false,
            switched: None,
            change: None,
            is_stuck: false,
            hidden_looks: 0,
            forced: None,
        }
    }

    /// Counts a look. False while the machine does not show up yet.
    pub(super) const fn look(&mut self) -> bool {
        if self.hidden_looks > 0 {
            self.hidden_looks -= 1;
            return false;
        }
        self.looks = self.looks.saturating_add(1);
        true
    }

    pub(super) fn stage(&self, pace: Pace, now: Duration) -> Stage {
        if self.has_booted {
            return Stage::Up;
        }
        if self.is_stuck {
            return Stage::Pending;
        }
        let (done, needed) = self.booting_since.progress(pace, self.looks, now);
        match pace {
            _ if done >= needed => Stage::Up,
            Pace::Looks(_) if done.saturating_add(1) == needed && needed > 2 => Stage::Installing,
            Pace::Elapsed(_) if done.saturating_mul(3) >= needed.saturating_mul(2) => {
                Stage::Installing
            }
            _ => Stage::Pending,
        }
    }

    pub(super) const fn now(&self, at: Duration) -> Since {
        let looks = self.looks;
        Since { looks, at }
    }

    /// Whether what began then is done.
    pub(super) fn is_done(&self, since: Since, pace: Pace, now: Duration) -> bool {
        let (done, needed) = since.progress(pace, self.looks, now);
        done >= needed.max(1)
    }

    /// The change that is still under way.
    pub(super) fn changing(&self) -> Option<&Change> {
        self.change.as_ref().filter(|change| !change.is_over)
    }

    /// Lets what was long enough ago show: the switch, and the plan of a change that is over.
    pub(super) fn settle(&mut self, pace: Pace, now: Duration) {
        let is_done = |since| self.is_done(since, pace, now);
        if self.switched.is_some_and(|(since, _)| is_done(since)) {
            self.switched = None;
        }
    }

    pub(super) fn address(&self) -> String {
        format!("203.0.113.{}", self.number % 254 + 1)
    }

    pub(super) fn has_tag(&self, tag: &str) -> bool {
        self.body
            .tags
            .iter()
            .any(|own| own.eq_ignore_ascii_case(tag))
    }

    pub(super) fn view(&self, stage: Stage, plan: Option<&PlanFacts>, os: &str) -> Value {
        let [status, power, server] = self.states(stage);
        let is_placed = stage != Stage::Pending;
        let or_zero = |amount: Option<u32>| amount.unwrap_or_default();
        json!({
            "id": self.id,
            "os": os,
            "ram": or_zero(plan.map(|plan| plan.ram)),
            "disk": if is_placed { or_zero(plan.map(|plan| plan.disk)) } else { 0 },
            "main_ip": if is_placed { self.address() } else { "0.0.0.0".to_owned() },
            "vcpu_count": or_zero(plan.map(|plan| plan.vcpu_count)),
            "region": self.body.region,
            "plan": self.shown_plan(),
            "date_created": date(self.created),
            "status": status,
            "allowed_bandwidth": or_zero(plan.map(|plan| plan.bandwidth)),
            "netmask_v4": if is_placed { "255.255.255.0" } else { "" },
            "gateway_v4": if is_placed { "203.0.113.254" } else { "0.0.0.0" },
            "power_status": power,
            "server_status": server,
            "v6_network": "", "v6_main_ip": "", "v6_network_size": 0,
            "label": self.body.label,
            "internal_ip": "",
            "vpc_only": false,
            "kvm": if is_placed { "https://console.example/novnc?data=secret" } else { "" },
            "hostname": self.body.hostname,
            "os_id": self.body.os_id,
            "app_id": 0, "image_id": "", "snapshot_id": "", "firewall_group_id": "",
            "features": [],
            "tag": self.body.tags.first().cloned().unwrap_or_default(),
            "tags": self.body.tags,
            "user_scheme": "root",
        })
    }

    /// The plan that is shown: for a look after the end of a change, still the old one.
    pub(super) fn shown_plan(&self) -> &str {
        let late = self.change.as_ref().filter(|change| !change.fails);
        late.map_or(self.body.plan.as_str(), |change| change.from.as_str())
    }

    fn states(&self, stage: Stage) -> [String; 3] {
        if let Some(forced) = &self.forced {
            return forced.clone();
        }
        let is_off = self.switched.map_or(self.is_halted, |(_, before)| before);
        let power = if is_off { "stopped" } else { "running" };
        let states = match stage {
            Stage::Up if self.changing().is_some() => ["resizing", power, "locked"],
            Stage::Up if self.change.is_some() => ["active", power, "locked"],
            Stage::Pending => ["pending", "stopped", "none"],
            Stage::Installing => ["active", "running", "installingbooting"],
            Stage::Up => ["active", power, "ok"],
        };
        states.map(str::to_owned)
    }
}

/// How far a machine has booted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Pending,
    Installing,
    Up,
}

// Civil date from days since 1970 (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn date(since_1970: Duration) -> String {
    let seconds = since_1970.as_secs();
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}+00:00",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_the_vendors_form() {
        assert_eq!(date(Duration::from_secs(0)), "1970-01-01T00:00:00+00:00");
        assert_eq!(
            date(Duration::from_secs(1_791_597_380)),
            "2026-10-10T01:56:20+00:00"
        );
        assert_eq!(
            date(Duration::from_secs(1_709_208_000)),
            "2024-02-29T12:00:00+00:00"
        );
    }

    #[test]
    fn a_machine_boots_by_looks_or_by_time() {
        let mut machine = Machine::new("m".into(), 0, CreateBody::default(), Duration::ZERO);
        let stages: Vec<Stage> = (0..3)
            .map(|_| {
                machine.look();
                machine.stage(Pace::Looks(3), Duration::ZERO)
            })
            .collect();
        assert_eq!(stages, [Stage::Pending, Stage::Installing, Stage::Up]);
        let pace = Pace::Elapsed(Duration::from_secs(3));
        for (second, stage) in [(1, Stage::Pending), (2, Stage::Installing), (3, Stage::Up)] {
            assert_eq!(machine.stage(pace, Duration::from_secs(second)), stage);
        }
    }
}

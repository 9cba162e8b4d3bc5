use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Habits;
use super::catalogue::Catalogue;

/// The body of `POST /v2/droplets`. Unknown members are refused, to catch adapters that rely on one
/// the vendor ignores; so is `names`, which makes many droplets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CreateBody {
    pub(super) name: String,
    pub(super) region: String,
    pub(super) size: String,
    pub(super) image: Value,
    pub(super) ssh_keys: Vec<Value>,
    pub(super) tags: Vec<String>,
    pub(super) user_data: Option<String>,
    pub(super) ipv6: bool,
    pub(super) backups: bool,
    pub(super) monitoring: bool,
    pub(super) vpc_uuid: Option<String>,
    pub(super) with_droplet_agent: Option<bool>,
    pub(super) public_networking: Option<bool>,
}

#[derive(Debug)]
pub(super) struct Droplet {
    pub(super) id: u64,
    pub(super) number: usize,
    pub(super) action: u64,
    pub(super) body: CreateBody,
    pub(super) created: Duration,
    pub(super) has_booted: bool,
    pub(super) has_gpu: bool,
    pub(super) is_off: bool,
    /// GB; it never shrinks.
    pub(super) disk: u64,
    /// Whether something is being done to it.
    pub(super) is_busy: bool,
    /// How often it was looked at, how often a list could have shown it, and how often either.
    pub(super) looks: u32,
    pub(super) lists: u32,
    pub(super) views: u32,
    pub(super) forced: Option<(String, bool)>,
}

impl Droplet {
    /// Counts a look. False while it does not show up yet.
    pub(super) const fn look(&mut self, habits: Habits) -> bool {
        self.views = self.views.saturating_add(1);
        self.looks = self.looks.saturating_add(1);
        self.looks > habits.hidden_looks
    }

    /// Counts a list that would show it. False while it does not show up yet.
    pub(super) const fn list(&mut self, habits: Habits) -> bool {
        self.views = self.views.saturating_add(1);
        self.lists = self.lists.saturating_add(1);
        self.lists > habits.hidden_lists
    }

    pub(super) const fn boots_now(&self, habits: Habits) -> bool {
        !self.has_booted && self.views >= habits.boot_looks
    }

    pub(super) fn tags(&self, habits: Habits) -> &[String] {
        if self.views > habits.untagged_looks {
            &self.body.tags
        } else {
            &[]
        }
    }

    pub(super) fn has_tag(&self, tag: &str, habits: Habits) -> bool {
        let tags = self.tags(habits).iter();
        tags.into_iter().any(|own| own.eq_ignore_ascii_case(tag))
    }

    pub(super) fn status(&self) -> (&str, bool) {
        match &self.forced {
            Some((status, is_locked)) => (status, *is_locked),
            None if self.has_booted && self.is_off => ("off", self.is_busy),
            None if self.has_booted => ("active", self.is_busy),
            None => ("new", true),
        }
    }

    fn networks(&self) -> Value {
        if !self.has_booted {
            return json!({ "v4": [], "v6": [] });
        }
        let host = self.number % 254 + 1;
        // The private one first, as it happens.
        json!({ "v4": [
            {
                "ip_address": format!("10.108.0.{host}"), "netmask": "255.255.240.0",
                "gateway": "10.108.0.1", "type": "private",
            },
            {
                "ip_address": format!("203.0.113.{host}"), "netmask": "255.255.255.0",
                "gateway": "203.0.113.254", "type": "public",
            },
        ], "v6": [] })
    }

    pub(super) fn view(&self, catalogue: &Catalogue, habits: Habits) -> Value {
        let size = catalogue.size(&self.body.size);
        let number = |member| size.map_or(0, |row| row.number(member));
        let value_of = |row: Option<&super::catalogue::Row>| row.map(|row| row.value.clone());
        let (status, is_locked) = self.status();
        let mut view = json!({
            "id": self.id,
            "name": self.body.name,
            "memory": number("memory"),
            "vcpus": number("vcpus"),
            "disk": self.disk,
            "locked": is_locked,
            "status": status,
            "kernel": null,
            "created_at": date(self.created),
            "features": [],
            "backup_ids": [],
            "next_backup_window": null,
            "snapshot_ids": [],
            "image": value_of(catalogue.image(&self.body.image)),
            "volume_ids": [],
            "size": value_of(size),
            "size_slug": self.body.size,
            "networks": self.networks(),
            "region": value_of(catalogue.region(&self.body.region)),
            "tags": self.tags(habits),
            "vpc_uuid": "7dd638fe-e571-467e-8532-9a7bdb97030b",
        });
        let gpu = size.and_then(|row| row.value.get("gpu_info"));
        if let (Some(gpu), Some(members)) = (gpu, view.as_object_mut()) {
            members.insert("gpu_info".to_owned(), gpu.clone());
        }
        view
    }

    /// The action that makes it.
    pub(super) fn action_view(&self, catalogue: &Catalogue, is_errored: bool) -> Value {
        let status = match (is_errored, self.has_booted) {
            (true, _) => "errored",
            (false, true) => "completed",
            (false, false) => "in-progress",
        };
        let region = catalogue.region(&self.body.region);
        json!({
            "id": self.action,
            "status": status,
            "type": "create",
            "started_at": date(self.created),
            "completed_at": if status == "in-progress" { None } else { Some(date(self.created)) },
            "resource_id": self.id,
            "resource_type": "droplet",
            "region": region.map(|row| row.value.clone()),
            "region_slug": self.body.region,
        })
    }
}

pub(super) fn date(since_1970: Duration) -> String {
    let seconds = i64::try_from(since_1970.as_secs()).unwrap_or_default();
    let moment = OffsetDateTime::from_unix_timestamp(seconds);
    let moment = moment.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    moment.format(&Rfc3339).unwrap_or_default()
}

//! Requests to the vendor: lists page by page, single things, and those that change something.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use compute_engine::ports::{Ambiguity, ProviderAccount, ProviderError};
use compute_outbound::{
    Allowance, Answer, Method, OutboundClient, OutboundRequest, Pace, StatusCode, Urgency,
};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::account;
use crate::classify::{Failure, ambiguous, silence, status, transport};
use crate::wire::{
    AccountAnswer, Availability, ChangedAnswer, CreateBody, CreatedRow, InstanceAnswer,
    InstanceRow, JobAnswer, JobRow, KeyAnswer, KeyBody, Meta, PlanBody, ReinstallBody, SizedRow,
    UpgradesAnswer,
};

/// The vendor's largest page.
const PAGE_SIZE: &str = "500";

/// A list longer than this is taken for a broken one: 20 000 rows.
const MAX_PAGES: u32 = 40;

/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(4);

/// How long an urgent one waits: with its time-out it must stay below half a lease.
const URGENT_PATIENCE: Duration = Duration::from_secs(1);

/// How long nothing is sent after a 429 that does not say for how long.
const UNNAMED_SILENCE: Duration = Duration::from_secs(1);

/// The vendor's API.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: OutboundClient,
    pace: Arc<Pace>,
    create_timeout: Duration,
}

impl Client {
    pub(crate) fn new(
        http: OutboundClient,
        allowance: Allowance,
        create_timeout: Duration,
    ) -> Self {
        Self {
            http,
            pace: Arc::new(Pace::new(allowance)),
            create_timeout,
        }
    }

    /// Every row of a list, as text. The rows stand under the resource's own name, with an underscore for
    /// a hyphen. It fails as a whole: a part of a list proves nothing.
    pub(crate) async fn list(
        &self,
        resource: &'static str,
        tag: Option<&str>,
    ) -> Result<Vec<Box<RawValue>>, Failure> {
        let mut rows = Vec::new();
        let mut cursor = String::new();
        for _ in 0..MAX_PAGES {
            let mut request = OutboundRequest::get(&[resource]).query("per_page", PAGE_SIZE);
            if let Some(tag) = tag {
                request = request.query("tag", tag);
            }
            if !cursor.is_empty() {
                request = request.query("cursor", cursor.as_str());
            }
            let answer = self.ask(request).await?;
            let page: Page = read(&answer)?;
            let next =
                read_page(&page, &resource.replace('-', "_"), &mut rows).ok_or_else(unreadable)?;
            if next.is_empty() {
                return Ok(rows);
            }
            if next == cursor {
                break;
            }
            cursor = next;
        }
        Err(unreadable())
    }

    /// The plans that can be had in a region now.
    pub(crate) async fn available_plans(&self, region: &str) -> Result<Vec<String>, Failure> {
        let request = OutboundRequest::get(&["regions", region, "availability"]);
        Ok(read::<Availability>(&self.ask(request).await?)?.available_plans)
    }

    /// Whether the key counts: the account is shown to nobody without one.
    pub(crate) async fn check_key(&self) -> Result<(), Failure> {
        self.ask(OutboundRequest::get(&["account"])).await.map(drop)
    }

    pub(crate) async fn instance(&self, id: &str) -> Result<InstanceRow, Failure> {
        let answer = self.ask(OutboundRequest::get(&["instances", id])).await?;
        Ok(read::<InstanceAnswer<InstanceRow>>(&answer)?.instance)
    }

    /// Makes a machine. Sent once, whatever happens.
    pub(crate) async fn create(&self, body: &CreateBody<'_>) -> Result<CreatedRow, Failure> {
        let request = OutboundRequest::post(&["instances"])
            .json(body)
            .map_err(|error| transport(&error))?
            .total_timeout(self.create_timeout);
        let answer = self.ask_urgently(request).await?;
        Ok(read::<InstanceAnswer<CreatedRow>>(&answer)?.instance)
    }

    pub(crate) async fn delete_instance(&self, id: &str) -> Result<(), Failure> {
        self.ask_urgently(OutboundRequest::delete(&["instances", id]))
            .await
            .map(drop)
    }

    pub(crate) async fn add_key(&self, name: &str, ssh_key: &str) -> Result<String, Failure> {
        let request = OutboundRequest::post(&["ssh-keys"])
            .json(&KeyBody { name, ssh_key })
            .map_err(|error| transport(&error))?;
        Ok(read::<KeyAnswer>(&self.ask_urgently(request).await?)?
            .ssh_key
            .id)
    }

    pub(crate) async fn delete_key(&self, id: &str) -> Result<(), Failure> {
        self.ask(OutboundRequest::delete(&["ssh-keys", id]))
            .await
            .map(drop)
    }

    pub(crate) async fn size(&self, id: &str) -> Result<SizedRow, Failure> {
        let answer = self.ask(OutboundRequest::get(&["instances", id])).await?;
        Ok(read::<InstanceAnswer<SizedRow>>(&answer)?.instance)
    }

    /// The plans that a machine can be changed to.
    pub(crate) async fn upgrades(&self, id: &str) -> Result<Vec<String>, Failure> {
        let request = OutboundRequest::get(&["instances", id, "upgrades"]).query("type", "plans");
        let answer = self.ask(request).await?;
        Ok(read::<UpgradesAnswer>(&answer)?.upgrades.plans)
    }

    /// Has a machine given another plan. Sent once, whatever happens.
    pub(crate) async fn change_plan(&self, id: &str, plan: &str) -> Result<ChangedAnswer, Failure> {
        let request = OutboundRequest::new(Method::PATCH, &["instances", id])
            .json(&PlanBody { plan })
            .map_err(|error| transport(&error))?
            .total_timeout(self.create_timeout);
        read(&self.ask(request).await?)
    }

    pub(crate) async fn job(&self, id: &str) -> Result<JobRow, Failure> {
        let request = OutboundRequest::get(&["instances", "jobs", id]);
        Ok(read::<JobAnswer>(&self.ask(request).await?)?.job)
    }

    /// Uses a machine's switch: `halt`, `start` or `reboot`.
    pub(crate) async fn switch(
        &self,
        id: &str,
        deed: &'static str,
        urgency: Urgency,
    ) -> Result<(), Failure> {
        let request = OutboundRequest::post(&["instances", id, deed]);
        self.send(request, urgency).await.map(drop)
    }

    /// Sets a machine up anew. Sent once: its answer holds the only copy of the new password.
    pub(crate) async fn reinstall(&self, id: &str) -> Result<CreatedRow, Failure> {
        let request = OutboundRequest::post(&["instances", id, "reinstall"])
            .json(&ReinstallBody {})
            .map_err(|error| transport(&error))?
            .total_timeout(self.create_timeout);
        let answer = self.ask_urgently(request).await?;
        Ok(read::<InstanceAnswer<CreatedRow>>(&answer)?.instance)
    }

    pub(crate) async fn account(&self) -> Result<ProviderAccount, Failure> {
        let answer = self.ask(OutboundRequest::get(&["account"])).await?;
        Ok(account::read(&read::<AccountAnswer>(&answer)?.account))
    }

    async fn ask(&self, request: OutboundRequest) -> Result<Answer, Failure> {
        self.send(request, Urgency::Usual).await
    }

    async fn ask_urgently(&self, request: OutboundRequest) -> Result<Answer, Failure> {
        self.send(request, Urgency::Urgent).await
    }

    async fn send(&self, request: OutboundRequest, urgency: Urgency) -> Result<Answer, Failure> {
        let patience = match urgency {
            Urgency::Usual => PATIENCE,
            Urgency::Urgent => URGENT_PATIENCE,
        };
        let turn = self.pace.turn(urgency, patience).await;
        turn.map_err(|early| {
            let retry_after = Some(early.wait);
            Failure::Port(ProviderError::Throttled { retry_after })
        })?;
        let answer = self.http.send(request).await;
        let answer = answer.map_err(|error| transport(&error))?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            self.pace
                .hold_off(silence(&answer).unwrap_or(UNNAMED_SILENCE));
        }
        Err(status(&answer))
    }
}

fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, Failure> {
    answer.json().map_err(|_| unreadable())
}

fn unreadable() -> Failure {
    ambiguous(Ambiguity::Unreadable)
}

/// The members of one page, as text: `meta`, and the rows.
type Page = BTreeMap<String, Box<RawValue>>;

// Returns the cursor of the next page; `None` when the page has not the documented shape.
fn read_page(page: &Page, resource: &str, rows: &mut Vec<Box<RawValue>>) -> Option<String> {
    let meta: Meta = serde_json::from_str(page.get("meta")?.get()).ok()?;
    let mut own: Vec<Box<RawValue>> = serde_json::from_str(page.get(resource)?.get()).ok()?;
    rows.append(&mut own);
    Some(meta.links.next)
}

//! Requests to the vendor: lists page by page, single things, and those that change something.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use compute_engine::ports::ProviderError;
use compute_outbound::{
    Allowance, Answer, OutboundClient, OutboundRequest, Pace, StatusCode, Urgency,
};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::classify::{Failure, silence, status, transport, unreadable};
use crate::wire::{
    Account, AccountAnswer, ActionAnswer, ActionBody, ActionRow, CreateBody, CreatedRow,
    DropletAnswer, DropletRow, ImageAnswer, ImageRow, KeyAnswer, KeyBody, KeyRow, Links, Meta,
    SizedRow,
};

/// The vendor's largest page.
const PAGE_SIZE: &str = "200";

/// A list longer than this is taken for a broken one: 20 000 rows.
const MAX_PAGES: u64 = 100;

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

/// Which of the vendor's lists.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List<'a> {
    /// Also the member under which the rows stand.
    pub(crate) resource: &'static str,
    /// What to ask for.
    pub(crate) query: Option<(&'static str, &'a str)>,
}

impl List<'_> {
    pub(crate) const fn all(resource: &'static str) -> Self {
        Self {
            resource,
            query: None,
        }
    }
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

    /// Every row of a list, as text. It fails as a whole: a part of a list proves nothing.
    pub(crate) async fn list(&self, list: List<'_>) -> Result<Vec<Box<RawValue>>, Failure> {
        let mut rows = Vec::new();
        for number in 1..=MAX_PAGES {
            let mut request = OutboundRequest::get(&["v2", list.resource])
                .query("per_page", PAGE_SIZE)
                .query("page", number.to_string());
            if let Some((name, value)) = list.query {
                request = request.query(name, value);
            }
            let page: Page = read(&self.ask(request).await?)?;
            let next = read_page(&page, list.resource, &mut rows).ok_or_else(unreadable)?;
            let Next::Page(next) = next else {
                return Ok(rows);
            };
            // Only the number is taken from the link: it may name any host, and none but ours is asked.
            if page_number(&next) != Some(number.saturating_add(1)) {
                break;
            }
        }
        Err(unreadable())
    }

    pub(crate) async fn account(&self) -> Result<Account, Failure> {
        let answer = self.ask(OutboundRequest::get(&["v2", "account"])).await?;
        Ok(read::<AccountAnswer>(&answer)?.account)
    }

    /// An image by its number, also one that was rebuilt since.
    pub(crate) async fn image(&self, number: u64) -> Result<ImageRow, Failure> {
        let request = OutboundRequest::get(&["v2", "images", &number.to_string()]);
        Ok(read::<ImageAnswer>(&self.ask(request).await?)?.image)
    }

    pub(crate) async fn droplet(&self, id: u64) -> Result<DropletRow, Failure> {
        let request = OutboundRequest::get(&["v2", "droplets", &id.to_string()]);
        let answer = self.ask(request).await?;
        Ok(read::<DropletAnswer<DropletRow>>(&answer)?.droplet)
    }

    /// Makes a machine. Sent once, whatever happens.
    pub(crate) async fn create(&self, body: &CreateBody<'_>) -> Result<CreatedRow, Failure> {
        let request = OutboundRequest::post(&["v2", "droplets"])
            .json(body)
            .map_err(|error| transport(&error))?
            .total_timeout(self.create_timeout);
        let answer = self.ask_urgently(request).await?;
        Ok(read::<DropletAnswer<CreatedRow>>(&answer)?.droplet)
    }

    pub(crate) async fn size(&self, id: u64) -> Result<SizedRow, Failure> {
        let request = OutboundRequest::get(&["v2", "droplets", &id.to_string()]);
        let answer = self.ask(request).await?;
        Ok(read::<DropletAnswer<SizedRow>>(&answer)?.droplet)
    }

    /// Has something done to a machine. Sent once, whatever happens.
    pub(crate) async fn act(
        &self,
        id: u64,
        body: &ActionBody<'_>,
        urgency: Urgency,
    ) -> Result<ActionRow, Failure> {
        let request = OutboundRequest::post(&["v2", "droplets", &id.to_string(), "actions"])
            .json(body)
            .map_err(|error| transport(&error))?
            .total_timeout(self.create_timeout);
        let answer = self.send(request, urgency).await?;
        Ok(read::<ActionAnswer>(&answer)?.action)
    }

    pub(crate) async fn action(&self, id: u64) -> Result<ActionRow, Failure> {
        let request = OutboundRequest::get(&["v2", "actions", &id.to_string()]);
        Ok(read::<ActionAnswer>(&self.ask(request).await?)?.action)
    }

    pub(crate) async fn delete_droplet(&self, id: u64) -> Result<(), Failure> {
        let request = OutboundRequest::delete(&["v2", "droplets", &id.to_string()]);
        self.ask_urgently(request).await.map(drop)
    }

    pub(crate) async fn delete_tag(&self, name: &str) -> Result<(), Failure> {
        let request = OutboundRequest::delete(&["v2", "tags", name]);
        self.ask(request).await.map(drop)
    }

    pub(crate) async fn add_key(&self, name: &str, public_key: &str) -> Result<u64, Failure> {
        let request = OutboundRequest::post(&["v2", "account", "keys"])
            .json(&KeyBody { name, public_key })
            .map_err(|error| transport(&error))?;
        let answer = self.ask_urgently(request).await?;
        Ok(read::<KeyAnswer>(&answer)?.ssh_key.id)
    }

    /// A key by its id or its fingerprint. The list of all keys is never asked for: the vendor allows
    /// that ten times a minute.
    pub(crate) async fn key(&self, named: &str) -> Result<KeyRow, Failure> {
        let request = OutboundRequest::get(&["v2", "account", "keys", named]);
        Ok(read::<KeyAnswer>(&self.ask(request).await?)?.ssh_key)
    }

    pub(crate) async fn delete_key(&self, id: u64) -> Result<(), Failure> {
        let request = OutboundRequest::delete(&["v2", "account", "keys", &id.to_string()]);
        self.ask(request).await.map(drop)
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

/// The members of one page, as text: `links`, `meta`, and the rows.
type Page = BTreeMap<String, Box<RawValue>>;

/// What comes after a page.
enum Next {
    Page(String),
    Nothing,
}

// `None` when the page has not the documented shape. A page without links is the last one only when it
// says how many rows there are, and all are there.
fn read_page(page: &Page, resource: &str, rows: &mut Vec<Box<RawValue>>) -> Option<Next> {
    let mut own: Vec<Box<RawValue>> = serde_json::from_str(page.get(resource)?.get()).ok()?;
    rows.append(&mut own);
    let Some(links) = page.get("links") else {
        let meta: Meta = serde_json::from_str(page.get("meta")?.get()).ok()?;
        return (rows.len() >= meta.total).then_some(Next::Nothing);
    };
    let links: Links = serde_json::from_str(links.get()).ok()?;
    let next = links.pages.next.filter(|link| !link.is_empty());
    Some(next.map_or(Next::Nothing, Next::Page))
}

fn page_number(link: &str) -> Option<u64> {
    let (_, query) = link.split_once('?')?;
    let query = query.split('#').next()?;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| *name == "page")?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_without_links_must_be_the_whole_list() {
        let check = |text: &str| {
            let page: Page = serde_json::from_str(text).unwrap();
            let next = read_page(&page, "sizes", &mut Vec::new());
            next.map(|next| matches!(next, Next::Page(_)))
        };
        for (text, has_next) in [
            (
                r#"{"sizes":[1],"links":{},"meta":{"total":1}}"#,
                Some(false),
            ),
            (r#"{"sizes":[1],"links":{"pages":{}}}"#, Some(false)),
            (
                r#"{"sizes":[1],"links":{"pages":{"next":"x"}}}"#,
                Some(true),
            ),
            (r#"{"sizes":[1],"meta":{"total":1}}"#, Some(false)),
            (r#"{"sizes":[1],"meta":{"total":2}}"#, None),
            (r#"{"sizes":[1]}"#, None),
            (r#"{"links":{},"meta":{"total":0}}"#, None),
        ] {
            assert_eq!(check(text), has_next, "{text}");
        }
    }

    #[test]
    fn a_link_is_only_a_number() {
        for (link, number) in [
            (
                "https://api.digitalocean.com/v2/sizes?page=2&per_page=200",
                Some(2),
            ),
            (
                "https://elsewhere.example/?per_page=200&page=17#x",
                Some(17),
            ),
            ("https://api.digitalocean.com/v2/sizes?per_page=200", None),
            ("https://api.digitalocean.com/v2/sizes?page=-1", None),
            ("https://api.digitalocean.com/page=2", None),
            ("", None),
        ] {
            assert_eq!(page_number(link), number, "{link}");
        }
    }
}

//! The pages by which machines and people find out what is sold here and how: the description of the
//! API, the page for people made from it, and short texts for registries and agents.
//!
//! All of it is rendered from the handlers, the wire types, the configuration and the shelf, and kept
//! until the shelf changes.

#![expect(
    clippy::indexing_slicing,
    reason = "a JSON value that is read by a missing name is null, and written names are added; the \
              shapes are ours, and every test of the pages walks through them"
)]

pub(crate) mod answers;
mod document;
mod facts;
mod html;
mod manual;
mod offers;
pub(crate) mod shapes;
mod slim;
mod texts;

use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use self::facts::Facts;
use crate::app::App;
use crate::error::ApiError;
use crate::render::extensions::Calls;
use crate::render::page::Page;

/// As long as the discovery of the Payment scheme has it.
const CACHE: HeaderValue = HeaderValue::from_static("public, max-age=300");

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const MARKDOWN: HeaderValue = HeaderValue::from_static("text/markdown; charset=utf-8");
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// What there is to read: a name for it, its path, and what it is.
const INDEX: [(&str, &str, &str); 6] = [
    (
        "docs",
        "/docs",
        "for people: quick start, every endpoint, every error",
    ),
    ("openapi", "/openapi.json", "the API in OpenAPI 3.1"),
    (
        "skill",
        "/skill.md",
        "a skill for agents: quote, pay, wait, recover, destroy",
    ),
    (
        "llms",
        "/llms.txt",
        "the same in short, for language models",
    ),
    ("x402", "/.well-known/x402", "for registries of x402"),
    ("plans", "/compute/plans", "what is for sale"),
];

/// The finished pages.
#[derive(Debug)]
pub(crate) struct Pages {
    pub(crate) document: Page,
    pub(crate) well_known: Page,
    pub(crate) manual: Page,
    pub(crate) skill: Page,
    pub(crate) llms: Page,
    pub(crate) index: Page,
    pub(crate) index_json: Page,
    pub(crate) robots: Page,
    /// For catalogues that facilitators make of challenges.
    pub(crate) calls: Calls,
    /// What a page for people may do: nothing but look as it does.
    pub(crate) policy: HeaderValue,
}

/// The pages, and the revision of the shelf that they were made for.
#[derive(Debug, Default)]
pub(crate) struct Library(Mutex<Option<(Option<u64>, Arc<Pages>)>>);

impl Library {
    /// The pages as they are now. Whoever comes while they are rendered waits some milliseconds.
    pub(crate) fn pages(&self, app: &App) -> Result<Arc<Pages>, ApiError> {
        // How it would be sold can be read also while nothing can be sold.
        let shelf = app.engine().shelf().ok();
        let revision = shelf.as_ref().map(|shelf| shelf.revision);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, pages)) = kept.as_ref()
            && *known == revision
        {
            return Ok(Arc::clone(pages));
        }
        let pages = Arc::new(Pages::render(&Facts::of(app, shelf.as_deref()))?);
        *kept = Some((revision, Arc::clone(&pages)));
        Ok(pages)
    }
}

impl Pages {
    fn render(facts: &Facts) -> Result<Self, ApiError> {
        let document = document::document(facts);
        let page = |text: String, media| Page::new(text, media, CACHE);
        Ok(Self {
            manual: page(manual::manual(&document, facts), HTML)?,
            document: Page::json(&slim::slim(document), CACHE)?,
            well_known: Page::json(&offers::well_known(facts), CACHE)?,
            skill: page(texts::skill(facts), MARKDOWN)?,
            llms: page(texts::llms(facts), PLAIN)?,
            index: page(manual::index(facts), HTML)?,
            index_json: Page::json(&index(facts), CACHE)?,
            robots: page(texts::ROBOTS.to_owned(), PLAIN)?,
            calls: calls(facts),
            policy: policy()?,
        })
    }
}

fn calls(facts: &Facts) -> Calls {
    let example = |name| document::example(name, facts).unwrap_or_default();
    Calls::new(
        &texts::purchase(facts),
        &example("extend"),
        &example("topup"),
    )
}

/// Where everything is.
fn index(facts: &Facts) -> Value {
    let places = INDEX.map(|(name, path, _)| (name.to_owned(), json!(facts.at(path))));
    let mut index: Map<String, Value> = places.into_iter().collect();
    index.insert("name".to_owned(), json!("x402Compute"));
    Value::Object(index)
}

/// No script, no frame, no picture, nothing from elsewhere; the one style sheet, by its digest.
fn policy() -> Result<HeaderValue, ApiError> {
    let digest = STANDARD.encode(Sha256::digest(manual::STYLE));
    let text = format!(
        "default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    HeaderValue::try_from(text).map_err(ApiError::internal)
}

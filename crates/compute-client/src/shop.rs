//! A shop, as one talks to it.

use std::time::Duration;

use compute_outbound::{
    ConfigError, OutboundClient, OutboundConfig, OutboundError, OutboundRequest,
};
use http::{HeaderName, HeaderValue, Method};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::answer::{Problem, Reply};
use crate::identity::Identity;
use crate::model::{Order, Plan};
use crate::ows::OwsError;

/// A purchase is answered within 100 s (decisions.md 4), and a little more for the way.
const PATIENCE: Duration = Duration::from_secs(120);

/// The largest answer: a catalogue of all clouds.
const MAX_BODY: usize = 8 << 20;

/// Headers of a shop that say what must be paid, what was paid, and whether it is real.
const KEPT: [HeaderName; 6] = [
    http::header::WWW_AUTHENTICATE,
    HeaderName::from_static("payment-required"),
    HeaderName::from_static("payment-response"),
    HeaderName::from_static("payment-receipt"),
    HeaderName::from_static("idempotent-replayed"),
    HeaderName::from_static("x-compute-mode"),
];

/// One shop. It sends each request once; nothing is repeated here.
#[derive(Debug, Clone)]
pub struct Shop {
    http: OutboundClient,
}

/// Why there is no answer that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShopError {
    /// The address is no shop's.
    #[error("the address of the shop cannot be used: {0}")]
    Address(#[from] ConfigError),
    /// The API key cannot stand in a header.
    #[error("the API key holds characters that no key has")]
    ApiKey,
    /// The system gives no random bytes.
    #[error("no random bytes: {0}")]
    Chance(#[source] getrandom::Error),
    /// The command that signs does not help.
    #[error(transparent)]
    Ows(#[from] OwsError),
    /// No answer came.
    #[error("{0}")]
    Unanswered(#[from] OutboundError),
    /// The shop refuses.
    #[error("{} ({} {})", .0.detail, .0.status, .0.code)]
    Refused(Problem),
    /// The answer is not what this API answers.
    #[error("the answer is not one of this API: {0}")]
    Foreign(#[source] serde_json::Error),
}

/// A request as it is sent, and sent again.
#[derive(Debug, Clone)]
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    /// From the first slash on.
    pub(crate) path: &'a str,
    /// Nothing for no body.
    pub(crate) body: Option<&'a Value>,
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

impl Shop {
    /// The shop at `url`: `https://`, or `http://` on this machine.
    ///
    /// # Errors
    /// When the URL is no such address.
    pub fn new(url: &str) -> Result<Self, ShopError> {
        let mut config = OutboundConfig::new(url);
        config.total_timeout = PATIENCE;
        config.read_timeout = PATIENCE;
        config.max_body_bytes = MAX_BODY;
        config.kept_headers = KEPT.to_vec();
        Ok(Self {
            http: OutboundClient::new(&config)?,
        })
    }

    /// Scheme, host and port.
    #[must_use]
    pub fn origin(&self) -> String {
        self.http.origin()
    }

    /// Whether the shop says that nothing at it is real.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn is_dev(&self) -> Result<bool, ShopError> {
        let reply = self.get("/healthz", &Identity::Nobody).await?;
        Ok(reply.is_dev())
    }

    /// Everything that is for sale.
    ///
    /// # Errors
    /// When the shop does not answer, or not with a catalogue.
    pub async fn plans(&self) -> Result<Vec<Plan>, ShopError> {
        let reply = self.get("/compute/plans", &Identity::Nobody).await?;
        read(&reply, "/plans")
    }

    /// One machine as its owner sees it.
    ///
    /// # Errors
    /// When the shop does not answer, or knows no such machine of this owner.
    pub async fn order(&self, id: &str, who: &Identity) -> Result<Order, ShopError> {
        let reply = self.get(&instance(id, ""), who).await?;
        read(&reply, "/order")
    }

    /// Reads something.
    ///
    /// # Errors
    /// When the shop does not answer, or refuses.
    pub async fn get(&self, path: &str, who: &Identity) -> Result<Reply, ShopError> {
        self.ask(Method::GET, path, None, who).await
    }

    /// All machines of an owner, newest first, page by page.
    ///
    /// # Errors
    /// When the shop does not answer, or refuses.
    pub async fn orders(&self, who: &Identity) -> Result<Vec<Value>, ShopError> {
        let mut all = Vec::new();
        let mut query = vec![("limit", "200".to_owned())];
        loop {
            let call = Call {
                method: Method::GET,
                path: "/compute/instances",
                body: None,
                query,
                headers: Vec::new(),
            };
            let reply = accept(self.call(call, who).await?)?;
            let page: Vec<Value> = read(&reply, "/instances")?;
            all.extend(page);
            let next = reply.text("/next_cursor");
            if next.is_empty() {
                return Ok(all);
            }
            query = vec![("limit", "200".to_owned()), ("cursor", next.to_owned())];
        }
    }

    /// Asks for something that costs nothing.
    ///
    /// # Errors
    /// When the shop does not answer, or refuses.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        who: &Identity,
    ) -> Result<Reply, ShopError> {
        let call = Call {
            method,
            path,
            body,
            query: Vec::new(),
            headers: Vec::new(),
        };
        accept(self.call(call, who).await?)
    }

    /// Sends a request once, and returns whatever is answered.
    pub(crate) async fn call(&self, call: Call<'_>, who: &Identity) -> Result<Reply, ShopError> {
        let body = call.body.map(|body| body.to_string().into_bytes());
        let signed = body.as_deref().unwrap_or_default();
        let own = who.headers(call.method.as_str(), call.path, signed).await?;
        let segments: Vec<&str> = call.path.split('/').filter(|it| !it.is_empty()).collect();
        let mut request = OutboundRequest::new(call.method, &segments);
        // The same bytes as were signed: one value is always written in one way.
        if let Some(body) = call.body {
            request = request.json(body)?;
        }
        for (name, value) in call.query {
            request = request.query(name, value);
        }
        for (name, value) in own.into_iter().chain(call.headers) {
            request = request.header(name, value);
        }
        Ok(Reply::new(self.http.send(request).await?))
    }
}

/// The path of a machine, or of something below it.
pub(crate) fn instance(id: &str, below: &str) -> String {
    format!("/compute/instances/{id}{below}")
}

fn accept(reply: Reply) -> Result<Reply, ShopError> {
    if reply.status.is_success() {
        Ok(reply)
    } else {
        Err(ShopError::Refused(reply.problem()))
    }
}

fn read<T: DeserializeOwned>(reply: &Reply, pointer: &str) -> Result<T, ShopError> {
    let found = reply.body.pointer(pointer).cloned().unwrap_or_default();
    serde_json::from_value(found).map_err(ShopError::Foreign)
}

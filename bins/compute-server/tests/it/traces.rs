//! Traces of a running server, as a collector gets them, and what a bad collector does: nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use compute_testkit::faults_log::injected;
use compute_testkit::{facilitator, vultr};
use serde_json::Value;

use crate::buyer::{Buyer, order, pay};
use crate::first_sale::id_of;
use crate::metrics::{client_of, scrape};
use crate::rehearsal::serve_with;
use crate::server::{Backend, Home, PATIENCE, Server, pause};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// Requests between two looks at what was dropped.
const MANY: usize = 500;

/// What a collector was sent.
type Got = Arc<Mutex<Vec<(HeaderMap, String)>>>;

/// A collector that keeps what it is sent.
pub(crate) struct Collector {
    url: String,
    got: Got,
}

/// A span, as far as it matters here.
#[derive(Debug, Clone)]
struct Span {
    name: String,
    trace: String,
    id: String,
    parent: String,
    fields: BTreeMap<String, String>,
}

impl Collector {
    pub(crate) async fn spawn() -> Self {
        let got = Got::default();
        let take = async |State(got): State<Got>, headers: HeaderMap, body: Bytes| {
            let body = String::from_utf8(body.into()).unwrap();
            got.lock().unwrap().push((headers, body));
            "{}"
        };
        let router = Router::new().route("/v1/traces", post(take));
        Self {
            url: listen(router.with_state(Arc::clone(&got))).await,
            got,
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Everything that it was sent, one body a line.
    pub(crate) fn bodies(&self) -> String {
        let got = self.got.lock().unwrap();
        let bodies: Vec<&str> = got.iter().map(|(_, body)| body.as_str()).collect();
        bodies.join("\n")
    }

    /// All spans so far; each body must be what OTLP says.
    fn spans(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        for (headers, body) in self.got.lock().unwrap().iter() {
            assert_eq!(headers["content-type"], "application/json");
            assert_eq!(headers["authorization"], "Bearer let-me-in");
            let body: Value = serde_json::from_str(body).unwrap();
            for resource in body["resourceSpans"].as_array().unwrap() {
                let fields = fields(&resource["resource"]["attributes"]);
                assert_eq!(fields["service.name"], "shop of a test");
                for scope in resource["scopeSpans"].as_array().unwrap() {
                    spans.extend(scope["spans"].as_array().unwrap().iter().map(span));
                }
            }
        }
        spans
    }

    /// Waits for spans of all these names in the trace of a sale: parents come after what they waited for.
    async fn wait_for(&self, names: &[&str]) -> Vec<Span> {
        let waiting = async {
            loop {
                let spans = self.spans();
                let is_there =
                    |name: &&str| spans.iter().any(|it| it.name == *name && it.trace == TRACE);
                if names.iter().all(is_there) {
                    return spans;
                }
                pause().await;
            }
        };
        let spans = tokio::time::timeout(PATIENCE, waiting).await;
        spans.unwrap_or_else(|_| panic!("not all of {names:?} in {}", self.bodies()))
    }
}

/// Serves on a free port of this machine.
async fn listen(router: Router) -> String {
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    #[expect(
        clippy::disallowed_methods,
        reason = "the collector takes traces beside the test"
    )]
    tokio::spawn(async move { axum::serve(socket, router).await });
    format!("http://{address}")
}

fn fields(attributes: &Value) -> BTreeMap<String, String> {
    let attributes = attributes.as_array().into_iter().flatten();
    attributes
        .map(|field| {
            let value = field["value"].as_object().unwrap().values().next().unwrap();
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            (field["key"].as_str().unwrap().to_owned(), text)
        })
        .collect()
}

fn span(span: &Value) -> Span {
    let text = |name: &str| span[name].as_str().unwrap_or_default().to_owned();
    assert!(
        span["events"].as_array().is_none_or(Vec::is_empty),
        "{span}"
    );
    Span {
        name: text("name"),
        trace: text("traceId"),
        id: text("spanId"),
        parent: text("parentSpanId"),
        fields: fields(&span["attributes"]),
    }
}

/// A shop, its partners, and a collector at this address.
async fn start(home: &Home, url: &str) -> (Server, vultr::Handle, facilitator::Handle) {
    let cloud = vultr::spawn(vultr::Options::default()).await.unwrap();
    let network = facilitator::spawn(facilitator::Options::default());
    let network = network.await.unwrap();
    let variables = [
        ("COMPUTE_SERVER_METRICS__ENABLED", "true"),
        ("COMPUTE_SERVER_METRICS__LISTEN", "127.0.0.1:0"),
        ("COMPUTE_SERVER_TRACES__ENDPOINT", url),
        ("COMPUTE_SERVER_TRACES__TOKEN", "let-me-in"),
        ("COMPUTE_SERVER_TRACES__SERVICE_NAME", "shop of a test"),
    ];
    let server = serve_with(home, &cloud.api_url(), &network, &variables);
    (server, cloud, network)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sale_is_a_trace() {
    let home = Home::new(Backend::Sqlite).await;
    let collector = Collector::spawn().await;
    let (mut server, _cloud, _network) = start(&home, collector.url()).await;
    let buyer = Buyer::new();
    let payment = buyer.sign(&server, &order()).await;
    let headers = [
        (payment.header_name(), payment.to_header()),
        ("content-type", "application/json".to_owned()),
        ("traceparent", format!("00-{TRACE}-{PARENT}-01")),
        ("tracestate", "shop=not-for-you".to_owned()),
    ];
    let body = order().to_string();
    let bought = server
        .send("POST", "/compute/provision", &headers, &body)
        .await;
    let request_id = bought.header("x-request-id").unwrap().to_owned();
    let id = id_of(&bought.json(200).unwrap());
    buyer.wait_for(&server, &id, "active").await;

    let names = [
        "POST /compute/provision",
        "operation",
        "provision settle",
        "provision create",
        "provision await_ready",
        "base settle",
        "vultr create",
    ];
    let spans = collector.wait_for(&names).await;
    let of_sale = |name: &str| {
        let found = spans.iter().find(|it| it.name == name && it.trace == TRACE);
        found
            .unwrap_or_else(|| panic!("no {name} in {spans:?}"))
            .clone()
    };
    let request = of_sale("POST /compute/provision");
    assert_eq!(request.parent, PARENT);
    assert_eq!(request.fields["http.route"], "/compute/provision");
    assert_eq!(request.fields["http.response.status_code"], "200");
    assert_eq!(request.fields["request.id"], request_id);
    let (settle, create) = (of_sale("provision settle"), of_sale("provision create"));
    let work = of_sale("operation");
    assert_eq!(work.parent, request.id);
    assert_eq!([&settle.parent, &create.parent], [&work.id, &work.id]);
    assert_eq!(settle.fields["operation.id"], create.fields["operation.id"]);
    let (paid, made) = (of_sale("base settle"), of_sale("vultr create"));
    assert_eq!((&paid.parent, &made.parent), (&settle.id, &create.id));
    assert_eq!(paid.fields["outcome"], "settled");
    assert_eq!(made.fields["outcome"], "ok");
    assert!(!collector.bodies().contains("not-for-you"));
    let shown = scrape(&client_of(&server)).await;
    assert!(shown.contains(r#"compute_trace_spans_total{outcome="dropped"} 0"#));

    // The last ones are sent at the end.
    assert_eq!(server.get("/compute/regions", &[]).await.status, 200);
    server.terminate();
    assert_eq!(server.wait().await.code(), Some(0));
    let spans = collector.spans();
    assert!(spans.iter().any(|it| it.name == "GET /compute/regions"));
    // A line of the log is as without traces.
    assert!(!server.log().contains("operation.step"), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_collector_holds_nobody_up() {
    injected("F255");
    let home = Home::new(Backend::Sqlite).await;
    let silent = Router::new().fallback(async || core::future::pending::<String>().await);
    let silent = listen(silent).await;
    let (mut server, _cloud, _network) = start(&home, &silent).await;
    let metrics = client_of(&server);
    let is_full = async {
        loop {
            for _ in 0..MANY {
                assert_eq!(server.get("/healthz", &[]).await.status, 200);
            }
            let shown = scrape(&metrics).await;
            let dropped = r#"compute_trace_spans_total{outcome="dropped"} "#;
            let dropped = shown.lines().find_map(|line| line.strip_prefix(dropped));
            if dropped.unwrap().parse::<u64>().unwrap() > 0 {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, is_full).await.unwrap();
    let buyer = Buyer::new();
    let payment = buyer.sign(&server, &order()).await;
    let bought = pay(&server, &order(), &payment).await.json(200).unwrap();
    buyer.wait_for(&server, &id_of(&bought), "active").await;
    server.terminate();
    let ended = tokio::time::timeout(Duration::from_secs(20), server.wait()).await;
    assert_eq!(ended.unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_collector_the_shop_sells() {
    injected("F255");
    let home = Home::new(Backend::Sqlite).await;
    // Nobody listens on the port of a listener that is gone.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let (server, _cloud, _network) = start(&home, &url).await;
    let buyer = Buyer::new();
    let payment = buyer.sign(&server, &order()).await;
    let bought = pay(&server, &order(), &payment).await.json(200).unwrap();
    buyer.wait_for(&server, &id_of(&bought), "active").await;
    let told = async {
        while !server.log().contains("the collector takes no traces") {
            pause().await;
        }
    };
    tokio::time::timeout(PATIENCE, told).await.unwrap();
}

//! What of a request decides about its limits and its answer's headers.

use std::net::IpAddr;

use axum::extract::Request;
use http::header::ACCEPT;
use http::{HeaderMap, Method};

use crate::app::App;
use crate::compress::takes_gzip;
use crate::extract::{Accepted, is_claimed, is_credential, is_presented, is_x402};
use crate::peer::client_address;
use crate::rate::{Payer, network_of};
use crate::request_id::RequestId;
use crate::standing::Tally;

/// A request as the front door sees it.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) id: RequestId,
    pub(crate) address: IpAddr,
    pub(crate) reach: Reach,
    pub(crate) shown: Shown,
    /// Whether what may be a payment is a credential, and not of x402.
    pub(crate) is_credential: bool,
    /// Whether its address has a budget at all.
    pub(crate) is_counted: bool,
    /// Whether it asks for our health: that must be answered however busy we are.
    pub(crate) is_probe: bool,
    /// Whether it asks what can be done, and not for it to be done.
    pub(crate) is_question: bool,
    /// For such a question: what scripts of any origin may do there, if anything.
    pub(crate) open_methods: Option<&'static str>,
    /// Whether it takes an answer in some form that we have.
    pub(crate) is_answerable: bool,
    pub(crate) takes_gzip: bool,
}

/// Who sends a payment, for the limits on what is done about it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sender {
    address: IpAddr,
    is_counted: bool,
}

impl Sender {
    /// Who is limited; nobody where the address is exempt.
    pub(crate) fn network(&self) -> Option<Payer> {
        self.is_counted
            .then(|| Payer::Address(network_of(self.address)))
    }
}

/// Who may read an answer from within a web page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Scripts of any origin, without credentials: the catalogue, and buying by payment alone.
    Anyone,
    /// No script of another origin.
    SameOrigin,
}

/// What a request shows where it will be looked at. A header that its route never reads shows
/// nothing: otherwise one header would switch off the limits of every route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Neither payment nor credentials.
    Nothing,
    /// Credentials, true or false.
    Claim,
    /// What may be a payment; perhaps credentials beside it.
    Payment,
}

impl Visit {
    pub(crate) fn of(request: &Request, app: &App) -> Self {
        let (headers, settings) = (request.headers(), app.settings());
        let (method, path) = (request.method(), request.uri().path());
        let address = client_address(request.extensions(), headers, &settings.proxies);
        let is_exempt = settings.limits.exempt_loopback && address.is_loopback();
        // `/healthz` costs nothing; `/readyz` may ask the database, so it is counted.
        let is_heartbeat = is_read(method) && path == "/healthz";
        let is_probe = is_heartbeat || is_read(method) && path == "/readyz";
        let (shown, is_post) = (shown(method, path, headers), method == Method::POST);
        Self {
            id: app.request_ids().of(headers),
            address,
            reach: reach_of(path),
            shown,
            is_credential: is_post && shown == Shown::Payment && is_credential(headers),
            is_counted: !is_exempt && !is_heartbeat,
            is_probe,
            is_question: method == Method::OPTIONS,
            open_methods: open_methods(path).filter(|_| method == Method::OPTIONS),
            // Whoever pays needs the answer more than its form.
            is_answerable: shown == Shown::Payment || takes_our_forms(path, headers),
            takes_gzip: takes_gzip(headers),
        }
    }
}

impl Visit {
    /// Where it is taken down how its owner's budget stands, when it counts for one.
    pub(crate) fn tally(&self) -> Option<Tally> {
        (self.is_counted && self.shown == Shown::Claim)
            .then(|| Tally::new(network_of(self.address)))
    }

    /// Who sends its payment; nobody without one.
    pub(crate) fn sender(&self) -> Option<Sender> {
        (self.shown == Shown::Payment).then_some(Sender {
            address: self.address,
            is_counted: self.is_counted,
        })
    }
}

/// What anybody may do from any page: read the catalogue and about the API, and buy by payment alone.
/// These are all methods that the routes have. Our health is not everybody's.
fn open_methods(path: &str) -> Option<&'static str> {
    const READ: &str = "GET, HEAD, OPTIONS";
    if let "/openapi.json" | "/.well-known/x402" | "/llms.txt" | "/skill.md" | "/status.json" = path
    {
        return Some(READ);
    }
    match segments(path) {
        Some(("plans" | "regions" | "os", None, None)) => Some(READ),
        Some(("provision" | "quote", None, None))
        | Some(("instances", Some(_), Some("extend"))) => Some("POST, OPTIONS"),
        _ => None,
    }
}

fn reach_of(path: &str) -> Reach {
    match open_methods(path) {
        Some(_) => Reach::Anyone,
        None => Reach::SameOrigin,
    }
}

fn shown(method: &Method, path: &str, headers: &HeaderMap) -> Shown {
    // Reading is free: a credential means nothing there.
    let is_payment = if is_read(method) {
        is_x402
    } else {
        is_presented
    };
    if takes_payment(method, path) && is_payment(headers) {
        Shown::Payment
    } else if authenticates(method, path) && is_claimed(headers) {
        Shown::Claim
    } else {
        Shown::Nothing
    }
}

/// Whether the client takes JSON, which everything below `/compute/` is, or what else there is.
fn takes_our_forms(path: &str, headers: &HeaderMap) -> bool {
    let is_usual = headers.get(ACCEPT).is_none_or(|accept| {
        let accept = accept.as_bytes();
        accept == b"*/*" || accept == b"application/json"
    });
    if is_usual || !path.starts_with("/compute/") {
        return true;
    }
    let accepted = Accepted::of(headers);
    let takes = |kind, subtype| accepted.weight_of(kind, subtype) > 0;
    takes("application", "json")
        || takes("application", "problem+json")
        || path == "/compute/ledger" && takes("text", "csv")
}

fn is_read(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

/// The first three segments below `/compute/`; `None` when there are more.
fn segments(path: &str) -> Option<(&str, Option<&str>, Option<&str>)> {
    let mut segments = path.strip_prefix("/compute/")?.split('/');
    let found = (segments.next()?, segments.next(), segments.next());
    segments.next().is_none().then_some(found)
}

/// Whether the route reads a payment.
fn takes_payment(method: &Method, path: &str) -> bool {
    match segments(path) {
        Some(
            ("provision", None, None)
            | ("instances", Some(_), Some("extend"))
            | ("credits", Some("topup"), None),
        ) => method == Method::POST,
        Some(("orders" | "operations", Some(_), None))
        | Some(("operations", Some(_), Some("receipt"))) => is_read(method),
        _ => false,
    }
}

/// Whether the route reads credentials.
fn authenticates(method: &Method, path: &str) -> bool {
    match segments(path) {
        Some(
            ("instances" | "ledger" | "events", None, None)
            | ("credits", Some("balance"), None)
            | ("orders", Some(_), None)
            | ("operations", Some(_), None | Some("receipt"))
            | ("webhooks", Some(_), Some("deliveries")),
        ) => is_read(method),
        Some(
            ("quote", None, None)
            | ("instances", Some(_), Some("password" | "resize" | "actions"))
            | ("webhooks", Some(_), Some("rotate" | "ping")),
        ) => method == Method::POST,
        Some(("instances", Some(_), None)) => is_read(method) || method == Method::DELETE,
        Some(("instances", Some(_), Some("auto-extend"))) => {
            is_read(method) || method == Method::PUT
        }
        Some(("instances", Some(_), Some("protection"))) => method == Method::PUT,
        Some(("api-keys" | "webhooks", None, None)) => is_read(method) || method == Method::POST,
        Some(("api-keys" | "webhooks", Some(_), None)) => method == Method::DELETE,
        _ => takes_payment(method, path),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn who_takes_json_or_anything_is_answered() {
        let takes = |path: &str, accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            takes_our_forms(path, &headers)
        };
        assert!(takes_our_forms("/compute/plans", &HeaderMap::new()));
        for accept in [
            "*/*",
            "application/json",
            "application/json, text/plain, */*",
            "text/html, */*;q=0.1",
            "application/problem+json",
            "APPLICATION/*",
            "",
        ] {
            assert!(takes("/compute/plans", accept), "{accept}");
        }
        for accept in ["text/html", "text/csv", "application/json;q=0", "*/*;q=0"] {
            assert!(!takes("/compute/plans", accept), "{accept}");
            assert!(takes("/healthz", accept), "{accept}");
        }
        assert!(takes("/compute/ledger", "text/csv"));
        assert!(!takes("/compute/ledger", "text/html"));
    }

    fn check(method: &Method, path: &str, header: &'static str, value: &'static str, is: Shown) {
        let mut headers = HeaderMap::new();
        headers.insert(header, HeaderValue::from_static(value));
        assert_eq!(
            shown(method, path, &headers),
            is,
            "{method} {path} {header}: {value:?}"
        );
    }

    #[test]
    fn a_payment_counts_where_it_is_read() {
        for header in ["x-payment", "payment-signature"] {
            for (method, path) in [
                (Method::POST, "/compute/provision"),
                (Method::GET, "/compute/orders/1"),
                (Method::HEAD, "/compute/orders/1"),
                (Method::GET, "/compute/operations/1"),
                (Method::POST, "/compute/instances/1/extend"),
                (Method::POST, "/compute/credits/topup"),
            ] {
                check(&method, path, header, "x", Shown::Payment);
                check(&method, path, header, " ", Shown::Nothing);
            }
            for (method, path) in [
                (Method::GET, "/compute/provision"),
                (Method::GET, "/compute/plans"),
                (Method::GET, "/compute/orders"),
                (Method::GET, "/compute/orders/1/2"),
                (Method::POST, "/compute/orders/1"),
                (Method::POST, "/compute/operations/1"),
                (Method::GET, "/compute/instances/1/extend"),
                (Method::GET, "/compute/credits/topup"),
                (Method::GET, "/compute/credits/balance"),
                (Method::GET, "/compute/instances"),
                (Method::GET, "/nowhere"),
                (Method::GET, "/readyz"),
            ] {
                check(&method, path, header, "x", Shown::Nothing);
            }
        }
    }

    #[test]
    fn who_buys_by_payment_alone_may_do_so_from_any_page() {
        for path in [
            "/compute/plans",
            "/compute/regions",
            "/compute/os",
            "/compute/provision",
            "/compute/instances/1/extend",
        ] {
            assert_eq!(reach_of(path), Reach::Anyone, "{path}");
        }
        for path in [
            "/compute/instances",
            "/compute/instances/1",
            "/compute/instances/1/password",
            "/compute/instances/1/extend/",
            "/compute/provision/extend",
            "/compute/orders/1",
            "/compute/operations/1",
            "/compute/credits/topup",
            "/compute/plans/",
            "/compute",
        ] {
            assert_eq!(reach_of(path), Reach::SameOrigin, "{path}");
        }
    }

    #[test]
    fn credentials_count_where_they_are_read() {
        for header in ["x-api-key", "x-auth-signature"] {
            for (method, path) in [
                (Method::POST, "/compute/provision"),
                (Method::GET, "/compute/orders/1"),
                (Method::GET, "/compute/operations/1"),
                (Method::POST, "/compute/instances/1/extend"),
                (Method::POST, "/compute/credits/topup"),
                (Method::GET, "/compute/credits/balance"),
                (Method::GET, "/compute/instances"),
                (Method::GET, "/compute/instances/1"),
                (Method::DELETE, "/compute/instances/1"),
                (Method::POST, "/compute/instances/1/password"),
                (Method::POST, "/compute/api-keys"),
                (Method::DELETE, "/compute/api-keys/1"),
            ] {
                check(&method, path, header, "x", Shown::Claim);
            }
            for (method, path) in [
                (Method::GET, "/compute/plans"),
                (Method::PUT, "/compute/instances"),
                (Method::GET, "/compute/instances/1/password"),
                (Method::POST, "/compute/credits/balance"),
                (Method::GET, "/compute/credits"),
                (Method::GET, "/compute/instances/1/password/2"),
                (Method::GET, "/compute/"),
                (Method::GET, "/nowhere"),
                (Method::GET, "/readyz"),
            ] {
                check(&method, path, header, "x", Shown::Nothing);
            }
        }
    }
}

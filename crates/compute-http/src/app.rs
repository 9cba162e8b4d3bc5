//! What every handler shares: the engine, the settings, and the few things that live in memory.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError, RwLock, TryLockError};
use std::time::Duration;

use compute_domain::id::{InstanceId, OperationId, OwnerId};
use compute_domain::operation::{Operation, OperationKind};
use compute_domain::payment::RailLabel;
use compute_domain::time::Span;
use compute_engine::{Engine, Error, Goal, OperationView, Readiness, Submitted, operation_span};
use compute_x402::Network;
use compute_x402::offer_receipt::ReceiptIssuer;
use futures::FutureExt as _;
use http::Uri;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::discovery::{Library, Pages};
use crate::error::{ApiError, Work};
use crate::peer::Proxies;
use crate::rate::{Payer, PurchaseLimit, RateLimit, network_of};
use crate::readiness::Verdicts;
use crate::render::shelf::ShopWindow;
use crate::request_id::RequestIds;
use crate::seats::{Seat, Seats};
use crate::standing::{Policies, Standing, Whose};

/// Query strings longer than this are left out of the resource that a challenge names, so that the
/// challenge header stays small.
const MAX_RESOURCE_QUERY: usize = 256;

/// The address under which clients reach this server, without a slash at its end.
///
/// The `Host` header is never believed: it is the client's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(String);

/// A public URL is `http://` or `https://`, a host, and at most a path; printable ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the public URL must be http:// or https:// with a host, without query or fragment")]
pub struct InvalidPublicUrl;

impl PublicUrl {
    /// Reads the URL; slashes at its end are dropped.
    ///
    /// # Errors
    /// `InvalidPublicUrl` when it is not an absolute HTTP URL or is longer than 256 bytes.
    pub fn parse(text: &str) -> Result<Self, InvalidPublicUrl> {
        let text = text.trim_end_matches('/');
        let uri: Uri = text.parse().map_err(|_| InvalidPublicUrl)?;
        let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
        let has_host = uri.host().is_some_and(|host| !host.is_empty());
        let is_plain = uri.query().is_none() && !text.contains('#') && text.len() <= 256;
        if is_web && has_host && is_plain {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidPublicUrl)
        }
    }

    /// The name of the host.
    pub fn host(&self) -> String {
        let uri: Result<Uri, _> = self.0.parse();
        uri.ok()
            .and_then(|uri| uri.host().map(str::to_owned))
            .unwrap_or_default()
    }

    /// The text, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether real money and machines are behind this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They are.
    Live,
    /// Everything is simulated; every answer says so in `X-Compute-Mode`.
    Dev,
}

/// Pings that are under way for one address, whoever sends them: their receivers take their time, and there
/// are few places for all.
const PINGS_PER_ADDRESS: usize = 4;

/// When it is worth trying again: a receiver has ten seconds.
const AFTER_PINGS: Span = Span::from_secs(10);

/// How much of us one request or one address may use.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest request body, in bytes.
    pub body_bytes: usize,
    /// How long a client may take to send its body.
    pub body_read: Duration,
    /// Requests in progress at once; more are turned away with 503.
    pub in_flight: usize,
    /// Of those, requests that wait for work to move; more are answered at once. At most half of
    /// `in_flight`.
    pub waiting: usize,
    /// The same, of one owner.
    pub waiting_per_owner: usize,
    /// How long a request with a payment waits to be one of them before it is turned away, too.
    pub payment_wait: Duration,
    /// Requests a minute, and at once, that an address may make without proving who it is or
    /// that it pays.
    pub unauthenticated_per_minute: NonZeroU32,
    /// Requests a minute, and at once, of one owner who proves an identity. A payment, and a repeat of a
    /// known purchase, never counts.
    pub requests_per_owner_per_minute: NonZeroU32,
    /// The same, of all owners at one address together: a wallet costs nothing.
    pub owners_per_address_per_minute: NonZeroU32,
    /// Purchases a minute, and at once, of one payer. A repeat of a known payment never counts.
    pub purchases_per_minute: NonZeroU32,
    /// New payments by credential, a minute and at once, that one address, and one wallet, may have its
    /// payment network asked about. A repeat of a known payment never counts.
    pub checks_per_minute: NonZeroU32,
    /// Whether requests from this machine itself are not counted, for its address or for an owner.
    pub exempt_loopback: bool,
}

impl Default for Limits {
    fn default() -> Self {
        const SIXTY: NonZeroU32 = NonZeroU32::MIN.saturating_add(59);
        const SIX_HUNDRED: NonZeroU32 = NonZeroU32::MIN.saturating_add(599);
        const TWENTY_A_SECOND: NonZeroU32 = NonZeroU32::MIN.saturating_add(1_199);
        const EIGHTY_A_SECOND: NonZeroU32 = NonZeroU32::MIN.saturating_add(4_799);
        Self {
            body_bytes: 64 * 1_024,
            body_read: Duration::from_secs(15),
            in_flight: 2_048,
            waiting: 512,
            waiting_per_owner: 16,
            payment_wait: Duration::from_secs(30),
            unauthenticated_per_minute: SIX_HUNDRED,
            requests_per_owner_per_minute: TWENTY_A_SECOND,
            owners_per_address_per_minute: EIGHTY_A_SECOND,
            purchases_per_minute: SIXTY,
            checks_per_minute: SIXTY.saturating_add(60),
            exempt_loopback: false,
        }
    }
}

/// How long a request waits for the work it started before it answers with what there is.
#[derive(Debug, Clone)]
pub struct Waits {
    /// For a machine to be made. Published clients give a purchase 120 s.
    pub create: Span,
    /// For the payment of an extension to settle. Published clients give it 60 s.
    pub extend: Span,
    /// For the payment of a top-up to settle.
    pub topup: Span,
    /// For the provider to accept a deletion, a change of plan or a power action. Published clients
    /// give it 30 s.
    pub destroy: Span,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            create: Span::from_secs(50),
            extend: Span::from_secs(25),
            topup: Span::from_secs(25),
            destroy: Span::from_secs(20),
        }
    }
}

/// The settings of this layer.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where clients reach us.
    pub public_url: PublicUrl,
    /// Live or simulated.
    pub mode: Mode,
    /// The version of the program, for `/status.json`.
    pub version: &'static str,
    /// Limits.
    pub limits: Limits,
    /// Waits.
    pub waits: Waits,
    /// The network of a purchase that names none: `base`, unless only others are offered.
    pub default_network: RailLabel,
    /// The network of each rail, for receipts. A rail that is missing here is looked up by its
    /// label.
    pub networks: BTreeMap<RailLabel, Network>,
    /// Whose word is taken for the address of a client.
    pub proxies: Proxies,
    /// Random, different at every process start: request ids are derived from it.
    pub request_id_seed: u64,
    /// Whether challenges say how their route is called, for catalogues (extension `bazaar`).
    pub bazaar: bool,
    /// Who signs offers and receipts (extension `offer-receipt`); nobody without.
    pub issuer: Option<Arc<ReceiptIssuer>>,
}

/// The application; a clone is one reference count.
#[derive(Clone)]
pub struct App(Arc<Parts>);

struct Parts {
    engine: Arc<Engine>,
    settings: Settings,
    tasks: TaskTracker,
    rate: RateLimit<IpAddr>,
    owners: RateLimit<Payer>,
    crowds: RateLimit<IpAddr>,
    policies: Policies,
    purchases: PurchaseLimit,
    checks: RateLimit<Payer>,
    in_flight: Semaphore,
    seats: Arc<Seats<OwnerId>>,
    ping_seats: Arc<Seats<IpAddr>>,
    verdicts: Verdicts,
    request_ids: RequestIds,
    window: RwLock<Option<Arc<ShopWindow>>>,
    /// Held by whoever renders the next one.
    rendering: Mutex<()>,
    library: Library,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("settings", &self.0.settings)
            .finish_non_exhaustive()
    }
}

impl App {
    /// Puts an engine behind the API.
    pub fn new(engine: Arc<Engine>, settings: Settings) -> Self {
        let rate = RateLimit::new(
            Arc::clone(&engine),
            settings.limits.unauthenticated_per_minute,
        );
        let purchases =
            PurchaseLimit::new(Arc::clone(&engine), settings.limits.purchases_per_minute);
        let checks = RateLimit::new(Arc::clone(&engine), settings.limits.checks_per_minute);
        let per_owner = settings.limits.requests_per_owner_per_minute;
        let owners = RateLimit::new(Arc::clone(&engine), per_owner);
        let crowd = settings.limits.owners_per_address_per_minute;
        let crowds = RateLimit::new(Arc::clone(&engine), crowd);
        let alone = settings.limits.unauthenticated_per_minute;
        let policies = Policies::new(alone, per_owner, crowd);
        let limits = &settings.limits;
        let waiting = limits.waiting.min(limits.in_flight / 2);
        let seats = Seats::new(waiting, limits.waiting_per_owner);
        Self(Arc::new(Parts {
            seats: Arc::new(seats),
            ping_seats: Arc::new(Seats::new(usize::MAX, PINGS_PER_ADDRESS)),
            tasks: TaskTracker::new(),
            rate,
            owners,
            crowds,
            policies,
            purchases,
            checks,
            in_flight: Semaphore::new(settings.limits.in_flight.min(Semaphore::MAX_PERMITS)),
            verdicts: Verdicts::default(),
            request_ids: RequestIds::new(settings.request_id_seed),
            window: RwLock::new(None),
            rendering: Mutex::new(()),
            library: Library::default(),
            engine,
            settings,
        }))
    }

    /// The work that requests have started and that outlives them. At shutdown: close it, then
    /// wait for it; what is cut off is taken up again from the database.
    pub fn tasks(&self) -> &TaskTracker {
        &self.0.tasks
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// The network that a rail's payments are on.
    pub(crate) fn network_of(&self, rail: &RailLabel) -> Option<Network> {
        let configured = self.0.settings.networks.get(rail).cloned();
        configured.or_else(|| Network::find(rail.as_str()))
    }

    /// Counts a request of an address, or of the IPv6 network it is in.
    pub(crate) fn charge(&self, address: IpAddr) -> (Standing, Result<(), Duration>) {
        let counted = self.0.rate.charge(&network_of(address));
        (Standing::after(Whose::Address, &counted), counted.map(drop))
    }

    /// Counts a request of an owner, and of all owners in its network.
    pub(crate) fn charge_owner(
        &self,
        owner: &Payer,
        network: IpAddr,
    ) -> (Standing, Result<(), Duration>) {
        let counted = self.0.owners.charge(owner);
        let standing = Standing::after(Whose::Owner, &counted);
        if counted.is_ok() {
            let together = self.0.crowds.charge(&network);
            if together.is_err() {
                let standing = Standing::after(Whose::Crowd, &together);
                return (standing, together.map(drop));
            }
        }
        (standing, counted.map(drop))
    }

    /// A place for a ping that is sent for somebody in this network; none is needed where it is not counted.
    pub(crate) fn seat_for_ping(
        &self,
        network: Option<IpAddr>,
    ) -> Result<Option<Seat<IpAddr>>, Error> {
        let Some(network) = network else {
            return Ok(None);
        };
        let seat = self.0.ping_seats.take(network);
        seat.map(Some)
            .ok_or(Error::TooManyPings { wait: AFTER_PINGS })
    }

    pub(crate) fn policies(&self) -> &Policies {
        &self.0.policies
    }

    pub(crate) fn purchases(&self) -> &PurchaseLimit {
        &self.0.purchases
    }

    pub(crate) fn checks(&self) -> &RateLimit<Payer> {
        &self.0.checks
    }

    pub(crate) fn in_flight(&self) -> &Semaphore {
        &self.0.in_flight
    }

    /// Waits until nothing is left to do about an operation, for at most `patience`, where there is a
    /// place to wait; none where there is not.
    pub(crate) async fn watch(
        &self,
        view: &OperationView,
        patience: Span,
    ) -> Result<Option<OperationView>, Error> {
        if patience == Span::ZERO || view.is_at_rest() {
            return Ok(None);
        }
        let Some(_seat) = self.0.seats.take(view.operation.owner) else {
            return Ok(None);
        };
        let (engine, operation) = (&self.0.engine, view.operation.id);
        let until = engine.now().plus(patience);
        engine.look_on(operation, until).await.map(Some)
    }

    /// Whether orders can be taken, as of a moment ago.
    pub(crate) async fn readiness(&self) -> Readiness {
        self.0.verdicts.current(&self.0.engine).await
    }

    pub(crate) fn request_ids(&self) -> &RequestIds {
        &self.0.request_ids
    }

    /// The catalogue as finished answers, rendered again only when its content has changed. One
    /// request renders; the others take what there is, which was right a moment ago.
    pub(crate) fn window(&self) -> Result<Arc<ShopWindow>, ApiError> {
        let shelf = self.0.engine.shelf()?;
        let present = self.present_window();
        if let Some(window) = &present
            && window.revision() == shelf.revision
        {
            return Ok(Arc::clone(window));
        }
        let _rendering = match (self.0.rendering.try_lock(), present) {
            (Ok(rendering), _) => rendering,
            (Err(TryLockError::WouldBlock), Some(window)) => return Ok(window),
            (Err(_), _) => {
                let rendering = self.0.rendering.lock();
                rendering.unwrap_or_else(PoisonError::into_inner)
            }
        };
        if let Some(window) = self.present_window()
            && window.revision() >= shelf.revision
        {
            return Ok(window);
        }
        let fresh = Arc::new(ShopWindow::render(&shelf)?);
        let window = self.0.window.write();
        *window.unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&fresh));
        Ok(fresh)
    }

    /// The pages about the API.
    pub(crate) fn pages(&self) -> Result<Arc<Pages>, ApiError> {
        self.0.library.pages(self)
    }

    /// A poisoned lock holds a finished value all the same: it is only ever replaced whole.
    fn present_window(&self) -> Option<Arc<ShopWindow>> {
        let window = self.0.window.read();
        window.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The absolute URL of a request, by which a challenge names what is sold.
    pub(crate) fn resource_url(&self, uri: &Uri) -> String {
        let (base, path) = (self.0.settings.public_url.as_str(), uri.path());
        match uri
            .query()
            .filter(|query| query.len() <= MAX_RESOURCE_QUERY)
        {
            Some(query) => format!("{base}{path}?{query}"),
            None => format!("{base}{path}"),
        }
    }

    /// Where a purchase was made.
    pub(crate) fn purchase_url(&self, operation: &Operation) -> String {
        match (operation.kind, operation.instance) {
            (OperationKind::Extend, Some(id)) => self.extend_url(id),
            (OperationKind::Topup, _) => self.topup_url(),
            _ => self.provision_url(),
        }
    }

    /// Where clients buy machines.
    pub(crate) fn provision_url(&self) -> String {
        self.absolute("/compute/provision")
    }

    /// Where clients buy more time for a machine.
    pub(crate) fn extend_url(&self, id: InstanceId) -> String {
        self.absolute(format_args!("/compute/instances/{id}/extend"))
    }

    /// Where clients buy credits.
    pub(crate) fn topup_url(&self) -> String {
        self.absolute("/compute/credits/topup")
    }

    /// Where an owner's history of money is.
    pub(crate) fn ledger_url(&self) -> String {
        self.absolute("/compute/ledger")
    }

    /// Where the state of an order can be read.
    pub(crate) fn order_url(&self, id: InstanceId) -> String {
        self.absolute(format_args!("/compute/orders/{id}"))
    }

    /// Where the state of one piece of work can be read.
    pub(crate) fn operation_url(&self, id: OperationId) -> String {
        self.absolute(format_args!("/compute/operations/{id}"))
    }

    /// Where the state of this work can be read. A purchase of a machine is followed by its order.
    pub(crate) fn status_url(&self, work: &Work) -> String {
        match (work.kind, work.order) {
            (OperationKind::Provision, Some(order)) => self.order_url(order),
            _ => self.operation_url(work.operation),
        }
    }

    fn absolute(&self, path: impl fmt::Display) -> String {
        format!("{}{path}", self.0.settings.public_url.as_str())
    }

    /// Works on an operation in a task of its own, so that a client that goes away stops nothing, and
    /// a panic nothing else.
    pub(crate) fn work(&self, submitted: Submitted) {
        let engine = Arc::clone(&self.0.engine);
        let operation = submitted.operation();
        // Made here, so that it belongs to the trace of the request.
        let span = operation_span(operation);
        let work = async move {
            let work = AssertUnwindSafe(engine.work(submitted)).catch_unwind();
            if work.await.is_err() {
                tracing::error!(
                    operation.id = %operation,
                    "the work on an operation broke off; it continues when its lease ends"
                );
            }
        };
        self.0.tasks.spawn(work.instrument(span));
    }

    /// The state of an operation at its goal, or after `patience`.
    pub(crate) async fn wait(
        &self,
        operation: OperationId,
        goal: Goal,
        patience: Span,
    ) -> Result<OperationView, Error> {
        let until = self.0.engine.now().plus(patience);
        self.0.engine.wait(operation, goal, until).await
    }
}

#[cfg(test)]
impl Settings {
    pub(crate) fn for_tests() -> Self {
        Self {
            public_url: PublicUrl("https://compute.example".to_owned()),
            mode: Mode::Live,
            version: "0",
            limits: Limits::default(),
            waits: Waits::default(),
            default_network: RailLabel::parse("base").unwrap(),
            networks: BTreeMap::new(),
            proxies: Proxies::default(),
            request_id_seed: 7,
            bazaar: false,
            issuer: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_absolute_and_loses_its_last_slash() {
        let url = PublicUrl::parse("https://compute.example/api/").unwrap();
        assert_eq!(url.as_str(), "https://compute.example/api");
        for junk in [
            "",
            "compute.example",
            "ftp://x",
            "https://",
            "https://x/?a",
            "https://x/#a",
        ] {
            assert_eq!(PublicUrl::parse(junk), Err(InvalidPublicUrl), "{junk}");
        }
    }
}

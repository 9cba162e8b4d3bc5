//! A shop under test, reached through its router.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use compute_domain::money::Usd;
use compute_domain::payment::RailLabel;
use compute_domain::prepaid::EarlyDestroy;
use compute_domain::time::{Clock as _, Span};
use compute_engine::ports::{AnyRail, Caps, Courier, Rail as _, Store};
use compute_engine::{
    Adapters, AuthTerms, DestroyGuard, Engine, EngineConfig, MppTerms, SalesTerms, Sealer,
    SealingKey, Secrets, Timing,
};
use compute_http::{App, Limits, Mode, Peer, Proxies, PublicUrl, Settings, Waits, router};
use compute_mpp::Realm;
use compute_store::{Database, DatabaseConfig};
use compute_testkit::ambient::{ManualClock, SeededEntropy};
use compute_testkit::crash::{Crash, MortalStore};
use compute_testkit::market::START;
use compute_testkit::scripted_charge::ScriptedCharge;
use compute_testkit::scripted_provider::ScriptedProvider;
use compute_testkit::scripted_rail::ScriptedRail;
use compute_wallet::WalletAddress;
use http::response::Parts;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use secrecy::SecretBox;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::stepped_timer::SteppedTimer;

/// Where the shop says it is.
pub(crate) const URL: &str = "https://compute.example";

/// One day of the smallest machine.
pub(crate) const ORDER: &str =
    r#"{"plan":"vc2-1c-1gb","region":"ewr","os_id":2284,"label":"agent","prepaid_hours":24}"#;

pub(crate) struct Shop {
    pub(crate) app: App,
    pub(crate) engine: Arc<Engine>,
    pub(crate) clock: ManualClock,
    pub(crate) timer: SteppedTimer,
    pub(crate) rail: Arc<ScriptedRail>,
    charges: Vec<Arc<ScriptedCharge>>,
    pub(crate) provider: Arc<ScriptedProvider>,
    pub(crate) crash: Crash,
    router: Router,
    settings: Settings,
    pub(crate) store: Arc<dyn Store>,
    _folder: tempfile::TempDir,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The text of a top-level member.
    pub(crate) fn text(&self, member: &str) -> String {
        self.json()[member]
            .as_str()
            .unwrap_or_else(|| panic!("no {member}: {self:?}"))
            .to_owned()
    }

    /// Fails unless this is an error of the common shape with this status and code.
    #[track_caller]
    pub(crate) fn expect_problem(&self, status: u16, code: &str) -> &Self {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        let body = self.json();
        assert_eq!(body["code"], code, "{self:?}");
        assert_eq!(body["status"], status, "{self:?}");
        for member in ["type", "title", "detail", "error", "request_id"] {
            assert!(body[member].is_string(), "{member}: {self:?}");
        }
        assert_eq!(self.header("x-request-id"), body["request_id"].as_str());
        // What can be paid is read by x402 clients, and only that.
        let is_offer = status == 402 && code != "insufficient_credits";
        let media = if is_offer {
            "application/json"
        } else {
            "application/problem+json"
        };
        assert_eq!(self.header("content-type"), Some(media));
        assert_eq!(body.get("accepts").is_some(), is_offer, "{self:?}");
        assert_eq!(self.header("payment-required").is_some(), is_offer);
        assert_eq!(self.header("cache-control"), Some("no-store"));
        self
    }
}

pub(crate) fn settings() -> Settings {
    Settings {
        public_url: PublicUrl::parse(URL).unwrap(),
        mode: Mode::Live,
        limits: Limits {
            unauthenticated_per_minute: NonZeroU32::new(100_000).unwrap(),
            body_read: Duration::from_secs(5),
            ..Limits::default()
        },
        waits: Waits::default(),
        default_network: RailLabel::parse("base").unwrap(),
        networks: BTreeMap::new(),
        proxies: Proxies::default(),
        bazaar: false,
        issuer: None,
        request_id_seed: 7,
        version: "1.2.3",
    }
}

impl Shop {
    pub(crate) async fn open() -> Self {
        Self::open_with(settings()).await
    }

    pub(crate) async fn open_with(settings: Settings) -> Self {
        Self::open_over(settings, Vec::new()).await
    }

    /// A shop that is paid by challenges, too.
    pub(crate) async fn open_taking(charges: Vec<Arc<ScriptedCharge>>) -> Self {
        Self::open_over(settings(), charges).await
    }

    pub(crate) async fn open_over(
        mut settings: Settings,
        charges: Vec<Arc<ScriptedCharge>>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("shop.db").display());
        let config = DatabaseConfig {
            url,
            max_connections: 4,
            acquire_timeout: Duration::from_secs(30),
        };
        let database = Database::connect(&config).await.unwrap();
        database.migrate().await.unwrap();
        database
            .stamp(compute_store::Mode::Test, START)
            .await
            .unwrap();
        let clock = ManualClock::at(START);
        let timer = SteppedTimer::new(clock.clone());
        let crash = Crash::default();
        let rail = Arc::new(ScriptedRail::new(clock.clone(), crash.clone()));
        let provider = Arc::new(ScriptedProvider::new(clock.clone(), crash.clone()));
        let label = rail.spec().label.clone();
        let _ = settings
            .networks
            .insert(label.clone(), rail.spec().token.network().clone());
        let store: Arc<dyn Store> = Arc::new(MortalStore::new(Arc::new(database), crash.clone()));
        let adapters = Adapters {
            store: Arc::clone(&store),
            providers: vec![provider.clone()],
            rails: rails_of(&rail, &charges),
            clock: Arc::new(clock.clone()),
            entropy: Arc::new(SeededEntropy::new(1)),
            timer: Arc::new(timer.clone()),
        };
        let mut config = engine_config(label);
        if !charges.is_empty() {
            config.mpp = Some(mpp_terms(SECRET));
        }
        let engine = Engine::new(config, adapters, secrets()).unwrap();
        let engine = ready(engine).await;
        let app = App::new(Arc::clone(&engine), settings.clone());
        let router = router(app.clone());
        Self {
            settings,
            store,
            app,
            engine,
            clock,
            timer,
            rail,
            charges,
            provider,
            crash,
            router,
            _folder: folder,
        }
    }

    /// Starts the shop again with this for its challenges.
    pub(crate) async fn restart(&mut self, mpp: MppTerms) {
        self.restart_taking(Some(mpp), self.charges.clone()).await;
    }

    /// Starts the shop again with this for its challenges, and these ways to pay them.
    pub(crate) async fn restart_taking(
        &mut self,
        mpp: Option<MppTerms>,
        charges: Vec<Arc<ScriptedCharge>>,
    ) {
        let mut config = engine_config(self.rail.spec().label.clone());
        config.mpp = mpp;
        let adapters = Adapters {
            store: Arc::clone(&self.store),
            providers: vec![self.provider.clone()],
            rails: rails_of(&self.rail, &charges),
            clock: Arc::new(self.clock.clone()),
            entropy: Arc::new(SeededEntropy::new(3)),
            timer: Arc::new(self.timer.clone()),
        };
        self.charges = charges;
        self.engine = ready(Engine::new(config, adapters, secrets()).unwrap()).await;
        self.app = App::new(Arc::clone(&self.engine), self.settings.clone());
        self.router = router(self.app.clone());
    }

    /// Starts the shop again with somebody who carries events to webhooks.
    pub(crate) async fn hire(&mut self, courier: Arc<dyn Courier>) {
        let adapters = Adapters {
            store: Arc::clone(&self.store),
            providers: vec![self.provider.clone()],
            rails: vec![AnyRail::X402(self.rail.clone())],
            clock: Arc::new(self.clock.clone()),
            entropy: Arc::new(SeededEntropy::new(4)),
            timer: Arc::new(self.timer.clone()),
        };
        let config = engine_config(self.rail.spec().label.clone());
        let engine = Engine::new(config, adapters, secrets()).unwrap();
        self.engine = ready(engine.with_courier(courier)).await;
        self.app = App::new(Arc::clone(&self.engine), self.settings.clone());
        self.router = router(self.app.clone());
    }

    /// Starts the shop again with wallets to which it sells nothing.
    pub(crate) async fn block(&mut self, wallets: impl IntoIterator<Item = WalletAddress>) {
        let mut config = engine_config(self.rail.spec().label.clone());
        config.sales.blocked_payers.extend(wallets);
        let adapters = Adapters {
            store: Arc::clone(&self.store),
            providers: vec![self.provider.clone()],
            rails: vec![AnyRail::X402(self.rail.clone())],
            clock: Arc::new(self.clock.clone()),
            entropy: Arc::new(SeededEntropy::new(2)),
            timer: Arc::new(self.timer.clone()),
        };
        self.engine = ready(Engine::new(config, adapters, secrets()).unwrap()).await;
        self.app = App::new(Arc::clone(&self.engine), self.settings.clone());
        self.router = router(self.app.clone());
    }

    /// Sends a request from an address of the documentation range.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        self.send_from("198.51.100.7".parse().unwrap(), request)
            .await
    }

    pub(crate) async fn send_from(&self, peer: IpAddr, mut request: Request<Body>) -> Answer {
        request.extensions_mut().insert(Peer(peer));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(bytes.into()).unwrap(),
        }
    }

    /// The same, unread: compressed bytes are no text.
    pub(crate) async fn read(&self, mut request: Request<Body>) -> (Parts, Bytes) {
        request
            .extensions_mut()
            .insert(Peer("198.51.100.7".parse().unwrap()));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        (parts, body.collect().await.unwrap().to_bytes())
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap())
            .await
    }

    /// Sends a purchase without payment.
    pub(crate) async fn ask(&self, body: &str) -> Answer {
        self.ask_at("/compute/provision", body).await
    }

    /// Sends a body without credentials and without payment.
    pub(crate) async fn ask_at(&self, path: &str, body: &str) -> Answer {
        self.send(post(path, body).body(Body::from(body.to_owned())).unwrap())
            .await
    }

    /// Lets time pass until the request is answered.
    pub(crate) async fn patiently<T>(&self, request: impl Future<Output = T>) -> T {
        self.pass_time(1, request).await
    }

    /// Lets time pass until the work that requests have started rests or must wait long.
    pub(crate) async fn settle_down(&self) {
        self.app.tasks().close();
        self.pass_time(0, self.app.tasks().wait()).await;
        self.app.tasks().reopen();
    }

    /// Time stands still while anybody is busy: it moves once the started work and `others`
    /// besides it all sleep. So no answer depends on how fast the disk is.
    pub(crate) async fn pass_time<T>(&self, others: usize, until: impl Future<Output = T>) -> T {
        let mut until = std::pin::pin!(until);
        loop {
            tokio::select! {
                biased;
                answer = &mut until => return answer,
                () = tokio::task::yield_now() => {
                    if self.timer.sleepers() >= self.app.tasks().len() + others {
                        self.timer.wake_next();
                    }
                }
            }
        }
    }

    /// Has another worker take up whatever is due until the request is answered.
    pub(crate) async fn driven<T>(&self, request: impl Future<Output = T>) -> T {
        let worker = async {
            loop {
                self.engine.drive_due().await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            answer = request => answer,
            () = worker => unreachable!("a worker never ends"),
        }
    }

    /// Lets the driver finish what had to wait long.
    pub(crate) async fn drive(&self) {
        for _ in 0..5 {
            self.clock.advance(Span::from_secs(60));
            self.patiently(self.engine.drive_due()).await.unwrap();
        }
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now().millis()
    }
}

/// A purchase's head.
pub(crate) fn purchase(body: &str) -> http::request::Builder {
    post("/compute/provision", body)
}

/// The head of a request with a JSON body.
pub(crate) fn post(path: &str, body: &str) -> http::request::Builder {
    Request::post(path)
        .header("content-type", "application/json")
        .header("content-length", body.len())
}

/// The path under which a machine is extended.
pub(crate) fn extend_path(id: &str) -> String {
    format!("/compute/instances/{id}/extend")
}

fn rails_of(rail: &Arc<ScriptedRail>, charges: &[Arc<ScriptedCharge>]) -> Vec<AnyRail> {
    let charges = charges.iter().map(|rail| AnyRail::Mpp(rail.clone()));
    [AnyRail::X402(rail.clone())]
        .into_iter()
        .chain(charges)
        .collect()
}

/// Under what challenges are made.
pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";

pub(crate) fn mpp_terms(secret: &str) -> MppTerms {
    let secret = compute_mpp::Secret::new(secret.as_bytes()).unwrap();
    MppTerms {
        realm: Realm::parse("compute.example").unwrap(),
        secrets: Arc::new(compute_mpp::Secrets::new(secret)),
        challenge_life: Span::from_secs(300),
        unsettled_per_wallet: 3,
    }
}

async fn ready(engine: Engine) -> Arc<Engine> {
    engine.refresh_health().await;
    engine.refresh_catalog().await;
    Arc::new(engine)
}

fn engine_config(default_rail: RailLabel) -> EngineConfig {
    EngineConfig {
        environment: "test".to_owned(),
        holder: "process-1".to_owned(),
        sales: SalesTerms {
            markup: BTreeMap::new(),
            price_grace: Span::from_secs(300),
            catalog_max_age: Span::from_hours(24),
            default_rail,
            early_destroy: EarlyDestroy::Credit { min_hours: 24 },
            topup_min: Usd::parse("1").unwrap(),
            topup_max: Usd::parse("1000").unwrap(),
            blocked_payers: BTreeSet::new(),
            switched_off: BTreeSet::new(),
            alarm_below: BTreeMap::new(),
        },
        mpp: None,
        caps: Caps {
            instances_per_owner: 5,
            instances_total: 100,
            hourly_total: None,
        },
        guard: DestroyGuard {
            count: 10,
            permille: 100,
        },
        auth: AuthTerms {
            clock_skew: Span::from_secs(300),
            nonce_ttl: Span::from_secs(900),
            max_api_keys: 3,
        },
        timing: Timing::default(),
    }
}

fn secrets() -> Secrets {
    let sealing = SealingKey {
        id: 1,
        key: SecretBox::new(Box::new([7; 32])),
    };
    Secrets {
        sealer: Sealer::new(sealing, Vec::new()),
        api_key_pepper: SecretBox::new(Box::new([8; 32])),
    }
}

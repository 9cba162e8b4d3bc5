//! A server from its first answer to its last.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use compute_engine::Engine;
use compute_engine::ports::Store;
use compute_http::App;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::ambient::ServerClock;
use crate::listener;
use crate::metrics::{Counting, meter_requests};
use crate::settings::limits::{ListenerLimits, duration};
use crate::settings::timing::Intervals;
use crate::supervisor::Supervisor;
use crate::traces::trace_requests;
use crate::workers::{Workers, synchronise};

/// How long the first catalogue and the first health checks may delay the start.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// Connections that the operating system may keep waiting for us.
const BACKLOG: u32 = 1_024;

/// Everything a running server consists of.
#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) engine: Arc<Engine>,
    pub(crate) app: App,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<ServerClock>,
    pub(crate) limits: ListenerLimits,
    pub(crate) every: Intervals,
    pub(crate) drives: bool,
    pub(crate) shutdown_wait: compute_domain::time::Span,
    /// What counts for the metrics, where there are any.
    pub(crate) counting: Option<Arc<Counting>>,
    /// Whether somebody takes traces of requests.
    pub(crate) is_traced: bool,
}

/// An address that is ours and not yet listened on.
#[derive(Debug)]
pub(crate) struct Place {
    socket: TcpSocket,
    address: SocketAddr,
}

impl Place {
    /// Takes an address; port 0 takes a free one.
    ///
    /// # Errors
    /// When it is taken, or not an address of this machine.
    pub(crate) fn reserve(wanted: SocketAddr) -> anyhow::Result<Self> {
        let reserve = || {
            let socket = if wanted.is_ipv4() {
                TcpSocket::new_v4()?
            } else {
                TcpSocket::new_v6()?
            };
            // Otherwise a restart would have to wait for the last connections to be forgotten.
            socket.set_reuseaddr(true)?;
            socket.bind(wanted)?;
            let address = socket.local_addr()?;
            Ok::<_, io::Error>(Self { socket, address })
        };
        reserve().with_context(|| format!("listen on {wanted}"))
    }

    fn listen(self) -> anyhow::Result<TcpListener> {
        let address = self.address;
        let listening = self.socket.listen(BACKLOG);
        listening.with_context(|| format!("listen on {address}"))
    }

    /// The address with its real port.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Something else that is served beside the shop, at an address of its own.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) place: Place,
    pub(crate) router: Router,
    /// Whether the shop is served all the same when the address turns out to be taken.
    pub(crate) is_optional: bool,
}

impl Side {
    /// Listens; nothing when it need not be and cannot.
    fn open(self) -> anyhow::Result<Option<(TcpListener, Router)>> {
        match self.place.listen() {
            Ok(socket) => Ok(Some((socket, self.router))),
            Err(error) if self.is_optional => {
                tracing::warn!(error = %format!("{error:#}"), "an address beside the shop's is taken: it is served without");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl Shop {
    /// Loads catalogue and health, then listens, prints `greeting`, and serves until a signal to
    /// end.
    ///
    /// # Errors
    /// When the address cannot be listened on, or signals cannot be received.
    pub(crate) async fn run(
        self,
        place: Place,
        sides: Vec<Side>,
        greeting: &str,
    ) -> anyhow::Result<()> {
        let mut signals = Signals::new()?;
        tokio::select! {
            () = self.warm_up() => {}
            () = signals.wait() => return Ok(()),
        }
        let address = place.address;
        let socket = place.listen()?;
        let shutdown = CancellationToken::new();
        self.start_workers(&shutdown);
        let mut router: Router = compute_http::router(self.app.clone());
        if self.counting.is_some() {
            router = router.layer(axum::middleware::from_fn(meter_requests));
        }
        if self.is_traced {
            router = router.layer(axum::middleware::from_fn(trace_requests));
        }
        let serve = |(socket, router)| {
            let (limits, clock) = (self.limits.clone(), Arc::clone(&self.clock));
            listener::serve(socket, router, limits, clock, shutdown.clone())
        };
        let mut beside = JoinSet::new();
        for side in sides {
            if let Some(open) = side.open()? {
                beside.spawn(serve(open));
            }
        }
        let serving = async {
            let beside = async { while beside.join_next().await.is_some() {} };
            tokio::join!(serve((socket, router)), beside);
        };
        tokio::pin!(serving);
        announce(address, greeting);
        tokio::select! {
            () = signals.wait() => {}
            // It ends by itself only after `shutdown`.
            () = serving.as_mut() => {}
        }
        tracing::info!("shutting down: running steps finish first");
        shutdown.cancel();
        self.engine.stop();
        let tasks = self.app.tasks();
        tasks.close();
        let finished = async {
            serving.await;
            tasks.wait().await;
        };
        tokio::select! {
            () = finished => tracing::info!("everything is finished"),
            () = tokio::time::sleep(duration(self.shutdown_wait)) => {
                tracing::warn!("what is not finished goes on after the next start");
            }
            () = signals.wait() => tracing::warn!("cut off by a second signal"),
        }
        Ok(())
    }

    /// So that the first request finds a catalogue and a way to pay. Without them the server starts
    /// all the same, says so in `/readyz`, and keeps trying.
    async fn warm_up(&self) {
        let loading = async {
            synchronise(&self.clock, self.store.as_ref()).await;
            // First: by another account's credentials nothing may be sold.
            if let Err(error) = self.engine.watch_accounts().await {
                tracing::warn!(%error, "what the providers tell of our accounts could not be written down");
            }
            self.engine.refresh_catalog().await;
            self.engine.refresh_health().await;
        };
        if tokio::time::timeout(START_PATIENCE, loading).await.is_err() {
            tracing::warn!(
                "catalogue or rails did not answer in time; trying again in the background"
            );
        }
        if let Err(error) = self.engine.shelf() {
            tracing::warn!(%error, "there is nothing to sell yet");
        }
    }

    fn start_workers(&self, shutdown: &CancellationToken) {
        let workers = Workers {
            engine: Arc::clone(&self.engine),
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            every: self.every.clone(),
            drives: self.drives,
            supervisor: Supervisor::new(self.app.tasks().clone()),
            counting: self.counting.clone(),
            shutdown: shutdown.clone(),
        };
        workers.start();
    }
}

/// The first line is for programs, the rest for people. A closed standard output is no reason not
/// to serve.
fn announce(address: SocketAddr, greeting: &str) {
    tracing::info!(%address, "listening");
    let mut output = io::stdout().lock();
    let written =
        writeln!(output, "listening on http://{address}\n{greeting}").and_then(|()| output.flush());
    if let Err(error) = written {
        tracing::debug!(%error, "standard output is closed");
    }
}

/// The signals that ask to end.
#[derive(Debug)]
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("receive signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

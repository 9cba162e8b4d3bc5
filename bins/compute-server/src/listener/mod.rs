//! The accept loop: limits on connections, on slow clients and on HTTP/2, and the orderly end.
//!
//! `axum::serve` sets no timer, so that a client which sends a byte a minute keeps its connection
//! for ever. Here one timer per connection, not per request, looks at what the connection does.

mod activity;
mod crowd;
mod exhaustion;
mod frames;
mod seats;

use std::convert::Infallible;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, Version};
use compute_http::{Doubt, Peer};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service as _;

use self::activity::{Metered, Verdict, Watch};
use self::crowd::Crowd;
use self::exhaustion::Exhaustion;
use self::seats::{Seat, Seats};
use crate::ambient::ServerClock;
use crate::open_files::bounded_connections;
use crate::settings::limits::ListenerLimits;

/// All headers of an HTTP/1 request together, in bytes; hyper's own limit on their number is 100.
const HTTP1_HEAD_BYTES: usize = 32 * 1_024;

/// All headers of an HTTP/2 request together, in bytes: the same (x402.md 4.2).
const HTTP2_HEAD_BYTES: u32 = 32 * 1_024;

/// Requests at once on one HTTP/2 connection.
const HTTP2_STREAMS: u32 = 64;

/// Streams an HTTP/2 client may reset before we have taken them up; then the connection is closed
/// (CVE-2023-44487, "rapid reset").
const HTTP2_RESETS: usize = 20;

/// Streams that we may have to reset for errors of the client before the connection is closed.
const HTTP2_ERRORS: usize = 64;

/// How often an HTTP/2 client is asked whether it is still there, and how long it may take.
const HTTP2_PING: Duration = Duration::from_secs(20);

/// How long somebody who was asked to make room may take before the next one is asked.
const LEAVE: Duration = Duration::from_millis(50);

/// A connection that was cut off for what it sent counts for so long as so many of its address: otherwise it would
/// come again at once, and cost as much again.
const PENALTY: (Duration, u32) = (Duration::from_secs(60), 8);

/// What every connection shares.
#[derive(Debug)]
struct House {
    router: Router,
    limits: ListenerLimits,
    clock: Arc<ServerClock>,
    builder: auto::Builder<TokioExecutor>,
    shutdown: CancellationToken,
}

/// Serves `router` until `shutdown`, then lets the open requests finish. Dropping the future cuts
/// them off.
pub(crate) async fn serve(
    socket: TcpListener,
    router: Router,
    limits: ListenerLimits,
    clock: Arc<ServerClock>,
    shutdown: CancellationToken,
) {
    let crowd = Arc::new(Crowd::new(limits.connections_per_address));
    let total = bounded_connections(limits.connections);
    let places = Arc::new(Semaphore::new(total));
    let seats = Arc::new(Seats::default());
    let connections = TaskTracker::new();
    let house = Arc::new(House {
        router,
        limits,
        clock,
        builder: builder(),
        shutdown,
    });
    let mut exhaustion = Exhaustion::none();
    loop {
        let accepted = tokio::select! {
            () = house.shutdown.cancelled() => break,
            accepted = socket.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                exhaustion.pause_after(&error).await;
                continue;
            }
        };
        exhaustion.ends();
        let ip = address.ip().to_canonical();
        let exempt = house.limits.is_exempt(ip);
        let contested = (places.available_permits() == 0).then_some(total);
        let Some(mut ticket) = crowd.enter(ip, exempt, contested) else {
            tracing::debug!(peer = %ip, "too many connections from one address");
            continue;
        };
        let place = tokio::select! {
            () = house.shutdown.cancelled() => break,
            place = find_place(&places, &seats) => place,
        };
        let seat = seats.sit(exempt);
        let house = Arc::clone(&house);
        connections.spawn(async move {
            let is_hostile = house.converse(stream, address, &seat).await;
            drop((seat, place));
            if is_hostile && !exempt {
                tracing::debug!(peer = %ip, "cut off for what it sent");
                let (time, weight) = PENALTY;
                ticket.weigh(weight);
                // The end of the program ends it, too.
                let _ = timeout(time, house.shutdown.cancelled()).await;
            }
            drop(ticket);
        });
    }
    drop(socket);
    connections.close();
    connections.wait().await;
}

/// A place for one more connection; when there is none, somebody idle is asked to leave.
async fn find_place(places: &Arc<Semaphore>, seats: &Seats) -> Option<OwnedSemaphorePermit> {
    if let Ok(place) = Arc::clone(places).try_acquire_owned() {
        return Some(place);
    }
    loop {
        if !seats.make_room() {
            tracing::debug!("all connections are busy, and one more waits");
        }
        // Nobody closes the semaphore.
        if let Ok(place) = timeout(LEAVE, Arc::clone(places).acquire_owned()).await {
            return place.ok();
        }
    }
}

/// Whether it was our side of HTTP/2 that ended a connection: too many resets or streams, or frames that are none.
fn is_refusal(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let own = error.downcast_ref::<h2::Error>();
        if own.is_some_and(h2::Error::is_library) {
            return true;
        }
        cause = error.source();
    }
    false
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // The watch of `activity` replaces it without a timer per request.
        .header_read_timeout(None)
        .max_buf_size(HTTP1_HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS)
        .max_header_list_size(HTTP2_HEAD_BYTES)
        .max_pending_accept_reset_streams(HTTP2_RESETS)
        .max_local_error_reset_streams(HTTP2_ERRORS)
        .keep_alive_interval(HTTP2_PING)
        .keep_alive_timeout(HTTP2_PING);
    builder
}

impl House {
    /// Serves a connection to its end; whether it ended because of what the client sent.
    async fn converse(&self, stream: TcpStream, address: SocketAddr, seat: &Seat) -> bool {
        // Answers are written whole; waiting for more would only delay them.
        if stream.set_nodelay(true).is_err() {
            return false;
        }
        let activity = seat.activity();
        let service = {
            let activity = Arc::clone(activity);
            service_fn(move |request: Request<Incoming>| {
                let under_way = activity.begin(request.version() == Version::HTTP_2);
                let answer = self.answer(request, address.ip());
                async move {
                    let response = answer.await;
                    drop(under_way);
                    response
                }
            })
        };
        let io = TokioIo::new(Metered::new(stream, Arc::clone(activity), seat.is_exempt()));
        let connection = self.builder.serve_connection(io, service);
        tokio::pin!(connection);
        let mut watch = Watch::new(&self.limits);
        let mut look = tokio::time::interval(watch.interval());
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        look.reset();
        let mut is_ending = false;
        loop {
            tokio::select! {
                biased;
                result = connection.as_mut() => {
                    let Err(error) = result else {
                        return false;
                    };
                    tracing::debug!(peer = %address, %error, "connection ended with an error");
                    return activity.has_flooded() || is_refusal(&*error);
                }
                () = self.shutdown.cancelled(), if !is_ending => {
                    is_ending = true;
                    connection.as_mut().graceful_shutdown();
                }
                // What was answered is still sent to the end.
                () = seat.asked_to_leave(), if !is_ending => {
                    if !activity.has_answered() {
                        return false;
                    }
                    is_ending = true;
                    connection.as_mut().graceful_shutdown();
                }
                _ = look.tick() => match watch.look(activity) {
                    Verdict::Fine => {}
                    Verdict::Finish => connection.as_mut().graceful_shutdown(),
                    Verdict::Cut => return false,
                },
            }
        }
    }

    fn answer(
        &self,
        request: Request<Incoming>,
        peer: IpAddr,
    ) -> impl Future<Output = Result<Response<Body>, Infallible>> + use<> {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        // While the clock is not trusted, driving, expiring and cleaning up stop (see `workers`).
        // Selling goes on by our own time; the doubt sends new clients to other replicas.
        if request.uri().path() == "/readyz"
            && let Some(reason) = self.clock.suspicion()
        {
            request.extensions_mut().insert(Doubt(reason));
        }
        self.router.clone().call(request)
    }
}

#[cfg(test)]
mod tests;

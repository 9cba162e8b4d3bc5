//! The loopback server under every stand-in, and answers that no correct server gives.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fmt, io};

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tower::ServiceExt;

/// A server on loopback; it stops when this is dropped.
pub struct Listening {
    /// Where it listens.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Listening {
    /// Waits for as long as the server runs.
    pub async fn forever(mut self) {
        // The accept loop ends only with the process; an aborted task is no failure.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listening({})", self.address)
    }
}

/// The number under which a wire before a stand-in has noted a request, as an extension of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestNumber(pub usize);

/// Marks an answer that is never sent: the connection is closed instead.
#[derive(Clone, Copy, Debug)]
struct HangUp;

/// An answer that closes the connection without a byte.
#[must_use]
pub fn hang_up() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.extensions_mut().insert(HangUp);
    response
}

/// Whether this is [`hang_up`], which never reaches the client.
#[must_use]
pub fn is_hang_up(response: &Response) -> bool {
    response.extensions().get::<HangUp>().is_some()
}

#[derive(Debug)]
struct HungUp;

impl fmt::Display for HungUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("closed on purpose")
    }
}

impl std::error::Error for HungUp {}

/// Serves `router` on loopback; port 0 takes a free one.
///
/// # Errors
/// When the port is taken.
pub async fn listen(port: u16, router: Router) -> io::Result<Listening> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let address = listener.local_addr()?;
    #[expect(
        clippy::disallowed_methods,
        reason = "a stand-in runs beside the test that uses it"
    )]
    let task = tokio::spawn(accept(listener, router));
    Ok(Listening { address, task })
}

async fn accept(listener: TcpListener, router: Router) {
    loop {
        // A connection that failed before it was accepted is the client's affair.
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let router = router.clone();
        let connection = async move {
            let service = service_fn(move |request: hyper::Request<Incoming>| {
                answer(router.clone(), request)
            });
            // It ends with an error when a fault hangs up, which is the point of the fault.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "one task per connection of a stand-in"
        )]
        drop(tokio::spawn(connection));
    }
}

async fn answer(
    router: Router,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Body>, HungUp> {
    let response: Result<Response, Infallible> = router.oneshot(request.map(Body::new)).await;
    match response {
        Ok(response) if is_hang_up(&response) => Err(HungUp),
        Ok(response) => Ok(response),
        Err(never) => match never {},
    }
}

/// The time since 1970 by this machine's clock: a stand-in is outside of what tests control.
#[must_use]
pub fn wall_clock() -> Duration {
    #[expect(
        clippy::disallowed_methods,
        reason = "a stand-in lives in real time, like a partner"
    )]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The 502 page of a proxy, as cloud edges send it.
#[must_use]
pub fn bad_gateway() -> Response {
    let page = "<html><head><title>502 Bad Gateway</title></head></html>";
    (
        StatusCode::BAD_GATEWAY,
        [("content-type", "text/html")],
        page,
    )
        .into_response()
}

/// Any status, also one a fault made up.
#[must_use]
pub fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

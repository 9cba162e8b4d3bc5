//! The loopback server under a double, and the answer that never comes.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::{fmt, io};

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

/// A server on loopback; it stops when this is dropped.
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
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

/// Marks an answer that is never sent: the connection is closed instead.
#[derive(Clone, Copy, Debug)]
struct HangUp;

#[derive(Debug)]
struct HungUp;

impl fmt::Display for HungUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("closed on purpose")
    }
}

impl std::error::Error for HungUp {}

/// An answer that closes the connection without a byte.
pub(crate) fn hang_up() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.extensions_mut().insert(HangUp);
    response
}

/// Serves `router` on loopback; port 0 takes a free one.
pub(crate) async fn listen(port: u16, router: Router) -> io::Result<Listening> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let address = listener.local_addr()?;
    #[expect(
        clippy::disallowed_methods,
        reason = "a double runs beside the test that uses it"
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
            reason = "one task for each connection of a double"
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
        Ok(response) if response.extensions().get::<HangUp>().is_some() => Err(HungUp),
        Ok(response) => Ok(response),
        Err(never) => match never {},
    }
}

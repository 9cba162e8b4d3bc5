//! Streamable HTTP, for programs of this machine.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use http::{Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::guard::{Token, check};
use super::handler::Handler;
use crate::print;

/// Where the protocol is spoken.
const PATH: &str = "/mcp";

/// Connections at once.
const CONNECTIONS: usize = 64;

/// The head of a request arrives within this time.
const HEAD: Duration = Duration::from_secs(10);

/// The largest request.
const MAX_BODY: usize = 1 << 20;

type Service = StreamableHttpService<Handler, LocalSessionManager>;
type Answer = Response<BoxBody<Bytes, Infallible>>;

/// What each connection needs.
struct Door {
    token: Token,
    port: u16,
    service: Service,
}

/// Serves until it is interrupted.
///
/// # Errors
/// When the listener has no address.
#[expect(
    clippy::disallowed_methods,
    reason = "each connection is served by a task of its own"
)]
pub(super) async fn serve(listener: TcpListener, token: Token, handler: Handler) -> Result<()> {
    let config = StreamableHttpServerConfig::default().with_max_request_body_bytes(MAX_BODY);
    let sessions = Arc::new(LocalSessionManager::default());
    let door = Arc::new(Door {
        token,
        port: listener.local_addr().context("listen")?.port(),
        service: Service::new(move || Ok(handler.clone()), sessions, config),
    });
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let place = Arc::clone(&places).acquire_owned().await?;
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file handles, most likely: it passes.
                    print::progress(&format!("a connection was not accepted: {error}"));
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            ended = tokio::signal::ctrl_c() => return ended.context("wait for the interruption"),
        };
        let door = Arc::clone(&door);
        tokio::spawn(async move {
            connection(&door, stream).await;
            drop(place);
        });
    }
}

async fn connection(door: &Door, stream: TcpStream) {
    let answer =
        service_fn(|request| async move { Ok::<_, Infallible>(answer(door, request).await) });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD);
    // A client that breaks off or speaks nonsense is its own affair.
    let _ = server.serve_connection(TokioIo::new(stream), answer).await;
}

async fn answer(door: &Door, request: Request<Incoming>) -> Answer {
    if let Err(refusal) = check(request.headers(), &door.token, door.port) {
        return plain(refusal.status(), refusal.says());
    }
    if request.uri().path() != PATH {
        return plain(StatusCode::NOT_FOUND, "the protocol is spoken at /mcp");
    }
    door.service.handle(request).await
}

fn plain(status: StatusCode, says: &'static str) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from_static(says.as_bytes())).boxed());
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    let text = http::HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, text);
    if status == StatusCode::UNAUTHORIZED {
        let scheme = http::HeaderValue::from_static("Bearer");
        headers.insert(header::WWW_AUTHENTICATE, scheme);
    }
    answer
}

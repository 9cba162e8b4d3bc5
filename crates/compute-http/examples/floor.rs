//! The floor of `cargo xtask bench`: a bare axum handler that gives every request the same recorded answer.
//!
//! `floor <address> <file>`: the file holds one HTTP/1.1 answer, head and body, as it came over the wire.
#![expect(
    clippy::print_stdout,
    reason = "the benchmark reads the address from standard output"
)]

use std::error::Error;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// Headers that the HTTP implementation writes by itself.
const OWN_HEADERS: [&str; 4] = ["connection", "content-length", "date", "transfer-encoding"];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(file)) = (arguments.next(), arguments.next()) else {
        return Err("usage: floor <address> <file with an HTTP answer>".into());
    };
    let answer = parse(&std::fs::read(file)?)?;
    let app = Router::new().fallback(async move || answer.clone());
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

fn parse(recorded: &[u8]) -> Result<(StatusCode, HeaderMap, Bytes), Box<dyn Error>> {
    let end = recorded
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .ok_or("the answer has no end of its head")?;
    let (head, body) = recorded.split_at(end);
    let mut lines = std::str::from_utf8(head)?.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .ok_or("the answer has no status")?
        .parse()?;
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or("a header without a colon")?;
        let name: HeaderName = name.parse()?;
        if !OWN_HEADERS.contains(&name.as_str()) {
            headers.append(name, HeaderValue::from_str(value.trim())?);
        }
    }
    let body = body.strip_prefix(b"\r\n\r\n").unwrap_or_default();
    Ok((status, headers, Bytes::copy_from_slice(body)))
}

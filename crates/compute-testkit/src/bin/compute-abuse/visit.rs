//! A client that does nothing wrong.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(20);

/// Questions on one connection.
const PER_CONNECTION: u32 = 10;

const PLANS: &str = "GET /compute/plans?type=vps HTTP/1.1\r\nhost: abuse\r\n\r\n";

/// What to pay for the cheapest machine.
const PRICE: &str = "POST /compute/provision HTTP/1.1\r\nhost: abuse\r\ncontent-length: 0\r\n\r\n";

/// Asks `count` times from an address of its own, the time to connect included where it does.
#[expect(
    clippy::disallowed_methods,
    reason = "a measurement reads the real clock"
)]
pub(crate) async fn run(server: SocketAddr, from: Ipv4Addr, count: u32) -> anyhow::Result<()> {
    let mut stream = None;
    let mut out = std::io::stdout().lock();
    for number in 0..count {
        let begin = Instant::now();
        let mut open = match stream.take() {
            Some(open) => open,
            None => timeout(PATIENCE, connect(server, from))
                .await
                .context("no connection in time")?
                .context("connect")?,
        };
        let (question, status) = if number % 2 == 0 {
            (PLANS, 200)
        } else {
            (PRICE, 402)
        };
        timeout(PATIENCE, ask(&mut open, question, status))
            .await
            .with_context(|| format!("no answer to question {number} in time"))?
            .with_context(|| format!("question {number}"))?;
        writeln!(out, "{}", begin.elapsed().as_micros()).context("print a figure")?;
        stream = (number % PER_CONNECTION != PER_CONNECTION - 1).then_some(open);
    }
    Ok(())
}

async fn connect(server: SocketAddr, from: Ipv4Addr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((from, 0)))?;
    socket.connect(server).await
}

/// Asks, and reads the whole answer.
async fn ask(stream: &mut TcpStream, question: &str, status: u16) -> anyhow::Result<()> {
    stream.write_all(question.as_bytes()).await?;
    let mut answer = Vec::new();
    loop {
        if stream.read_buf(&mut answer).await? == 0 {
            bail!("the server closed the connection");
        }
        let Some(end) = answer.windows(4).position(|part| part == b"\r\n\r\n") else {
            continue;
        };
        let head = std::str::from_utf8(answer.get(..end).unwrap_or_default())?;
        if !head.starts_with(&format!("HTTP/1.1 {status} ")) {
            bail!("an unexpected answer: {head}");
        }
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_length = name.eq_ignore_ascii_case("content-length");
            is_length.then(|| value.trim().parse::<usize>())
        });
        let length = length.context("an answer without a length")??;
        if answer.len() >= end.saturating_add(4).saturating_add(length) {
            return Ok(());
        }
    }
}

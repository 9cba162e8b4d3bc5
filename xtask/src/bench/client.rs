//! A small HTTP/1.1 client: one connection, one request after the other, as cheap as can be.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Longer than any answer may take.
const LIMIT: Duration = Duration::from_secs(120);

/// An answer with all its bytes.
#[derive(Debug)]
pub(super) struct Answer {
    status: u16,
    bytes: Vec<u8>,
}

impl Answer {
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// Head and body as they came.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What follows the head.
    pub(super) fn body(&self) -> String {
        let text = self.text();
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body);
        body.unwrap_or_default().to_owned()
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// Sends one request on a connection of its own and keeps the answer.
pub(super) fn record(address: SocketAddr, request: &[u8]) -> Result<Answer> {
    let mut connection = Connection::open(address)?;
    let status = connection.exchange(request)?;
    Ok(Answer {
        status,
        bytes: connection.buffer,
    })
}

/// A connection that is kept open.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    /// The last answer.
    buffer: Vec<u8>,
}

impl Connection {
    pub(super) fn open(address: SocketAddr) -> Result<Self> {
        let stream =
            TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true).context("set TCP_NODELAY")?;
        stream
            .set_read_timeout(Some(LIMIT))
            .context("set a time limit")?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(16 * 1024),
        })
    }

    /// Sends a request, reads the whole answer, returns its status.
    pub(super) fn exchange(&mut self, request: &[u8]) -> Result<u16> {
        self.stream.write_all(request).context("send a request")?;
        self.buffer.clear();
        let mut chunk = [0_u8; 16 * 1024];
        let mut wanted = None;
        loop {
            let count = self.stream.read(&mut chunk).context("read an answer")?;
            if count == 0 {
                bail!("the server closed the connection inside an answer");
            }
            self.buffer
                .extend_from_slice(chunk.get(..count).unwrap_or_default());
            if wanted.is_none() {
                wanted = Head::parse(&self.buffer)?;
            }
            if let Some(head) = &wanted
                && self.buffer.len() >= head.total
            {
                return Ok(head.status);
            }
        }
    }
}

/// What the head of an answer says.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// Length of head and body.
    total: usize,
}

impl Head {
    /// `None` while the head is incomplete.
    fn parse(bytes: &[u8]) -> Result<Option<Self>> {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = std::str::from_utf8(bytes.get(..end).unwrap_or_default())
            .context("read the head of an answer")?;
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.strip_prefix("HTTP/1.1 "))
            .and_then(|line| line.get(..3))
            .and_then(|status| status.parse().ok())
            .with_context(|| format!("no HTTP/1.1 answer: {head}"))?;
        let mut length = None;
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse::<usize>().ok();
            }
        }
        let length =
            length.with_context(|| format!("an answer without content-length:\n{head}"))?;
        let total = end
            .checked_add(4)
            .and_then(|head| head.checked_add(length))
            .context("a length beyond reason")?;
        Ok(Some(Self { status, total }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_tells_status_and_length() {
        let answer = b"HTTP/1.1 402 Payment Required\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(
            Head::parse(answer).unwrap(),
            Some(Head {
                status: 402,
                total: answer.len()
            })
        );
    }

    #[test]
    fn an_incomplete_head_waits_for_more() {
        assert_eq!(Head::parse(b"HTTP/1.1 200 OK\r\nContent-Le").unwrap(), None);
    }

    #[test]
    fn answers_without_a_length_are_refused() {
        assert!(Head::parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(Head::parse(b"SSH-2.0-x\r\n\r\n").is_err());
    }
}

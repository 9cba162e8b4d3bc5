//! One request, one connection, one answer; or none, when the server dies meanwhile.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Longer than any answer may take.
const LIMIT: Duration = Duration::from_secs(60);

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(super) status: u16,
    head: String,
    body: String,
}

/// Sends a request to `http://<address>`, without a body when it is empty.
pub(crate) fn send(
    url: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Answer> {
    let mut stream = open(url, method, path, headers, body)?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).context("read an answer")?;
    Answer::parse(&bytes).with_context(|| format!("{method} {path}"))
}

/// Sends a request and goes away before any answer.
pub(super) fn abandon(
    url: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<()> {
    open(url, method, path, headers, body).map(drop)
}

/// A connection over which a request was sent.
fn open(
    url: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<TcpStream> {
    let host = url.trim_start_matches("http://");
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        let length = body.len();
        request.push_str(&format!(
            "content-type: application/json\r\ncontent-length: {length}\r\n"
        ));
    }
    request.push_str("\r\n");
    request.push_str(body);
    let mut stream = TcpStream::connect(host).with_context(|| format!("connect to {host}"))?;
    stream
        .set_read_timeout(Some(LIMIT))
        .context("set a time limit")?;
    stream
        .write_all(request.as_bytes())
        .context("send a request")?;
    Ok(stream)
}

impl Answer {
    #[cfg(test)]
    pub(super) fn of(status: u16, body: &str) -> Self {
        Self {
            status,
            head: String::new(),
            body: body.to_owned(),
        }
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text
            .split_once("\r\n\r\n")
            .context("the connection was closed before an answer")?;
        let status = head
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3))
            .and_then(|status| status.parse().ok())
            .with_context(|| format!("no HTTP/1.1 answer: {head}"))?;
        let answer = Self {
            status,
            head: head.to_owned(),
            body: body.to_owned(),
        };
        let length = answer.header("content-length");
        let whole = length.is_none_or(|length| length == answer.body.len().to_string());
        ensure!(whole, "the connection was closed inside an answer");
        Ok(answer)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }

    /// The body as JSON, if the status is the expected one.
    pub(crate) fn json(&self, status: u16) -> Result<Value> {
        ensure!(
            self.status == status,
            "expected status {status}, got {}: {}",
            self.status,
            self.body
        );
        serde_json::from_str(&self.body).with_context(|| format!("not JSON: {}", self.body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_status_headers_and_json() {
        let answer =
            Answer::parse(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nX-A: b\r\n\r\n{\"a\":1}")
                .unwrap();
        assert_eq!(answer.header("x-a"), Some("b"));
        assert_eq!(answer.json(200).unwrap()["a"], 1);
        assert!(answer.json(402).is_err());
    }

    #[test]
    fn what_was_cut_off_is_no_answer() {
        for cut in [
            &b""[..],
            b"HTTP/1.1 200 OK\r\nContent-",
            b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\"",
        ] {
            assert!(Answer::parse(cut).is_err());
        }
    }
}

//! `health`: asks a server on this machine whether it is well, for supervisors without a client of
//! their own.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;

use super::ConfigArguments;
use crate::settings;

/// How long a server may take for each part of its answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// More than any answer has.
const ANSWER_BYTES: u64 = 64 * 1_024;

/// Arguments of `health`.
#[derive(Debug, Args)]
pub(crate) struct HealthArguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Where it listens, instead of a configuration.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "config")]
    address: Option<SocketAddr>,
    /// Ask whether it can sell, and not only whether it answers.
    #[arg(long)]
    ready: bool,
}

/// Prints the server's answer; exit code 1 unless it is well.
///
/// # Errors
/// When it does not answer.
pub(crate) fn run(arguments: &HealthArguments) -> anyhow::Result<ExitCode> {
    let address = match arguments.address {
        Some(address) => address,
        None => {
            let loaded = settings::load(arguments.config.config.as_deref())?;
            reachable(loaded.settings.server.listen)
        }
    };
    let path = if arguments.ready {
        "/readyz"
    } else {
        "/healthz"
    };
    let answer = ask(address, path).with_context(|| format!("ask http://{address}{path}"))?;
    let (status, body) = read(&answer)?;
    writeln!(std::io::stdout(), "{body}").context("write to standard output")?;
    Ok(if status == 200 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A server that listens everywhere is here, too.
const fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn ask(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES).read_to_string(&mut answer)?;
    Ok(answer)
}

/// The status and the body.
fn read(answer: &str) -> anyhow::Result<(u16, &str)> {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        bail!("the answer is not one of HTTP");
    };
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    Ok((status.context("the answer has no status")?, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_status_and_a_body() {
        let answer = "HTTP/1.1 503 Service Unavailable\r\nX: y\r\n\r\n{\"ready\":false}";
        assert_eq!(read(answer).unwrap(), (503, "{\"ready\":false}"));
        assert!(read("").is_err());
        assert!(read("HTTP/1.1\r\n\r\n").is_err());
    }

    #[test]
    fn who_listens_everywhere_is_asked_on_loopback() {
        for (listen, asked) in [
            ("0.0.0.0:4020", "127.0.0.1:4020"),
            ("[::]:4020", "[::1]:4020"),
            ("192.0.2.7:80", "192.0.2.7:80"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()), asked.parse().unwrap());
        }
    }
}

//! What is measured.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::figures::Ratio;
use crate::cargo;

/// The example of `compute-server` that signs what the benchmark sends; xtask itself uses no crate of ours.
///
/// `bench_requests <url> api-key` prints an API key of a fresh wallet; `bench_requests <url> payments <count>` prints
/// so many values of `X-Payment` for [`PROVISION`], one a line, each from a fresh wallet.
pub(super) const TOOL: &str = "bench_requests";

/// The purchase of the unpaid and of the paid scenario.
const PROVISION: &str =
    r#"{"plan":"vc2-1c-1gb","region":"ewr","os_id":2284,"label":"bench","prepaid_hours":24}"#;

/// The other side of most comparisons.
pub(super) const FLOOR: &str = "floor ";

/// How many plans both vendors sell in the measurements of the catalogue.
pub(super) const PLANS: usize = 360;

/// How often new prices come in the measurement of a moving catalogue, in milliseconds. Real ones come
/// every ten minutes.
pub(super) const NEW_PRICES_EVERY_MS: u32 = 100;

/// One comparison.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// The status that every answer must have.
    pub(super) status: u16,
    /// How much processor time per request the server may take, as a ratio to the floor.
    pub(super) bound: Option<Ratio>,
    /// How high the 99th percentile of its answers may be, as a ratio to the other side's.
    pub(super) p99_bound: Option<Ratio>,
    /// What the other side is called.
    pub(super) against: &'static str,
    source: Source,
}

/// Where the requests come from.
#[derive(Debug)]
enum Source {
    Unpaid,
    Plans,
    /// Signed in with an API key that the tool makes.
    Instances(PathBuf),
    /// Paid with payments that the tool signs.
    Paid(PathBuf),
}

/// The requests of one round.
#[derive(Debug)]
pub(super) enum Work {
    /// The same bytes again and again.
    Repeat(Vec<u8>),
    /// Each once.
    Each(Vec<Vec<u8>>),
}

impl Work {
    /// The request with this number, `None` when there are no more.
    pub(super) fn request(&self, number: usize) -> Option<&[u8]> {
        match self {
            Self::Repeat(bytes) => Some(bytes),
            Self::Each(requests) => requests.get(number).map(Vec::as_slice),
        }
    }

    pub(super) fn sample(&self) -> Result<&[u8]> {
        self.request(0).context("a scenario without a request")
    }
}

/// The scenarios that can run here.
pub(super) fn all(tool: &Option<PathBuf>) -> Vec<Scenario> {
    let mut all = vec![
        Scenario {
            name: "unpaid 402 on POST /compute/provision",
            status: 402,
            bound: Some(Ratio::from_hundredths(200)),
            p99_bound: None,
            against: FLOOR,
            source: Source::Unpaid,
        },
        Scenario {
            name: "GET /compute/plans (360 plans of both vendors)",
            status: 200,
            bound: Some(Ratio::from_hundredths(120)),
            p99_bound: None,
            against: FLOOR,
            source: Source::Plans,
        },
    ];
    match tool {
        Some(tool) => all.extend([
            Scenario {
                name: "authenticated GET /compute/instances",
                status: 200,
                bound: None,
                p99_bound: None,
                against: FLOOR,
                source: Source::Instances(tool.clone()),
            },
            Scenario {
                name: "paid POST /compute/provision",
                status: 200,
                bound: None,
                p99_bound: None,
                against: FLOOR,
                source: Source::Paid(tool.clone()),
            },
        ]),
        None => {
            println!("left out: what needs signatures (compute-server has no example `{TOOL}` yet)")
        }
    }
    all
}

/// A server whose prices change all the time, beside one that is left alone.
pub(super) const fn refreshing() -> Scenario {
    Scenario {
        name: "GET /compute/plans while new prices come ten times a second, beside a quiet server",
        status: 200,
        bound: None,
        p99_bound: Some(Ratio::from_hundredths(150)),
        against: "quiet ",
        source: Source::Plans,
    }
}

/// Whether the example that signs requests exists.
pub(super) fn has_tool() -> Result<bool> {
    let path = cargo::root()
        .join("bins/compute-server/examples")
        .join(TOOL)
        .with_extension("rs");
    path.try_exists()
        .with_context(|| format!("look for {}", path.display()))
}

impl Scenario {
    /// Makes the requests of a round; `count` is how many, where each can be sent only once.
    pub(super) fn prepare(&self, server: SocketAddr, count: usize) -> Result<Work> {
        let url = format!("http://{server}");
        Ok(match &self.source {
            Source::Unpaid => Work::Repeat(post("", PROVISION)),
            Source::Plans => Work::Repeat(get("/compute/plans", "")),
            Source::Instances(tool) => {
                let key = cargo::output(Command::new(tool).args([&url, "api-key"]))?;
                Work::Repeat(get(
                    "/compute/instances",
                    &format!("x-api-key: {}\r\n", key.trim()),
                ))
            }
            Source::Paid(tool) => {
                let lines =
                    cargo::output(Command::new(tool).args([&url, "payments", &count.to_string()]))?;
                Work::Each(
                    lines
                        .lines()
                        .map(|value| post(&format!("x-payment: {value}\r\n"), PROVISION))
                        .collect(),
                )
            }
        })
    }
}

fn get(path: &str, headers: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: application/json\r\n{headers}\r\n")
        .into_bytes()
}

fn post(headers: &str, body: &str) -> Vec<u8> {
    format!(
        "POST /compute/provision HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: application/json\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_use_requests_run_out() {
        let work = Work::Each(vec![b"a".to_vec()]);
        assert_eq!(work.request(0), Some(b"a".as_slice()));
        assert_eq!(work.request(1), None);
        assert!(Work::Repeat(b"b".to_vec()).request(9).is_some());
    }

    #[test]
    fn a_post_states_the_length_of_its_body() {
        let text = String::from_utf8(post("x-payment: p\r\n", "{}")).unwrap();
        assert!(text.contains("content-length: 2\r\nx-payment: p\r\n\r\n{}"));
    }
}

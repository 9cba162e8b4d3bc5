//! One round: so many connections send to one process for so long.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};

use super::client::Connection;
use super::process::{Meter, Running};
use super::scenario::Work;

/// What a round sends.
#[derive(Debug)]
pub(super) struct Load<'a> {
    pub(super) work: &'a Work,
    /// The status that every answer must have.
    pub(super) status: u16,
    pub(super) connections: usize,
    pub(super) duration: Duration,
}

/// What a round measured.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) latencies: Vec<Duration>,
    pub(super) elapsed: Duration,
    pub(super) processor: Duration,
}

impl Load<'_> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a benchmark reads the real clock"
    )]
    pub(super) fn run(&self, process: &Running, meter: &Meter) -> Result<Round> {
        let next = AtomicUsize::new(0);
        let before = meter.processor_time(process)?;
        let begin = Instant::now();
        let end = begin.checked_add(self.duration).unwrap_or(begin);
        let parts: Vec<Result<Vec<Duration>>> = thread::scope(|scope| {
            let threads: Vec<_> = (0..self.connections)
                .map(|_| scope.spawn(|| self.one_connection(process, &next, end)))
                .collect();
            threads
                .into_iter()
                .map(|thread| {
                    thread
                        .join()
                        .unwrap_or_else(|_| Err(anyhow!("a load thread panicked")))
                })
                .collect()
        });
        let elapsed = begin.elapsed();
        let processor = meter.processor_time(process)?.saturating_sub(before);
        let mut latencies = Vec::new();
        for part in parts {
            latencies.extend(part?);
        }
        if latencies.is_empty() {
            bail!(
                "no answer from {} within {:?}",
                process.name(),
                self.duration
            );
        }
        Ok(Round {
            latencies,
            elapsed,
            processor,
        })
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a benchmark reads the real clock"
    )]
    fn one_connection(
        &self,
        process: &Running,
        next: &AtomicUsize,
        end: Instant,
    ) -> Result<Vec<Duration>> {
        let mut connection = Connection::open(process.address())?;
        let mut latencies = Vec::new();
        let mut begin = Instant::now();
        while begin < end {
            let Some(request) = self.work.request(next.fetch_add(1, Ordering::Relaxed)) else {
                break;
            };
            let status = connection.exchange(request)?;
            if status != self.status {
                bail!(
                    "{} answered {status} instead of {}",
                    process.name(),
                    self.status
                );
            }
            let now = Instant::now();
            latencies.push(now.saturating_duration_since(begin));
            begin = now;
        }
        Ok(latencies)
    }
}

//! Spans that wait for the collector: a bounded queue, and the task that empties it.

use std::time::Duration;

use metrics::counter;
use opentelemetry::Context;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter as _, SpanProcessor};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::collector::PATIENCE;

/// Spans that may wait.
const ROOM: usize = 2_048;

/// Spans that are sent at once.
const BATCH: usize = 512;

/// Between two batches, unless the last one was full.
const PAUSE: Duration = Duration::from_secs(1);

/// How long the end of the server waits for the last spans.
const LAST_PATIENCE: Duration = Duration::from_secs(2);

const SENT: &str = "sent";
const DROPPED: &str = "dropped";

/// Where spans go when they end. Never waits.
#[derive(Debug)]
pub(super) struct Outbox(Sender<SpanData>);

/// The other end of the queue.
#[derive(Debug)]
pub(crate) struct Outgoing {
    queue: Receiver<SpanData>,
    exporter: SpanExporter,
    is_taken: bool,
}

/// The task that sends.
#[derive(Debug)]
pub(crate) struct Sending {
    task: JoinHandle<()>,
    ends: CancellationToken,
}

pub(super) fn new(exporter: SpanExporter) -> (Outbox, Outgoing) {
    let (outbox, queue) = channel(ROOM);
    let outgoing = Outgoing {
        queue,
        exporter,
        is_taken: true,
    };
    (Outbox(outbox), outgoing)
}

fn note(outcome: &'static str, count: usize) {
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    counter!("compute_trace_spans_total", "outcome" => outcome).increment(count);
}

impl SpanProcessor for Outbox {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.0.try_send(span).is_err() {
            note(DROPPED, 1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl Outgoing {
    /// Starts to send.
    pub(crate) fn start(self) -> Sending {
        // What appears with the first trouble shows no increase.
        note(SENT, 0);
        note(DROPPED, 0);
        let ends = CancellationToken::new();
        #[expect(
            clippy::disallowed_methods,
            reason = "the loops of the supervisor end before the last spans do"
        )]
        let task = tokio::spawn(self.run(ends.clone()));
        Sending { task, ends }
    }

    async fn run(mut self, ends: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH);
        while !ends.is_cancelled() {
            tokio::select! {
                _ = self.queue.recv_many(&mut batch, BATCH) => {}
                () = ends.cancelled() => {}
            }
            let is_full = batch.len() >= BATCH;
            self.send(core::mem::take(&mut batch)).await;
            if !is_full {
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    () = ends.cancelled() => {}
                }
            }
        }
        loop {
            while let Ok(span) = self.queue.try_recv() {
                batch.push(span);
                if batch.len() >= BATCH {
                    break;
                }
            }
            if batch.is_empty() {
                return;
            }
            self.send(core::mem::take(&mut batch)).await;
        }
    }

    /// Once. What is not taken is forgotten: the collector may have it all the same, and new spans wait.
    async fn send(&mut self, batch: Vec<SpanData>) {
        let count = batch.len();
        if count == 0 {
            return;
        }
        let sent = tokio::time::timeout(PATIENCE, self.exporter.export(batch)).await;
        let is_taken = matches!(sent, Ok(Ok(())));
        note(if is_taken { SENT } else { DROPPED }, count);
        match (self.is_taken, is_taken) {
            (true, false) => tracing::warn!("the collector takes no traces: they are dropped"),
            (false, true) => tracing::info!("the collector takes traces again"),
            _ => {}
        }
        self.is_taken = is_taken;
    }
}

impl Sending {
    /// Sends what is left, for a moment.
    pub(crate) async fn finish(self) {
        self.ends.cancel();
        if tokio::time::timeout(LAST_PATIENCE, self.task)
            .await
            .is_err()
        {
            tracing::info!("the last traces were not sent");
        }
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;
    use opentelemetry::trace::{Tracer as _, TracerProvider as _};
    use opentelemetry_sdk::trace::SdkTracerProvider;

    use super::*;

    #[test]
    fn what_finds_no_room_is_dropped_and_counted() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let (outbox, mut queue) = channel(2);
        let provider = SdkTracerProvider::builder();
        let provider = provider.with_span_processor(Outbox(outbox)).build();
        let tracer = provider.tracer("test");
        metrics::with_local_recorder(&recorder, || {
            for name in ["first", "second", "third"] {
                drop(tracer.start(name));
            }
        });
        let waiting = core::iter::from_fn(|| queue.try_recv().ok());
        let waiting: Vec<_> = waiting.map(|span| span.name).collect();
        assert_eq!(waiting, ["first", "second"]);
        let text = recorder.handle().render();
        let dropped = r#"compute_trace_spans_total{outcome="dropped"} 1"#;
        assert!(text.contains(dropped), "{text}");
    }
}

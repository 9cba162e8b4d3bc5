//! Log lines on standard error.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal as _;

use anyhow::Context as _;
use compute_engine::TRACED;
use opentelemetry_sdk::trace::SdkTracer;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::settings::log::{Log, LogFormat};
use crate::traces;

/// Starts logging, and tracing where there is somebody to take the traces; call it once.
///
/// # Errors
/// When the filter cannot be read.
pub(crate) fn start(log: &Log, tracer: Option<SdkTracer>) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.filter)
        .with_context(|| format!("log.filter: {:?} is not a filter", log.filter))?;
    // Otherwise each line would carry the spans that are for traces.
    let untraced = format!("{TRACED}=off").parse();
    let filter = filter.add_directive(untraced.context("leave traces out of the log")?);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_span_events(FmtSpan::NONE);
    let lines = match log.format {
        LogFormat::Text => lines
            .with_ansi(std::io::stderr().is_terminal())
            .with_filter(filter)
            .boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
    };
    tracing_subscriber::registry()
        .with(lines)
        .with(tracer.map(traces::layer))
        .try_init()
        .context("start logging")?;
    log_panics();
    Ok(())
}

/// Writes panics as log lines, so that a reader of JSON finds nothing else on standard error. Where
/// the filter lets no error through, they are written as usual.
fn log_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !tracing::enabled!(tracing::Level::ERROR) {
            usual(panic);
            return;
        }
        let reason = panic.payload_as_str().unwrap_or("(no text)");
        let location = panic.location().map(ToString::to_string);
        // Empty unless RUST_BACKTRACE asks for it.
        let backtrace = Backtrace::capture();
        let backtrace = (backtrace.status() == BacktraceStatus::Captured)
            .then(|| tracing::field::display(backtrace));
        tracing::error!(reason, location, backtrace, "panicked");
    }));
}

/// An error with all its causes, on one line.
pub(crate) fn error_chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Where a test's log lines go.
    #[derive(Debug, Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_panic_is_a_log_line() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .json()
            .flatten_event(true)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            log_panics();
            let caught = std::panic::catch_unwind(|| panic!("the cat sat on {}", "the keyboard"));
            assert!(caught.is_err());
        });
        drop(std::panic::take_hook());
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["level"], "ERROR");
        assert_eq!(line["reason"], "the cat sat on the keyboard");
        assert!(line["location"].as_str().unwrap().contains("telemetry.rs"));
    }

    #[test]
    fn a_chain_names_every_cause_once() {
        let error = anyhow::anyhow!("disk full")
            .context("write the lock")
            .context("start");
        assert_eq!(
            error_chain(error.as_ref()),
            "start: write the lock: disk full"
        );
    }
}

//! Traces for OpenTelemetry, where a collector is configured.
//!
//! Spans of one target are sent, and no others, with the fields that stand where they are made: no line of
//! the log, no header and no body ever is part of a trace. A span goes into a bounded queue when it ends,
//! and a task brings the queue to the collector. Nobody waits for the collector: what finds the queue full,
//! or is not taken, is dropped and counted.

mod collector;
mod outbox;
mod requests;
mod sampling;

use anyhow::Context as _;
use compute_engine::TRACED;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{
    Protocol, RetryPolicy, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, SpanExporter as _};
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::registry::LookupSpan;

use self::collector::Collector;
pub(crate) use self::outbox::Outgoing;
pub(crate) use self::requests::trace_requests;
use self::sampling::Share;
use crate::settings::traces::TracesConfig;

/// The exporter wants a name for what the collector is bound to already.
const BOUND: &str = "http://collector/v1/traces";

/// Makes what sends spans to the collector; sends nothing before it is started.
///
/// # Errors
/// When the collector's address or token cannot be used.
pub(crate) fn prepare(config: &TracesConfig) -> anyhow::Result<(SdkTracer, Outgoing)> {
    let resource = Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", config.service_name.clone()),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        ])
        .build();
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpJson)
        .with_endpoint(BOUND)
        .with_retry_policy(RetryPolicy::disabled())
        .with_http_client(Collector::new(config).context("traces.endpoint")?)
        .build()
        .context("make the exporter of traces")?;
    exporter.set_resource(&resource);
    let (outbox, outgoing) = outbox::new(exporter);
    let provider = SdkTracerProvider::builder()
        .with_sampler(Share::new(config.sample_permille))
        .with_span_processor(outbox)
        .with_resource(resource)
        .build();
    Ok((provider.tracer("compute-server"), outgoing))
}

/// The layer that turns spans of our target into spans of OpenTelemetry.
pub(crate) fn layer<S>(tracer: SdkTracer) -> impl Layer<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_context_activation(false)
        .with_filter(
            filter_fn(|it| it.is_span() && it.target() == TRACED)
                .with_max_level_hint(LevelFilter::INFO),
        )
}

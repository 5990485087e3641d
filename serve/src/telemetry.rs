//! Log lines and, where they are wanted, traces.

use std::io::IsTerminal;

use actix_web::http::header::HeaderMap;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{TraceContextExt, TracerProvider as _};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Span;
use tracing::level_filters::LevelFilter;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::options::{LogFormat, ServeOptions};
use crate::service::StartError;

/// The target of spans that are traced.
const TARGET: &str = env!("CARGO_CRATE_NAME");

/// Sends the last traces when it is dropped.
pub struct Telemetry(Option<SdkTracerProvider>);

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.as_ref().map(SdkTracerProvider::shutdown) {
            tracing::warn!("the last traces were not sent: {error}");
        }
    }
}

/// Writes log lines to standard error, of which RUST_LOG chooses which; the default is `info`. Sends traces where the options say
/// so. Does nothing when the program has set up its own.
///
/// # Errors
///
/// [`StartError::Traces`] when they cannot be sent to such a place.
pub fn init_tracing(options: &ServeOptions) -> Result<Telemetry, StartError> {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,ort=warn,actix_server=warn"));
    // When nobody reads the lines any more, that cannot be told either, and trying to would end the thread.
    let lines = tracing_subscriber::fmt::layer().log_internal_errors(false);
    let lines = lines.with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let lines = match options.log_format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let provider = options.otlp_endpoint.as_deref().map(provider).transpose()?;
    let traces = provider.as_ref().map(|provider| {
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("unscene"));
        layer.with_filter(Targets::new().with_target(TARGET, LevelFilter::INFO))
    });
    let _already_set = tracing_subscriber::registry().with(lines.with_filter(filter)).with(traces).try_init();
    Ok(Telemetry(provider))
}

/// What gathers spans and sends them. The variables of OpenTelemetry for names, sampling and batches hold.
fn provider(endpoint: &str) -> Result<SdkTracerProvider, StartError> {
    let error = |reason: String| StartError::Traces { endpoint: endpoint.to_owned(), reason };
    crate::tls::use_ring();
    let exporter =
        SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary).with_endpoint(endpoint).build();
    let exporter = exporter.map_err(|problem| error(problem.to_string()))?;
    let resource = Resource::builder();
    let is_named =
        ["OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"].iter().any(|name| std::env::var_os(name).is_some());
    let resource = if is_named { resource } else { resource.with_service_name("unscene") };
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build())
}

/// Puts a request's span into the trace that its client began, as the header `traceparent` says.
pub fn continue_trace(span: &Span, headers: &HeaderMap) {
    let context = TraceContextPropagator::new().extract(&Headers(headers));
    // Without traces there is nothing to continue.
    let _ = span.set_parent(context);
}

/// Calls a span that has begun something else, in traces.
pub fn name_span(span: &Span, name: String) {
    span.context().span().update_name(name);
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(|name| name.as_str()).collect()
    }
}

//! Traces by OpenTelemetry: spans, which are sent by OTLP (http/protobuf), and their context in the headers of records.
//!
//! They are off unless the standard variables of the environment name an endpoint. Off, a [`Span`] is nothing.
//!
//! Within a process a span is around the work of [`Span::around`], and [`Span::child`] is within it. From one
//! service to the next the context goes with the records, as the header `traceparent`, and [`Span::after`] goes on from
//! there. Neither end is sent the context: they are others' systems.
//!
//! A span holds what the log may hold, under the names of docs/LOGGING.md, and what the semantic conventions name
//! (<https://opentelemetry.io/docs/specs/semconv/>). Secrets that the process has read are hidden as in the log.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::trace::{
    FutureExt as _, Link, SpanContext, SpanId, Status, TraceContextExt as _, TraceFlags, TraceId, TraceState,
    Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use percent_encoding::percent_decode_str;
use reqwest::{Client, RequestBuilder};
use tokio::runtime::Handle;
use tracing::{info, warn};

use crate::config::environment;
use crate::http::{BaseUrl, Settings, check_collector_url, client, exchange};
use crate::redaction::{redact_remembered, remember};

pub use opentelemetry::trace::SpanKind;

/// Each setting has a variable for traces, which wins, and one for all that is sent by OTLP
/// (<https://opentelemetry.io/docs/specs/otel/protocol/exporter/>).
const ENDPOINT: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
const HEADERS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
const PROTOCOL: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
/// The only protocol that is spoken, and the specification's default.
const HTTP_PROTOBUF: &str = "http/protobuf";
/// What follows an endpoint that is not for traces alone.
const PATH: &str = "/v1/traces";

/// Longest time for a request to the collector: the specification's default.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest response that is read (bytes): it says at most why spans were refused.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// How long the end of the process waits for the last spans to be sent: a person waits for it.
const END_BOUND: Duration = Duration::from_secs(5);

/// The process's tracer; none while traces are off.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Whether spans are made.
pub fn is_on() -> bool {
    TRACER.get().is_some()
}

/// Has what is awaited on another task stay within the span around this code.
pub fn inherit<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    work.with_current_context()
}

/// Adds a string to the span around this code, if there is one.
pub fn annotate(key: &'static str, value: &str) {
    if is_on() {
        Context::map_current(|context| set(context, key, value));
    }
}

/// A unit of work in a trace, which ends when it is dropped. Nothing while traces are off.
#[must_use = "a span ends when it is dropped"]
#[derive(Debug, Default)]
pub struct Span(Option<Context>);

impl Span {
    /// A span within the one around this code; nothing where there is none.
    pub fn child(name: impl Into<Cow<'static, str>>, kind: SpanKind) -> Self {
        let Some(tracer) = TRACER.get() else { return Self::default() };
        let parent = Context::current();
        if parent.has_active_span() {
            Self::begin(tracer, &parent, Vec::new(), name.into(), kind)
        } else {
            Self::default()
        }
    }

    /// A span that follows from the spans of records: the child of the last of them, linked to the others. It is a
    /// trace's first one if there are none.
    pub fn after(parents: &[Parent], name: impl Into<Cow<'static, str>>, kind: SpanKind) -> Self {
        let Some(tracer) = TRACER.get() else { return Self::default() };
        Self::after_with(tracer, parents, name.into(), kind)
    }

    fn after_with(tracer: &SdkTracer, parents: &[Parent], name: Cow<'static, str>, kind: SpanKind) -> Self {
        let (parent, others) = match parents.split_last() {
            Some((Parent(parent), others)) => {
                (Context::new().with_remote_span_context(parent.clone()), others)
            }
            None => (Context::new(), parents),
        };
        let links = others.iter().map(|Parent(other)| Link::with_context(other.clone())).collect();
        Self::begin(tracer, &parent, links, name, kind)
    }

    fn begin(
        tracer: &SdkTracer,
        parent: &Context,
        links: Vec<Link>,
        name: Cow<'static, str>,
        kind: SpanKind,
    ) -> Self {
        let builder = tracer.span_builder(name).with_kind(kind).with_links(links);
        Self(Some(parent.with_span(tracer.build_with_context(builder, parent))))
    }

    /// Adds a string.
    pub fn set(&self, key: &'static str, value: &str) {
        if let Some(context) = &self.0 {
            set(context, key, value);
        }
    }

    /// Adds a number.
    pub fn set_number(&self, key: &'static str, value: impl TryInto<i64>) {
        if let Some(context) = &self.0 {
            let value = value.try_into().unwrap_or(i64::MAX);
            context.span().set_attribute(KeyValue::new(key, value));
        }
    }

    /// Adds what is done to which partition, by the conventions for Kafka
    /// (<https://opentelemetry.io/docs/specs/semconv/messaging/kafka/>). `kind` is `send` or `process`.
    pub fn set_messaging(&self, operation: &str, kind: &str, topic: &str, partition: i32) {
        if self.0.is_some() {
            self.set("messaging.system", "kafka");
            self.set("messaging.operation.name", operation);
            self.set("messaging.operation.type", kind);
            self.set("messaging.destination.name", topic);
            self.set("messaging.destination.partition.id", &partition.to_string());
        }
    }

    /// Marks it as failed: with a kind of failure, of which there are few, and the reason.
    pub fn fail(&self, kind: &str, reason: impl Display) {
        if let Some(context) = &self.0 {
            set(context, "error.type", kind);
            context.span().set_status(Status::error(redact_remembered(&reason.to_string()).into_owned()));
        }
    }

    /// The work within this span. Not an `async fn`, whose future would have room for the work twice.
    pub fn around<T>(&self, work: impl Future<Output = T>) -> impl Future<Output = T> {
        work.with_context(self.0.clone().unwrap_or_else(Context::current))
    }

    /// Its context as the header `traceparent` has it; none while traces are off.
    pub fn traceparent(&self) -> Option<String> {
        let context = self.0.as_ref()?.span().span_context().clone();
        let flags = (context.trace_flags() & TraceFlags::SAMPLED).to_u8();
        context.is_valid().then(|| format!("00-{}-{}-{flags:02x}", context.trace_id(), context.span_id()))
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(context) = &self.0 {
            context.span().end();
        }
    }
}

/// The context of the span that a record came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Parent(SpanContext);

impl Parent {
    /// Of the header `traceparent`; `None` where it is none.
    pub fn parse(traceparent: &str) -> Option<Self> {
        let mut parts = traceparent.split('-').skip(1);
        let trace_id = TraceId::from_hex(parts.next()?).ok()?;
        let span_id = SpanId::from_hex(parts.next()?).ok()?;
        let flags = TraceFlags::new(u8::from_str_radix(parts.next()?, 16).ok()?) & TraceFlags::SAMPLED;
        let context = SpanContext::new(trace_id, span_id, flags, true, TraceState::NONE);
        context.is_valid().then_some(Self(context))
    }
}

/// The export of the process's spans. When it is dropped, spans that are left are sent, within a bound.
pub(crate) struct Export(SdkTracerProvider);

impl Export {
    /// Begins it for the program of that name, if the environment names an endpoint.
    pub(crate) fn begin(program: &str, runtime: &Handle) -> Option<Self> {
        Self::of(program, &environment(), runtime).unwrap_or_else(|problem| {
            warn!("traces are off: {problem}");
            None
        })
    }

    fn of(
        program: &str,
        environment: &BTreeMap<String, String>,
        runtime: &Handle,
    ) -> Result<Option<Self>, String> {
        let Some(endpoint) = endpoint(environment)? else { return Ok(None) };
        for value in secrets(environment) {
            remember(&value);
        }
        let settings = Settings {
            base_url: &endpoint,
            root_certificate: None,
            request_timeout: REQUEST_TIMEOUT,
            what: program,
        };
        let client = client(settings).map_err(|error| format!("{:#}", anyhow::Error::from(error)))?;
        let collector = Collector { client, runtime: runtime.clone(), is_lost: AtomicBool::default() };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(endpoint.as_str())
            .with_http_client(collector)
            .build()
            .map_err(|error| error.to_string())?;
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource(program, environment))
            .build();
        // An error means that a program under test has begun it.
        let _ = TRACER.set(provider.tracer("anthropic-graph"));
        Ok(Some(Self(provider)))
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        // The collector's failures are logged where they happen.
        let _ = self.0.shutdown_with_timeout(END_BOUND);
    }
}

/// The way to the collector. The SDK sends from a thread of its own, which has no runtime. It drops spans that do not fit
/// into its queue.
#[derive(Debug)]
struct Collector {
    client: Client,
    runtime: Handle,
    /// Whether it was logged that spans are dropped, and none was taken since.
    is_lost: AtomicBool,
}

impl Collector {
    fn log_outcome(&self, failure: Option<&str>) {
        match failure {
            Some(failure) if !self.is_lost.swap(true, Ordering::Relaxed) => {
                warn!(
                    "spans are dropped, because the OpenTelemetry collector {failure}; logged once, until it takes spans"
                );
            }
            None if self.is_lost.swap(false, Ordering::Relaxed) => {
                info!("the OpenTelemetry collector takes spans again");
            }
            Some(_) | None => {}
        }
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = RequestBuilder::from_parts(self.client.clone(), request.try_into()?);
        // A part of a header in a failure is hidden in the log.
        let sent = self.runtime.spawn(async move { exchange(request, MAX_ANSWER_BYTES, "").await }).await?;
        let received = sent.inspect_err(|lost| self.log_outcome(Some(&lost.to_string())))?;
        let status = received.status;
        let refusal = format!("answered {status}; check {} and {}", ENDPOINT[1], HEADERS[1]);
        self.log_outcome((!status.is_success()).then_some(&refusal));
        let mut response = Response::new(received.body.into());
        (*response.status_mut(), *response.headers_mut()) = (status, received.headers);
        Ok(response)
    }
}

/// Where spans are sent; none if traces are off. The error says why they are, although the environment names an endpoint.
fn endpoint(environment: &BTreeMap<String, String>) -> Result<Option<BaseUrl>, String> {
    let is = |name: &str, wanted: &str| {
        environment.get(name).is_some_and(|value| value.trim().eq_ignore_ascii_case(wanted))
    };
    let Some((variable, url)) = value(environment, ENDPOINT) else { return Ok(None) };
    if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
        return Ok(None);
    }
    if let Some((variable, protocol)) = value(environment, PROTOCOL)
        && protocol != HTTP_PROTOBUF
    {
        return Err(format!(
            "{variable} is not {HTTP_PROTOBUF}, the only protocol that is supported; the collector's port for it is \
             usually 4318"
        ));
    }
    let path = if variable == ENDPOINT[0] { "" } else { PATH };
    let url = format!("{}{path}", url.trim_end_matches('/'));
    check_collector_url(&url).map(Some).map_err(|_| {
        format!(
            "{variable} is not the URL of a collector; write one such as \"http://127.0.0.1:4318\", without a user name, a \
             password, ? and #"
        )
    })
}

/// What the requests' headers prove.
fn secrets(environment: &BTreeMap<String, String>) -> Vec<String> {
    let headers = value(environment, HEADERS).map_or("", |(_, headers)| headers);
    let values = headers.split(',').filter_map(|header| Some(header.split_once('=')?.1.trim()));
    values.map(|value| percent_decode_str(value).decode_utf8_lossy().into_owned()).collect()
}

/// What the spans say of the process. The environment's words win.
fn resource(program: &str, environment: &BTreeMap<String, String>) -> Resource {
    let resource = Resource::builder_empty()
        .with_service_name(program.to_owned())
        .with_attribute(KeyValue::new("service.namespace", "anthropic-graph"))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_detectors(&[Box::new(TelemetryResourceDetector), Box::new(EnvResourceDetector::new())]);
    match value(environment, ["OTEL_SERVICE_NAME"]) {
        Some((_, name)) => resource.with_service_name(name.to_owned()).build(),
        None => resource.build(),
    }
}

/// The first of the variables that says something.
fn value<'a, const N: usize>(
    environment: &'a BTreeMap<String, String>,
    names: [&'static str; N],
) -> Option<(&'static str, &'a str)> {
    let value = |name: &'static str| Some((name, environment.get(name)?.trim()));
    names.into_iter().filter_map(value).find(|(_, value)| !value.is_empty())
}

fn set(context: &Context, key: &'static str, value: &str) {
    let span = context.span();
    if span.is_recording() {
        span.set_attribute(KeyValue::new(key, redact_remembered(value).into_owned()));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use opentelemetry::Context;
    use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::trace::{InMemorySpanExporter, Sampler, SdkTracer, SdkTracerProvider};

    use super::{Parent, Span, SpanKind, endpoint, resource, secrets};
    use crate::redaction::remember;

    const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn environment(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn traced() -> (InMemorySpanExporter, SdkTracerProvider, SdkTracer) {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
        let tracer = provider.tracer("test");
        (exporter, provider, tracer)
    }

    fn after(tracer: &SdkTracer, parents: &[&str]) -> Span {
        let parents: Vec<Parent> = parents.iter().filter_map(|text| Parent::parse(text)).collect();
        Span::after_with(tracer, &parents, "reconcile users".into(), SpanKind::Consumer)
    }

    #[test]
    fn traces_are_off_unless_an_endpoint_is_set() {
        let of = |variables: &[(&str, &str)]| {
            endpoint(&environment(variables)).map(|url| url.map(|url| url.as_str().to_owned()))
        };
        let url = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/");
        let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://traces.example/otlp");
        let shown = |url: &str| Ok(Some(url.to_owned()));
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]), Ok(None));
        assert_eq!(of(&[("OTEL_SERVICE_NAME", "graph")]), Ok(None));
        assert_eq!(of(&[url]), shown("http://collector:4318/v1/traces"));
        assert_eq!(of(&[url, own]), shown("https://traces.example/otlp"));
        assert_eq!(of(&[url, ("OTEL_SDK_DISABLED", "TRUE")]), Ok(None));
        assert_eq!(of(&[url, ("OTEL_TRACES_EXPORTER", "none")]), Ok(None));
        assert_eq!(of(&[url, ("OTEL_TRACES_EXPORTER", "otlp")]), shown("http://collector:4318/v1/traces"));
        let protocol = |protocol| of(&[url, ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)]);
        assert!(protocol("http/protobuf").is_ok());
        assert!(protocol("grpc").is_err_and(|problem| problem.contains("4318")));
        let refused = of(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "https://user:hunter2-hunter2@collector")]);
        let problem = refused.expect_err("a password in it");
        assert!(
            problem.starts_with("OTEL_EXPORTER_OTLP_ENDPOINT ") && !problem.contains("hunter2"),
            "{problem}"
        );
    }

    #[test]
    fn the_values_of_the_headers_are_secrets() {
        let set = environment(&[("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20abc, x-team = blue")]);
        assert_eq!(secrets(&set), ["Bearer abc", "blue"]);
        assert_eq!(secrets(&environment(&[])), Vec::<String>::new());
    }

    #[test]
    fn a_process_has_the_name_of_its_program_unless_the_environment_names_it() {
        let name = |resource: &Resource| resource.get(&"service.name".into()).map(|name| name.to_string());
        assert_eq!(name(&resource("sink", &environment(&[]))).as_deref(), Some("sink"));
        let named = environment(&[("OTEL_SERVICE_NAME", "graph-sink")]);
        assert_eq!(name(&resource("sink", &named)).as_deref(), Some("graph-sink"));
    }

    #[test]
    fn a_span_goes_on_with_the_trace_of_the_newest_record_and_is_linked_to_the_others() {
        let (exporter, _provider, tracer) = traced();
        let other = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let span = after(&tracer, &[other, "00-nothing", TRACEPARENT]);
        let traceparent = span.traceparent().expect("it is recorded");
        assert_eq!(traceparent[..36], TRACEPARENT[..36], "the trace goes on");
        assert_ne!(traceparent, TRACEPARENT, "with a span of its own");
        assert!(Parent::parse(&traceparent).is_some());
        drop(span);
        let spans = exporter.get_finished_spans().expect("they are in memory");
        assert_eq!(spans[0].parent_span_id.to_string(), "00f067aa0ba902b7");
        let links: Vec<String> =
            spans[0].links.iter().map(|link| link.span_context.span_id().to_string()).collect();
        assert_eq!(links, ["b7ad6b7169203331"]);
    }

    #[test]
    fn a_trace_that_is_not_sampled_stays_so() {
        let (exporter, _provider, tracer) = traced();
        let unsampled = TRACEPARENT.replace("-01", "-00");
        let span = after(&tracer, &[&unsampled]);
        assert!(span.traceparent().expect("a context").ends_with("-00"));
        span.set("collection", "users");
        drop(span);
        assert!(exporter.get_finished_spans().expect("they are in memory").is_empty());
        let provider = SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOff).build();
        assert!(after(&provider.tracer("test"), &[]).traceparent().expect("a context").ends_with("-00"));
    }

    #[test]
    fn a_bad_context_begins_a_trace() {
        for bad in
            ["", "00", "00-x-y-z", &TRACEPARENT.replace('4', "g"), &format!("00-{:032}-{:016}-01", 0, 0)]
        {
            assert_eq!(Parent::parse(bad), None, "{bad}");
        }
        let (exporter, _provider, tracer) = traced();
        drop(after(&tracer, &["00-x-y-z"]));
        let spans = exporter.get_finished_spans().expect("they are in memory");
        assert_eq!(spans[0].parent_span_id.to_string(), "0000000000000000");
    }

    #[test]
    fn a_secret_in_an_attribute_or_a_reason_is_hidden() {
        remember("trace-secret-ABCDEFGH");
        let (exporter, _provider, tracer) = traced();
        let span = after(&tracer, &[]);
        span.set("collection", "members/trace-secret-ABCDEFGH");
        span.set_number("count", 3_usize);
        span.fail("refused", "the server said trace-secret-ABCDEFGH");
        drop(span);
        let spans = exporter.get_finished_spans().expect("they are in memory");
        let shown = format!("{spans:?}");
        assert!(!shown.contains("secret-A"), "{shown}");
        assert!(shown.contains("the server said …") && shown.contains("members/…"), "{shown}");
    }

    #[test]
    fn off_a_span_is_nothing() {
        let span = Span::default();
        span.set("collection", "users");
        span.fail("refused", "nothing");
        assert_eq!(span.traceparent(), None);
        assert!(!futures::executor::block_on(span.around(async { Context::current().has_active_span() })));
    }

    #[test]
    fn what_is_awaited_in_a_span_is_within_it() {
        let (_exporter, _provider, tracer) = traced();
        let span = after(&tracer, &[TRACEPARENT]);
        let within = futures::executor::block_on(
            span.around(async { Context::current().span().span_context().trace_id().to_string() }),
        );
        assert_eq!(within, TRACEPARENT[3..35]);
        assert!(!Context::current().has_active_span());
    }
}

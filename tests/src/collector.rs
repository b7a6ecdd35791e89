//! A collector of OpenTelemetry: an HTTP server on loopback that decodes what is sent to it by OTLP.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{self, status::StatusCode};
use prost::Message as _;

use crate::stub::Stub;

/// A span as it was received. IDs are in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// `service.name` of the process that made it.
    pub service: String,
    pub name: String,
    pub trace_id: String,
    pub id: String,
    /// The span that it is within, or goes on from; empty for a trace's first one.
    pub parent_id: String,
    /// IDs of the spans that it is linked to.
    pub links: Vec<String>,
    pub attributes: BTreeMap<String, String>,
    pub has_failed: bool,
}

/// The collector. Dropping it stops it.
#[derive(Debug)]
pub struct Collector(Stub);

impl Collector {
    pub fn start() -> Self {
        let headers = || vec![("content-type", "application/x-protobuf".to_owned())];
        Self(Stub::start(move |_| (200, headers(), String::new())))
    }

    /// What the services' environment says of it: spans are sent soon, and with a secret in a header.
    pub fn environment(&self, secret: &str) -> Vec<(&'static str, String)> {
        vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", self.0.url()),
            ("OTEL_EXPORTER_OTLP_HEADERS", format!("authorization=Bearer%20{secret}")),
            ("OTEL_BSP_SCHEDULE_DELAY", "100".to_owned()),
        ]
    }

    /// What it was sent, byte for byte: head and body of each request.
    pub fn received(&self) -> Vec<Vec<u8>> {
        self.0.received()
    }

    /// The spans that it was sent, in the order of their arrival.
    ///
    /// # Panics
    /// Where it was sent something else.
    pub fn spans(&self) -> Vec<Span> {
        self.received().iter().flat_map(|request| decoded(request)).collect()
    }
}

fn decoded(request: &[u8]) -> Vec<Span> {
    let end = request.windows(4).position(|window| window == b"\r\n\r\n").expect("a request has a head");
    let (head, body) = (String::from_utf8_lossy(&request[..end]), &request[end + 4..]);
    assert!(head.starts_with("POST /v1/traces HTTP/1.1"), "{head}");
    assert!(head.to_lowercase().contains("content-type: application/x-protobuf"), "{head}");
    let request = ExportTraceServiceRequest::decode(body).expect("the body is OTLP");
    let mut spans = Vec::new();
    for of_process in request.resource_spans {
        let resource = attributes(of_process.resource.expect("a process describes itself").attributes);
        let all = of_process.scope_spans.into_iter().flat_map(|scope| scope.spans);
        spans.extend(all.map(|span| received(&resource["service.name"], span)));
    }
    spans
}

fn received(service: &str, span: v1::Span) -> Span {
    Span {
        service: service.to_owned(),
        name: span.name,
        trace_id: hexadecimal(&span.trace_id),
        id: hexadecimal(&span.span_id),
        parent_id: hexadecimal(&span.parent_span_id),
        links: span.links.iter().map(|link| hexadecimal(&link.span_id)).collect(),
        attributes: attributes(span.attributes),
        has_failed: span.status.is_some_and(|status| status.code() == StatusCode::Error),
    }
}

fn attributes(all: Vec<KeyValue>) -> BTreeMap<String, String> {
    all.into_iter().map(|attribute| (attribute.key, text(attribute.value))).collect()
}

fn text(value: Option<AnyValue>) -> String {
    match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("no span of ours has {other:?}"),
    }
}

fn hexadecimal(id: &[u8]) -> String {
    let mut text = String::new();
    for byte in id {
        write!(text, "{byte:02x}").expect("a String takes all that is written");
    }
    text
}

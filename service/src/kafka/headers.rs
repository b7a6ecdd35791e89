//! Kafka headers of the records the services write: `CloudEvents` 1.0 in Kafka's binary mode.

use jiff::Timestamp;
use rdkafka::message::{Header, OwnedHeaders};
use schemas::raw::RawRecord;

/// The record's content type; `avro/binary` with the schema named in the value itself.
pub const CONTENT_TYPE: &str = "content-type";
/// `CloudEvents`' version of the headers.
pub const SPEC_VERSION: &str = "ce_specversion";
/// The event's id, unique within its source.
pub const ID: &str = "ce_id";
/// What kind of event.
pub const TYPE: &str = "ce_type";
/// Where it comes from.
pub const SOURCE: &str = "ce_source";
/// What it is about.
pub const SUBJECT: &str = "ce_subject";
/// When it happened, RFC 3339.
pub const TIME: &str = "ce_time";
/// How a change came to be: live, replay or config. A header, so that a replay's values stay byte-identical.
pub const CAUSE: &str = "ce_cause";
/// W3C trace context, of the step that wrote the record. It is the header that OpenTelemetry's clients of Kafka read.
/// `CloudEvents`' own `ce_traceparent` names the first step of the way, and stays the same in each further one
/// (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/extensions/distributed-tracing.md>).
pub const TRACEPARENT: &str = "traceparent";
/// The version of anthropic-graph that wrote the record. A reader that does not know the value's schema says it.
pub const WRITER: &str = "anthropic_graph.version";

/// The version of `CloudEvents` that the headers speak
/// (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md>).
pub const CLOUD_EVENTS_VERSION: &str = "1.0";
/// Content type of Avro's binary encoding.
pub const AVRO: &str = "avro/binary";

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Longest version that is shown (bytes): the header may have been written by anyone.
const MAX_VERSION: usize = 64;

/// `ce_type` of a raw record.
const RAW_TYPE: &str = "anthropic_graph.raw";

/// The headers of a raw record with that key. `of` distinguishes it from others of the same key: its
/// listing, its poll, or when it was decided.
pub fn of_raw(record: &RawRecord, key: &str, of: &str) -> OwnedHeaders {
    let time = Timestamp::from_millisecond(record.observed_ts_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    CloudEvent {
        id: &format!("{of}/{key}"),
        kind: RAW_TYPE,
        source: &format!("/anthropic-graph/{}", record.organization_id),
        subject: key,
        time: &time.to_string(),
        cause: None,
    }
    .headers()
}

/// A record's `CloudEvents` attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloudEvent<'a> {
    /// Unique within the source.
    pub id: &'a str,
    /// What kind of event.
    pub kind: &'a str,
    /// Where it comes from.
    pub source: &'a str,
    /// What it is about, the record's key.
    pub subject: &'a str,
    /// When it happened, RFC 3339.
    pub time: &'a str,
    /// How it came to be, for changes.
    pub cause: Option<&'a str>,
}

impl<'a> CloudEvent<'a> {
    /// The headers as names and values, always in the same order.
    pub fn pairs(&self) -> Vec<(&'static str, &'a str)> {
        let mut pairs = vec![
            (SPEC_VERSION, CLOUD_EVENTS_VERSION),
            (ID, self.id),
            (TYPE, self.kind),
            (SOURCE, self.source),
            (SUBJECT, self.subject),
            (TIME, self.time),
            (CONTENT_TYPE, AVRO),
            (WRITER, VERSION),
        ];
        pairs.extend(self.cause.map(|cause| (CAUSE, cause)));
        pairs
    }

    /// The headers as rdkafka takes them.
    pub fn headers(&self) -> OwnedHeaders {
        owned(self.pairs())
    }
}

/// The headers of a record that is not an event: state in a compacted topic.
pub fn of_state() -> OwnedHeaders {
    owned([(CONTENT_TYPE, AVRO), (WRITER, VERSION)])
}

/// The headers with that trace context, if there is one.
pub fn traced(headers: OwnedHeaders, traceparent: Option<&str>) -> OwnedHeaders {
    match traceparent {
        Some(traceparent) => headers.insert(Header { key: TRACEPARENT, value: Some(traceparent) }),
        None => headers,
    }
}

/// Who wrote a record, for people: the version of anthropic-graph if the headers name it. The first version
/// wrote no such header.
pub fn writer(headers: &[(String, Option<Vec<u8>>)]) -> String {
    let version = headers.iter().find(|(name, _)| name == WRITER).and_then(|(_, value)| value.as_deref());
    match version {
        Some(version) if version.len() <= MAX_VERSION => {
            format!("anthropic-graph {:?}", String::from_utf8_lossy(version))
        }
        _ => "an unknown version".to_owned(),
    }
}

/// The trace context of a record's headers: 55 characters, `00-<trace>-<parent>-<flags>` in hexadecimal
/// (<https://www.w3.org/TR/trace-context/#traceparent-header>). Anything else must not be carried on: it would be in
/// each record that follows from this one, of whatever length it is.
pub fn traceparent(headers: &[(String, Option<Vec<u8>>)]) -> Option<&str> {
    const PARTS: [usize; 4] = [2, 32, 16, 2];
    let (_, value) = headers.iter().find(|(name, _)| name == TRACEPARENT)?;
    let text = std::str::from_utf8(value.as_deref()?).ok()?;
    let is_hexadecimal =
        |part: &str| part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let is_well_formed = text.split('-').map(str::len).eq(PARTS) && text.split('-').all(is_hexadecimal);
    // The specification forbids an ID of all zeros, and the version ff.
    let is_zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    let is_valid = || !text.starts_with("ff") && !text.split('-').skip(1).take(2).any(is_zero);
    (is_well_formed && is_valid()).then_some(text)
}

/// Headers from names and values, in their order.
pub fn owned<N: AsRef<str>, V: AsRef<[u8]>>(pairs: impl IntoIterator<Item = (N, V)>) -> OwnedHeaders {
    pairs.into_iter().fold(OwnedHeaders::new(), |headers, (name, value)| {
        headers.insert(Header { key: name.as_ref(), value: Some(value.as_ref()) })
    })
}

#[cfg(test)]
mod tests {
    use rdkafka::message::Headers;

    use super::{CloudEvent, WRITER, of_state, traced, traceparent, writer};

    #[test]
    fn a_cloud_event_has_its_attributes_in_order_and_leaves_out_what_it_lacks() {
        let event = CloudEvent {
            id: "7",
            kind: "anthropic_graph.change",
            source: "/anthropic-graph/acme",
            subject: "acme/anthropic_user:1",
            time: "2026-11-24T00:00:00Z",
            cause: Some("live"),
        };
        let headers = event.headers();
        let names: Vec<&str> = headers.iter().map(|header| header.key).collect();
        assert_eq!(
            names,
            [
                "ce_specversion",
                "ce_id",
                "ce_type",
                "ce_source",
                "ce_subject",
                "ce_time",
                "content-type",
                "anthropic_graph.version",
                "ce_cause"
            ]
        );
        assert_eq!(headers.get(0).value, Some("1.0".as_bytes()));
    }

    #[test]
    fn a_record_says_which_version_wrote_it_where_it_has_the_header() {
        let of = |value: &str| writer(&[(WRITER.to_owned(), Some(value.as_bytes().to_vec()))]);
        assert_eq!(of("0.3.0"), "anthropic-graph \"0.3.0\"");
        for unnamed in [writer(&[]), writer(&[(WRITER.to_owned(), None)]), of(&"9".repeat(65))] {
            assert_eq!(unnamed, "an unknown version");
        }
    }

    #[test]
    fn only_a_trace_context_is_carried_on() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let of = |value: Option<&str>| {
            let headers = [("traceparent".to_owned(), value.map(|text| text.as_bytes().to_vec()))];
            traceparent(&headers).map(str::to_owned)
        };
        assert_eq!(of(Some(good)).as_deref(), Some(good));
        assert_eq!(traceparent(&[]), None);
        let zero = |part: &str| good.replace(part, &"0".repeat(part.len()));
        let (no_trace, no_parent) = (zero("4bf92f3577b34da6a3ce929d0e0e4736"), zero("00f067aa0ba902b7"));
        for bad in [
            None,
            Some(""),
            Some("00-x"),
            Some(&good.to_uppercase()),
            Some(&good.repeat(10_000)),
            Some("é"),
            Some(&good.replacen("00", "ff", 1)),
            Some(&no_trace),
            Some(&no_parent),
        ] {
            assert_eq!(of(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_trace_context_is_added_to_the_headers_and_read_again() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(traced(of_state(), None).count(), of_state().count());
        let headers = traced(of_state(), Some(good));
        let last = headers.get(headers.count() - 1);
        assert_eq!((last.key, last.value), ("traceparent", Some(good.as_bytes())));
        let read: Vec<_> =
            headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect();
        assert_eq!(traceparent(&read), Some(good));
    }
}

//! docs/asyncapi.json is what the topic table and the schemas say.

use schemas::codec::{Registered, schemas_of};
use schemas::topics::{Retention, Topic};
use serde_json::{Map, Value, json};

use crate::generated::check;

#[test]
fn the_document_is_what_the_topic_table_and_the_schemas_say() {
    let document = serde_json::to_string_pretty(&document()).expect("JSON") + "\n";
    check("docs/asyncapi.json", &document);
}

/// An `AsyncAPI` 3 document (<https://www.asyncapi.com/docs/reference/specification/v3.0.0>).
fn document() -> Value {
    let mut channels = Map::new();
    let mut operations = Map::new();
    let mut messages = Map::new();
    for topic in Topic::ALL {
        let name = topic.name("");
        let name = name.trim_start_matches('.');
        let of_topic = messages_of(topic);
        let references: Map<String, Value> =
            of_topic.iter().map(|(name, _)| (name.clone(), reference("components/messages", name))).collect();
        channels.insert(name.to_owned(), channel(topic, &references));
        messages.extend(of_topic);
        let operation =
            json!({ "action": "send", "channel": reference("channels", name), "summary": written(topic) });
        operations.insert(format!("write_{name}"), operation);
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "anthropic-graph",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The Kafka topics of anthropic-graph: who in a company can reach which Anthropic workspace with \
                            which API key, now and at any time in the past. Read with isolation.level=read_committed. \
                            Values are Avro, in single-object encoding or, where a schema registry is configured, in \
                            Confluent's wire format. Fields with \"pii\" hold personal data.",
            "license": { "name": "Apache-2.0" }
        },
        "defaultContentType": "avro/binary",
        "channels": channels,
        "operations": operations,
        "components": { "messages": messages }
    })
}

fn channel(topic: Topic, messages: &Map<String, Value>) -> Value {
    let mut settings = Map::new();
    for (name, value) in topic.settings(&Retention::default()) {
        // The binding's schema knows these; cleanup.policy is a list there.
        let value = match name {
            "cleanup.policy" => json!([value]),
            _ => json!(value.parse::<i64>().expect("milliseconds")),
        };
        settings.insert(name.to_owned(), value);
    }
    json!({
        "address": topic.name("{prefix}"),
        "description": format!("{} Key: {}.", holds(topic), key(topic)),
        "parameters": { "prefix": { "description": "kafka.topic_prefix", "default": "anthropic" } },
        "messages": messages,
        "bindings": { "kafka": { "topicConfiguration": settings, "bindingVersion": "0.5.0" } }
    })
}

fn messages_of(topic: Topic) -> Vec<(String, Value)> {
    let of_schema = |schema: &Registered| {
        let name = schema.name.rsplit('.').next().expect("a name has parts").to_owned();
        let text: Value = serde_json::from_str(schema.text).expect("the schemas are JSON");
        let message = json!({
            "name": schema.name,
            "summary": text["doc"],
            "contentType": "avro/binary",
            "headers": headers(topic),
            "bindings": { "kafka": { "key": { "type": "string" }, "bindingVersion": "0.5.0" } },
            "payload": { "schemaFormat": "application/vnd.apache.avro+json;version=1.9.0", "schema": text }
        });
        (name, message)
    };
    if topic == Topic::DeadLetters {
        let message = json!({
            "name": "DeadLetter",
            "summary": "The value of a raw record that the processor could not use. Its headers say which and why.",
            "contentType": "application/octet-stream",
            "headers": headers(topic),
            "bindings": { "kafka": { "key": { "type": "string" }, "bindingVersion": "0.5.0" } }
        });
        return vec![("DeadLetter".to_owned(), message)];
    }
    schemas_of(topic).into_iter().map(of_schema).collect()
}

fn headers(topic: Topic) -> Value {
    let events = ["ce_specversion", "ce_id", "ce_type", "ce_source", "ce_subject", "ce_time"];
    let of_avro = ["content-type", "anthropic_graph.version"];
    let of_error = ["topic", "partition", "offset", "stage", "exception.message"];
    let required: Vec<String> = match topic {
        Topic::Raw => events.iter().chain(&of_avro).map(ToString::to_string).collect(),
        Topic::Changes => {
            events.iter().chain(&of_avro).chain(&["ce_cause"]).map(ToString::to_string).collect()
        }
        Topic::Graph | Topic::Sync => of_avro.map(str::to_owned).into(),
        Topic::DeadLetters => of_error.map(|name| format!("__anthropic_graph.errors.{name}")).into(),
    };
    let mut properties: Map<String, Value> =
        required.iter().map(|name| (name.clone(), json!({ "type": "string" }))).collect();
    if topic != Topic::DeadLetters {
        let description = "With Confluent's wire format: avro-crc64: and the schema's fingerprint.";
        properties
            .insert("ce_dataschema".to_owned(), json!({ "type": "string", "description": description }));
    }
    if matches!(topic, Topic::Raw | Topic::Changes | Topic::Graph) {
        let description = "While traces are on: W3C trace context of the span that wrote the record.";
        properties.insert("traceparent".to_owned(), json!({ "type": "string", "description": description }));
    }
    json!({ "type": "object", "required": required, "properties": properties })
}

pub(crate) fn holds(topic: Topic) -> &'static str {
    match topic {
        Topic::Raw => {
            "Every record as the Admin API returned it, listing by listing, and people's decisions."
        }
        Topic::Changes => {
            "Every change of the graph, in the order of its revisions. An envelope as Debezium's."
        }
        Topic::Graph => "The current state, compacted: elements, coverage, holds, withheld relationships.",
        Topic::Sync => "What JupiterOne holds of each organization, compacted.",
        Topic::DeadLetters => "Raw records that could not be used.",
    }
}

pub(crate) fn key(topic: Topic) -> &'static str {
    match topic {
        Topic::Raw => "organization ID / collection / resource ID",
        Topic::Changes => "organization ID / element key",
        Topic::Graph => {
            "organization ID / element key, or coverage/…, hold/…, withheld/…; the value of a deleted key is null"
        }
        Topic::Sync => "organization ID / target",
        Topic::DeadLetters => "that of the raw record",
    }
}

pub(crate) fn written(topic: Topic) -> &'static str {
    match topic {
        Topic::Raw => "The producer writes listings, and anthropic-graph writes decisions.",
        Topic::Changes | Topic::Graph | Topic::DeadLetters => "The processor writes them in one transaction.",
        Topic::Sync => "The sink writes before and after each sync job.",
    }
}

fn reference(parent: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/{parent}/{name}") })
}

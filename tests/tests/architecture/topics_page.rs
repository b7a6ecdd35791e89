//! docs/topics.md is the topic table.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use schemas::codec::schemas_of;
use schemas::topics::{Retention, Topic};
use service::config::Config;

use crate::asyncapi::{holds, key, written};
use crate::generated::check_behind_mark;

#[test]
fn the_page_of_topics_is_the_topic_table() {
    let smallest = "[kafka]\nbootstrap_servers = \"127.0.0.1:9092\"";
    let config = Config::from_toml(smallest, Path::new(""), &BTreeMap::new()).expect("a configuration");
    let mut page = format!(
        "`<prefix>` is `kafka.topic_prefix`, by default `{}`. A new topic has `kafka.partitions` partitions, by default {}.\n\n\
         | topic | what it has | key | value |\n|---|---|---|---|\n",
        config.kafka.topic_prefix, config.kafka.partitions
    );
    let mut settings = "\n## Settings\n\n| topic | settings of a new topic |\n|---|---|\n".to_owned();
    for topic in Topic::ALL {
        let name = topic.name("<prefix>");
        let values: Vec<String> = schemas_of(topic).iter().map(|schema| linked(schema.name)).collect();
        let values =
            if values.is_empty() { "the bytes of the raw record".to_owned() } else { values.join(", ") };
        writeln!(page, "| `{name}` | {} {} | {} | {values} |", holds(topic), written(topic), key(topic))
            .expect("writing to a String cannot fail");
        let of_topic = topic.settings(&Retention::default()).into_iter();
        let of_topic: Vec<String> =
            of_topic.map(|(name, value)| format!("`{name}={value}`{}", in_words(&value))).collect();
        writeln!(settings, "| `{name}` | {} |", of_topic.join(", "))
            .expect("writing to a String cannot fail");
    }
    check_behind_mark("docs/topics.md", &(page + &settings), None);
}

/// The last part of a schema's name, with a link to its section.
fn linked(schema: &str) -> String {
    let name = schema.rsplit('.').next().expect("a name has parts");
    format!("[{name}](schemas.md#{})", schema.replace('.', "").to_lowercase())
}

/// Milliseconds as people read them.
fn in_words(value: &str) -> String {
    match value.parse::<i64>().map(|ms| ms / 3_600_000) {
        Ok(0) if value.starts_with('-') => " (unlimited)".to_owned(),
        Ok(1) => " (1 hour)".to_owned(),
        Ok(hours) => format!(" ({} days)", hours / 24),
        Err(_) => String::new(),
    }
}

//! `anthropic-graph dead-letters`: the raw records that the processor could not use, and why.

use std::{collections::BTreeMap, str::FromStr};

use anyhow::Context as _;
use graph::text::clean;
use rdkafka::ClientConfig;
use schemas::{
    codec::{DecodeError, decode},
    collection::{Collection, POLL},
    raw::RawRecord,
    topics::Topic,
};
use serde_json::{Value, json};
use service::{
    config::{Config, environment},
    exit::{Outcome, UsageError},
    kafka::{client_config, cluster_admin::ClusterAdmin, partition::Message},
    stdout,
    wording::{self, time},
};

use crate::{
    freshness::{self, Freshness},
    selection::Selection,
    topic_reader,
};

/// Most bytes that are shown of a value that is not a raw record (count).
const SHOWN_BYTES: usize = 4_096;
/// Prefix of the headers that the processor writes.
const HEADER: &str = "__anthropic_graph.errors.";

/// What to show.
#[derive(Debug, Clone, clap::Args)]
pub struct ShowArguments {
    /// The dead letter's partition and offset, as `dead-letters list` shows them.
    #[arg(value_name = "PARTITION:OFFSET")]
    place: Place,
}

/// Why nothing is redriven: what every preview ends with.
const NOTHING_REDRIVEN: &str = "nothing was written to the raw topic: a listing's resources count only between its \
                                beginning and its manifest, so a resource that comes later changes nothing";

/// What replaces a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Successor {
    /// A whole listing of its collection, which ended then (ms since 1970).
    Listing { ended_ts_ms: i64 },
    /// A poll that ended then (ms since 1970).
    Poll { ended_ts_ms: i64 },
    /// Nothing yet; the next poll lists the collection again.
    NextPoll,
    /// Nothing: a person has to decide again.
    Decision,
    /// Its key does not say what it was.
    Unknown,
}

/// Where a dead letter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    partition: i32,
    offset: i64,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a partition and an offset, such as 3:120");
        let (partition, offset) = text.split_once(':').ok_or_else(wrong)?;
        let partition = partition.parse::<u16>().map_err(|_| wrong())?;
        let offset = offset.parse::<i64>().ok().filter(|offset| *offset >= 0).ok_or_else(wrong)?;
        Ok(Self { partition: partition.into(), offset })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Letter {
    /// The same as that of its raw record.
    partition: i32,
    offset: i64,
    written_ts_ms: Option<i64>,
    key: String,
    /// By name without the common prefix.
    headers: BTreeMap<String, String>,
}

/// Those of the organization that is asked for, or all.
fn selected(config: &Config, client: &ClientConfig, arguments: &Selection) -> anyhow::Result<Vec<Letter>> {
    let wanted = arguments.organization.as_deref().map(|name| organization_id(config, name)).transpose()?;
    let mut letters = Vec::new();
    each(config, client, |letter, _| {
        if wanted.as_ref().is_none_or(|wanted| wanted == letter.organization_id()) {
            letters.push(letter);
        }
    })?;
    Ok(letters)
}

pub async fn list(config: Config, arguments: Selection) -> anyhow::Result<Outcome> {
    tokio::task::spawn_blocking(move || {
        let client = client_config(&config.kafka, &environment())?;
        let letters = selected(&config, &client, &arguments)?;
        let line =
            |letter: &Letter| if arguments.json { letter.as_json().to_string() } else { letter.text() };
        let mut lines: Vec<String> = letters.iter().map(line).collect();
        if lines.is_empty() && !arguments.json {
            lines.push(
                "no dead letters: the processor could use every record within the topic's retention"
                    .to_owned(),
            );
        }
        stdout::print(lines)
    })
    .await
    .context("the reading thread ended")?
}

/// Shows one as a JSON object, with its raw record.
pub async fn show(config: Config, arguments: ShowArguments) -> anyhow::Result<Outcome> {
    tokio::task::spawn_blocking(move || {
        let client = client_config(&config.kafka, &environment())?;
        let mut found = None;
        each(&config, &client, |letter, value| {
            if (Place { partition: letter.partition, offset: letter.offset }) == arguments.place {
                found = Some(letter.shown(value));
            }
        })?;
        let Place { partition, offset } = arguments.place;
        let found = found.ok_or_else(|| {
            let topic = Topic::DeadLetters.name(&config.kafka.topic_prefix);
            UsageError(format!(
                "{topic} has no dead letter at partition {partition}, offset {offset}; list them with \
                 `anthropic-graph dead-letters list`"
            ))
        })?;
        stdout::print(
            [serde_json::to_string_pretty(&found).context("failed to write a dead letter as JSON")?],
        )
    })
    .await
    .context("the reading thread ended")?
}

/// Says of each what redriving it would change, and what replaces it. Writes nothing.
pub async fn redrive(config: Config, arguments: Selection) -> anyhow::Result<Outcome> {
    tokio::task::spawn_blocking(move || {
        let client = client_config(&config.kafka, &environment())?;
        let letters = selected(&config, &client, &arguments)?;
        // Read last: the graph is then no older.
        let freshness = freshness::read(&config, &client)?;
        let judged = letters.iter().map(|letter| {
            let known = freshness.get(letter.organization_id());
            (letter, letter.successor(known))
        });
        let judged: Vec<(&Letter, Successor)> = judged.collect();
        let mut lines: Vec<String> =
            judged
                .iter()
                .map(|(letter, successor)| {
                    if arguments.json { letter.redriven_json(successor) } else { letter.redriven(successor) }
                })
                .collect();
        if !arguments.json {
            let nothing = "no dead letters, so there is nothing to redrive";
            lines.push(if lines.is_empty() { nothing } else { NOTHING_REDRIVEN }.to_owned());
        }
        stdout::print(lines)?;
        let open = judged.iter().filter(|(_, successor)| successor.is_awaited()).count();
        Ok(if open == 0 {
            Outcome::Done
        } else {
            Outcome::Incomplete(format!(
                "incomplete: nothing replaces {} yet",
                wording::count(open, "dead letter")
            ))
        })
    })
    .await
    .context("the reading thread ended")?
}

/// Counts them by organization ID, the first part of their keys.
pub(crate) fn counts(config: &Config, client: &ClientConfig) -> anyhow::Result<BTreeMap<String, usize>> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    each(config, client, |letter, _| *counts.entry(letter.organization_id().to_owned()).or_default() += 1)?;
    Ok(counts)
}

/// Passes all of them with their values to `take`; none if the processor has not created the topic yet.
fn each(
    config: &Config,
    client: &ClientConfig,
    mut take: impl FnMut(Letter, Option<&[u8]>),
) -> anyhow::Result<()> {
    let name = Topic::DeadLetters.name(&config.kafka.topic_prefix);
    let partitions = ClusterAdmin::new(client)?.partition_count(&name)?.unwrap_or(0);
    topic_reader::read(config, client, Topic::DeadLetters, 0..partitions, |record| {
        take(Letter::of(record), record.value);
        Ok::<(), DecodeError>(())
    })
}

fn organization_id(config: &Config, name: &str) -> Result<String, UsageError> {
    let Some(configured) = config.organizations.iter().find(|it| it.name == name) else {
        return Ok(name.to_owned());
    };
    configured.organization_id.clone().ok_or_else(|| {
        UsageError(format!(
            "--organization: the configuration has no organization_id for {name}, and dead letters have IDs only; use the \
             ID that `anthropic-graph status` shows"
        ))
    })
}

impl Successor {
    /// Whether somebody has to do something. Nothing ever replaces a record that is not one of the producer's.
    fn is_awaited(&self) -> bool {
        matches!(self, Self::NextPoll | Self::Decision)
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Listing { .. } => "listing",
            Self::Poll { .. } => "poll",
            Self::NextPoll => "next_poll",
            Self::Decision => "decision",
            Self::Unknown => "unknown",
        }
    }

    fn describe(&self, collection: &str) -> String {
        match self {
            Self::Listing { ended_ts_ms } => format!(
                "nothing to do: {} was listed whole again, which ended {}",
                clean(collection),
                time(*ended_ts_ms)
            ),
            Self::Poll { ended_ts_ms } => format!("nothing to do: a later poll ended {}", time(*ended_ts_ms)),
            Self::NextPoll => {
                "no whole listing has come after it: run `producer poll`, which lists it again".to_owned()
            }
            Self::Decision => {
                "a decision: decide again with `anthropic-graph holds` or `anthropic-graph forget`".to_owned()
            }
            Self::Unknown => {
                "nothing replaces it: another program wrote it, since its key is not one of a raw \
                              record; it stays until its retention ends"
                    .to_owned()
            }
        }
    }
}

impl Letter {
    fn of(record: Message<'_>) -> Self {
        let text = |value: Option<Vec<u8>>| String::from_utf8_lossy(&value.unwrap_or_default()).into_owned();
        let headers: BTreeMap<String, String> = record
            .headers()
            .into_iter()
            .filter_map(|(name, value)| Some((name.strip_prefix(HEADER)?.to_owned(), text(value))))
            .collect();
        let partition = headers.get("partition").and_then(|partition| partition.parse().ok()).unwrap_or(-1);
        let key = String::from_utf8_lossy(record.key.unwrap_or_default()).into_owned();
        Self { partition, offset: record.offset, written_ts_ms: record.written_ts_ms(), key, headers }
    }

    fn organization_id(&self) -> &str {
        self.key.split('/').next().unwrap_or_default()
    }

    /// The collection in its key, if the key is one of a raw record.
    fn collection(&self) -> Option<&str> {
        let (_, rest) = self.key.split_once('/')?;
        let (collection, _) = rest.rsplit_once('/')?;
        (collection == POLL || Collection::parse(collection).is_some()).then_some(collection)
    }

    fn source_offset(&self) -> Option<i64> {
        self.headers.get("offset").and_then(|offset| offset.parse().ok())
    }

    fn successor(&self, known: Option<&Freshness>) -> Successor {
        if self.key.ends_with("/decision") {
            return Successor::Decision;
        }
        let (Some(collection), Some(offset)) = (self.collection(), self.source_offset()) else {
            return Successor::Unknown;
        };
        if collection == POLL {
            let ended = known.and_then(|known| known.poll.ended_ts_ms);
            let ended = ended.filter(|ended| self.written_ts_ms.is_some_and(|written| *ended > written));
            return ended.map_or(Successor::NextPoll, |ended_ts_ms| Successor::Poll { ended_ts_ms });
        }
        let whole = known.and_then(|known| known.coverage.get(collection)?.whole.as_ref());
        match whole.filter(|whole| whole.raw_offset > offset) {
            Some(whole) => Successor::Listing { ended_ts_ms: whole.ended_ts_ms },
            None => Successor::NextPoll,
        }
    }

    fn redriven(&self, successor: &Successor) -> String {
        let Self { partition, offset, key, .. } = self;
        let text = successor.describe(self.collection().unwrap_or_default());
        format!("{partition}:{offset}  {}  redriven, it would change nothing; {text}", clean(key))
    }

    fn redriven_json(&self, successor: &Successor) -> String {
        let mut json = self.as_json();
        json["redriven"] = false.into();
        json["would_change"] = false.into();
        json["successor"] = successor.name().into();
        json.to_string()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    fn text(&self) -> String {
        let Self { partition, offset, written_ts_ms, key, .. } = self;
        format!(
            "{partition}:{offset}  {}  {}  {} offset {}, {}: {}",
            written_ts_ms.map_or_else(|| "time unknown".to_owned(), time),
            clean(key),
            clean(self.header("topic")),
            clean(self.header("offset")),
            clean(self.header("stage")),
            clean(self.header("exception.message"))
        )
    }

    fn as_json(&self) -> Value {
        json!({
            "partition": self.partition,
            "offset": self.offset,
            "written_ts_ms": self.written_ts_ms,
            "organization_id": self.organization_id(),
            "key": self.key,
            "source": {
                "topic": self.headers.get("topic"),
                "partition": self.partition,
                "offset": self.source_offset(),
            },
            "stage": self.headers.get("stage"),
            "reason": self.headers.get("exception.message"),
        })
    }

    /// With the record, or with the beginning of its bytes in hexadecimal if they are not one.
    fn shown(&self, value: Option<&[u8]>) -> Value {
        let mut shown = self.as_json();
        let bytes = value.unwrap_or_default();
        shown["value_bytes"] = bytes.len().into();
        let record = decode::<RawRecord>(bytes).ok();
        if record.is_none() {
            let hex = bytes.iter().take(SHOWN_BYTES).map(|byte| format!("{byte:02x}"));
            shown["value_hex"] = hex.collect::<String>().into();
        }
        shown["record"] = serde_json::to_value(record).unwrap_or(Value::Null);
        shown
    }
}

#[cfg(test)]
mod tests {
    use schemas::coverage::{Coverage, Poll, WholeListing};
    use service::kafka::partition::Record;

    use super::{Letter, Place, Successor};
    use crate::freshness::Freshness;

    fn letter() -> Letter {
        let header = |name: &str, value: &str| {
            (format!("__anthropic_graph.errors.{name}"), Some(value.as_bytes().to_vec()))
        };
        let headers = vec![
            header("topic", "anthropic.raw"),
            header("partition", "3"),
            header("offset", "412"),
            header("stage", "decode"),
            header("exception.message", "not\u{1b} a value"),
            ("other".to_owned(), None),
        ];
        let record = Record { offset: 7, key: Some(b"o-1/users/user_1".to_vec()), value: None, headers };
        Letter::of(record.as_message())
    }

    #[test]
    fn a_dead_letter_is_one_line_without_control_characters() {
        let line =
            "3:7  time unknown  o-1/users/user_1  anthropic.raw offset 412, decode: not\\u{1b} a value";
        assert_eq!(letter().text(), line);
        assert_eq!(letter().organization_id(), "o-1");
    }

    #[test]
    fn a_value_that_is_not_a_raw_record_is_shown_in_hexadecimal() {
        let shown = letter().shown(Some(&[0xc3, 0x01, 0xff]));
        assert_eq!((&shown["value_hex"], &shown["value_bytes"]), (&"c301ff".into(), &3.into()));
        assert_eq!((&shown["source"]["offset"], &shown["record"]), (&412.into(), &serde_json::Value::Null));
    }

    #[test]
    fn a_place_is_a_partition_and_an_offset() {
        assert_eq!("3:7".parse(), Ok(Place { partition: 3, offset: 7 }));
        for wrong in ["", "3", "3:", ":7", "-1:7", "3:-7", "3:7:1"] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_newer_whole_listing_replaces_a_dead_letter() {
        let known = |raw_offset| {
            let coverage = Coverage {
                whole: Some(WholeListing { raw_offset, ended_ts_ms: 2, ..WholeListing::default() }),
                ..Coverage::new("o-1", "nimbus", "users")
            };
            let poll = Poll { ended_ts_ms: Some(9), ..Poll::default() };
            let coverage = [("users".to_owned(), coverage)].into();
            Freshness { poll, coverage, ..Freshness::default() }
        };
        let successor = |key: &str, known: Option<Freshness>| {
            let key = key.to_owned();
            Letter { key, written_ts_ms: Some(8), ..letter() }.successor(known.as_ref())
        };
        // It is from offset 412.
        for (key, known, expected) in [
            ("o-1/users/user_1", Some(known(413)), Successor::Listing { ended_ts_ms: 2 }),
            ("o-1/users/manifest", Some(known(411)), Successor::NextPoll),
            ("o-1/members/wrkspc_1/user_1", Some(known(413)), Successor::NextPoll),
            ("o-1/users/user_1", None, Successor::NextPoll),
            ("o-1/poll/end", Some(known(411)), Successor::Poll { ended_ts_ms: 9 }),
            ("o-1/poll/end", None, Successor::NextPoll),
            ("o-1/decisions/decision", Some(known(413)), Successor::Decision),
            ("nonsense", Some(known(413)), Successor::Unknown),
        ] {
            assert_eq!(successor(key, known), expected, "{key}");
        }
        let awaited = [Successor::NextPoll, Successor::Decision];
        assert!(awaited.iter().all(Successor::is_awaited));
        assert!(![Successor::Unknown, Successor::Poll { ended_ts_ms: 9 }].iter().any(Successor::is_awaited));
    }
}

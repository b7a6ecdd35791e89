//! Faults, switched on by operation and count.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::job::Status;
use super::refusal::Refusal;
use super::route::Route;

/// Something that goes wrong. As JSON: `{"route":"entities","when":{"first":2},"effect":{"status":503}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The operation that it strikes.
    pub route: Route,
    /// Which of its requests.
    #[serde(default)]
    pub when: When,
    /// Only jobs of this scope (of an integration instance: its id).
    #[serde(default)]
    pub scope: Option<String>,
    pub effect: Effect,
}

/// Which of the matching requests a fault strikes, counted from when it was switched on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    #[default]
    Always,
    First(u32),
    /// The nth alone, counted from 1.
    Nth(u32),
}

/// What happens to a request that a fault strikes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    Unauthorized,
    Forbidden,
    /// 429.
    RateLimited {
        /// The value of `retry-after` in seconds; no header without it.
        #[serde(default)]
        retry_after: Option<u32>,
    },
    /// This HTTP status, such as 500, 502, 503 or 504.
    Status(u16),
    /// 413 whatever the size.
    TooLarge,
    /// 413 above this many bytes.
    BodyLimit(usize),
    /// The request is carried out, but its answer never arrives.
    CommitThenCut,
    /// The connection ends and nothing is done.
    Cut,
    /// The request is carried out; its answer takes this many milliseconds.
    Slow(u64),
    /// 400 for a request that uploads this object.
    RefuseObject {
        key: String,
        /// Whether the message names the key.
        #[serde(default)]
        named: bool,
        /// Refused only while the object has this property.
        #[serde(default)]
        while_property: Option<String>,
    },
    /// The job ends in this state instead of being finished (the route is `finalize`); in one that is not done, it
    /// stays forever.
    EndJob(Status),
    /// The same once its entities are written: the scope is left half changed.
    EndJobAfterEntities(Status),
    /// The job is finished without this object, which is counted as one that could not be written (the route is
    /// `finalize`); what the scope held of it stays.
    LoseObject {
        key: String,
    },
    /// The finalize request answers 500 `INTERNAL_ERROR` and the job goes on awaiting uploads.
    FinalizeInternalError,
    /// The same for any request, with this HTTP status: 400 was seen, and 200 is what a gateway may make of it.
    InternalError(u16),
    /// The request is carried out; these fields of the job in its answer have other values.
    AnswerWith(Map<String, Value>),
    /// An upload is taken without this object, which its counts leave out.
    DropObject {
        key: String,
    },
}

impl Fault {
    /// A fault that strikes every request of a route.
    pub fn new(route: Route, effect: Effect) -> Self {
        Self { route, when: When::Always, scope: None, effect }
    }

    /// Strikes the first n requests only.
    #[must_use]
    pub fn first(self, n: u32) -> Self {
        Self { when: When::First(n), ..self }
    }

    /// Strikes the nth request only, counted from 1.
    #[must_use]
    pub fn nth(self, n: u32) -> Self {
        Self { when: When::Nth(n), ..self }
    }

    /// Strikes jobs of this scope only.
    #[must_use]
    pub fn of_scope(self, scope: impl Into<String>) -> Self {
        Self { scope: Some(scope.into()), ..self }
    }
}

/// The faults that are switched on, each with how many requests it has matched.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<(Fault, u32)>);

/// What all faults together do to one request.
#[derive(Debug, Default)]
pub(crate) struct Struck {
    pub(crate) answer: Option<Refusal>,
    pub(crate) retry_after: Option<u32>,
    pub(crate) body_limit: Option<usize>,
    pub(crate) delay_ms: u64,
    pub(crate) cut_before: bool,
    pub(crate) cut_after: bool,
    pub(crate) ending: Option<Ending>,
    pub(crate) lost: BTreeSet<String>,
    /// Keys of objects that an upload leaves out.
    pub(crate) dropped: BTreeSet<String>,
    /// Fields of the answer's job that have other values.
    pub(crate) answered: Map<String, Value>,
    pub(crate) any: bool,
}

/// How a job ends instead of being finished.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ending {
    pub(crate) status: Status,
    pub(crate) after_entities: bool,
}

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push((fault, 0));
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Counts the request against every fault that matches it and says what they do.
    pub(crate) fn strike(&mut self, route: Route, scope: Option<&str>, body: Option<&Value>) -> Struck {
        let mut struck = Struck::default();
        for (fault, matched) in &mut self.0 {
            let here = (fault.route == Route::Any || fault.route == route)
                && fault.scope.as_deref().is_none_or(|wanted| Some(wanted) == scope)
                && carries_offender(&fault.effect, body);
            if !here {
                continue;
            }
            *matched += 1;
            let due = match fault.when {
                When::Always => true,
                When::First(n) => *matched <= n,
                When::Nth(n) => *matched == n,
            };
            if due {
                struck.add(&fault.effect);
            }
        }
        struck
    }
}

impl Struck {
    fn add(&mut self, effect: &Effect) {
        self.any = true;
        let answer = match effect {
            Effect::Unauthorized => Refusal::unauthorized(),
            Effect::Forbidden => Refusal::forbidden(),
            Effect::RateLimited { retry_after } => {
                self.retry_after = *retry_after;
                Refusal::new(429, "TOO_MANY_REQUESTS", "Too many requests.")
            }
            Effect::Status(500) | Effect::FinalizeInternalError => Refusal::internal(500),
            Effect::InternalError(status) => Refusal::internal(*status),
            Effect::Status(status) => Refusal::new(*status, "UNAVAILABLE", "The service is unavailable."),
            Effect::TooLarge => Refusal::too_large(0),
            Effect::RefuseObject { key, named: true, .. } => {
                Refusal::bad("INVALID_GRAPH_OBJECT", format!("The object with _key \"{key}\" is invalid."))
            }
            Effect::RefuseObject { .. } => Refusal::bad("INVALID_GRAPH_OBJECT", "An object is invalid."),
            Effect::BodyLimit(limit) => return self.body_limit = Some(*limit),
            Effect::CommitThenCut => return self.cut_after = true,
            Effect::Cut => return self.cut_before = true,
            Effect::Slow(milliseconds) => return self.delay_ms += milliseconds,
            Effect::EndJob(status) => {
                return self.ending = Some(Ending { status: *status, after_entities: false });
            }
            Effect::EndJobAfterEntities(status) => {
                return self.ending = Some(Ending { status: *status, after_entities: true });
            }
            Effect::LoseObject { key } => {
                self.lost.insert(key.clone());
                return;
            }
            Effect::DropObject { key } => {
                self.dropped.insert(key.clone());
                return;
            }
            Effect::AnswerWith(fields) => return self.answered.extend(fields.clone()),
        };
        self.answer.get_or_insert(answer);
    }
}

fn carries_offender(effect: &Effect, body: Option<&Value>) -> bool {
    let Effect::RefuseObject { key, while_property, .. } = effect else { return true };
    ["entities", "relationships"]
        .iter()
        .filter_map(|kind| body?.get(kind)?.as_array())
        .flatten()
        .filter(|object| object["_key"] == key.as_str())
        .any(|object| while_property.as_ref().is_none_or(|name| object.get(name).is_some()))
}

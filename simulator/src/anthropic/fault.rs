//! Faults, switched on by request.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Something that goes wrong with some requests. The first fault set whose turn it is decides a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Which requests: those of a collection (`organization`, `users`, `workspaces`, `api_keys`, `members` of every
    /// workspace, `members/<workspace id>`) or, with a leading `/`, those whose path begins so. Empty: all.
    #[serde(default)]
    pub on: String,
    /// Which of them, counted since the fault was set.
    #[serde(default)]
    pub when: When,
    pub answer: Answer,
}

/// Which of the matching requests a fault strikes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    #[default]
    Always,
    /// The first so many.
    First(u64),
    /// That one alone, counted from 1.
    Nth(u64),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    /// 401: the key was revoked.
    Unauthorized,
    /// 403: the key lacks a scope.
    Forbidden,
    /// 404.
    NotFound,
    /// Any status, with Anthropic's envelope.
    Status(u16),
    /// 400 with the error code `organization_on_hold` in the error's details.
    OnHold,
    /// 429, with the headers that are given.
    RateLimited {
        /// Seconds or an HTTP date.
        #[serde(default)]
        retry_after: Option<String>,
        /// Milliseconds.
        #[serde(default)]
        retry_after_ms: Option<String>,
        /// `anthropic-ratelimit-requests-reset`, an RFC 3339 time.
        #[serde(default)]
        reset: Option<String>,
    },
    /// 500.
    ServerError {
        /// `x-should-retry`.
        #[serde(default)]
        should_retry: Option<bool>,
    },
    /// 529.
    Overloaded,
    /// 502 with a page of HTML, as from the edge.
    HtmlBadGateway,
    /// 307 to this address.
    Redirect { to: String },
    /// The connection closes without an answer.
    Cut,
    /// The connection closes in the middle of the body.
    CutBody,
    /// The second half of the body comes late.
    SlowBody { milliseconds: u64 },
    /// Half of the JSON, as if it were whole.
    TruncatedJson,
    /// A body that is not JSON, with the content type of JSON.
    InvalidJson,
    /// A page that says there is more after the cursor of the page before.
    RepeatedCursor,
    /// A page that says there is more, and not where.
    MissingLastId,
    /// A page without a row that says there is more.
    EmptyPage,
    /// A page of at most so many rows that does not say whether more follows.
    ShortPage {
        /// How many rows it has at most.
        rows: usize,
    },
    /// After a page with more to come, its last object goes away: the next cursor refers to no object.
    CursorRemoved,
    /// After a page with more to come, its first object is deleted after it was listed.
    ListedRemoved,
    /// After a page with more to come, an object is created: newest first, it is before the first page.
    InsertedAtHead,
    /// The page's last row comes a second time, with another name or role.
    ContradictoryDuplicate,
    /// Roles, statuses and types that no documentation mentions.
    UnknownEnums,
    /// Fields that no documentation mentions.
    ExtraFields,
}

/// A fault that was set, with its count.
#[derive(Debug)]
pub(super) struct Armed {
    pub(super) fault: Fault,
    met: u64,
}

impl Armed {
    pub(super) fn new(fault: Fault) -> Self {
        Self { fault, met: 0 }
    }

    /// Counts the request if it matches, and says whether the fault strikes it.
    pub(super) fn strikes(&mut self, path: &str, collection: Option<&str>) -> bool {
        let on = self.fault.on.as_str();
        let matches = on.is_empty()
            || if on.starts_with('/') {
                path.starts_with(on)
            } else {
                collection.is_some_and(|name| name == on || (on == "members" && name.starts_with("members/")))
            };
        if !matches {
            return false;
        }
        self.met += 1;
        match self.fault.when {
            When::Always => true,
            When::First(count) => self.met <= count,
            When::Nth(number) => self.met == number,
        }
    }
}

impl Fault {
    /// A fault of every request to a collection or path.
    pub fn on(on: &str, answer: Answer) -> Self {
        Self { on: on.to_owned(), when: When::Always, answer }
    }

    /// The same for the first so many alone.
    #[must_use]
    pub fn first(self, count: u64) -> Self {
        Self { when: When::First(count), ..self }
    }

    /// The same for one request alone, counted from 1.
    #[must_use]
    pub fn nth(self, number: u64) -> Self {
        Self { when: When::Nth(number), ..self }
    }
}

impl Answer {
    /// Its name in the request log.
    pub(super) fn name(&self) -> String {
        match serde_json::to_value(self) {
            Ok(Value::String(name)) => name,
            Ok(Value::Object(fields)) => fields.into_iter().next().map(|(name, _)| name).unwrap_or_default(),
            _ => String::new(),
        }
    }

    /// Spoils what the API would have answered, if this is a fault of content.
    pub(super) fn spoil(&self, body: &mut Value, after_id: Option<&str>) {
        match self {
            Self::RepeatedCursor if body.get("data").is_some() => {
                body["has_more"] = json!(true);
                if let Some(cursor) = after_id {
                    body["last_id"] = json!(cursor);
                }
            }
            Self::MissingLastId if body.get("data").is_some() => {
                body["has_more"] = json!(true);
                body["last_id"] = Value::Null;
            }
            Self::EmptyPage if body.get("data").is_some() => {
                body["data"] = json!([]);
                body["has_more"] = json!(true);
            }
            Self::ShortPage { rows } => shorten(body, *rows),
            Self::ContradictoryDuplicate => {
                if let Some(data) = body.get_mut("data").and_then(Value::as_array_mut)
                    && let Some(mut row) = data.last().cloned()
                {
                    let field = if row.get("name").is_some() { "name" } else { "workspace_role" };
                    row[field] = json!("something else");
                    data.push(row);
                }
            }
            Self::UnknownEnums => each_row(body, |row| {
                for field in ["role", "status", "workspace_role"] {
                    if row.get(field).is_some() {
                        row[field] = json!("from_the_future");
                    }
                }
                for field in ["created_by", "principal", "scope"] {
                    if row.get(field).is_some_and(Value::is_object) {
                        row[field]["type"] = json!("from_the_future");
                    }
                }
            }),
            Self::ExtraFields => {
                each_row(body, |row| {
                    row["from_the_future"] = json!({ "text": "é", "list": [1, 2.5, null, true] });
                });
                if body.get("data").is_some() {
                    body["next_page"] = Value::Null;
                }
            }
            _ => {}
        }
    }
}

fn shorten(body: &mut Value, rows: usize) {
    let Some(data) = body.get_mut("data").and_then(Value::as_array_mut) else { return };
    if data.len() > rows {
        data.truncate(rows);
        let last = data.last().cloned().unwrap_or_default();
        body["last_id"] = last.get("id").or_else(|| last.get("user_id")).cloned().unwrap_or_default();
    }
    if let Some(page) = body.as_object_mut() {
        page.remove("has_more");
    }
}

fn each_row(body: &mut Value, edit: impl Fn(&mut Value)) {
    match body.get_mut("data").and_then(Value::as_array_mut) {
        Some(rows) => rows.iter_mut().for_each(edit),
        None => edit(body),
    }
}

//! One request's way: log, credential, version, rate limit, fault, answer.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::dice::Dice;
use super::fault::{Answer, Armed};
use super::initial_organization;
use super::life::Life;
use super::mutation::{Event, Mutation, MutationError};
use super::page::{Query, parameter};
use super::refusal::Refusal;
use super::resources;
use super::settings::{ApiVersion, Settings, UnknownVersion};
use super::truth::Truth;

/// Requests that the log keeps; older ones are dropped, so that a long life does not fill the memory.
const LOG: usize = 100_000;

/// What the handler passes on of a request: never a header but these two.
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) raw_query: String,
    pub(super) query: Vec<(String, String)>,
    /// `x-api-key`, or the bearer token.
    pub(super) key: Option<String>,
    /// `anthropic-version`.
    pub(super) version: Option<String>,
}

/// Headers of an answer.
pub(super) type Headers = Vec<(&'static str, String)>;

pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Headers,
    pub(super) body: Value,
    pub(super) delivery: Delivery,
}

/// How the body gets there.
pub(super) enum Delivery {
    Whole,
    Cut,
    CutBody,
    Slow(Duration),
    Truncated,
    Text { content_type: &'static str, text: &'static str },
}

/// One request as the log keeps it, without any header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoggedRequest {
    /// Such as `GET`.
    pub method: String,
    /// Without the query.
    pub path: String,
    /// As sent, without the question mark.
    pub query: String,
    /// The collection that the path belongs to, if any.
    pub collection: Option<String>,
    /// The answer's status; `None`: the connection was cut.
    pub status: Option<u16>,
    /// The id in the answer's header.
    pub request_id: String,
    /// The fault that struck it.
    pub fault: Option<String>,
}

/// Everything that the server knows, behind one lock.
pub(super) struct World {
    pub(super) truth: Truth,
    pub(super) admin_key: String,
    pub(super) faults: Vec<Armed>,
    log: VecDeque<LoggedRequest>,
    life: Life,
    ids: Dice,
    allowance: Allowance,
}

impl World {
    pub(super) fn new(settings: &Settings) -> Self {
        let mut ids = Dice::new(settings.seed, 3);
        let admin_key = format!("sk-ant-admin01-{}AA", ids.letters(93));
        let truth = initial_organization::organization(settings);
        Self {
            life: Life::new(settings, &truth),
            truth,
            admin_key,
            faults: Vec::new(),
            log: VecDeque::new(),
            ids,
            allowance: Allowance::new(settings.requests_per_minute),
        }
    }

    pub(super) fn live(&mut self, steps: usize) -> Vec<Event> {
        (0..steps).flat_map(|_| self.life.step(&mut self.truth)).collect()
    }

    pub(super) fn mutate(&mut self, what: Mutation) -> Result<Event, MutationError> {
        self.life.intervene(&mut self.truth, what)
    }

    pub(super) fn log(&self) -> Vec<LoggedRequest> {
        self.log.iter().cloned().collect()
    }

    /// Answers one request to the API and logs it.
    pub(super) fn exchange(&mut self, request: &Request) -> Reply {
        let request_id = format!("req_011C{}", self.ids.letters(20));
        let collection = resources::collection(&request.path);
        let mut struck = None;
        let mut reply = match self.admit(request) {
            Err((refusal, headers)) => refused(&refusal, &request_id, headers),
            Ok(mut headers) => {
                headers.push(("anthropic-organization-id", self.truth.organization.id.clone()));
                struck = self.strike(&request.path, collection.as_deref());
                match &struck {
                    Some(answer) => self.go_wrong(answer, request, &request_id, headers),
                    None => self.answer(request, &request_id, headers),
                }
            }
        };
        let cut = matches!(reply.delivery, Delivery::Cut);
        if self.log.len() == LOG {
            self.log.pop_front();
        }
        self.log.push_back(LoggedRequest {
            method: request.method.clone(),
            path: request.path.clone(),
            query: request.raw_query.clone(),
            collection,
            status: (!cut).then_some(reply.status),
            request_id: request_id.clone(),
            fault: struck.as_ref().map(Answer::name),
        });
        reply.headers.push(("request-id", request_id));
        reply
    }

    /// Credential first, then version, then rate: a refused credential costs nothing.
    fn admit(&mut self, request: &Request) -> Result<Headers, (Refusal, Headers)> {
        let refuse = |status, message| Err((Refusal::new(status, message), Vec::new()));
        match request.key.as_deref() {
            None => return refuse(401, "x-api-key header is required"),
            Some(key) if key == self.admin_key => {}
            Some(key) if key.starts_with("sk-ant-api03-") => {
                return refuse(403, "Workspace API keys cannot access the Admin API.");
            }
            Some(_) => return refuse(401, "invalid x-api-key"),
        }
        if let Err(refusal) = self.version(request) {
            return Err((refusal, Vec::new()));
        }
        if !self.truth.switches.enforce_rate_limit {
            return Ok(Vec::new());
        }
        let limit = self.truth.switches.requests_per_minute;
        let spent = self.allowance.spend(limit);
        let mut headers = self.allowance.headers(limit);
        match spent {
            Ok(()) => Ok(headers),
            Err(wait) => {
                headers.push(("retry-after", wait.to_string()));
                let message = "This request would exceed your organization's rate limit for the Admin API.";
                Err((Refusal::new(429, message), headers))
            }
        }
    }

    fn version(&self, request: &Request) -> Result<ApiVersion, Refusal> {
        let switches = &self.truth.switches;
        let Some(name) = &request.version else {
            return Err(Refusal::invalid("anthropic-version: header is required"));
        };
        match (ApiVersion::parse(name, switches.generation), switches.unknown_version) {
            (Some(version), _) => Ok(version),
            (None, UnknownVersion::Ignored) => Ok(ApiVersion::V20230601),
            (None, UnknownVersion::BadRequest) => {
                Err(Refusal::invalid(&format!("anthropic-version: \"{name}\" is not a valid version")))
            }
        }
    }

    fn strike(&mut self, path: &str, collection: Option<&str>) -> Option<Answer> {
        let mut struck = None;
        for armed in &mut self.faults {
            // Every fault counts the request, so that `nth` does not depend on the others.
            if armed.strikes(path, collection) && struck.is_none() {
                struck = Some(armed.fault.answer.clone());
            }
        }
        struck
    }

    fn answer(&self, request: &Request, request_id: &str, headers: Headers) -> Reply {
        if request.method != "GET" {
            return refused(&Refusal::new(405, "Method Not Allowed"), request_id, headers);
        }
        let query: &Query = &request.query;
        let answer = self
            .version(request)
            .and_then(|version| resources::get(&self.truth, version, &request.path, query));
        match answer {
            Ok(body) => Reply { status: 200, headers, body, delivery: Delivery::Whole },
            Err(refusal) => refused(&refusal, request_id, headers),
        }
    }

    fn go_wrong(
        &mut self,
        answer: &Answer,
        request: &Request,
        request_id: &str,
        mut headers: Headers,
    ) -> Reply {
        let status =
            |status, message: &str, headers| refused(&Refusal::new(status, message), request_id, headers);
        match answer {
            Answer::Unauthorized => status(401, "invalid x-api-key", Vec::new()),
            Answer::Forbidden => {
                status(403, "Missing required scopes. Got: [] Needed one of: ['org:admin']", headers)
            }
            Answer::NotFound => status(404, "Not found", headers),
            Answer::Status(code) => status(*code, "This fault was asked for.", headers),
            Answer::OnHold => {
                let refusal = Refusal::invalid("This organization is on hold.").coded("organization_on_hold");
                refused(&refusal, request_id, headers)
            }
            Answer::RateLimited { retry_after, retry_after_ms, reset } => {
                let given = [
                    ("retry-after", retry_after),
                    ("retry-after-ms", retry_after_ms),
                    ("anthropic-ratelimit-requests-reset", reset),
                ];
                headers.extend(given.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
                status(429, "This request would exceed your organization's rate limit.", headers)
            }
            Answer::ServerError { should_retry } => {
                headers.extend(should_retry.map(|retry| ("x-should-retry", retry.to_string())));
                status(500, "Internal server error", headers)
            }
            Answer::Overloaded => status(529, "Overloaded", headers),
            Answer::Redirect { to } => {
                headers.push(("location", to.clone()));
                Reply { status: 307, headers, body: json!({}), delivery: Delivery::Whole }
            }
            Answer::HtmlBadGateway => {
                let text = "<html><head><title>502 Bad Gateway</title></head><body>cloudflare</body></html>";
                let delivery = Delivery::Text { content_type: "text/html", text };
                Reply { status: 502, headers, body: Value::Null, delivery }
            }
            _ => self.spoil(answer, request, request_id, headers),
        }
    }

    /// The true answer, spoilt on its way or in its content.
    fn spoil(&mut self, answer: &Answer, request: &Request, request_id: &str, headers: Headers) -> Reply {
        let mut reply = self.answer(request, request_id, headers);
        if reply.status == 200 {
            answer.spoil(&mut reply.body, parameter(&request.query, "after_id"));
            self.change_while_paged(answer, &request.path, &reply.body);
        }
        reply.delivery = match answer {
            Answer::Cut => Delivery::Cut,
            Answer::CutBody => Delivery::CutBody,
            Answer::SlowBody { milliseconds } => Delivery::Slow(Duration::from_millis(*milliseconds)),
            Answer::TruncatedJson => Delivery::Truncated,
            Answer::InvalidJson => Delivery::Text {
                content_type: "application/json",
                text: "{\"data\": [}, \"has_more\": maybe",
            },
            _ => Delivery::Whole,
        };
        reply
    }

    fn change_while_paged(&mut self, answer: &Answer, path: &str, page: &Value) {
        let wanted = match answer {
            Answer::CursorRemoved => page["last_id"].as_str(),
            Answer::ListedRemoved => page["first_id"].as_str(),
            Answer::InsertedAtHead => Some(""),
            _ => None,
        };
        let (Some(id), Some(true), Some(collection)) =
            (wanted, page["has_more"].as_bool(), resources::collection(path))
        else {
            return;
        };
        let id = id.to_owned();
        let (kind, workspace_id) = collection.split_once('/').unwrap_or((&collection, ""));
        let workspace_id = workspace_id.to_owned();
        let inserted = id.is_empty();
        let what = match kind {
            "users" if inserted => Some(Mutation::AddUser { id: None, email: None, name: None, role: None }),
            "users" => Some(Mutation::RemoveUser { id }),
            "workspaces" if inserted => Some(Mutation::MakeWorkspace { id: None, name: None }),
            "workspaces" => Some(Mutation::DeleteWorkspace { id }),
            "api_keys" if inserted => Some(Mutation::MakeKey {
                id: None,
                name: None,
                created_by: None,
                principal: None,
                workspace_id: None,
                expires_at: None,
            }),
            "api_keys" => Some(Mutation::DeleteKey { id }),
            _ if inserted => {
                let members = self.truth.members.get(&workspace_id);
                let free = self.truth.users.keys().find(|id| members.is_none_or(|of| !of.contains_key(*id)));
                let role = "workspace_user".to_owned();
                free.cloned().map(|user_id| Mutation::GiveMembership { user_id, workspace_id, role })
            }
            _ => Some(Mutation::TakeMembership { user_id: id, workspace_id }),
        };
        if let Some(what) = what
            && let Err(error) = self.mutate(what)
        {
            tracing::warn!(%error, collection, "the list did not change while being paged");
        }
    }
}

fn refused(refusal: &Refusal, request_id: &str, headers: Headers) -> Reply {
    Reply { status: refusal.status, headers, body: refusal.body(request_id), delivery: Delivery::Whole }
}

/// A token bucket by the wall clock: the one thing here that is not simulated, as clients wait in real time.
struct Allowance {
    tokens: f64,
    filled: Instant,
}

impl Allowance {
    fn new(limit: u32) -> Self {
        Self { tokens: f64::from(limit), filled: Instant::now() }
    }

    /// Takes one request, or says after how many seconds there is one.
    fn spend(&mut self, limit: u32) -> Result<(), u64> {
        let rate = f64::from(limit.max(1)) / 60.0;
        let now = Instant::now();
        let refilled = self.tokens + now.duration_since(self.filled).as_secs_f64() * rate;
        self.tokens = refilled.min(f64::from(limit));
        self.filled = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.tokens) / rate).as_secs() + 1)
    }

    fn headers(&self, limit: u32) -> Headers {
        let rate = f64::from(limit.max(1)) / 60.0;
        let missing = Duration::from_secs_f64((f64::from(limit) - self.tokens).max(0.0) / rate);
        let reset = Timestamp::now().saturating_add(missing).unwrap_or(Timestamp::UNIX_EPOCH);
        vec![
            ("anthropic-ratelimit-requests-limit", limit.to_string()),
            ("anthropic-ratelimit-requests-remaining", format!("{:.0}", self.tokens.floor())),
            ("anthropic-ratelimit-requests-reset", format!("{reset:.0}")),
        ]
    }
}

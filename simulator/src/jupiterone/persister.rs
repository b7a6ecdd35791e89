//! The account's state, and its answer to one request.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::fault::{Faults, Struck};
use super::graph::Graph;
use super::job::Job;
use super::received::Received;
use super::refusal::Refusal;
use super::request_log::{LoggedRequest, RequestLog};
use super::route::{Route, Target};
use super::settings::{BodyLimitCounts, SecondOpenJob, Settings};
use super::sync_mode::SyncMode;
use super::{data_model, life_cycle, start, upload};

/// How many jobs are remembered once they are done, the newest.
const DONE_JOBS_LIMIT: usize = 10_000;

/// How many violations of the data-model are remembered, the first ones.
const VIOLATIONS_LIMIT: usize = 1_000;

/// How many queries one validation takes, as JupiterOne's own tool sends at most.
const QUERIES_LIMIT: usize = 250;

/// Everything that the server knows.
#[derive(Debug)]
pub(crate) struct Persister {
    pub(crate) settings: Settings,
    pub(crate) graph: Graph,
    pub(crate) faults: Faults,
    pub(crate) log: RequestLog,
    /// What uploads that were taken violate of the data-model.
    pub(crate) violations: Vec<String>,
    jobs: BTreeMap<String, Job>,
    /// Job ids in the order of their starts.
    started: Vec<String>,
}

/// What the server does in answer to a request.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) status: u16,
    pub(crate) body: Value,
    /// Seconds.
    pub(crate) retry_after: Option<u32>,
    pub(crate) delay_ms: u64,
    pub(crate) cut: bool,
}

impl Persister {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            graph: Graph::default(),
            faults: Faults::default(),
            log: RequestLog::default(),
            violations: Vec::new(),
            jobs: BTreeMap::new(),
            started: Vec::new(),
        }
    }

    /// Carries out the request, as far as faults let it, and logs it.
    pub(crate) fn handle(&mut self, request: &Received, now: u64) -> Verdict {
        let target = Target::parse(&request.method, &request.path);
        let authorized = self.authorize(request);
        let scope = self.scope_of(target.as_ref().ok(), request);
        let mut struck = Struck::default();
        if let (Ok(target), Ok(())) = (&target, &authorized) {
            let body = request.json.as_ref().ok().and_then(Option::as_ref);
            struck = self.faults.strike(target.route, scope.as_deref(), body);
        }
        let route = target.as_ref().ok().map(|target| target.route);
        let named = target.as_ref().ok().map(|target| target.job.clone()).filter(|id| !id.is_empty());
        let outcome = if struck.cut_before {
            Err(Refusal::internal(500))
        } else if let Some(answer) = struck.answer.take() {
            Err(answer)
        } else {
            authorized.and_then(|()| self.carry_out(target, request, &struck, now))
        };
        let cut = struck.cut_before || struck.cut_after;
        let (status, error_code, body) = match outcome {
            Ok(mut body) => {
                if let Some(job) = body.get_mut("job").and_then(Value::as_object_mut) {
                    job.extend(struck.answered);
                }
                (200, None, body)
            }
            Err(refusal) => (refusal.status, Some(refusal.code.to_owned()), refusal.envelope()),
        };
        self.log.push(LoggedRequest {
            at: now,
            method: request.method.clone(),
            path: request.path_and_query(),
            route,
            status: (!cut).then_some(status),
            error_code: error_code.filter(|_| !cut),
            body_bytes: request.sent_bytes,
            inflated_bytes: request.inflated_bytes,
            job_id: named.or_else(|| Some(body["job"]["id"].as_str()?.to_owned())),
            scope,
            correlation_id: request.correlation_id.clone(),
            fault: struck.any,
        });
        Verdict { status, body, retry_after: struck.retry_after, delay_ms: struck.delay_ms, cut }
    }

    /// The jobs in the order of their starts, with what only the simulator knows under `_simulator`.
    pub(crate) fn jobs(&self) -> Vec<Value> {
        let jobs = self.started.iter().filter_map(|id| self.jobs.get(id));
        jobs.map(|job| job.to_json_for_people(&self.settings.account_id)).collect()
    }

    fn authorize(&self, request: &Received) -> Result<(), Refusal> {
        let account = request.account.as_ref() == Some(&self.settings.account_id);
        let key = request.bearer.as_ref() == Some(&self.settings.api_key);
        if account && key { Ok(()) } else { Err(Refusal::unauthorized()) }
    }

    fn scope_of(&self, target: Option<&Target>, request: &Received) -> Option<String> {
        let target = target?;
        if target.route != Route::Start {
            return Some(self.jobs.get(&target.job)?.owner.scope.clone());
        }
        let body = request.json.as_ref().ok()?.as_ref()?;
        let scope = body["scope"].as_str().or_else(|| body["integrationInstanceId"].as_str());
        scope.map(str::to_owned)
    }

    fn carry_out(
        &mut self,
        target: Result<Target, Refusal>,
        request: &Received,
        struck: &Struck,
        now: u64,
    ) -> Result<Value, Refusal> {
        let size = match self.settings.body_limit_counts {
            BodyLimitCounts::Inflated => request.inflated_bytes,
            BodyLimitCounts::AsSent => request.sent_bytes,
        };
        let limit = struck.body_limit.unwrap_or(usize::MAX).min(self.settings.body_limit);
        if size > limit {
            return Err(Refusal::too_large(limit));
        }
        let empty = json!({});
        let body = request.json.as_ref().map_err(Clone::clone)?.as_ref().unwrap_or(&empty);
        if request.path == "/j1ql/validate" && request.method == "POST" {
            return validate_queries(body);
        }
        let target = target?;
        if target.route == Route::Start {
            return self.start(body, now);
        }
        let settings = self.settings.clone();
        let Self { jobs, graph, violations, .. } = self;
        let job = jobs
            .get_mut(&target.job)
            .ok_or_else(|| Refusal::new(404, "JOB_NOT_FOUND", "There is no such job."))?;
        match target.route {
            Route::Entities | Route::Relationships | Route::Upload => {
                life_cycle::awaiting_uploads(job)?;
                let body = without(body, &struck.dropped);
                upload::stage(job, target.route, request, &body, &settings)?;
                judge(job, &body, violations);
            }
            Route::Finalize => {
                job.lost.clone_from(&struck.lost);
                life_cycle::finalize(job, graph, &settings, body, struck.ending, now)?;
            }
            Route::Abort => life_cycle::abort(job, body, now)?,
            Route::Events => return life_cycle::publish(job, body, now),
            Route::Status => life_cycle::advance(job, graph, &settings, now),
            Route::Start | Route::Any => {}
        }
        Ok(json!({"job": job.to_json(&settings.account_id)}))
    }

    fn start(&mut self, body: &Value, now: u64) -> Result<Value, Refusal> {
        let job = start::job(body, &self.settings, now)?;
        if self.jobs.contains_key(&job.id) {
            return Err(Refusal::new(409, "JOB_ALREADY_EXISTS", "integrationJobId names another job."));
        }
        let open =
            self.jobs.values().any(|other| !other.status.is_done() && other.owner.scope == job.owner.scope);
        let another = "Another job of this scope is open.";
        match self.settings.second_open_job {
            SecondOpenJob::Reject if open => return Err(Refusal::new(409, "JOB_ALREADY_OPEN", another)),
            SecondOpenJob::RejectAsBad if open => return Err(Refusal::bad("JOB_ALREADY_OPEN", another)),
            _ => {}
        }
        let answer = json!({"job": job.to_json(&self.settings.account_id)});
        self.started.push(job.id.clone());
        self.jobs.insert(job.id.clone(), job);
        self.forget_jobs();
        Ok(answer)
    }

    fn forget_jobs(&mut self) {
        let done = self.jobs.values().filter(|job| job.status.is_done()).count();
        if done <= DONE_JOBS_LIMIT {
            return;
        }
        let oldest =
            self.started.iter().position(|id| self.jobs.get(id).is_none_or(|job| job.status.is_done()));
        if let Some(oldest) = oldest {
            let id = self.started.remove(oldest);
            self.jobs.remove(&id);
        }
    }
}

/// The body of an upload without the objects with these keys.
fn without<'a>(body: &'a Value, dropped: &BTreeSet<String>) -> Cow<'a, Value> {
    if dropped.is_empty() {
        return Cow::Borrowed(body);
    }
    let mut body = body.clone();
    for kind in ["entities", "relationships"] {
        if let Some(objects) = body.get_mut(kind).and_then(Value::as_array_mut) {
            objects.retain(|object| object["_key"].as_str().is_none_or(|key| !dropped.contains(key)));
        }
    }
    Cow::Owned(body)
}

/// Notes what a batch violates of the data-model; a PATCH carries parts of objects, which have no class to judge by.
fn judge(job: &Job, body: &Value, violations: &mut Vec<String>) {
    if job.mode != SyncMode::Diff {
        return;
    }
    let objects = ["entities", "relationships"].iter().filter_map(|kind| body[kind].as_array()).flatten();
    for object in objects.filter_map(Value::as_object) {
        for violation in data_model::violations(object) {
            if violations.len() < VIOLATIONS_LIMIT {
                violations.push(format!("{}: {violation}", object["_key"]));
            }
        }
    }
}

/// Takes every query that is not empty for valid: JupiterOne's parser is not public.
fn validate_queries(body: &Value) -> Result<Value, Refusal> {
    let queries = body["queries"].as_array().filter(|queries| queries.len() <= QUERIES_LIMIT);
    let queries = queries.ok_or_else(|| {
        Refusal::bad("INVALID_REQUEST", format!("queries must be an array of at most {QUERIES_LIMIT}."))
    })?;
    let verdict = |query: &Value| {
        if query.as_str().is_some_and(|query| !query.trim().is_empty()) {
            json!({"valid": true, "query": query})
        } else {
            let error = json!({"code": "PARSER_ERROR", "message": "The query is empty."});
            json!({"valid": false, "query": query, "error": error})
        }
    };
    Ok(queries.iter().map(verdict).collect())
}

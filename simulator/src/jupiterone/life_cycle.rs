//! What moves a job from one state to the next.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use uuid::Uuid;

use super::fault::Ending;
use super::finalize;
use super::graph::Graph;
use super::job::{Job, Status};
use super::refusal::Refusal;
use super::settings::{Finalize, Settings};

/// Refuses what only an open job takes.
pub(crate) fn awaiting_uploads(job: &Job) -> Result<(), Refusal> {
    if job.status == Status::AwaitingUploads {
        return Ok(());
    }
    Err(Refusal::not_awaiting_uploads(&job.id, job.status.name()))
}

/// Closes a job for uploads and begins to write what it has, or fails it as a fault says.
pub(crate) fn finalize(
    job: &mut Job,
    graph: &mut Graph,
    settings: &Settings,
    body: &Value,
    ending: Option<Ending>,
    now: u64,
) -> Result<(), Refusal> {
    awaiting_uploads(job)?;
    let invalid = || Refusal::bad("INVALID_REQUEST", "partialDatasets.types must be an array of strings.");
    if let Some(partial) = body.get("partialDatasets") {
        let types = partial["types"].as_array().ok_or_else(invalid)?.iter();
        let types: Option<BTreeSet<String>> = types.map(|kind| kind.as_str().map(str::to_owned)).collect();
        job.partial_types = types.ok_or_else(invalid)?;
    }
    let ending = ending.filter(|ending| ending.status != Status::Finished);
    job.status = Status::FinalizePending;
    job.ends_in = ending.map_or(Status::Finished, |ending| ending.status);
    job.writes_entities = ending.is_none_or(|ending| ending.after_entities);
    if settings.finalize == Finalize::AtOnce {
        advance(job, graph, settings, now);
    }
    Ok(())
}

/// One step of a finalized job: at the last one it is done, entities are written half-way.
pub(crate) fn advance(job: &mut Job, graph: &mut Graph, settings: &Settings, now: u64) {
    if job.status == Status::AwaitingUploads || job.status.is_done() {
        return;
    }
    job.polls += 1;
    let last = match settings.finalize {
        Finalize::AtOnce => 1,
        Finalize::AfterPolls(n) => n,
    };
    let ends = job.polls >= last;
    if job.writes_entities && job.status != Status::FinalizingRelationships && (ends || job.polls * 2 >= last)
    {
        finalize::entities(graph, job, settings, now);
        job.status = Status::FinalizingRelationships;
    } else if job.status == Status::FinalizePending {
        job.status = Status::FinalizingEntities;
    }
    if ends && job.ends_in == Status::Finished {
        finalize::relationships(graph, job, settings, now);
        job.end(Status::Finished, None, now);
    } else if ends {
        job.end(job.ends_in, Some("a fault".into()), now);
    }
}

/// Gives a job up for its client.
pub(crate) fn abort(job: &mut Job, body: &Value, now: u64) -> Result<(), Refusal> {
    awaiting_uploads(job)?;
    let status = match body["terminalStatus"].as_str() {
        None if body["terminalStatus"].is_null() => Status::Aborted,
        Some("ABORTED") => Status::Aborted,
        Some("ABORTED_DUE_TO_INVALID_CONFIGURATION") => Status::AbortedDueToInvalidConfiguration,
        _ => {
            let message = "terminalStatus must be ABORTED or ABORTED_DUE_TO_INVALID_CONFIGURATION.";
            return Err(Refusal::bad("INVALID_REQUEST", message));
        }
    };
    job.end(status, body["reason"].as_str().map(str::to_owned), now);
    Ok(())
}

/// Keeps the events of an integration's job.
pub(crate) fn publish(job: &mut Job, body: &Value, now: u64) -> Result<Value, Refusal> {
    if !job.owner.is_instance() {
        return Err(Refusal::bad("JOB_HAS_NO_INTEGRATION", "Only an integration's job takes events."));
    }
    let invalid = |message: &str| Refusal::bad("INVALID_REQUEST", message);
    let events = body["events"].as_array().ok_or_else(|| invalid("\"events\" should be an array"))?;
    if events.iter().any(|event| !event["name"].is_string() || !event["description"].is_string()) {
        return Err(invalid("Each event needs a name and a description."));
    }
    let published: Vec<Value> = events
        .iter()
        .map(|event| {
            let (name, description) = (&event["name"], &event["description"]);
            json!({"id": Uuid::new_v4().to_string(), "name": name, "description": description, "createDate": now})
        })
        .collect();
    for event in &published {
        job.add_event(event.clone());
    }
    Ok(json!({"events": published}))
}

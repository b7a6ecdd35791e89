//! `/_simulator/…`: what a person or a test looks at and switches, without credentials.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::super::graph::GraphView;
use super::super::settings::Settings;
use super::super::tamper::tamper;
use super::{Shared, now, respond};

pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/_simulator/graph", get(graph))
        .route("/_simulator/requests", get(requests))
        .route("/_simulator/jobs", get(jobs))
        .route("/_simulator/violations", get(violations))
        .route("/_simulator/faults", axum::routing::post(add_fault).delete(clear_faults))
        .route("/_simulator/tamper", axum::routing::post(change))
        .route("/_simulator/settings", axum::routing::post(set))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GraphQuery {
    scope: Option<String>,
    #[serde(default)]
    include_deleted: bool,
}

async fn graph(State(shared): State<Arc<Shared>>, Query(query): Query<GraphQuery>) -> Json<Value> {
    let persister = shared.lock();
    let account_id = &persister.settings.account_id;
    let view = |scope: &str| persister.graph.view(scope, account_id, query.include_deleted);
    if let Some(scope) = &query.scope {
        return Json(json!(view(scope)));
    }
    let scopes: BTreeMap<&String, GraphView> =
        persister.graph.datasets.keys().map(|scope| (scope, view(scope))).collect();
    Json(json!(scopes))
}

async fn requests(State(shared): State<Arc<Shared>>) -> Json<Value> {
    Json(json!(shared.lock().log.all()))
}

async fn jobs(State(shared): State<Arc<Shared>>) -> Json<Value> {
    Json(json!(shared.lock().jobs()))
}

async fn violations(State(shared): State<Arc<Shared>>) -> Json<Value> {
    Json(json!(shared.lock().violations))
}

async fn add_fault(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let outcome = parse(&body).map(|fault| shared.lock().faults.add(fault));
    done(outcome)
}

async fn clear_faults(State(shared): State<Arc<Shared>>) -> Response {
    shared.lock().faults.clear();
    done(Ok(()))
}

async fn change(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let outcome = parse(&body).and_then(|change| {
        tamper(&mut shared.lock().graph, change, now()).map_err(|error| error.to_string())
    });
    done(outcome)
}

/// Sets the settings that the body names and leaves the others.
async fn set(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let outcome = parse::<BTreeMap<String, Value>>(&body).and_then(|changes| {
        let mut persister = shared.lock();
        let mut settings = json!(persister.settings);
        for (name, value) in changes {
            settings[name.as_str()] = value;
        }
        persister.settings =
            serde_json::from_value::<Settings>(settings).map_err(|error| error.to_string())?;
        Ok(())
    });
    done(outcome)
}

fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

fn done(outcome: Result<(), String>) -> Response {
    match outcome {
        Ok(()) => respond(200, &json!({"ok": true}), None),
        Err(message) => respond(400, &json!({"ok": false, "message": message}), None),
    }
}

//! `/_simulator/`: what people and tests ask of the simulator itself. No credential is asked for, none is shown.
//!
//! - `GET organization`: the [`Truth`], with the generation and all switches.
//! - `GET requests`: the requests to the API so far.
//! - `POST live?steps=N`: lives N steps and answers the [`Event`]s.
//! - `POST mutations`: one [`Mutation`] or an array, such as `{"mutation": "remove_user", "id": "user_…"}`.
//! - `POST faults`: one [`Fault`] or an array, such as
//!   `{"on": "users", "when": {"first": 2}, "answer": {"rate_limited": {"retry_after": "1"}}}` or
//!   `{"on": "members/wrkspc_…", "answer": "forbidden"}`; answers all that are set.
//! - `DELETE faults`: ends all of them.
//! - `POST settings`: some of the [`Switches`], such as `{"generation": 2}`; answers all of them.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{Router, any, get, post};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::super::fault::{Armed, Fault};
use super::super::mutation::{Event, Mutation};
use super::super::settings::Switches;
use super::super::truth::Truth;
use super::super::world::LoggedRequest;
use super::Shared;

/// The most steps of one request: it holds the world while it lives them.
const MAX_STEPS: usize = 100_000;

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/_simulator/organization", get(organization))
        .route("/_simulator/requests", get(requests))
        .route("/_simulator/live", post(live))
        .route("/_simulator/mutations", post(mutations))
        .route("/_simulator/faults", post(faults).delete(clear_faults))
        .route("/_simulator/settings", post(settings))
        .route("/_simulator/{*unknown}", any(unknown))
}

async fn organization(State(shared): State<Shared>) -> Json<Truth> {
    Json(shared.world().truth.clone())
}

async fn requests(State(shared): State<Shared>) -> Json<Vec<LoggedRequest>> {
    Json(shared.world().log())
}

/// A mistyped address is not taken for a request to the API.
async fn unknown() -> (StatusCode, Json<Refused<'static>>) {
    (StatusCode::NOT_FOUND, Json(Refused { error: "the simulator has no such address" }))
}

#[derive(Deserialize)]
struct Steps {
    #[serde(default = "one")]
    steps: usize,
}

fn one() -> usize {
    1
}

async fn live(State(shared): State<Shared>, Query(Steps { steps }): Query<Steps>) -> Response {
    if steps > MAX_STEPS {
        return refuse(&format!("steps: at most {MAX_STEPS}"));
    }
    Json(shared.world().live(steps)).into_response()
}

/// Stops at the first mutation that cannot happen; those before it have happened and are in the answer.
async fn mutations(State(shared): State<Shared>, body: String) -> Response {
    let list: Vec<Mutation> = match one_or_more(&body) {
        Ok(list) => list,
        Err(error) => return refuse(&error.to_string()),
    };
    let mut world = shared.world();
    let mut events: Vec<Event> = Vec::new();
    for what in list {
        match world.mutate(what) {
            Ok(event) => events.push(event),
            Err(error) => {
                let body = json!({ "error": error.to_string(), "happened": events });
                return (StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response();
            }
        }
    }
    Json(events).into_response()
}

async fn faults(State(shared): State<Shared>, body: String) -> Response {
    match one_or_more::<Fault>(&body) {
        Ok(list) => {
            let mut world = shared.world();
            world.faults.extend(list.into_iter().map(Armed::new));
            let set: Vec<&Fault> = world.faults.iter().map(|armed| &armed.fault).collect();
            Json(set).into_response()
        }
        Err(error) => refuse(&error.to_string()),
    }
}

async fn clear_faults(State(shared): State<Shared>) -> StatusCode {
    shared.world().faults.clear();
    StatusCode::NO_CONTENT
}

/// Changes the switches that the body names and answers all of them.
async fn settings(State(shared): State<Shared>, body: String) -> Response {
    let mut world = shared.world();
    match merged(&world.truth.switches, &body) {
        Ok(switches) if (1..=4).contains(&switches.generation) => {
            world.truth.switches = switches;
            Json(world.truth.switches.clone()).into_response()
        }
        Ok(_) => refuse("generation: choose 1 to 4"),
        Err(error) => refuse(&error.to_string()),
    }
}

fn merged(switches: &Switches, body: &str) -> serde_json::Result<Switches> {
    let wanted: Map<String, Value> = serde_json::from_str(body)?;
    let mut fields = serde_json::to_value(switches)?;
    for (name, value) in wanted {
        fields[name] = value;
    }
    serde_json::from_value(fields)
}

/// A JSON object or an array of them.
fn one_or_more<T: DeserializeOwned>(body: &str) -> serde_json::Result<Vec<T>> {
    match serde_json::from_str(body)? {
        Value::Array(list) => list.into_iter().map(serde_json::from_value).collect(),
        single => Ok(vec![serde_json::from_value(single)?]),
    }
}

#[derive(Serialize)]
struct Refused<'a> {
    error: &'a str,
}

fn refuse(error: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(Refused { error })).into_response()
}

//! The HTTP server: the API at every path, the control under `/_simulator/`.

mod control;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Query, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;
use futures::stream::{self, StreamExt};

use super::connection::Scissors;
use super::world::{Delivery, Reply, Request, World};

/// The world, shared by all connections.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub(super) fn new(world: World) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }

    /// The world. A panic elsewhere does not make it unusable: the tests that caused it want to read the log.
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn router(shared: Shared) -> Router {
    control::routes().fallback(api).with_state(shared)
}

async fn api(
    State(shared): State<Shared>,
    ConnectInfo(scissors): ConnectInfo<Scissors>,
    method: Method,
    uri: Uri,
    RawQuery(raw_query): RawQuery,
    Query(query): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Response {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = text("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let request = Request {
        method: method.to_string(),
        path: uri.path().to_owned(),
        raw_query: raw_query.unwrap_or_default(),
        query,
        key: text("x-api-key").or(bearer).map(str::to_owned),
        version: text("anthropic-version").filter(|version| !version.is_empty()).map(str::to_owned),
    };
    let reply = shared.world().exchange(&request);
    deliver(reply, &scissors)
}

fn deliver(reply: Reply, scissors: &Scissors) -> Response {
    let mut content_type = "application/json";
    let bytes = reply.body.to_string().into_bytes();
    let length = bytes.len();
    let body = match reply.delivery {
        Delivery::Whole => Body::from(bytes),
        Delivery::Truncated => Body::from(bytes[..length / 2].to_vec()),
        Delivery::Text { content_type: other, text } => {
            content_type = other;
            Body::from(text)
        }
        Delivery::Cut => {
            scissors.cut();
            Body::empty()
        }
        Delivery::CutBody => {
            let cut = Err(io::Error::from(io::ErrorKind::ConnectionReset));
            // The pause has the first half sent before the connection goes.
            in_halves(bytes[..length / 2].to_vec(), Duration::from_millis(10), cut)
        }
        Delivery::Slow(pause) => {
            in_halves(bytes[..length / 2].to_vec(), pause, Ok(bytes[length / 2..].to_vec()))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    for (name, value) in reply.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    response
}

/// A body that comes in two halves with a pause between them.
fn in_halves(first: Vec<u8>, pause: Duration, second: io::Result<Vec<u8>>) -> Body {
    let late = stream::once(async move {
        tokio::time::sleep(pause).await;
        second
    });
    Body::from_stream(stream::iter([Ok(first)]).chain(late))
}

//! The pages over HTTP. On loopback they are for every user of the machine; elsewhere a proxy authenticates people. Only a
//! decision uses POST.

use std::{convert::Infallible, net::IpAddr, sync::Arc, time::Duration};

use axum::{
    Extension, Form, Router,
    extract::{
        DefaultBodyLimit, Query, Request, State,
        rejection::{FormRejection, QueryRejection},
    },
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, uri::Authority},
    middleware::{self, Next},
    response::{
        IntoResponse, Redirect, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::get,
};
use futures::stream::{self, Stream};
use service::shutdown::CancellationToken;
use tokio::{
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, sleep_until},
};
use tracing::info;

use crate::{
    access_control::{self, AccessControl, Visitor, is_ours},
    assets::asset,
    pages::{Answer, Asked, Sources, access, changes, holds, jupiterone, notice, organizations},
    query::{Format, Parameters, ask, text},
    refusal::Refusal,
    store::{View, changes::Place},
};

/// Live pages at once (count): each holds a connection.
const MOST_LIVE: usize = 64;
/// A live page hears at least this often that it is still connected.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long a live page is served before it has to ask again, from where it was: its visitor may have lost the role.
const LIVE_BOUND: Duration = Duration::from_mins(15);
/// Largest form (bytes): IDs and a reason.
const MOST_FORM: usize = 64 * 1_024;
/// What a request to change something is answered that no page of the console sends.
const FOREIGN_PAGE: &str = "only a page of the console may decide\n";
/// What a request is answered that asks loopback by another name: a page elsewhere may have its name resolve to 127.0.0.1
/// and read what the browser gets there (DNS rebinding).
const FOREIGN_NAME: &str =
    "the console listens on loopback and answers for localhost and IP addresses only\n";

/// Of every answer. Nothing in a page is from elsewhere, or inline.
const HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // Addresses have IDs and names.
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (header::X_FRAME_OPTIONS, "DENY"),
];

#[derive(Debug, Clone)]
struct Served {
    sources: Sources,
    access_control: AccessControl,
    live: Arc<Semaphore>,
    shutdown: Option<CancellationToken>,
}

/// Serves the pages until the end is asked for.
pub async fn serve(
    listener: TcpListener,
    sources: Sources,
    access_control: AccessControl,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let router = router(sources, access_control, Some(shutdown.clone()));
    axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned()).await
}

pub fn router(
    sources: Sources,
    access_control: AccessControl,
    shutdown: Option<CancellationToken>,
) -> Router {
    let served = Served { sources, access_control, live: Arc::new(Semaphore::new(MOST_LIVE)), shutdown };
    Router::new()
        .route(
            "/",
            get(|served, visitor, query, headers| {
                show(served, visitor, query, headers, "/", organizations::page)
            }),
        )
        .route(
            "/access",
            get(|served, visitor, query, headers| {
                show(served, visitor, query, headers, "/access", access::page)
            }),
        )
        .route(
            "/changes",
            get(|served, visitor, query, headers| {
                show(served, visitor, query, headers, "/changes", changes::page)
            }),
        )
        .route("/changes/events", get(events))
        .route(
            "/holds",
            get(|served, visitor, query, headers| {
                show(served, visitor, query, headers, "/holds", holds::page)
            })
            .post(decided),
        )
        .route(
            "/jupiterone",
            get(|served, visitor, query, headers| {
                show(served, visitor, query, headers, "/jupiterone", jupiterone::page)
            }),
        )
        .route("/assets/{name}", get(file))
        .fallback(nothing)
        .layer(DefaultBodyLimit::max(MOST_FORM))
        .layer(middleware::from_fn_with_state(served.clone(), guard))
        .with_state(served)
}

async fn show(
    State(served): State<Served>,
    visitor: Option<Extension<Visitor>>,
    query: Result<Query<Parameters>, QueryRejection>,
    headers: HeaderMap,
    path: &'static str,
    page: fn(&View<'_>, &Asked) -> Result<Answer, Refusal>,
) -> Response {
    let visitor = visitor.map(|Extension(visitor)| visitor);
    info!(path, by = visitor.as_ref().map(|visitor| visitor.subject.as_str()), "opened the page {path}");
    let may_decide = served.access_control.opens_for(visitor.as_ref());
    let sources = served.sources;
    let asked = query
        .map_err(|_| Refusal::bad("The address has a parameter that cannot be understood.".to_owned()))
        .and_then(|Query(parameters)| {
            let format = parameters.format(&headers)?;
            Ok(Asked { parameters, sources: sources.clone(), format, may_decide })
        });
    let (format, answer) = match asked {
        Ok(asked) => {
            let format = asked.format;
            (format, ask(&sources.store, move |view| page(view, &asked)).await)
        }
        Err(refusal) => (Format::Html, Err(refusal)),
    };
    match answer {
        Ok(answer) => given(answer),
        Err(refusal) => refused(&refusal, format, &sources, path),
    }
}

fn given(answer: Answer) -> Response {
    match answer {
        Answer::Html(html) => ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response(),
        Answer::Json(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Answer::Csv { name, text } => {
            let disposition = format!("attachment; filename=\"{name}\"");
            let headers = [
                (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
                (header::CONTENT_DISPOSITION, disposition),
            ];
            (headers, text).into_response()
        }
    }
}

fn refused(refusal: &Refusal, format: Format, sources: &Sources, path: &'static str) -> Response {
    let status = match refusal {
        Refusal::Bad(_) | Refusal::WhichOrganization => StatusCode::BAD_REQUEST,
        Refusal::Missing(_) | Refusal::Search(_) | Refusal::Empty => StatusCode::NOT_FOUND,
        Refusal::Gone => StatusCode::CONFLICT,
        Refusal::Slow => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::Failed => StatusCode::INTERNAL_SERVER_ERROR,
    };
    if format == Format::Html {
        let page = notice::page(refusal, sources, path);
        return (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response();
    }
    let (heading, text) = notice::text(refusal);
    let error = serde_json::json!({ "error": heading, "detail": text });
    (status, [(header::CONTENT_TYPE, "application/json")], error.to_string()).into_response()
}

async fn decided(
    State(served): State<Served>,
    visitor: Option<Extension<Visitor>>,
    form: Result<Form<access_control::Form>, FormRejection>,
) -> Response {
    let (Some(write), Some(Extension(visitor))) = (served.access_control.write.get().cloned(), visitor)
    else {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    };
    if !visitor.is_decider {
        return (StatusCode::FORBIDDEN, "you may not decide\n").into_response();
    }
    let answer = match form {
        Ok(Form(form)) => access_control::decide(&served.sources, write, visitor, form).await,
        Err(_) => Err(Refusal::bad("The form is not complete.".to_owned())),
    };
    match answer {
        Ok(address) => Redirect::to(&address).into_response(),
        Err(refusal) => refused(&refusal, Format::Html, &served.sources, "/holds"),
    }
}

async fn file(request: Request) -> Response {
    asset(request.uri().path()).unwrap_or_else(|| StatusCode::NOT_FOUND.into_response())
}

async fn nothing(State(served): State<Served>) -> Response {
    let refusal = Refusal::missing("There is no such page.".to_owned());
    refused(&refusal, Format::Html, &served.sources, "/")
}

struct Live {
    served: Served,
    parameters: Parameters,
    place: Option<Place>,
    newest: watch::Receiver<i64>,
    ready: Vec<(Place, String)>,
    until: Instant,
    _permit: OwnedSemaphorePermit,
}

/// Changes as they happen: the HTML of each, with its place as the event's ID.
async fn events(
    State(served): State<Served>,
    query: Result<Query<Parameters>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let Ok(Query(parameters)) = query else { return StatusCode::BAD_REQUEST.into_response() };
    let Ok(permit) = Arc::clone(&served.live).try_acquire_owned() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let after = last.or(text(parameters.after.as_ref())).and_then(|place| place.parse().ok());
    let mut newest = served.sources.progress.watch();
    // Changes since the page was rendered are sent at once.
    newest.mark_changed();
    let until = Instant::now() + LIVE_BOUND;
    let live = Live { served, parameters, place: after, newest, ready: Vec::new(), until, _permit: permit };
    Sse::new(happening(live)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

fn happening(live: Live) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(live, |mut live| async move {
        loop {
            if !live.ready.is_empty() {
                let (place, html) = live.ready.remove(0);
                let event = Event::default().id(place.to_string()).data(html);
                return Some((Ok(event), live));
            }
            let ended = async {
                match &live.served.shutdown {
                    Some(shutdown) => shutdown.cancelled().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = live.newest.changed() => changed.ok()?,
                () = ended => return None,
                () = sleep_until(live.until) => return None,
            }
            let (parameters, place) = (live.parameters.clone(), live.place);
            let now_ms = (live.served.sources.now_ms)();
            let store = live.served.sources.store.clone();
            let found = ask(&store, move |view| changes::live(view, &parameters, place, now_ms)).await;
            live.ready = found.ok()?;
            if let Some((last, _)) = live.ready.last() {
                live.place = Some(*last);
                // There may be more than one answer has.
                live.newest.mark_changed();
            }
        }
    })
}

/// Refuses other names, other sites and whom the proxy does not prove, and adds what every answer has.
async fn guard(State(served): State<Served>, mut request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST);
    let is_asset = request.uri().path().starts_with("/assets/");
    let is_open = served.access_control.assertions.is_none();
    let mut response = if is_open && host.is_none_or(|host| !is_local_name(host)) {
        (StatusCode::MISDIRECTED_REQUEST, FOREIGN_NAME).into_response()
    } else {
        match served.access_control.visitor(request.headers()).await {
            Err(closed) => closed.into_response(),
            Ok(Some(_)) if !is_ours(request.method(), request.headers()) => {
                (StatusCode::FORBIDDEN, FOREIGN_PAGE).into_response()
            }
            Ok(visitor) => {
                if let Some(visitor) = visitor {
                    request.extensions_mut().insert(visitor);
                }
                next.run(request).await
            }
        }
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !is_asset {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::VARY, HeaderValue::from_static("accept"));
    }
    response
}

fn is_local_name(host: &HeaderValue) -> bool {
    let Ok(authority) = Authority::try_from(host.as_bytes()) else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

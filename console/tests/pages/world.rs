//! A console over a store that is filled from a life.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, RwLock},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, BodyDataStream, to_bytes},
    http::{HeaderMap, Request, StatusCode},
};
use console::{
    access_control::AccessControl,
    current_state::CurrentState,
    pages::Sources,
    progress::Progress,
    server,
    store::{Read, Store, Writer},
};
use futures::StreamExt as _;
use graph::state::GraphKey;
use schemas::{
    change::{Envelope, Kind, Op},
    codec::encode,
    collection::POLL,
    coverage::{Coverage, Hold, HoldState, Poll},
    element::Content,
    sync::{Parked, Sync},
    topics::Topic,
};
use service::config::{Config, Organization};
use tempfile::TempDir;
use tower::ServiceExt as _;

use crate::life::{ORGANIZATION, TOPIC, lived};

/// What people, workspaces and keys are called.
pub(crate) const HOSTILE: [&str; 5] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "=HYPERLINK(\"http://evil.example\")",
    "a\u{202e}b",
    "</text></svg><script>alert(2)</script>",
];
/// Long after the life.
pub(crate) const NOW_MS: i64 = 1_900_000_000_000;

pub(crate) struct World {
    router: Router,
    writer: Writer,
    progress: Arc<Progress>,
    pub(crate) changes: Vec<Envelope>,
    _folder: TempDir,
}

pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) text: String,
    headers: HeaderMap,
}

impl Page {
    pub(crate) fn header(&self, name: &str) -> String {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).expect("JSON")
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::behind(AccessControl::default())
    }

    pub(crate) fn behind(access_control: AccessControl) -> Self {
        let mut changes = std::thread::spawn(|| lived(5, 38)).join().expect("it lives");
        call_names(&mut changes);
        let folder = tempfile::tempdir().expect("a folder");
        let (store, mut writer) = Store::open(&folder.path().join("store.sqlite"), TOPIC).expect("it opens");
        let reads: Vec<Read> = changes.iter().enumerate().map(read).collect();
        let next = i64::try_from(changes.len()).expect("few");
        let newest = writer.take(0, 0, next, &reads).expect("it is taken");
        let progress = Arc::new(Progress::default());
        progress.advance(newest);
        let present = Arc::new(RwLock::new(present(&changes)));
        let sources = Sources {
            store,
            present,
            progress: Arc::clone(&progress),
            configured: configured(),
            now_ms: || NOW_MS,
        };
        Self {
            router: server::router(sources, access_control, None),
            writer,
            progress,
            changes,
            _folder: folder,
        }
    }

    /// Every page, of what is usual and what is hostile, now and before.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let mut all = vec![
            "/".to_owned(),
            "/access".to_owned(),
            "/access?q=script".to_owned(),
            "/changes".to_owned(),
            "/changes?type=user".to_owned(),
            "/holds".to_owned(),
            "/jupiterone".to_owned(),
        ];
        for (kind, parameter) in [("user", "user"), ("workspace", "workspace"), ("api_key", "api_key")] {
            let prefix = format!("anthropic_{kind}:");
            let mut ids: Vec<&str> =
                self.changes.iter().filter_map(|it| it.element_key.strip_prefix(&prefix)).collect();
            ids.retain(|id| !id.contains('|'));
            ids.sort_unstable();
            ids.dedup();
            for id in ids.into_iter().take(12) {
                all.push(format!("/access?{parameter}={id}"));
                all.push(format!("/access?{parameter}={id}&at=200"));
            }
        }
        all
    }

    pub(crate) fn workspaces(&self) -> Vec<String> {
        let ids = self.changes.iter().filter(|change| change.element_type == "anthropic_workspace");
        let mut ids: Vec<String> =
            ids.filter_map(|it| Some(it.element_key.split_once(':')?.1.to_owned())).collect();
        ids.dedup();
        ids
    }

    pub(crate) fn newest_place(&self) -> String {
        let last = self.changes.last().expect("some");
        format!("{}-{}", last.revision, self.changes.len() - 1)
    }

    /// A key is created while the console runs.
    pub(crate) fn one_more(&mut self) {
        let is_key = |it: &&Envelope| it.element_type == "anthropic_api_key" && it.op == Op::Create;
        let mut change = self.changes.iter().rfind(is_key).expect("one").clone();
        let number = self.changes.len();
        "one more".clone_into(&mut change.id);
        change.revision = self.changes.last().expect("some").revision + 1;
        "anthropic_api_key:apikey_more".clone_into(&mut change.element_key);
        if let Some(after) = &mut change.after {
            after.key.clone_from(&change.element_key);
        }
        let next = i64::try_from(number + 1).expect("few");
        let newest = self.writer.take(0, 0, next, &[read((number, &change))]).expect("it is taken");
        self.changes.push(change);
        self.progress.advance(newest);
    }

    pub(crate) async fn get(&self, address: &str) -> Page {
        self.get_as(address, "text/html").await
    }

    pub(crate) async fn get_as(&self, address: &str, accept: &str) -> Page {
        self.ask("GET", address, "127.0.0.1:9104", accept).await
    }

    pub(crate) async fn ask(&self, method: &str, address: &str, host: &str, accept: &str) -> Page {
        let request = Request::builder().method(method).uri(address).header("host", host);
        let request = request.header("accept", accept).body(Body::empty()).expect("a request");
        self.send(request).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Page {
        let response = self.router.clone().oneshot(request).await.expect("it answers");
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = to_bytes(response.into_body(), usize::MAX).await.expect("all of it");
        Page { status, headers, text: String::from_utf8(bytes.to_vec()).expect("UTF-8") }
    }

    pub(crate) async fn events(&self, address: &str, last: Option<&str>) -> Events {
        let mut request = Request::builder().uri(address).header("host", "localhost");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let request = request.body(Body::empty()).expect("a request");
        let response = self.router.clone().oneshot(request).await.expect("it answers");
        assert_eq!(response.status(), StatusCode::OK);
        Events { body: response.into_body().into_data_stream() }
    }
}

pub(crate) struct Events {
    body: BodyDataStream,
}

impl Events {
    /// The next event, as it is sent.
    pub(crate) async fn next(&mut self) -> String {
        let next = tokio::time::timeout(Duration::from_secs(10), self.body.next()).await;
        let bytes = next.expect("it comes in time").expect("it goes on").expect("it is whole");
        String::from_utf8(bytes.to_vec()).expect("UTF-8")
    }
}

fn read((index, change): (usize, &Envelope)) -> Read {
    Read { offset: i64::try_from(index).expect("few"), change: change.clone().into() }
}

fn call_names(changes: &mut [Envelope]) {
    for change in changes {
        for image in [&mut change.before, &mut change.after].into_iter().flatten() {
            let name =
                |id: &str| HOSTILE.get(usize::from(id.bytes().last().unwrap_or_default()) % 11).copied();
            if let Content::User(user) = &mut image.content
                && let Some(name) = name(&user.id)
            {
                name.clone_into(&mut user.name);
                name.clone_into(&mut image.display_name);
            }
            if let Content::ApiKey(key) = &mut image.content
                && let Some(name) = name(&key.id)
            {
                name.clone_into(&mut key.name);
                name.clone_into(&mut image.display_name);
            }
        }
    }
}

fn configured() -> Arc<[Organization]> {
    let text = format!(
        "kafka.bootstrap_servers = \"b:9092\"\n[[organizations]]\nname = \"nimbus\"\n\
         organization_id = \"{ORGANIZATION}\"\npolling_interval = \"1h\""
    );
    let config = Config::from_toml(&text, Path::new("/etc"), &BTreeMap::new()).expect("it is right");
    config.organizations.into()
}

fn present(changes: &[Envelope]) -> CurrentState {
    let mut present = CurrentState::default();
    let poll = Poll { started_ts_ms: Some(NOW_MS - 600_000), ended_ts_ms: Some(NOW_MS), ..Poll::default() };
    let coverage = Coverage { poll: Some(poll), ..Coverage::new(ORGANIZATION, "nimbus", POLL) };
    let key = GraphKey::Coverage(POLL.to_owned()).format(ORGANIZATION);
    present.take(Topic::Graph, key.as_bytes(), Some(&encode(&coverage))).expect("it is taken");
    for key in [format!("{ORGANIZATION}/users/user_1"), "other/users/user_1".to_owned()] {
        present.take(Topic::DeadLetters, key.as_bytes(), None).expect("it is taken");
    }
    let entities = changes.iter().filter(|change| change.kind == Kind::Entity).take(30);
    let relationships = changes.iter().filter(|it| it.element_type == "anthropic_account_has_user").take(3);
    for change in entities.chain(relationships) {
        let hold = Hold {
            organization_id: ORGANIZATION.to_owned(),
            element_key: change.element_key.clone(),
            collection: change.source.collection.clone(),
            listing_id: HOSTILE[0].to_owned(),
            raw_offset: 1,
            proposed_ts_ms: change.ts_ms,
            state: HoldState::Proposed,
            agreeing: 1,
        };
        let key = GraphKey::Hold(change.element_key.clone()).format(ORGANIZATION);
        present.take(Topic::Graph, key.as_bytes(), Some(&encode(&hold))).expect("it is taken");
    }
    let sync = Sync {
        organization_id: ORGANIZATION.to_owned(),
        target: HOSTILE[1].to_owned(),
        paused: Some(HOSTILE[0].to_owned()),
        parked: vec![Parked { reason: HOSTILE[2].to_owned(), ..Parked::default() }],
        ..Sync::default()
    };
    present.take(Topic::Sync, sync.key().as_bytes(), Some(&encode(&sync))).expect("it is taken");
    present
}

//! The console over an organization that lives in memory, without Kafka: for who works on the pages.
//!
//! `cargo run -p console --example simulated`, with an address if it is not 127.0.0.1:9104. Some names are hostile;
//! behind the address, `plain` leaves all names as they are, and `large` makes an organization of about 160,000
//! elements.

use std::{
    collections::BTreeMap,
    sync::{Arc, RwLock},
    time::Duration,
};

use anyhow::{Context as _, bail};
use console::{
    access_control::AccessControl,
    current_state::CurrentState,
    pages::Sources,
    progress::Progress,
    server,
    store::{Read, Store, Writer},
};
use graph::state::{GraphKey, States};
use schemas::{
    change::{Envelope, Op},
    codec::encode,
    collection::POLL,
    coverage::{Coverage, Hold, HoldState, Latest, Poll, WholeListing},
    element::Content,
    raw::Outcome,
    sync::{Finished, Intent, Parked, ParkedState, Sync, Wait},
    topics::Topic,
};
use simulator::anthropic::Settings;

#[expect(dead_code, reason = "the tests of the crate graph use more of it")]
#[path = "../../graph/tests/access/elements.rs"]
mod elements;
#[expect(dead_code, reason = "the tests of the store use more of it")]
#[path = "../tests/store/life.rs"]
mod life;

/// What an API key, a workspace and a person may be called.
const HOSTILE: [&str; 4] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "=HYPERLINK(\"http://evil.example\")",
    "right\u{202e}to left, and a very long name that goes on and on and on until nobody can read it any more",
];
const EVERY: Duration = Duration::from_secs(2);
/// Changes that come while the pages are served (count).
const LATER: usize = 60;

/// Users whom a sync job would delete, more than its guard allows (count).
const LEFT: i64 = 30;

/// Which organization is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Hostile,
    Plain,
    Large,
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:9104".to_owned());
    let kind = match arguments.next().as_deref() {
        None => Kind::Hostile,
        Some("plain") => Kind::Plain,
        Some("large") => Kind::Large,
        Some(other) => bail!("{other:?}: write plain, large, or nothing"),
    };
    let (users, workspaces, api_keys, rounds) = match kind {
        Kind::Hostile | Kind::Plain => (34, 9, 42, 119),
        Kind::Large => (20_000, 600, 45_000, 20),
    };
    let settings = Settings { seed: 7, users, workspaces, api_keys, ..Settings::default() };
    let mut changes = life::lived_with(settings, rounds);
    shift_to_now(&mut changes);
    if kind == Kind::Hostile {
        call_names(&mut changes);
    }
    let folder = tempfile::tempdir()?;
    let (store, mut writer) = Store::open(&folder.path().join("simulated.sqlite"), life::TOPIC)?;
    let later = changes.split_off(changes.len() - LATER);
    let mut offset = take(&mut writer, &changes, 0)?;
    let sources = Sources {
        store,
        present: Arc::new(RwLock::new(present(&changes, kind)?)),
        progress: Arc::new(Progress::default()),
        configured: Arc::default(),
        now_ms,
    };
    let progress = Arc::clone(&sources.progress);
    std::thread::spawn(move || -> anyhow::Result<()> {
        for change in later.chunks(1) {
            std::thread::sleep(EVERY);
            offset = take(&mut writer, change, offset)?;
            progress.advance(offset);
        }
        Ok(())
    });
    tokio::runtime::Runtime::new()?.block_on(async {
        let listener = tokio::net::TcpListener::bind(&address).await.context(address)?;
        service::stdout::print([format!("the console is at http://{}", listener.local_addr()?)])?;
        let shutdown = service::shutdown::CancellationToken::new();
        server::serve(listener, sources, AccessControl::default(), shutdown).await.context("cannot serve")
    })
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

fn take(writer: &mut Writer, changes: &[Envelope], mut offset: i64) -> anyhow::Result<i64> {
    let read: Vec<Read> = changes
        .iter()
        .map(|change| {
            offset += 1;
            Read { offset: offset - 1, change: change.clone().into() }
        })
        .collect();
    writer.take(0, 0, offset, &read)?;
    Ok(offset)
}

fn shift_to_now(changes: &mut [Envelope]) {
    let last = changes.last().map_or(0, |change| change.ts_ms);
    let by = now_ms() - 60_000 - last;
    for change in changes {
        change.ts_ms += by;
        change.not_before_ts_ms = change.not_before_ts_ms.map(|ts_ms| ts_ms + by);
        change.not_after_ts_ms = change.not_after_ts_ms.map(|ts_ms| ts_ms + by);
    }
}

/// Gives some things names as an attacker would: the first of each kind, whose deletion may be held, and the key that
/// changed last.
fn call_names(changes: &mut [Envelope]) {
    let shown = &changes[..changes.len() - LATER];
    let first = |kind: &str| {
        let mut keys: Vec<&String> = Vec::new();
        for change in shown.iter().filter(|it| it.element_type == kind && it.op == Op::Create) {
            if !keys.contains(&&change.element_key) {
                keys.push(&change.element_key);
            }
        }
        keys.into_iter().take(8).step_by(2).cloned().zip(HOSTILE).collect::<Vec<_>>()
    };
    let newest = shown.iter().rev().find(|it| it.element_type == "anthropic_api_key");
    let newest = newest.map(|it| (it.element_key.clone(), HOSTILE[0]));
    let kinds = ["anthropic_user", "anthropic_workspace", "anthropic_api_key"];
    let names: BTreeMap<String, &str> = kinds.into_iter().flat_map(first).chain(newest).collect();
    for change in changes {
        let Some(name) = names.get(&change.element_key) else { continue };
        for image in [&mut change.before, &mut change.after].into_iter().flatten() {
            (*name).clone_into(&mut image.display_name);
            match &mut image.content {
                Content::ApiKey(key) => (*name).clone_into(&mut key.name),
                Content::User(user) => (*name).clone_into(&mut user.name),
                Content::Workspace(workspace) => (*name).clone_into(&mut workspace.name),
                _ => {}
            }
        }
    }
}

fn present(changes: &[Envelope], kind: Kind) -> anyhow::Result<CurrentState> {
    let mut present = CurrentState::default();
    let error = if kind == Kind::Hostile { HOSTILE[0] } else { "permission_error" };
    let last = changes.last().context("there are changes")?;
    let mut families: BTreeMap<String, i64> = BTreeMap::new();
    for change in changes {
        *families.entry(change.source.collection.clone()).or_default() += 1;
    }
    let ended_ts_ms = last.ts_ms;
    let coverage = |collection: &str| Coverage::new(life::ORGANIZATION, "nimbus", collection);
    let mut states = States::default();
    let mut put = |key: GraphKey, value: Vec<u8>| -> anyhow::Result<()> {
        let key = key.format(life::ORGANIZATION);
        states.fold_record(&key, Some(&value))?;
        Ok(present.take(Topic::Graph, key.as_bytes(), Some(&value))?)
    };
    let elements: BTreeMap<&str, _> =
        changes.iter().map(|change| (change.element_key.as_str(), change.after.as_ref())).collect();
    let (mut element_count, mut users) = (0, 0);
    for (key, element) in elements {
        if let Some(element) = element {
            put(GraphKey::Element(key.to_owned()), encode(element))?;
            element_count += 1;
            users += i64::from(matches!(element.content, Content::User(_)));
        }
    }
    for (index, collection) in families.keys().enumerate() {
        let is_whole = index != 3;
        let latest = Latest {
            outcome: Outcome::Failed,
            reason: Some(format!("HTTP 403 from /v1/organizations/workspaces: {error}")),
            poll_id: None,
            raw_offset: 1,
            ended_ts_ms,
        };
        let value = Coverage {
            whole: Some(WholeListing {
                listing_id: "listing".to_owned(),
                raw_offset: 1,
                started_ts_ms: ended_ts_ms - 2_000,
                ended_ts_ms: if is_whole { ended_ts_ms } else { ended_ts_ms - 90_000_000 },
                count: 4,
                parameters: BTreeMap::new(),
            }),
            latest: (!is_whole).then_some(latest),
            not_whole_since_ts_ms: (!is_whole).then_some(ended_ts_ms - 86_000_000),
            ..coverage(collection)
        };
        put(GraphKey::Coverage(collection.clone()), encode(&value))?;
    }
    let poll = Poll {
        revision: last.revision,
        element_count,
        ended: true,
        complete: false,
        started_ts_ms: Some(ended_ts_ms - 9_000),
        ended_ts_ms: Some(ended_ts_ms),
        ..Poll::default()
    };
    put(GraphKey::Coverage(POLL.to_owned()), encode(&Coverage { poll: Some(poll), ..coverage(POLL) }))?;
    hold_some(changes, ended_ts_ms, &mut put)?;
    for sync in [sync(last, kind), paused(last, kind, users)] {
        present.take(Topic::Sync, sync.key().as_bytes(), Some(&encode(&sync)))?;
    }
    present.count(life::ORGANIZATION, states.get(life::ORGANIZATION).context("it was folded")?);
    Ok(present)
}

fn hold_some(
    changes: &[Envelope],
    ended_ts_ms: i64,
    put: &mut impl FnMut(GraphKey, Vec<u8>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let created =
        changes.iter().filter(|change| change.op == Op::Create && change.element_type == "anthropic_user");
    for change in created.take(5) {
        let hold = Hold {
            organization_id: life::ORGANIZATION.to_owned(),
            element_key: change.element_key.clone(),
            collection: "users".to_owned(),
            listing_id: format!("users-{ended_ts_ms}"),
            raw_offset: 4,
            proposed_ts_ms: ended_ts_ms,
            state: HoldState::Proposed,
            agreeing: 1,
        };
        put(GraphKey::Hold(change.element_key.clone()), encode(&hold))?;
    }
    Ok(())
}

fn sync(last: &Envelope, kind: Kind) -> Sync {
    let error = if kind == Kind::Hostile { HOSTILE[0] } else { "displayName is too long" };
    Sync {
        organization_id: life::ORGANIZATION.to_owned(),
        organization_name: "nimbus".to_owned(),
        target: "acme/anthropic-nimbus".to_owned(),
        intent: Some(Intent {
            job_id: "job-8842".to_owned(),
            revision: last.revision,
            started_ts_ms: last.ts_ms,
            asks: false,
        }),
        finished: Some(Finished {
            job_id: "job-8841".to_owned(),
            revision: last.revision - 12,
            ended_ts_ms: last.ts_ms - 3_600_000,
            counts: BTreeMap::from([
                ("anthropic_user".to_owned(), 34),
                ("anthropic_workspace".to_owned(), 9),
                ("anthropic_api_key".to_owned(), 1_042),
            ]),
            incomplete: vec!["members of wrkspc_02 are not whole".to_owned()],
            ..Finished::default()
        }),
        parked: vec![Parked {
            element_key: last.element_key.clone(),
            element_type: last.element_type.clone(),
            digest: String::new(),
            reason: format!("400: {error}"),
            since_ts_ms: last.ts_ms,
            state: ParkedState::Parked,
        }],
        ..Sync::default()
    }
}

/// A target whose next job waits for a person.
fn paused(last: &Envelope, kind: Kind, users: i64) -> Sync {
    let (revision, before) = (last.revision, users + LEFT);
    let reason = format!(
        "a sync job of revision {revision} would delete {LEFT} of {before} anthropic_user, which is more than \
         max_deleted_fraction, max_deleted_count and approved holds allow; if that is right, run `anthropic-graph \
         sync approve --organization nimbus --revision {revision} --by $(id -un)`"
    );
    let of = sync(last, kind);
    let finished = of.finished.map(|finished| Finished {
        counts: BTreeMap::from([
            ("anthropic_api_key".to_owned(), 42),
            ("anthropic_user".to_owned(), before),
            ("anthropic_user_assigned_workspace".to_owned(), 190),
        ]),
        incomplete: Vec::new(),
        ..finished
    });
    Sync {
        target: "acme/scope:anthropic-graph".to_owned(),
        intent: None,
        parked: Vec::new(),
        finished,
        paused: Some(reason.clone()),
        wait: Some(Wait { reason, since_ts_ms: last.ts_ms, until_ts_ms: None, revision: None, failures: 0 }),
        ..of
    }
}

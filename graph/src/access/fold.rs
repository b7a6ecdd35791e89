//! The fold of an organization's changes up to a moment, and what later changes say about that moment.

use std::collections::BTreeMap;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use schemas::{
    change::{Envelope, Op, Reason, SnapshotRecord},
    element::ElementType,
    encoded::{EncodedChange, EncodedElement},
};

use super::organization::Organization;

/// Names of the JupiterOne properties on which access depends.
const RELEVANT: [&str; 13] = [
    "active",
    "archivedOn",
    "createdBy",
    "creatorType",
    "expiresOn",
    "isActive",
    "isAdmin",
    "principalId",
    "principalType",
    "role",
    "scope",
    "status",
    "workspaceId",
];

/// Up to where changes are folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    Now,
    /// Those up to this revision.
    Revision(i64),
    /// Those before the first that was observed later than this (ms since 1970).
    Time(i64),
}

/// What is known of an organization at a moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub organization_id: String,
    /// Its name in the configuration, by the newest change.
    pub name: String,
    pub organization: Organization,
    /// Of the last change up to the moment; 0: there is none.
    pub revision: i64,
    /// When that change was observed (ms since 1970).
    pub observed_ts_ms: Option<i64>,
    /// Of the newest change there is, which may be later.
    pub newest_revision: i64,
    /// Of the first change there is. Retention has cut what was before, unless it is 1.
    pub first_revision: Option<i64>,
    /// When the first change was observed (ms since 1970).
    pub first_ts_ms: Option<i64>,
    /// By collection, the newest time up to the moment at which a whole listing of it is proved by a change (ms since
    /// 1970). There may have been later ones without a change.
    pub whole_ts_ms: BTreeMap<String, i64>,
    /// How many later changes create something, while it is not known that they happened after the moment.
    pub maybe_created: usize,
    /// How many later changes update or delete something, while it is not known that they happened after the moment.
    pub maybe_changed: usize,
}

impl Snapshot {
    /// The last revision whose changes retention has deleted; what has not changed since is missing.
    pub fn cut_revision(&self) -> Option<i64> {
        self.first_revision.map(|first| first - 1).filter(|cut| *cut > 0)
    }
}

/// Elements by key, with the revision that put them there.
type Elements = HashMap<String, (i64, EncodedElement), FixedState>;

/// Folds one organization's changes, in their order. Elements are decoded at the end only: most are replaced before.
#[derive(Debug, Clone)]
pub struct Fold {
    moment: Moment,
    is_past: bool,
    snapshot: Snapshot,
    /// What becomes [`Snapshot::whole_ts_ms`].
    whole_ts_ms: HashMap<String, i64, FixedState>,
    current: Elements,
    /// Users who left, as they were known last.
    former: Elements,
}

impl Fold {
    /// Before the first change.
    pub fn new(moment: Moment) -> Self {
        Self {
            moment,
            is_past: false,
            snapshot: Snapshot::default(),
            whole_ts_ms: HashMap::default(),
            current: Elements::default(),
            former: Elements::default(),
        }
    }

    /// Takes the next change.
    pub fn take<Text: AsRef<str>>(&mut self, change: &EncodedChange<Text>) {
        let envelope = &change.envelope;
        let is_notice = envelope.op == Op::Notice;
        if self.snapshot.first_revision.is_none() {
            // A notice has the revision of the change before it, which is not there.
            self.snapshot.first_revision = Some(envelope.revision + i64::from(is_notice));
            self.snapshot.first_ts_ms = Some(envelope.ts_ms);
            envelope.source.organization_id.as_ref().clone_into(&mut self.snapshot.organization_id);
        }
        let name = envelope.source.name.as_ref();
        if self.snapshot.name != name {
            name.clone_into(&mut self.snapshot.name);
        }
        self.snapshot.newest_revision = self.snapshot.newest_revision.max(envelope.revision);
        self.is_past = self.is_past || self.is_later(envelope);
        if self.is_past {
            self.look_back(change);
        } else {
            self.apply(change);
        }
    }

    /// Name of the organization in the configuration, by the newest change.
    pub fn name(&self) -> &str {
        &self.snapshot.name
    }

    /// What is known at the moment.
    pub fn finish(self) -> Snapshot {
        let Self { mut snapshot, whole_ts_ms, current, former, .. } = self;
        snapshot.whole_ts_ms = whole_ts_ms.into_iter().collect();
        for (is_former, elements) in [(true, former), (false, current)] {
            let mut elements: Vec<_> = elements.into_values().collect();
            elements.sort_unstable_by_key(|(revision, _)| *revision);
            for (_, element) in elements {
                let element = element.decode();
                if is_former {
                    snapshot.organization.put(element.clone());
                    snapshot.organization.remove(&element, false);
                } else {
                    snapshot.organization.put(element);
                }
            }
        }
        snapshot
    }

    fn is_later<Text>(&self, change: &Envelope<Text>) -> bool {
        match self.moment {
            Moment::Now => false,
            Moment::Revision(revision) => change.revision > revision,
            Moment::Time(ts_ms) => change.ts_ms > ts_ms,
        }
    }

    fn apply<Text: AsRef<str>>(&mut self, change: &EncodedChange<Text>) {
        let EncodedChange { envelope, before, after } = change;
        let snapshot = &mut self.snapshot;
        if let Some(ts_ms) = proved_whole(envelope) {
            prove(&mut self.whole_ts_ms, envelope.source.collection.as_ref(), ts_ms);
        }
        // A notice has the revision of the change before it.
        if envelope.op == Op::Notice {
            return;
        }
        snapshot.revision = envelope.revision;
        snapshot.observed_ts_ms = Some(envelope.ts_ms);
        let kind = ElementType::parse(envelope.element_type.as_ref()).filter(|kind| is_part_of_access(*kind));
        let (key, is_user) = (envelope.element_key.as_ref(), kind == Some(ElementType::User));
        match (after, before) {
            (Some(after), _) => {
                if is_user {
                    self.former.remove(key);
                }
                if kind.is_some() {
                    self.current.entry_ref(key).insert((envelope.revision, after.clone()));
                }
            }
            (None, Some(_)) => {
                let user = self.current.remove_entry(key).filter(|_| is_user);
                if envelope.reason == Some(Reason::Forgotten) {
                    self.whole_ts_ms.clear();
                    self.former.clear();
                } else {
                    self.former.extend(user);
                }
            }
            (None, None) => {}
        }
    }

    /// A change was observed later than it happened: it may have happened before the moment.
    fn look_back<Text: AsRef<str>>(&mut self, change: &EncodedChange<Text>) {
        let Some(moment_ms) = self.moment_ms() else { return };
        let (envelope, snapshot) = (&change.envelope, &mut self.snapshot);
        if let Some(ts_ms) = envelope.not_before_ts_ms.filter(|ts_ms| *ts_ms <= moment_ms) {
            // The listing before this one began then.
            prove(&mut self.whole_ts_ms, envelope.source.collection.as_ref(), ts_ms);
        }
        let is_after = envelope.not_before_ts_ms.is_some_and(|ts_ms| ts_ms >= moment_ms);
        if is_after || envelope.op == Op::Notice || !is_about_access(envelope) {
            return;
        }
        if change.before.is_none() {
            snapshot.maybe_created += 1;
        } else {
            snapshot.maybe_changed += 1;
            snapshot.organization.doubt(envelope.element_key.as_ref());
        }
    }

    /// The moment as a time (ms since 1970); a revision's is when it was observed.
    fn moment_ms(&self) -> Option<i64> {
        match self.moment {
            Moment::Time(ts_ms) => Some(ts_ms),
            Moment::Now | Moment::Revision(_) => self.snapshot.observed_ts_ms,
        }
    }
}

/// The newest time at which the change proves a whole listing of its collection (ms since 1970). A partial listing
/// creates and updates too, so these prove the listing before them only.
pub fn proved_whole<Text>(change: &Envelope<Text>) -> Option<i64> {
    let is_whole = change.source.snapshot == SnapshotRecord::True
        || matches!(change.reason, Some(Reason::Absent | Reason::Held));
    if is_whole { Some(change.ts_ms) } else { change.not_before_ts_ms }
}

/// Notes a time at which a collection was listed whole.
fn prove(whole_ts_ms: &mut HashMap<String, i64, FixedState>, collection: &str, ts_ms: i64) {
    match whole_ts_ms.get_mut(collection) {
        Some(whole) => *whole = ts_ms.max(*whole),
        None => drop(whole_ts_ms.insert(collection.to_owned(), ts_ms)),
    }
}

/// Whether access depends on what changed.
pub fn is_about_access<Text: AsRef<str>>(change: &Envelope<Text>) -> bool {
    let is_part = ElementType::parse(change.element_type.as_ref()).is_some_and(is_part_of_access);
    is_part
        && (change.op != Op::Update || change.changed.iter().any(|name| RELEVANT.contains(&name.as_ref())))
}

fn is_part_of_access(kind: ElementType) -> bool {
    match kind {
        ElementType::User
        | ElementType::Workspace
        | ElementType::ApiKey
        | ElementType::UserAssignedWorkspace
        | ElementType::WorkspaceHasApiKey => true,
        ElementType::Account
        | ElementType::AccountHasUser
        | ElementType::AccountHasWorkspace
        | ElementType::UserCreatedApiKey => false,
    }
}

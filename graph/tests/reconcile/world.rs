//! A small organization as the Admin API would list it, and a state that is moved on listing by listing.

use std::collections::BTreeMap;

use graph::{
    change::Change,
    listing::Listing,
    partition_state::PartitionState,
    reconcile::{Ending, Position, Reconciled, reconcile, reconcile_decision, reconcile_mark},
    resources::Resources,
    state::{GraphKey, State},
};
use schemas::{
    change::Envelope,
    collection::Collection,
    element::Element,
    encoded::EncodedElement,
    graph_value::GraphValue,
    raw::{self, Actor, Configuration, Decision, DecisionKind, Manifest, Mark, Resource, Scope},
    topics::partition,
};

pub(crate) const ORGANIZATION: &str = "3f0b6c1e-9a52-4d0f-8c7e-1d2b3a4c5d6e";
/// How many partitions the topics of these tests have.
pub(crate) const PARTITIONS: i32 = 12;

pub(crate) fn user_key(id: &str) -> String {
    format!("anthropic_user:{id}")
}

pub(crate) fn workspace_key(id: &str) -> String {
    format!("anthropic_workspace:{id}")
}

pub(crate) fn assigned_key(user: &str, workspace: &str) -> String {
    format!("anthropic_user:{user}|assigned|anthropic_workspace:{workspace}")
}

/// What the Admin API would answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct World {
    /// Role by user id.
    pub(crate) users: BTreeMap<String, String>,
    /// Name by workspace id.
    pub(crate) workspaces: BTreeMap<String, String>,
    /// Creator and workspace by key id.
    pub(crate) api_keys: BTreeMap<String, (String, String)>,
    /// Role by workspace and user id.
    pub(crate) members: BTreeMap<(String, String), String>,
}

#[expect(clippy::unnecessary_wraps, reason = "most fields are nullable")]
fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

impl World {
    /// Ada and Bo; Production and Research, both in Production, Bo in Research; one key of Ada's in Production.
    pub(crate) fn small() -> Self {
        let own = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(id, value)| ((*id).to_owned(), (*value).to_owned())).collect()
        };
        let member = |workspace: &str, user: &str| {
            ((workspace.to_owned(), user.to_owned()), "workspace_user".to_owned())
        };
        Self {
            users: own(&[("ada", "admin"), ("bo", "user")]),
            workspaces: own(&[("prod", "Production"), ("lab", "Research")]),
            api_keys: BTreeMap::from([("k1".to_owned(), ("ada".to_owned(), "prod".to_owned()))]),
            members: BTreeMap::from([member("prod", "ada"), member("prod", "bo"), member("lab", "bo")]),
        }
    }

    /// Every collection that a poll of this world lists, in the poll's order.
    pub(crate) fn collections(&self) -> Vec<Collection> {
        let own = [Collection::Organization, Collection::Users, Collection::Workspaces, Collection::ApiKeys];
        own.into_iter().chain(self.workspaces.keys().cloned().map(Collection::Members)).collect()
    }

    pub(crate) fn resources(&self, collection: &Collection) -> Vec<Resource> {
        match collection {
            Collection::Organization => vec![Resource::Organization(Box::new(raw::Organization {
                id: ORGANIZATION.to_owned(),
                name: some("Nimbus Labs"),
                ..raw::Organization::default()
            }))],
            Collection::Users => self.users.iter().map(|(id, role)| user(id, role)).collect(),
            Collection::Workspaces => self.workspaces.iter().map(|(id, name)| workspace(id, name)).collect(),
            Collection::ApiKeys => {
                self.api_keys.iter().map(|(id, (by, within))| api_key(id, by, within)).collect()
            }
            Collection::Members(id) => {
                let members = self.members.iter().filter(|((workspace, _), _)| workspace == id);
                members.map(|((workspace, user), role)| member(user, workspace, role)).collect()
            }
        }
    }
}

fn user(id: &str, role: &str) -> Resource {
    let user = raw::User {
        id: id.to_owned(),
        email: Some(format!("{id}@nimbus.example")),
        name: some(id),
        role: some(role),
        added_at: some("2025-11-04T09:12:44.108213Z"),
        ..raw::User::default()
    };
    Resource::User(user.into())
}

fn workspace(id: &str, name: &str) -> Resource {
    let workspace = raw::Workspace { id: id.to_owned(), name: some(name), ..raw::Workspace::default() };
    Resource::Workspace(workspace.into())
}

fn api_key(id: &str, creator: &str, workspace_id: &str) -> Resource {
    let api_key = raw::ApiKey {
        id: id.to_owned(),
        name: some(id),
        status: some("active"),
        created_by: Some(Actor { id: some(creator), kind: some("user") }),
        scope: Some(Scope { kind: some("workspace"), workspace_id: some(workspace_id) }),
        ..raw::ApiKey::default()
    };
    Resource::ApiKey(api_key.into())
}

fn member(user_id: &str, workspace_id: &str, role: &str) -> Resource {
    let member = raw::Member {
        user_id: user_id.to_owned(),
        workspace_id: workspace_id.to_owned(),
        workspace_role: some(role),
        ..raw::Member::default()
    };
    Resource::Member(member.into())
}

/// A state with the changes that led to it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Book {
    pub(crate) state: State,
    pub(crate) changes: Vec<Envelope>,
    records: Vec<(GraphKey, Option<GraphValue>)>,
    pub(crate) offset: i64,
}

impl Book {
    /// A book that has seen one whole poll of that world.
    pub(crate) fn of(world: &World) -> Self {
        let mut book = Self::default();
        book.poll(world);
        book
    }

    /// Lists every collection of the world, and returns the changes.
    pub(crate) fn poll(&mut self, world: &World) -> Vec<Envelope> {
        world.collections().iter().flat_map(|collection| self.list(world, collection)).collect()
    }

    pub(crate) fn list(&mut self, world: &World, collection: &Collection) -> Vec<Envelope> {
        let listing = self.listing(world, collection);
        self.take(&listing).0
    }

    /// The next listing of a collection.
    pub(crate) fn listing(&mut self, world: &World, collection: &Collection) -> Listing {
        self.offset += 10;
        let resources = Resources::of(collection, world.resources(collection));
        Listing {
            organization_id: ORGANIZATION.to_owned(),
            organization_name: "nimbus".to_owned(),
            collection: collection.clone(),
            listing_id: format!("listing-{}", self.offset),
            poll_id: some("poll-1"),
            manifest: Manifest {
                count: i64::try_from(resources.len()).expect("few"),
                pages: 1,
                parameters: BTreeMap::from([
                    ("include_archived".to_owned(), "true".to_owned()),
                    ("include_default".to_owned(), "true".to_owned()),
                ]),
                first_cursor: None,
                last_cursor: None,
                first_request_id: None,
                last_request_id: None,
                started_ts_ms: self.offset * 1000,
                ended_ts_ms: self.offset * 1000 + 500,
                configuration: configuration(),
            },
            offset: self.offset,
            resources,
            damage: None,
        }
    }

    /// Reconciles and folds, and returns the changes and how the listing ended.
    pub(crate) fn take(&mut self, listing: &Listing) -> (Vec<Envelope>, Ending) {
        let reconciled = reconcile(&self.state, listing, PARTITIONS);
        (self.fold(&reconciled), reconciled.outcome)
    }

    pub(crate) fn mark(&mut self, mark: &Mark) {
        self.offset += 10;
        let reconciled = reconcile_mark(&self.state, mark, self.position(), PARTITIONS);
        self.fold(&reconciled);
    }

    /// Decides, and returns what came of it.
    pub(crate) fn decide(&mut self, decision: &Decision) -> Reconciled {
        self.offset += 10;
        let position = Position { poll_id: None, ..self.position() };
        let reconciled = reconcile_decision(&self.state, decision, position, PARTITIONS);
        self.fold(&reconciled);
        reconciled
    }

    /// Of what was read last.
    pub(crate) fn position(&self) -> Position<'static> {
        Position {
            organization_id: ORGANIZATION,
            organization_name: "nimbus",
            poll_id: Some("poll-1"),
            ts_ms: self.offset * 1000,
            offset: self.offset,
        }
    }

    /// A decision of that kind about everything, by who saw the newest listing there is.
    pub(crate) fn decision(&mut self, kind: DecisionKind) -> Decision {
        self.offset += 10;
        let listings = self.state.coverage().values().filter_map(|coverage| coverage.whole.as_ref());
        let newest = listings.max_by_key(|whole| whole.raw_offset);
        Decision {
            kind,
            collection: None,
            element_key: None,
            listing_id: newest.map(|whole| whole.listing_id.clone()),
            by: "grace".to_owned(),
            why: None,
            decided_ts_ms: self.offset * 1000,
        }
    }

    /// The partition as a task restores it from what was written to the graph topic.
    pub(crate) fn restored(&self) -> PartitionState {
        let mut restored = PartitionState::new(partition(ORGANIZATION, PARTITIONS), PARTITIONS);
        for (key, value) in &self.records {
            let value = value.as_ref().map(GraphValue::encode);
            restored
                .restore(&key.format(ORGANIZATION), value.as_deref())
                .expect("a record of the graph topic");
        }
        restored.check().expect("it is what was written");
        restored
    }

    pub(crate) fn fold(&mut self, reconciled: &Reconciled) -> Vec<Envelope> {
        self.records.extend(reconciled.records());
        reconciled.clone().fold_into(&mut self.state);
        let changes = envelopes(reconciled);
        self.changes.extend(changes.iter().cloned());
        changes
    }
}

pub(crate) fn configuration() -> Configuration {
    Configuration {
        account_name: some("Nimbus Labs"),
        tag_account_name: false,
        max_deleted_fraction: 0.3,
        max_deleted_count: 20,
    }
}

/// The changes as a reader of the log decodes them.
pub(crate) fn envelopes(reconciled: &Reconciled) -> Vec<Envelope> {
    reconciled.changes.iter().map(Change::envelope).collect()
}

/// The element of that key in the graph.
pub(crate) fn element(state: &State, key: &str) -> Option<Element> {
    state.graph().get(key).map(EncodedElement::decode)
}

/// The elements of the graph.
pub(crate) fn elements(state: &State) -> Vec<Element> {
    state.graph().elements().map(EncodedElement::decode).collect()
}

/// The listing with each of its resources altered.
pub(crate) fn altered(mut listing: Listing, alter: impl Fn(&mut Resource)) -> Listing {
    let mut resources: Vec<Resource> = listing.resources.iter().map(|listed| listed.decode()).collect();
    resources.iter_mut().for_each(alter);
    listing.resources = Resources::of(&listing.collection, resources);
    listing
}

/// `op` and key of each change.
pub(crate) fn ops(changes: &[Envelope]) -> Vec<(&str, &str)> {
    changes.iter().map(|change| (change.op.as_str(), change.element_key.as_str())).collect()
}

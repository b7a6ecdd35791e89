//! Organizations for tests, as the processor would write them to the graph topic.

use std::collections::BTreeMap;

use graph::state::{GraphKey, State};
use schemas::collection::POLL;
use schemas::coverage::{Coverage, Hold, HoldState, Latest, Poll, WholeListing, Withheld};
use schemas::element::{
    Account, ApiKey, Content, Element, ElementType, Ends, User, UserAssignedWorkspace, Workspace,
};
use schemas::graph_value::GraphValue;
use schemas::raw::Outcome;

/// Partitions of the tests' topics (count).
pub(crate) const PARTITIONS: i32 = 3;

/// One organization's records of the graph topic.
#[derive(Debug, Clone)]
pub(crate) struct Organization {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) elements: BTreeMap<String, Element>,
    coverage: BTreeMap<String, Coverage>,
    holds: BTreeMap<String, Hold>,
    withheld: BTreeMap<String, Withheld>,
    revision: i64,
    is_poll_ended: bool,
}

impl Organization {
    /// Nothing but a poll that has begun.
    pub(crate) fn empty(id: &str, name: &str) -> Self {
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            elements: BTreeMap::new(),
            coverage: BTreeMap::new(),
            holds: BTreeMap::new(),
            withheld: BTreeMap::new(),
            revision: 0,
            is_poll_ended: false,
        }
    }

    /// An account, two users, a workspace with one member, and a key, all listed whole, the poll ended.
    pub(crate) fn whole(id: &str, name: &str) -> Self {
        let mut organization = Self::empty(id, name);
        organization.account();
        for user in ["ada", "bob"] {
            organization.user(user);
        }
        organization.workspace("research", None);
        organization.member("ada", "research");
        organization.api_key("ci", "research", "ada");
        for collection in ["organization", "users", "workspaces", "api_keys", "members/research"] {
            organization.list(collection);
        }
        organization.end_poll();
        organization
    }

    pub(crate) fn account(&mut self) {
        let (id, name) = (self.id.clone(), self.name.clone());
        let account = Account { id: id.clone(), name, vendor: "Anthropic".to_owned() };
        self.put("organization", Content::Account(account));
    }

    pub(crate) fn user(&mut self, id: &str) {
        let user = User { id: id.to_owned(), name: id.to_owned(), is_active: true, ..User::default() };
        self.put("users", Content::User(user.into()));
        let from_key = ElementType::Account.entity_key(&self.id);
        let to_key = ElementType::User.entity_key(id);
        self.put("users", Content::AccountHasUser(Ends { from_key, to_key }));
    }

    pub(crate) fn workspace(&mut self, id: &str, archived_on: Option<i64>) {
        let workspace = Workspace {
            id: id.to_owned(),
            name: id.to_owned(),
            archived_on,
            active: archived_on.is_none(),
            ..Workspace::default()
        };
        self.put("workspaces", Content::Workspace(workspace.into()));
        let from_key = ElementType::Account.entity_key(&self.id);
        let to_key = ElementType::Workspace.entity_key(id);
        self.put("workspaces", Content::AccountHasWorkspace(Ends { from_key, to_key }));
    }

    pub(crate) fn member(&mut self, user: &str, workspace: &str) -> String {
        let ends = Ends {
            from_key: ElementType::User.entity_key(user),
            to_key: ElementType::Workspace.entity_key(workspace),
        };
        let columns = UserAssignedWorkspace { role: Some("workspace_developer".to_owned()) };
        self.put(&format!("members/{workspace}"), Content::UserAssignedWorkspace(ends, columns))
    }

    pub(crate) fn api_key(&mut self, id: &str, workspace: &str, creator: &str) {
        let api_key = ApiKey { id: id.to_owned(), name: id.to_owned(), active: true, ..ApiKey::default() };
        self.put("api_keys", Content::ApiKey(api_key.into()));
        let ends = |from_key| Ends { from_key, to_key: ElementType::ApiKey.entity_key(id) };
        let has = ends(ElementType::Workspace.entity_key(workspace));
        self.put("api_keys", Content::WorkspaceHasApiKey(has));
        self.put("api_keys", Content::UserCreatedApiKey(ends(ElementType::User.entity_key(creator))));
    }

    /// Takes an element out of the graph and keeps it as withheld for the missing end.
    pub(crate) fn withhold(&mut self, key: &str, missing: &str) {
        let element = self.elements.remove(key).expect("an element of that key");
        let withheld =
            Withheld { organization_id: self.id.clone(), element, missing: vec![missing.to_owned()] };
        self.withheld.insert(key.to_owned(), withheld);
    }

    /// Has the guard hold an element's deletion.
    pub(crate) fn hold(&mut self, key: &str) {
        let element = &self.elements[key];
        let hold = Hold {
            organization_id: self.id.clone(),
            element_key: key.to_owned(),
            collection: element.collection.clone(),
            listing_id: "listing".to_owned(),
            raw_offset: 1,
            proposed_ts_ms: 2,
            agreeing: 1,
            state: HoldState::Proposed,
        };
        self.holds.insert(key.to_owned(), hold);
    }

    /// The element was listed again.
    pub(crate) fn release(&mut self, key: &str) {
        self.holds.remove(key).expect("a hold of that key");
    }

    /// Gives an element another digest.
    pub(crate) fn change(&mut self, key: &str) {
        self.elements.get_mut(key).expect("an element of that key").digest = "another".to_owned();
        self.revision += 1;
    }

    /// A whole listing of the collection.
    pub(crate) fn list(&mut self, collection: &str) {
        let count = self.elements.values().filter(|element| element.collection == collection).count();
        let listing = WholeListing {
            listing_id: "listing".to_owned(),
            raw_offset: 1,
            started_ts_ms: 1,
            ended_ts_ms: 2,
            count: i64::try_from(count).expect("few"),
            parameters: BTreeMap::new(),
        };
        let coverage = Coverage { whole: Some(listing), ..self.coverage(collection) };
        self.coverage.insert(collection.to_owned(), coverage);
    }

    /// A try at the collection that failed, now and since ever or since its last whole listing.
    pub(crate) fn fail(&mut self, collection: &str, reason: &str) {
        let latest = Latest {
            outcome: Outcome::Failed,
            reason: Some(reason.to_owned()),
            poll_id: None,
            raw_offset: 3,
            ended_ts_ms: 4,
        };
        let before = self.coverage.get(collection).cloned().unwrap_or_else(|| self.coverage(collection));
        let coverage = Coverage { latest: Some(latest), not_whole_since_ts_ms: Some(4), ..before };
        self.coverage.insert(collection.to_owned(), coverage);
    }

    /// A collection of which the API says that it has no list.
    pub(crate) fn gone(&mut self, collection: &str) {
        self.fail(collection, "404 not_found_error");
        let coverage = self.coverage.get_mut(collection).expect("it has failed");
        coverage.not_whole_since_ts_ms = None;
        coverage.latest.as_mut().expect("it has failed").outcome = Outcome::Gone;
    }

    pub(crate) fn end_poll(&mut self) {
        self.is_poll_ended = true;
    }

    pub(crate) fn begin_poll(&mut self) {
        self.is_poll_ended = false;
    }

    /// Takes an element away.
    pub(crate) fn remove(&mut self, key: &str) {
        self.elements.remove(key).expect("an element of that key");
        self.holds.remove(key);
        self.revision += 1;
    }

    /// How many changes there were.
    pub(crate) fn revision(&self) -> i64 {
        self.revision
    }

    /// The fold of its records.
    pub(crate) fn state(&self) -> State {
        let mut state = State::default();
        for (key, value) in self.values() {
            state.fold(&key, Some(value)).expect("values under keys of their kinds");
        }
        state
    }

    /// Keys and values of its records, elements first.
    pub(crate) fn records(&self) -> Vec<(String, Vec<u8>)> {
        self.values().into_iter().map(|(key, value)| (key.format(&self.id), value.encode())).collect()
    }

    /// The partition that it belongs to.
    pub(crate) fn partition(&self) -> i32 {
        schemas::topics::partition(&self.id, PARTITIONS)
    }

    fn values(&self) -> Vec<(GraphKey, GraphValue)> {
        let elements = self.elements.iter().map(|(key, element)| {
            (GraphKey::Element(key.clone()), GraphValue::Element(element.clone().into()))
        });
        let withheld = self.withheld.iter().map(|(key, withheld)| {
            (GraphKey::Withheld(key.clone()), GraphValue::Withheld(Box::new(withheld.clone())))
        });
        let poll = (POLL.to_owned(), self.poll());
        let coverage = self.coverage.clone().into_iter().chain([poll]).map(|(collection, coverage)| {
            (GraphKey::Coverage(collection), GraphValue::Coverage(Box::new(coverage)))
        });
        let holds = self
            .holds
            .iter()
            .map(|(key, hold)| (GraphKey::Hold(key.clone()), GraphValue::Hold(Box::new(hold.clone()))));
        elements.chain(holds).chain(withheld).chain(coverage).collect()
    }

    fn poll(&self) -> Coverage {
        let poll = Poll {
            revision: self.revision,
            element_count: i64::try_from(self.elements.len()).expect("few"),
            partition_count: PARTITIONS,
            ended: self.is_poll_ended,
            ..Poll::default()
        };
        Coverage { poll: Some(poll), ..self.coverage(POLL) }
    }

    fn coverage(&self, collection: &str) -> Coverage {
        Coverage::new(&self.id, &self.name, collection)
    }

    fn put(&mut self, collection: &str, content: Content) -> String {
        let element = Element::new(&self.id, collection, content);
        let key = element.key.clone();
        self.elements.insert(key.clone(), element);
        self.revision += 1;
        key
    }
}

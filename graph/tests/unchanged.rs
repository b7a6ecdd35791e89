//! A resource that says what it said before is neither decoded nor mapped again, and what follows is the same.

mod raw;

use graph::{
    listing::{Assembler, Unit},
    partition_state::PartitionState,
};
use schemas::{
    change::Op,
    codec::encode,
    graph_value::GraphValue,
    raw::{Decision, DecisionKind, MarkKind, RawBody, RawRecord, Resource, User},
};

/// A partition's state and the listing that is open.
struct Task {
    state: PartitionState,
    assembler: Assembler,
    offset: i64,
    topic: Vec<(String, Option<Vec<u8>>)>,
}

impl Task {
    /// Of an organization with these users, and no account: what would lead to it is withheld.
    fn with_users(ids: &[&str]) -> Self {
        let state = PartitionState::new(0, 1);
        let mut task = Self { state, assembler: Assembler::default(), offset: 0, topic: Vec::new() };
        task.take(raw::record("poll", None, RawBody::Mark(raw::mark(MarkKind::Start))));
        task.list("first", ids.iter().map(|id| raw::user(id)).collect());
        task
    }

    /// Takes a record, and says whether it was taken without decoding, and the ops and keys of what changed.
    fn take(&mut self, record: RawRecord) -> (bool, Vec<(Op, String)>) {
        self.offset += 1;
        if self.assembler.take_unchanged(&encode(&record), self.state.states()) {
            return (true, Vec::new());
        }
        let unit = self.assembler.take(record, self.offset).expect("a well-formed record");
        (false, unit.map_or_else(Vec::new, |unit| self.reconcile(&unit)))
    }

    fn reconcile(&mut self, unit: &Unit) -> Vec<(Op, String)> {
        let mut reconciled = self.state.reconcile(unit);
        let changes = reconciled.changes.iter();
        let changes = changes.map(|change| (change.op.clone(), change.images.key().to_owned())).collect();
        for (key, value) in reconciled.records() {
            let value = value.as_ref().map(GraphValue::encode);
            self.topic.push((key.format(unit.organization_id()), value));
        }
        self.state.fold(unit.organization_id(), &mut reconciled);
        changes
    }

    /// Begins again with what the graph topic has.
    fn restart(&mut self) {
        self.state = PartitionState::new(0, 1);
        for (key, value) in &self.topic {
            self.state.restore(key, value.as_deref()).expect("a record of the graph topic");
        }
    }

    /// Lists users, and says how many were taken without decoding, and what changed.
    fn list(&mut self, listing_id: &str, users: Vec<Resource>) -> (usize, Vec<(Op, String)>) {
        let count = i64::try_from(users.len()).expect("few");
        let taken = users.into_iter().filter(|it| self.take(user(listing_id, it.clone())).0).count();
        let manifest = raw::record("users", Some(listing_id), RawBody::Manifest(raw::manifest(count)));
        (taken, self.take(manifest).1)
    }
}

fn user(listing_id: &str, user: Resource) -> RawRecord {
    raw::record("users", Some(listing_id), RawBody::Resource(user))
}

fn renamed(id: &str) -> Resource {
    let mut resource = raw::user(id);
    let Resource::User(user) = &mut resource else { panic!("no user") };
    user.name = Some("Another".to_owned());
    resource
}

fn key(id: &str) -> String {
    format!("anthropic_user:{id}")
}

#[test]
fn what_is_as_it_was_is_not_decoded_and_what_is_not_is() {
    let mut task = Task::with_users(&["ada", "bo", "cy"]);
    let same = || vec![raw::user("ada"), raw::user("bo"), raw::user("cy")];
    // The first record of a listing says which listing it is.
    assert_eq!(task.list("second", same()), (2, vec![]));
    let renamed = || vec![raw::user("ada"), raw::user("bo"), renamed("cy"), raw::user("di")];
    let expected = vec![(Op::Update, key("cy")), (Op::Create, key("di"))];
    assert_eq!(task.list("third", renamed()), (1, expected));
    assert_eq!(task.list("fourth", renamed()), (3, vec![]));
    let without_cy = vec![raw::user("ada"), raw::user("bo"), raw::user("di")];
    assert_eq!(task.list("fifth", without_cy), (2, vec![(Op::Delete, key("cy"))]));
}

#[test]
fn a_resource_that_a_listing_has_twice_makes_it_partial_whether_it_was_decoded_or_not() {
    for twice in [raw::user("bo"), renamed("bo")] {
        let mut task = Task::with_users(&["ada", "bo", "cy"]);
        for listed in [raw::user("ada"), raw::user("bo"), twice] {
            task.take(user("second", listed));
        }
        // By its count alone it would be whole.
        let manifest = raw::record("users", Some("second"), RawBody::Manifest(raw::manifest(2)));
        let (_, changes) = task.take(manifest);
        assert!(changes.iter().all(|change| change.0 != Op::Delete), "{changes:?}");
    }
}

#[test]
fn what_a_listing_says_last_of_a_resource_counts_whether_it_was_decoded_or_not() {
    let (same, other) = (|| raw::user("bo"), || renamed("bo"));
    let updated = vec![(Op::Update, key("bo"))];
    for (listed, expected) in [
        (vec![same(), other()], updated.clone()),
        (vec![other(), same()], vec![]),
        (vec![same(), other(), same()], vec![]),
        (vec![other(), same(), other()], updated.clone()),
        (vec![same(), same(), other()], updated),
    ] {
        let mut task = Task::with_users(&["ada", "bo", "cy"]);
        // The next listing is expected to have this order.
        task.list("second", vec![raw::user("ada"), raw::user("bo"), raw::user("cy")]);
        let listed: Vec<_> = std::iter::once(raw::user("ada")).chain(listed).collect();
        let described = format!("{listed:?}");
        assert_eq!(task.list("third", listed).1, expected, "{described}");
    }
}

#[test]
fn a_listing_in_another_order_is_not_decoded_either() {
    let ids: Vec<String> = (0..400).map(|number| format!("user_{number:03}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut task = Task::with_users(&ids);
    let listed = |ids: &[&str]| ids.iter().map(|id| raw::user(id)).collect::<Vec<_>>();
    let backwards: Vec<&str> = ids.iter().rev().copied().collect();
    for (listing, ids) in [("second", &ids), ("third", &backwards), ("fourth", &backwards), ("fifth", &ids)] {
        assert_eq!(task.list(listing, listed(ids)), (ids.len() - 1, vec![]), "{listing}");
    }
    let without_two: Vec<&str> =
        ids.iter().enumerate().filter(|(place, _)| ![7, 8].contains(place)).map(|(_, id)| *id).collect();
    let expected = vec![(Op::Delete, key("user_007")), (Op::Delete, key("user_008"))];
    assert_eq!(task.list("sixth", listed(&without_two)), (without_two.len() - 1, expected));
    assert_eq!(task.list("seventh", listed(&without_two)), (without_two.len() - 1, vec![]));
}

#[test]
fn another_configuration_maps_what_was_not_decoded() {
    let mut task = Task::with_users(&["ada", "bo"]);
    assert!(!task.take(user("second", raw::user("ada"))).0);
    assert!(task.take(user("second", raw::user("bo"))).0);
    let mut manifest = raw::manifest(2);
    manifest.configuration.tag_account_name = true;
    manifest.configuration.account_name = Some("nimbus-prod".to_owned());
    let manifest = raw::record("users", Some("second"), RawBody::Manifest(manifest));
    let (_, changes) = task.take(manifest);
    assert_eq!(changes, [(Op::Update, key("ada")), (Op::Update, key("bo"))]);
}

#[test]
fn a_decision_between_a_resource_and_its_manifest_is_not_passed_over() {
    let mut task = Task::with_users(&["ada", "bo"]);
    assert!(!task.take(user("second", raw::user("ada"))).0);
    assert!(task.take(user("second", raw::user("bo"))).0);
    let forget = Decision {
        kind: DecisionKind::Forget,
        collection: None,
        element_key: None,
        listing_id: None,
        by: "grace".to_owned(),
        why: None,
        decided_ts_ms: 1,
    };
    let (_, forgotten) = task.take(raw::record("decision", None, RawBody::Decision(forget)));
    assert_eq!(forgotten.iter().filter(|change| change.0 == Op::Delete).count(), forgotten.len());
    let manifest = raw::record("users", Some("second"), RawBody::Manifest(raw::manifest(2)));
    let (_, changes) = task.take(manifest);
    let users: Vec<_> = changes.into_iter().filter(|(_, key)| !key.contains('|')).collect();
    assert_eq!(users, [(Op::Read, key("ada")), (Op::Read, key("bo"))]);
}

#[test]
fn what_was_held_is_mapped_again_when_it_returns_and_its_hold_ends() {
    let mut task = Task::with_users(&["ada", "bo"]);
    let (_, changes) = task.list("second", vec![]);
    assert!(changes.iter().all(|change| change.0 == Op::Notice) && !changes.is_empty(), "{changes:?}");
    let holds = |task: &Task| task.state.states().get(raw::ORGANIZATION).expect("known").holds().len();
    assert_ne!(holds(&task), 0);
    task.list("third", vec![raw::user("ada"), raw::user("bo")]);
    assert_eq!(holds(&task), 0);
    assert_eq!(task.list("fourth", vec![raw::user("ada"), raw::user("bo")]), (1, vec![]));
}

#[test]
fn after_a_restart_the_elements_say_what_they_were_mapped_from() {
    let mut task = Task::with_users(&["ada", "bo", "cy"]);
    task.restart();
    let listed = || vec![raw::user("ada"), raw::user("bo"), renamed("cy")];
    assert_eq!(task.list("second", listed()), (1, vec![(Op::Update, key("cy"))]));
    task.restart();
    assert_eq!(task.list("third", listed()), (2, vec![]));
}

#[test]
fn after_a_restart_what_is_held_is_mapped_and_what_is_large_is_decoded() {
    let mut task = Task::with_users(&["ada", "bo"]);
    task.list("second", vec![]);
    task.restart();
    task.list("third", vec![raw::user("ada"), raw::user("bo")]);
    assert!(task.state.states().get(raw::ORGANIZATION).expect("known").holds().is_empty());
    let name = Some("x".repeat(1_000));
    let large = Resource::User(User { id: "cy".to_owned(), name, ..User::default() }.into());
    let listed = || vec![raw::user("ada"), large.clone()];
    task.list("fourth", listed());
    assert_eq!(task.list("fifth", listed()).0, 1);
    // Another process may have taken what this one would refuse.
    task.restart();
    assert_eq!(task.list("sixth", listed()).0, 0);
}

//! The fold up to a moment: what it holds, and what later changes say about it.

use graph::{
    access::{Flag, Fold, Moment, Question, Snapshot, access},
    change::Images,
};
use schemas::{
    change::{Envelope, Op, Reason, SnapshotRecord},
    element::{Content, Element, Workspace},
    encoded::EncodedChange,
};
use simulator::anthropic::User;

use crate::elements::{envelope, user};

fn ada(role: &str) -> Element {
    let user = user(User {
        id: "user_ada".to_owned(),
        email: "ada@nimbus.example".to_owned(),
        name: "Ada Diaz".to_owned(),
        role: role.to_owned(),
        added_at: "2026-01-01T00:00:00Z".to_owned(),
    });
    user.into_iter().next().expect("the entity comes first")
}

/// Ada is read at 10 s, updated at 20 s and gone at 30 s; each was listed a second before.
fn changes() -> Vec<Envelope> {
    let mut read = envelope(Images { before: None, after: Some(ada("user").into()) }, 1, 10_000);
    Op::Read.clone_into(&mut read.op);
    read.source.snapshot = SnapshotRecord::True;
    read.not_before_ts_ms = None;
    let updated = Images { before: Some(ada("user").into()), after: Some(ada("admin").into()) };
    let gone = Images { before: Some(ada("admin").into()), after: None };
    let mut gone = envelope(gone, 3, 30_000);
    gone.reason = Some(Reason::Absent);
    vec![read, envelope(updated, 2, 20_000), gone]
}

fn at(moment: Moment, changes: Vec<Envelope>) -> Snapshot {
    let mut fold = Fold::new(moment);
    for change in changes {
        fold.take(&EncodedChange::from(change));
    }
    fold.finish()
}

fn role(snapshot: &Snapshot) -> Option<String> {
    snapshot.organization.user("user_ada").and_then(|user| user.role.clone())
}

#[test]
fn a_moment_has_the_changes_up_to_it() {
    let cases = [
        (Moment::Now, 3, None),
        (Moment::Revision(3), 3, None),
        (Moment::Revision(2), 2, Some("admin")),
        (Moment::Revision(1), 1, Some("user")),
        (Moment::Time(30_000), 3, None),
        (Moment::Time(29_999), 2, Some("admin")),
        (Moment::Time(10_000), 1, Some("user")),
        (Moment::Time(9_999), 0, None),
    ];
    for (moment, revision, expected) in cases {
        let snapshot = at(moment, changes());
        assert_eq!((snapshot.revision, role(&snapshot).as_deref()), (revision, expected), "{moment:?}");
        assert_eq!((snapshot.newest_revision, snapshot.first_ts_ms), (3, Some(10_000)));
        assert_eq!((snapshot.name.as_str(), snapshot.organization_id.as_str()), ("nimbus", "o"));
        assert_eq!(snapshot.cut_revision(), None);
    }
}

#[test]
fn a_later_change_that_may_have_happened_before_the_moment_makes_it_uncertain() {
    // The update happened between 19 s and 20 s.
    let cases = [
        (Moment::Time(18_000), 0, false),
        (Moment::Time(19_000), 0, false),
        (Moment::Time(19_001), 1, true),
        (Moment::Time(20_000), 0, false),
        (Moment::Revision(1), 0, false),
        (Moment::Now, 0, false),
    ];
    for (moment, maybe_changed, is_uncertain) in cases {
        let snapshot = at(moment, changes());
        assert_eq!(snapshot.maybe_changed, maybe_changed, "{moment:?}");
        // A workspace, so that there is a path.
        let mut organization = snapshot.organization;
        organization.put(default_workspace());
        let paths = access(&organization, 0, &Question::default());
        let found = paths.iter().any(|path| path.flags.has(Flag::Uncertain));
        assert_eq!(found, is_uncertain, "{moment:?}");
    }
    // Nobody knows since when what was read first has been so.
    assert_eq!(at(Moment::Time(9_000), changes()).maybe_created, 1);
    // What access does not depend on makes nothing uncertain.
    let mut renamed = changes();
    renamed[1].changed = vec!["firstName".to_owned()];
    assert_eq!(at(Moment::Time(19_001), renamed).maybe_changed, 0);
}

fn default_workspace() -> Element {
    let workspace = Workspace {
        id: "wrkspc_d".to_owned(),
        name: "Default".to_owned(),
        active: true,
        ..Workspace::default()
    };
    Element::new("o", "workspaces", Content::Workspace(Box::new(workspace)))
}

#[test]
fn a_collection_was_whole_as_late_as_the_changes_prove() {
    let whole = |moment, changes| at(moment, changes).whole_ts_ms.get("users").copied();
    assert_eq!(whole(Moment::Time(9_000), changes()), None);
    // The first listing was whole.
    assert_eq!(whole(Moment::Time(10_000), changes()), Some(10_000));
    // A partial listing may update; the one before it, which began at 19 s, was whole.
    assert_eq!(whole(Moment::Revision(2), changes()), Some(19_000));
    assert_eq!(whole(Moment::Time(19_500), changes()), Some(19_000));
    // Only a whole listing deletes.
    assert_eq!(whole(Moment::Now, changes()), Some(30_000));
}

#[test]
fn a_notice_moves_nothing() {
    let mut notice =
        envelope(Images { before: Some(ada("admin").into()), after: Some(ada("admin").into()) }, 2, 25_000);
    Op::Notice.clone_into(&mut notice.op);
    notice.reason = Some(Reason::Held);
    let mut all = changes();
    all.insert(2, notice.clone());
    let snapshot = at(Moment::Revision(2), all.clone());
    assert_eq!((snapshot.revision, role(&snapshot).as_deref()), (2, Some("admin")));
    assert_eq!(snapshot.observed_ts_ms, Some(20_000), "the revision's own time");
    assert_eq!(snapshot.whole_ts_ms["users"], 25_000, "a held listing was whole");
    assert_eq!(at(Moment::Time(25_000), all).maybe_changed, 0);
}

#[test]
fn a_log_that_retention_has_cut_says_from_where() {
    let all = changes();
    assert_eq!(at(Moment::Now, all[1..].to_vec()).cut_revision(), Some(1));
    let mut notice = all[1].clone();
    Op::Notice.clone_into(&mut notice.op);
    assert_eq!(
        at(Moment::Now, vec![notice]).cut_revision(),
        Some(2),
        "a notice follows the change of its revision"
    );
}

#[test]
fn who_left_is_remembered_until_the_organization_is_forgotten() {
    let gone = at(Moment::Now, changes());
    let former: Vec<&str> = gone.organization.former_users().map(|user| user.name.as_str()).collect();
    assert_eq!(former, ["Ada Diaz"]);
    assert_eq!(gone.organization.former_user("user_ada").and_then(|it| it.role.as_deref()), Some("admin"));
    let mut all = changes();
    let mut returned = all[0].clone();
    returned.revision = 4;
    returned.ts_ms = 40_000;
    all.push(returned);
    let snapshot = at(Moment::Now, all.clone());
    assert!(snapshot.organization.former_user("user_ada").is_none(), "back");
    let mut forgotten = envelope(Images { before: Some(ada("user").into()), after: None }, 5, 50_000);
    forgotten.reason = Some(Reason::Forgotten);
    all.push(forgotten);
    let snapshot = at(Moment::Now, all);
    assert_eq!(snapshot.organization.former_users().count(), 0);
    assert!(snapshot.whole_ts_ms.is_empty());
}

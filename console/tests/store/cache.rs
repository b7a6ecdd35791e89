//! The store as a cache: it continues where it was, and is rebuilt if it cannot be used.

use console::store::{Bookmark, Read, Store, StoreError, Writer};
use graph::access::{Moment, Question, access};
use schemas::change::Envelope;

use crate::{
    life::{Dice, ORGANIZATION, TOPIC, lived},
    subgraph::{fill, folded},
};

fn reads(changes: &[Envelope], from: usize) -> Vec<Read> {
    let read = |(index, change): (usize, &Envelope)| Read {
        offset: i64::try_from(from + index).expect("few"),
        change: change.clone().into(),
    };
    changes.iter().enumerate().map(read).collect()
}

fn take(writer: &mut Writer, changes: &[Envelope], from: usize) {
    let next = i64::try_from(from + changes.len()).expect("few");
    writer.take(0, 0, next, &reads(changes, from)).expect("it is taken");
}

#[test]
fn one_that_was_killed_goes_on_and_equals_one_that_was_not() {
    let changes = lived(3, 30);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("deep").join("store.sqlite");
    let (mut at, mut dice) = (0, Dice(1));
    while at < changes.len() {
        let (store, mut writer) = Store::open(&path, TOPIC).expect("it opens");
        let bookmark = writer.bookmarks().expect("they are read").remove(&0);
        assert_eq!(bookmark.map_or(0, |it| it.next_offset), i64::try_from(at).expect("few"));
        let until = (at + 1 + dice.below(90)).min(changes.len());
        take(&mut writer, &changes[at..until], at);
        at = until;
        drop((store, writer));
    }
    let (store, writer) = Store::open(&path, TOPIC).expect("it opens");
    let last = changes.last().expect("some").id.clone();
    let next = i64::try_from(changes.len()).expect("few");
    let expected = Bookmark { first_offset: 0, next_offset: next, last: Some((next - 1, last)) };
    assert_eq!(writer.bookmarks().expect("they are read")[&0], expected);
    for change in changes.iter().step_by(37) {
        let moment = Moment::Revision(change.revision);
        let found = store.view(|view| {
            let organization = view.organization(ORGANIZATION)?.expect("it is known");
            view.snapshot(&organization, &Question::default(), moment)
        });
        let (found, expected) = (found.expect("it is read"), folded(&changes, moment));
        let paths = |snapshot: &graph::access::Snapshot| {
            format!("{:?}", access(&snapshot.organization, change.ts_ms, &Question::default()))
        };
        assert_eq!(paths(&found), paths(&expected), "{moment:?}");
        assert_eq!(found.maybe_changed, expected.maybe_changed, "{moment:?}");
    }
}

#[test]
fn one_that_is_damaged_or_of_another_version_or_topic_is_made_again() {
    let changes = lived(4, 3);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.sqlite");
    let is_empty = || {
        let (store, writer) = Store::open(&path, TOPIC).expect("it opens");
        let organizations = store.organizations().expect("they are read");
        assert_eq!(organizations.is_empty(), writer.bookmarks().expect("they are read").is_empty());
        organizations.is_empty()
    };
    let fill_it = || fill(&mut Store::open(&path, TOPIC).expect("it opens").1, &changes, &mut Dice(1));
    assert!(is_empty());
    fill_it();
    assert!(!is_empty());
    rusqlite::Connection::open(&path)
        .and_then(|connection| connection.pragma_update(None, "user_version", 999))
        .expect("it is changed");
    assert!(is_empty());
    fill_it();
    std::fs::write(&path, "this text is not a database, and a database needs a header")
        .expect("it is written");
    assert!(is_empty());
    fill_it();
    let (of_another, _) = Store::open(&path, "another.changes").expect("it opens");
    assert!(of_another.organizations().expect("they are read").is_empty());
    drop(of_another);
    assert!(is_empty());
    fill_it();
    Store::open(&path, TOPIC).expect("it opens").1.clear().expect("it is cleared");
    assert!(is_empty());
}

#[test]
fn two_consoles_do_not_share_one_and_others_cannot_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.sqlite");
    let first = Store::open(&path, TOPIC).expect("it opens");
    let error = Store::open(&path, TOPIC).expect_err("it is taken");
    assert!(matches!(error, StoreError::Taken(_)), "{error}");
    let mode = std::fs::metadata(&path).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
    drop(first);
    Store::open(&path, TOPIC).expect("it opens");
}

#[test]
fn one_is_read_while_another_writes_it_and_only_if_it_is_of_this_topic_and_version() {
    let changes = lived(4, 6);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.sqlite");
    let refused = |topic: &str| Store::read(&path, topic).expect_err("it is refused");
    assert!(matches!(refused(TOPIC), StoreError::File { .. }));
    let (_writes, mut writer) = Store::open(&path, TOPIC).expect("it opens");
    let reads = Store::read(&path, TOPIC).expect("it opens");
    let newest = || {
        let all = reads.organizations().expect("they are read");
        all.first().map_or(0, |organization| organization.newest_revision)
    };
    assert_eq!(newest(), 0);
    take(&mut writer, &changes[..5], 0);
    assert_eq!(newest(), changes[4].revision);
    take(&mut writer, &changes[5..], 5);
    assert_eq!(newest(), changes.last().expect("some").revision);
    let other = refused("another.changes").to_string();
    assert!(other.ends_with("is a store of the topic anthropic.changes, not of another.changes"), "{other}");
    rusqlite::Connection::open(&path)
        .and_then(|connection| connection.pragma_update(None, "user_version", 1))
        .expect("it is changed");
    assert!(matches!(refused(TOPIC), StoreError::Version(_)));
    let text = folder.path().join("text");
    std::fs::write(&text, "this text is not a database, and a database needs a header")
        .expect("it is written");
    assert!(matches!(Store::read(&text, TOPIC), Err(StoreError::Version(_))));
}

//! The paths in the elements that the store loads are those in the whole graph.

use std::collections::BTreeSet;

use console::store::{NamedType, Read, Store, View, Writer};
use graph::access::{Fold, Moment, NotOne, Question, Snapshot, access};
use schemas::{
    change::Envelope,
    element::{Content, ElementType},
    encoded::EncodedChange,
};

use crate::life::{Dice, ORGANIZATION, TOPIC, lived};

const ORGANIZATIONS: u64 = 6;
const ROUNDS: usize = 60;
/// Questions to each organization.
const QUESTIONS: usize = 100;

#[test]
fn a_question_has_the_same_answer_as_in_the_whole_graph() {
    let mut asked = (0, 0);
    for seed in 1..=ORGANIZATIONS {
        let mut dice = Dice(seed.wrapping_mul(77));
        let mut changes = lived(seed, ROUNDS);
        // Retention has cut some histories.
        changes.drain(..if seed % 3 == 0 { changes.len() / 4 } else { 0 });
        let folder = tempfile::tempdir().expect("a folder");
        let (store, mut writer) = Store::open(&folder.path().join("store.sqlite"), TOPIC).expect("it opens");
        fill(&mut writer, &changes, &mut dice);
        for _ in 0..QUESTIONS {
            let moment = moment(&changes, &mut dice);
            let question = question(&changes, &mut dice);
            let expected = folded(&changes, moment);
            let found = store.view(|view| snapshot(view, &question, moment)).expect("it is read");
            compare(&found, &expected, &question, moment, &format!("seed {seed}, {moment:?}, {question:?}"));
            let paths = access(&found.organization, 0, &question).len();
            asked = (asked.0 + usize::from(paths > 0), asked.1 + found.maybe_changed);
        }
    }
    assert!(asked.0 > 200, "most questions have an answer: {asked:?}");
    assert!(asked.1 > 100, "some are uncertain: {asked:?}");
}

#[test]
fn a_name_means_the_same_as_in_the_whole_graph() {
    let mut meant = [0_usize; 3];
    for seed in 1..=ORGANIZATIONS {
        let mut dice = Dice(seed.wrapping_mul(91));
        let mut changes = lived(seed, ROUNDS);
        changes.drain(..if seed % 3 == 0 { changes.len() / 4 } else { 0 });
        let folder = tempfile::tempdir().expect("a folder");
        let (store, mut writer) = Store::open(&folder.path().join("store.sqlite"), TOPIC).expect("it opens");
        fill(&mut writer, &changes, &mut dice);
        for _ in 0..QUESTIONS {
            let moment = moment(&changes, &mut dice);
            let whole = folded(&changes, moment).organization;
            let (kind, text) = name(&changes, &mut dice);
            let few = store.view(|view| {
                let organization = view.organization(ORGANIZATION)?.expect("it is known");
                view.candidates(&organization, kind, &text, moment)
            });
            let few = few.expect("it is read");
            let (found, expected) = (kind.find(&few, &text), kind.find(&whole, &text));
            assert_eq!(found, expected, "seed {seed}, {moment:?}, {kind:?} {text:?}");
            meant[match found {
                Ok(_) => 0,
                Err(NotOne::Several(_)) => 1,
                Err(NotOne::Unknown(_)) => 2,
            }] += 1;
        }
    }
    assert!(meant.iter().all(|count| *count > 20), "one thing, several, and none: {meant:?}");
}

/// Something that is or was the name of something, or a part of one.
fn name(changes: &[Envelope], dice: &mut Dice) -> (NamedType, String) {
    let names = |change: &Envelope| match &change.after.as_ref()?.content {
        Content::User(user) => {
            let names = [user.id.clone(), user.name.clone(), user.email.first().cloned().unwrap_or_default()];
            Some((NamedType::User, names))
        }
        Content::Workspace(it) => {
            Some((NamedType::Workspace, [it.id.clone(), it.name.clone(), it.name.to_uppercase()]))
        }
        Content::ApiKey(key) => {
            let hint = key.partial_key_hint.clone().unwrap_or_default();
            let ending = hint.rsplit_once("...").map(|(_, ending)| ending.to_owned());
            let creator = key.created_by.clone().unwrap_or_default();
            Some(match change.revision % 3 {
                // Who created it may never have been listed.
                0 => (NamedType::User, [creator.clone(), creator.clone(), creator]),
                _ => (NamedType::ApiKey, [key.id.clone(), key.name.clone(), ending.unwrap_or(hint)]),
            })
        }
        _ => None,
    };
    let all: Vec<_> = changes.iter().filter_map(names).collect();
    let (kind, names) = all[dice.below(all.len())].clone();
    let name = names[dice.below(3)].clone();
    let asked = match dice.below(4) {
        0 => name.chars().take(4).collect(),
        1 => format!(" {}", name.to_lowercase()),
        _ => name,
    };
    (kind, asked)
}

fn snapshot(
    view: &View<'_>,
    question: &Question,
    moment: Moment,
) -> Result<Snapshot, console::store::StoreError> {
    let organization = view.organization(ORGANIZATION)?.expect("it is known");
    view.snapshot(&organization, question, moment)
}

fn compare(found: &Snapshot, expected: &Snapshot, question: &Question, moment: Moment, context: &str) {
    let at_ms = match moment {
        Moment::Time(ts_ms) => ts_ms,
        _ => expected.observed_ts_ms.unwrap_or_default(),
    };
    let (paths, of_all) =
        (access(&found.organization, at_ms, question), access(&expected.organization, at_ms, question));
    assert_eq!(paths, of_all, "{context}");
    let about = |it: &Snapshot| {
        (it.revision, it.observed_ts_ms, it.newest_revision, it.first_revision, it.first_ts_ms)
    };
    assert_eq!(about(found), about(expected), "{context}");
    let doubts = |it: &Snapshot| (it.maybe_created, it.maybe_changed);
    assert_eq!(doubts(found), doubts(expected), "{context}");
    let of_question = |it: &Snapshot| {
        let all = it.whole_ts_ms.clone().into_iter();
        all.filter(|(collection, _)| found.whole_ts_ms.contains_key(collection)).collect::<Vec<_>>()
    };
    assert_eq!(of_question(found), of_question(expected), "{context}");
    for collection in ["users", "workspaces", "api_keys"] {
        let whole = |it: &Snapshot| it.whole_ts_ms.get(collection).copied();
        assert_eq!(whole(found), whole(expected), "{collection}: {context}");
    }
}

pub(crate) fn fill(writer: &mut Writer, changes: &[Envelope], dice: &mut Dice) {
    let (mut rest, mut offset) = (changes, 0);
    while !rest.is_empty() {
        let (now, later) = rest.split_at((1 + dice.below(200)).min(rest.len()));
        let read: Vec<Read> = now
            .iter()
            .map(|change| {
                offset += 1;
                Read { offset: offset - 1, change: change.clone().into() }
            })
            .collect();
        writer.take(0, 0, offset, &read).expect("it is taken");
        rest = later;
    }
}

pub(crate) fn folded(changes: &[Envelope], moment: Moment) -> Snapshot {
    let mut fold = Fold::new(moment);
    for change in changes {
        fold.take(&EncodedChange::from(change.clone()));
    }
    fold.finish()
}

fn moment(changes: &[Envelope], dice: &mut Dice) -> Moment {
    let change = &changes[dice.below(changes.len())];
    match dice.below(5) {
        0 => Moment::Now,
        1 | 2 => Moment::Revision(change.revision),
        3 => Moment::Time(change.ts_ms),
        _ => {
            let window = usize::try_from(change.ts_ms - change.not_before_ts_ms.unwrap_or(change.ts_ms));
            let back = dice.below(2 + window.expect("it begins before it ends"));
            Moment::Time(change.ts_ms - i64::try_from(back).expect("short"))
        }
    }
}

fn question(changes: &[Envelope], dice: &mut Dice) -> Question {
    let mut any = |kind: ElementType| {
        let prefix = format!("{}:", kind.name());
        let mut ids: BTreeSet<String> = changes
            .iter()
            .filter(|change| change.element_type == kind.name())
            .filter_map(|change| change.element_key.strip_prefix(&prefix).map(str::to_owned))
            .collect();
        // Those that only keys name.
        let images = changes.iter().filter_map(|change| change.after.as_ref());
        let keys =
            images.filter_map(|it| if let Content::ApiKey(key) = &it.content { Some(key) } else { None });
        match kind {
            ElementType::User => ids.extend(keys.filter_map(|key| key.created_by.clone())),
            ElementType::Workspace => ids.extend(keys.filter_map(|key| key.workspace_id.clone())),
            _ => {}
        }
        let ids: Vec<String> = ids.into_iter().collect();
        Some(ids[dice.below(ids.len())].clone())
    };
    let [workspace, user, api_key] =
        [ElementType::Workspace, ElementType::User, ElementType::ApiKey].map(&mut any);
    match dice.below(8) {
        0 => Question::default(),
        1 | 2 => Question { workspace, ..Question::default() },
        3 | 4 => Question { user, ..Question::default() },
        5 => Question { api_key, ..Question::default() },
        6 => Question { workspace, user, ..Question::default() },
        _ => Question { workspace, api_key, ..Question::default() },
    }
}

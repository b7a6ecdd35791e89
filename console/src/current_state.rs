//! What the topics graph, sync and deadletters say of now: freshness, holds, polls, what JupiterOne has, dead letters.

use std::collections::{BTreeMap, BTreeSet};

use graph::{
    access::answer,
    plan,
    state::{GraphKey, State},
};
use schemas::{
    codec::{DecodeError, decode},
    collection::POLL,
    coverage::{Coverage, Hold, Poll},
    graph_value::GraphValue,
    sync::Sync,
    topics::Topic,
};

/// Of all organizations, by their IDs.
#[derive(Debug, Clone, Default)]
pub struct CurrentState {
    organizations: BTreeMap<String, Now>,
    nothing: Now,
}

#[derive(Debug, Clone, Default)]
pub struct Now {
    pub coverage: BTreeMap<String, Coverage>,
    pub poll: Option<Poll>,
    /// By key of the element whose deletion is held.
    pub holds: BTreeMap<String, Hold>,
    /// By target in JupiterOne.
    pub syncs: BTreeMap<String, Sync>,
    /// By target: what a job that waits for a person would delete.
    counted: BTreeMap<String, Counted>,
    /// Raw records that the processor could not use (count).
    pub dead_letters: usize,
}

/// How many objects the next sync job would delete, by type, if the graph is at that revision and the record is that.
#[derive(Debug, Clone)]
struct Counted {
    revision: i64,
    sync: Sync,
    deletions: BTreeMap<String, i64>,
}

impl CurrentState {
    /// What is known of an organization.
    pub fn organization(&self, id: &str) -> &Now {
        self.organizations.get(id).unwrap_or(&self.nothing)
    }

    /// IDs of the organizations of which something is known.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.organizations.keys().map(String::as_str)
    }

    /// IDs of the organizations of which it is not known what an approval would allow.
    pub fn uncounted(&self) -> Vec<String> {
        let is_uncounted = |now: &Now| now.syncs.iter().any(|(target, sync)| now.lacks_count(target, sync));
        let all = self.organizations.iter().filter(|(_, now)| is_uncounted(now));
        all.map(|(id, _)| id.clone()).collect()
    }

    /// Counts what an approval would allow, by the whole graph of an organization.
    pub fn count(&mut self, organization_id: &str, state: &State) {
        let Some(now) = self.organizations.get_mut(organization_id) else { return };
        let waiting = now.syncs.iter().filter(|(_, sync)| waits_for_person(sync));
        let count = |(target, sync): (&String, &Sync)| {
            let deletions = plan::deletions(state, sync);
            (target.clone(), Counted { revision: state.revision(), sync: sync.clone(), deletions })
        };
        now.counted = waiting.map(count).collect();
    }

    /// Takes a record of one of the three topics.
    pub fn take(&mut self, topic: Topic, key: &[u8], value: Option<&[u8]>) -> Result<(), DecodeError> {
        match topic {
            Topic::Graph => self.take_graph(key, value),
            Topic::Sync => self.take_sync(key, value),
            Topic::DeadLetters => {
                self.take_dead_letter(key);
                Ok(())
            }
            Topic::Raw | Topic::Changes => Ok(()),
        }
    }

    /// Elements are not decoded: they come from the changes.
    fn take_graph(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), DecodeError> {
        let key = String::from_utf8_lossy(key);
        let Some((organization_id, key)) = GraphKey::parse(&key) else { return Ok(()) };
        if matches!(key, GraphKey::Element(_) | GraphKey::Withheld(_) | GraphKey::Barrier) {
            return Ok(());
        }
        let value = value.map(GraphValue::decode).transpose()?;
        let now = self.organizations.entry(organization_id.to_owned()).or_default();
        match (key, value) {
            (GraphKey::Hold(key), Some(GraphValue::Hold(hold))) => drop(now.holds.insert(key, *hold)),
            (GraphKey::Hold(key), _) => drop(now.holds.remove(&key)),
            (GraphKey::Coverage(collection), Some(GraphValue::Coverage(coverage))) => {
                if collection == POLL {
                    now.poll.clone_from(&coverage.poll);
                }
                now.coverage.insert(collection, *coverage);
            }
            (GraphKey::Coverage(collection), _) => drop(now.coverage.remove(&collection)),
            _ => {}
        }
        Ok(())
    }

    fn take_sync(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), DecodeError> {
        let key = String::from_utf8_lossy(key);
        let Some((organization_id, target)) = key.split_once('/') else { return Ok(()) };
        let value = value.map(decode::<Sync>).transpose()?;
        let syncs = &mut self.organizations.entry(organization_id.to_owned()).or_default().syncs;
        match value {
            Some(sync) => drop(syncs.insert(target.to_owned(), sync)),
            None => drop(syncs.remove(target)),
        }
        Ok(())
    }

    /// Its key is that of the raw record, which begins with the organization's ID.
    fn take_dead_letter(&mut self, key: &[u8]) {
        let key = String::from_utf8_lossy(key);
        let organization_id = key.split('/').next().unwrap_or_default();
        self.organizations.entry(organization_id.to_owned()).or_default().dead_letters += 1;
    }
}

/// Whether the sink has recorded that the next job waits for a person.
fn waits_for_person(sync: &Sync) -> bool {
    sync.paused.is_some() && sync.wait.as_ref().is_some_and(|wait| wait.until_ts_ms.is_none())
}

impl Now {
    /// How many objects the next sync job would delete, by type, if it waits for a person; `None` too before they are
    /// counted.
    pub fn deletions(&self, target: &str) -> Option<BTreeMap<String, i64>> {
        let sync = self.syncs.get(target).filter(|sync| waits_for_person(sync))?;
        if sync.finished.is_none() {
            return Some(BTreeMap::new());
        }
        self.counted.get(target).filter(|it| it.sync == *sync).map(|it| it.deletions.clone())
    }

    fn lacks_count(&self, target: &str, sync: &Sync) -> bool {
        let revision = self.poll.as_ref().map_or(0, |poll| poll.revision);
        let is_current = |it: &Counted| it.revision == revision && it.sync == *sync;
        waits_for_person(sync) && sync.finished.is_some() && !self.counted.get(target).is_some_and(is_current)
    }

    /// Coverage as answers show it.
    pub(crate) fn coverage(&self) -> impl Iterator<Item = answer::Coverage> {
        self.coverage.iter().filter(|(collection, _)| *collection != POLL).map(|(collection, coverage)| {
            answer::Coverage {
                collection: collection.clone(),
                whole_ts_ms: coverage.whole.as_ref().map(|whole| whole.ended_ts_ms),
                not_whole_since_ts_ms: coverage.not_whole_since_ts_ms,
            }
        })
    }

    /// Collections by their family, the members of all workspaces together.
    pub(crate) fn families(&self) -> BTreeSet<&str> {
        self.coverage.keys().filter(|it| *it != POLL).map(|it| it.split('/').next().unwrap_or(it)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use graph::state::{GraphKey, States};
    use schemas::{
        codec::encode,
        collection::{Collection, POLL},
        coverage::{Coverage, Poll, WholeListing},
        element::{Content, Element, User},
        sync::{Finished, Sync, Wait},
        topics::Topic,
    };

    use super::CurrentState;

    const ID: &str = "o-1";
    const TARGET: &str = "acme:scope";

    fn coverage(collection: &str, poll: Option<Poll>) -> Coverage {
        Coverage {
            whole: Some(WholeListing { ended_ts_ms: 2, ..WholeListing::default() }),
            poll,
            ..Coverage::new(ID, "nimbus", collection)
        }
    }

    /// Writes what a poll leaves, with so many users.
    fn poll(present: &mut CurrentState, states: &mut States, revision: i64, users: usize) {
        let collections = Collection::SINGLE.iter().map(|it| coverage(&it.to_string(), None));
        let poll = Poll { revision, ..Poll::default() };
        for coverage in collections.chain([coverage(POLL, Some(poll))]) {
            let key = GraphKey::Coverage(coverage.collection.clone()).format(ID);
            present.take(Topic::Graph, key.as_bytes(), Some(&encode(&coverage))).expect("it is taken");
            states.fold_record(&key, Some(&encode(&coverage))).expect("it is folded");
        }
        for number in 0..users {
            let user = User { id: format!("user_{number}"), ..User::default() };
            let element = Element::new(ID, "users", Content::User(Box::new(user)));
            let key = GraphKey::Element(element.key.clone()).format(ID);
            states.fold_record(&key, Some(&encode(&element))).expect("it is folded");
        }
    }

    fn record(present: &mut CurrentState, finished: Option<Finished>, until_ts_ms: Option<i64>) {
        let wait =
            Wait { reason: "much".to_owned(), since_ts_ms: 3, until_ts_ms, revision: None, failures: 0 };
        let sync = Sync {
            organization_id: ID.to_owned(),
            target: TARGET.to_owned(),
            finished,
            paused: Some("much".to_owned()),
            wait: Some(wait),
            ..Sync::default()
        };
        present.take(Topic::Sync, sync.key().as_bytes(), Some(&encode(&sync))).expect("it is taken");
    }

    #[test]
    fn what_an_approval_would_allow_is_counted_again_once_the_graph_or_the_record_changes() {
        let (mut present, mut states) = (CurrentState::default(), States::default());
        let deletions_now = |present: &CurrentState| present.organization(ID).deletions(TARGET);
        let deletions = |count: i64| Some(BTreeMap::from([("anthropic_user".to_owned(), count)]));
        let finished = |users| {
            let counts = [("anthropic_user".to_owned(), users)].into();
            Some(Finished { counts, ..Finished::default() })
        };
        poll(&mut present, &mut states, 8, 3);
        record(&mut present, finished(10), None);
        assert_eq!((deletions_now(&present), present.uncounted()), (None, vec![ID.to_owned()]));
        present.count(ID, states.get(ID).expect("known"));
        assert_eq!((deletions_now(&present), present.uncounted()), (deletions(7), Vec::new()));

        poll(&mut present, &mut states, 9, 5);
        assert_eq!((deletions_now(&present), present.uncounted().len()), (deletions(7), 1));
        present.count(ID, states.get(ID).expect("known"));
        assert_eq!((deletions_now(&present), present.uncounted().len()), (deletions(5), 0));
        record(&mut present, finished(11), None);
        assert_eq!((deletions_now(&present), present.uncounted().len()), (None, 1));

        // A first job needs no count, and one that is tried again at a time needs no person.
        record(&mut present, None, None);
        assert_eq!((deletions_now(&present), present.uncounted().len()), (Some(BTreeMap::new()), 0));
        record(&mut present, finished(11), Some(4));
        assert_eq!((deletions_now(&present), present.uncounted().len()), (None, 0));
    }
}

//! What must hold of a world at rest. It reads topics and JupiterOne, and knows the truth; nothing of the services'.

use std::collections::{BTreeMap, BTreeSet};

use graph::jupiterone::properties;
use schemas::change::{Envelope, Op};
use schemas::element::Element;
use simulator::anthropic::Object;
use simulator::oracle::{self, Graph};

use super::evidence::{self, Evidence};
use super::life::Departures;
use super::violation::Violation;
use crate::comparison::expected;
use crate::world::World;

/// The status of a sync job that has not ended.
const OPEN: &str = "AWAITING_UPLOADS";
/// How many violations of one law are reported for an organization (count): the rest is alike.
const SHOWN: usize = 5;

/// What was found, and how much of it there is.
pub(super) struct Findings {
    pub(super) violations: Vec<Violation>,
    pub(super) polls: u64,
    pub(super) changes: u64,
    pub(super) sync_jobs: u64,
}

/// Holds a world at rest to the laws.
pub(super) fn check(world: &World, departures: &Departures) -> Findings {
    let (mut all, dead_letters) = evidence::gather(world);
    let jobs = evidence::jobs(world);
    let mut found = Findings { violations: Vec::new(), polls: 0, changes: 0, sync_jobs: jobs.len() as u64 };
    for (number, end) in world.anthropic.iter().enumerate() {
        let evidence = all.remove(&end.organization_id()).unwrap_or_default();
        let mut case = Case { number, evidence: &evidence, violations: &mut found.violations };
        case.graphs(world);
        case.log();
        case.listings();
        case.justification(departures);
        case.sync(&jobs);
        found.polls += evidence.polls;
        found.changes += evidence.changes.len() as u64;
    }
    let mut world_wide = |law: &str, text: String| found.violations.push(Violation::new(law, text));
    for broken in world.jupiterone.violations() {
        world_wide("data-model", broken);
    }
    if dead_letters > 0 {
        world_wide("dead-letters", format!("{dead_letters} records, and no unusable one was written"));
    }
    for id in all.keys() {
        world_wide("organizations", format!("{id} belongs to no organization of the run"));
    }
    found
}

struct Case<'a> {
    number: usize,
    evidence: &'a Evidence,
    violations: &'a mut Vec<Violation>,
}

impl Case<'_> {
    fn report(&mut self, law: &str, differences: Vec<String>) {
        if !differences.is_empty() {
            let (count, number) = (differences.len(), self.number + 1);
            let shown: Vec<_> = differences.into_iter().take(SHOWN).collect();
            let text = format!("organization-{number}: {count}, such as\n  {}", shown.join("\n  "));
            self.violations.push(Violation::new(law, text));
        }
    }

    /// JupiterOne, the fold of `graph` and the fold of `changes` are what the truth implies.
    fn graphs(&mut self, world: &World) {
        let truth = expected(&world.anthropic[self.number].truth(), self.number);
        let held = world.graph(self.number);
        let held = Graph::uploaded(held.entities, held.relationships);
        self.report("jupiterone", oracle::compare(&truth, &held));
        let graph = graph(self.evidence.elements.values());
        self.report("graph", oracle::compare(&truth, &graph));
        let elements = folded(&self.evidence.changes);
        let keys: BTreeSet<_> = elements.keys().chain(self.evidence.elements.keys()).collect();
        let differs = keys.into_iter().filter(|key| elements.get(*key) != self.evidence.elements.get(*key));
        let differs = differs.map(|key| format!("{key} differs between graph and the fold of changes"));
        self.report("fold", differs.collect());
    }

    /// The laws of the log: revisions, images, ids, and what the coverage of the polls says of it.
    fn log(&mut self) {
        let (mut revisions, mut images, mut twice) = (Vec::new(), Vec::new(), Vec::new());
        let mut elements: BTreeMap<&str, &Element> = BTreeMap::new();
        let (mut ids, mut revision) = (BTreeSet::new(), 0);
        for change in &self.evidence.changes {
            let key = change.element_key.as_str();
            if !ids.insert(&change.id) {
                twice.push(format!("{key}: the change {} stands in the log twice", change.id));
            }
            if change.op == Op::Notice {
                continue;
            }
            revision += 1;
            if change.revision != revision {
                revisions.push(format!("{key}: revision {} where {revision} is next", change.revision));
                revision = change.revision;
            }
            if elements.get(key).copied() != change.before.as_ref() {
                images.push(format!("{key}: the image before revision {revision} is not the last one after"));
            }
            match &change.after {
                Some(after) => drop(elements.insert(key, after)),
                None => drop(elements.remove(key)),
            }
        }
        self.report("revisions", revisions);
        self.report("before-images", images);
        self.report("change-ids", twice);
        let count = i64::try_from(self.evidence.elements.len()).expect("a count");
        let wrong = match &self.evidence.poll {
            None => vec!["graph has no coverage of the polls".to_owned()],
            Some(poll) if (poll.revision, poll.element_count) != (revision, count) => {
                let (says, counts) = (poll.revision, poll.element_count);
                vec![format!("revision {says} and {counts} elements, where there are {revision} and {count}")]
            }
            Some(_) => Vec::new(),
        };
        self.report("coverage", wrong);
    }

    /// Each listing was written whole, and each is answered by exactly one coverage record.
    fn listings(&mut self) {
        let torn = self.evidence.torn.iter().map(|(id, found, said)| {
            format!("the listing {id} has {found} resources and its manifest says {said}")
        });
        self.report("whole-listings", torn.collect());
        let answers = |collection: &String, offset: i64| {
            self.evidence.answered.get(&(collection.clone(), offset)).copied().unwrap_or(0)
        };
        // Members of a workspace that is not in the graph, or no longer, are void.
        let own =
            self.evidence.manifests.iter().filter(|(collection, ..)| !collection.starts_with("members/"));
        let wrong = own.filter_map(|(collection, offset, id)| match answers(collection, *offset) {
            1 => None,
            count => Some(format!("{collection}: the listing {id} at {offset} is answered {count} times")),
        });
        self.report("answered", wrong.collect());
    }

    /// What was deleted had gone away.
    fn justification(&mut self, departures: &Departures) {
        let has = |object, id: &str| departures.has(self.number, object, id);
        let deleted = self.evidence.changes.iter().filter(|change| change.op == Op::Delete);
        let wrong = deleted.filter(|change| {
            let key = change.element_key.as_str();
            !match key.split('|').collect::<Vec<_>>()[..] {
                [entity] => entity_of(entity).is_some_and(|(object, id)| has(object, id)),
                [from, "assigned", to] => match (entity_of(from), entity_of(to)) {
                    (Some((Object::User, user)), Some((Object::Workspace, workspace))) => {
                        has(Object::User, user)
                            || has(Object::Workspace, workspace)
                            || has(Object::Membership, &format!("{workspace}/{user}"))
                    }
                    _ => false,
                },
                // The others follow from their ends.
                _ => true,
            }
        });
        let wrong = wrong.map(|change| format!("{}: deleted, and was never away", change.element_key));
        self.report("justification", wrong.collect());
    }

    /// What the sync topic says is what JupiterOne did, and the last job is of the last revision.
    fn sync(&mut self, jobs: &BTreeMap<String, String>) {
        let finished = self.evidence.syncs.iter().filter_map(|sync| sync.finished.as_ref());
        let untrue = finished.filter_map(|finished| {
            let status = jobs.get(&finished.job_id).map_or("unknown", String::as_str);
            let (job, revision) = (&finished.job_id, finished.revision);
            (status != "FINISHED").then(|| format!("job {job} of revision {revision} is {status}"))
        });
        let untrue: BTreeSet<_> = untrue.collect();
        self.report("finished", untrue.into_iter().collect());
        let intents = self.evidence.syncs.iter().filter_map(|sync| sync.intent.as_ref());
        let open = intents.filter(|intent| jobs.get(&intent.job_id).is_some_and(|status| status == OPEN));
        let open: BTreeSet<_> = open.map(|intent| format!("job {} is still open", intent.job_id)).collect();
        self.report("settled", open.into_iter().collect());
        let last = self.evidence.syncs.last();
        let revision = last.and_then(|sync| sync.finished.as_ref()).map(|finished| finished.revision);
        let known = self.evidence.poll.as_ref().map(|poll| poll.revision);
        let mut behind = Vec::new();
        if revision != known {
            behind.push(format!("revision {revision:?} is recorded, and the graph is at {known:?}"));
        }
        if let Some(intent) = last.and_then(|sync| sync.intent.as_ref()) {
            behind.push(format!("job {} is still intended", intent.job_id));
        }
        self.report("synced", behind);
    }
}

fn entity_of(key: &str) -> Option<(Object, &str)> {
    let (kind, id) = key.split_once(':')?;
    let object = match kind {
        "anthropic_user" => Object::User,
        "anthropic_workspace" => Object::Workspace,
        "anthropic_api_key" => Object::ApiKey,
        _ => return None,
    };
    Some((object, id))
}

fn folded(changes: &[Envelope]) -> BTreeMap<String, Element> {
    let mut elements = BTreeMap::new();
    for change in changes.iter().filter(|change| change.op != Op::Notice) {
        match &change.after {
            Some(after) => drop(elements.insert(change.element_key.clone(), after.clone())),
            None => drop(elements.remove(&change.element_key)),
        }
    }
    elements
}

fn graph<'a>(elements: impl Iterator<Item = &'a Element>) -> Graph {
    let mut graph = Graph::default();
    for element in elements {
        let place = if element.is_relationship() { &mut graph.relationships } else { &mut graph.entities };
        place.insert(element.key.clone(), properties(element));
    }
    graph
}

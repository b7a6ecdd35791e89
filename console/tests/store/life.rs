//! The changes of an organization that lives, with windows, notices, and now and then an end.

use std::collections::BTreeMap;

use graph::{change::Images, jupiterone::changed as changed_properties};
use schemas::{
    change::{Envelope, Op, Reason, Source},
    element::{Content, Element},
    encoded::EncodedElement,
};
use simulator::anthropic::{self, Settings};

use crate::elements::{self, elements};

pub(crate) use crate::elements::ORGANIZATION;
/// The topic that its changes are in.
pub(crate) const TOPIC: &str = "anthropic.changes";

/// Numbers that a seed decides.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// A number below the bound.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }
}

/// As many rounds as that, with changes in nearly each.
pub(crate) fn lived(seed: u64, rounds: usize) -> Vec<Envelope> {
    lived_with(Settings { seed, users: 12, workspaces: 5, api_keys: 20, ..Settings::default() }, rounds)
}

/// The same of an organization that begins so.
pub(crate) fn lived_with(settings: Settings, rounds: usize) -> Vec<Envelope> {
    let seed = settings.seed;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let end = runtime.block_on(anthropic::start(settings, ([127, 0, 0, 1], 0).into())).expect("it starts");
    let mut dice = Dice(seed);
    let (mut changes, mut before, mut ts_ms) = (Vec::new(), BTreeMap::new(), 1_795_000_000_000);
    let mut windows: BTreeMap<String, i64> = BTreeMap::new();
    for round in 0..rounds {
        ts_ms += 1_000 * i64::try_from(1 + dice.below(40_000)).expect("few");
        let is_forgotten = round % 40 == 39;
        let after = if is_forgotten { BTreeMap::new() } else { elements(&end.truth()) };
        let why = is_forgotten.then_some(Reason::Forgotten);
        for images in differences(&before, &after) {
            let revision = changes.last().map_or(0, |last: &Envelope| last.revision);
            let mut change = envelope(images, revision + 1, changes.len(), ts_ms, why.clone());
            change.not_before_ts_ms =
                windows.get(&change.source.collection).copied().filter(|_| !is_forgotten);
            changes.push(change);
        }
        notice(&mut changes, &before, &after, ts_ms);
        // Some collections were not listed whole this time.
        for change in &changes {
            if dice.below(3) > 0 {
                windows.insert(change.source.collection.clone(), ts_ms - 500);
            }
        }
        before = after;
        end.live(1 + dice.below(5));
    }
    changes
}

fn differences(before: &BTreeMap<String, Element>, after: &BTreeMap<String, Element>) -> Vec<Images> {
    let gone = before.iter().filter(|(key, _)| !after.contains_key(*key));
    let gone = gone.map(|(_, it)| Images { before: Some(it.clone().into()), after: None });
    let rest = after.iter().filter(|(key, it)| before.get(*key).is_none_or(|before| !is_same(before, it)));
    let rest = rest.map(|(key, it)| Images {
        before: before.get(key).cloned().map(EncodedElement::from),
        after: Some(it.clone().into()),
    });
    let mut changes: Vec<Images> = gone.chain(rest).collect();
    changes.sort_by_key(Images::rank);
    changes
}

/// Digests do not count.
fn is_same(one: &Element, other: &Element) -> bool {
    EncodedElement::of(one).same_as(&EncodedElement::of(other))
}

/// A deletion is held: a notice with the revision of the change before it.
fn notice(
    changes: &mut Vec<Envelope>,
    before: &BTreeMap<String, Element>,
    after: &BTreeMap<String, Element>,
    ts_ms: i64,
) {
    let both =
        before.values().find(|it| after.get(&it.key) == Some(it) && matches!(it.content, Content::User(_)));
    let Some(element) = both.filter(|_| !changes.is_empty()) else { return };
    let images = Images { before: Some(element.clone().into()), after: Some(element.clone().into()) };
    let revision = changes.last().expect("one").revision;
    let mut notice = envelope(images, revision, changes.len(), ts_ms, Some(Reason::Held));
    notice.op = Op::Notice;
    notice.changed.clear();
    changes.push(notice);
}

fn envelope(images: Images, revision: i64, number: usize, ts_ms: i64, why: Option<Reason>) -> Envelope {
    let change = elements::envelope(images, revision, ts_ms);
    let is_deleted = change.after.is_none();
    let changed = change.before.as_ref().zip(change.after.as_ref());
    let changed = changed.map(|(before, after)| changed_properties(before, after));
    let listing_id = Some(format!("{}-{ts_ms}", change.source.collection));
    Envelope {
        id: format!("change-{number}"),
        source: Source { listing_id, ..change.source },
        changed: changed.unwrap_or_default(),
        reason: why.or(is_deleted.then_some(Reason::Absent)),
        not_before_ts_ms: None,
        ..change
    }
}

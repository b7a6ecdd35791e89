//! A thousand revisions of organizations that live: the fold of their changes knows at each what was true.

use std::collections::BTreeMap;

use graph::{
    access::{Fold, Moment, Question},
    change::Images,
};
use schemas::{
    change::{Envelope, Op},
    element::Element,
    encoded::{EncodedChange, EncodedElement},
};
use simulator::{
    anthropic::{self, Settings, Truth},
    who_can,
};

use crate::elements::{elements, envelope, found_set};

/// Organizations, and truths of each.
const ORGANIZATIONS: u64 = 10;
const TRUTHS: usize = 100;

/// An organization's changes, and what was true at some revisions.
struct Life {
    changes: Vec<Envelope>,
    truths: Vec<(i64, Truth)>,
}

#[test]
fn a_thousand_revisions_of_living_organizations_are_known_as_they_were() {
    for seed in 1..=ORGANIZATIONS {
        let life = lived(seed);
        assert!(life.changes.iter().any(|change| change.op == Op::Delete), "nobody left");
        for (revision, truth) in &life.truths {
            let now = truth.now.parse::<jiff::Timestamp>().expect("a time").as_millisecond();
            let expected = who_can::paths(truth, now);
            let observed = life.changes.iter().rfind(|change| change.revision == *revision);
            let observed = observed.expect("a change of that revision").ts_ms;
            let by_time = revision % 2 == 0;
            let moment = if by_time { Moment::Time(observed) } else { Moment::Revision(*revision) };
            let mut fold = Fold::new(moment);
            for change in &life.changes {
                fold.take(&EncodedChange::from(change.clone()));
            }
            let snapshot = fold.finish();
            assert_eq!(snapshot.revision, *revision, "{moment:?}");
            let found = found_set(&snapshot.organization, now, &Question::default());
            assert_eq!(found, expected, "seed {seed} at {moment:?}");
        }
    }
}

/// Lives between one and five steps from one truth to the next, with numbers that the seed decides.
fn lived(seed: u64) -> Life {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let settings = Settings { seed, users: 12, workspaces: 5, api_keys: 20, ..Settings::default() };
    let end = runtime.block_on(anthropic::start(settings, ([127, 0, 0, 1], 0).into())).expect("it starts");
    let mut life = Life { changes: Vec::new(), truths: Vec::new() };
    let (mut before, mut dice) = (BTreeMap::new(), seed);
    while life.truths.len() < TRUTHS {
        let after = elements(&end.truth());
        let ts_ms = 1_000 * (1 + i64::try_from(life.truths.len()).expect("few"));
        life.describe(&before, &after, ts_ms);
        let revision = i64::try_from(life.changes.len()).expect("few");
        life.truths.push((revision, end.truth()));
        // A round whose changes access does not see would have no revision of its own.
        loop {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            end.live(1 + usize::try_from(dice >> 33).expect("31 bits") % 5);
            if elements(&end.truth()) != after {
                break;
            }
        }
        before = after;
    }
    life
}

impl Life {
    fn describe(
        &mut self,
        before: &BTreeMap<String, Element>,
        after: &BTreeMap<String, Element>,
        ts_ms: i64,
    ) {
        let gone = before.iter().filter(|(key, _)| !after.contains_key(*key));
        let gone = gone.map(|(_, it)| Images { before: Some(it.clone().into()), after: None });
        let rest = after.iter().filter(|(key, it)| before.get(*key) != Some(it));
        let rest = rest.map(|(key, it)| Images {
            before: before.get(key).cloned().map(EncodedElement::from),
            after: Some(it.clone().into()),
        });
        let mut changes: Vec<Images> = gone.chain(rest).collect();
        changes.sort_by_key(Images::rank);
        for change in changes {
            let revision = i64::try_from(self.changes.len() + 1).expect("few");
            self.changes.push(envelope(change, revision, ts_ms));
        }
    }
}

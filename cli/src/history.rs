//! The changes topic, read to its end and folded up to one or more moments.

use std::collections::BTreeMap;

use graph::access::{Fold, Moment, Snapshot};
use rdkafka::ClientConfig;
use schemas::{
    encoded::EncodedChange,
    topics::{Topic, partition},
};
use service::{
    config::{Config, is_asked_for},
    kafka::{cluster_admin::ClusterAdmin, topics},
};

use crate::topic_reader;

/// Snapshots by organization ID, one per moment.
pub(crate) type History = BTreeMap<String, Vec<Snapshot>>;

/// Partitions of the changes topic (count).
pub(crate) fn partition_count(config: &Config, client: &ClientConfig) -> anyhow::Result<i32> {
    let topic = Topic::Changes.name(&config.kafka.topic_prefix);
    let count = ClusterAdmin::new(client)?.partition_count(&topic)?;
    count.ok_or_else(|| topics::does_not_exist(Topic::Changes, &config.kafka.topic_prefix))
}

/// Reads the committed records of the changes topic, to the leaders' ends: of one partition, if the configuration says
/// which organization is meant. `organization` is a name or an ID; without it, all organizations are read.
pub(crate) fn read(
    config: &Config,
    client: &ClientConfig,
    organization: Option<&str>,
    moments: &[Moment],
) -> anyhow::Result<History> {
    let count = partition_count(config, client)?;
    let pinned = config.organizations.iter().find(|it| {
        organization.is_some_and(|asked| is_asked_for(Some(asked), &it.name, it.organization_id.as_deref()))
    });
    let pinned = pinned.and_then(|it| it.organization_id.as_deref());
    let partitions = pinned.map_or(0..count, |id| partition(id, count)..partition(id, count) + 1);
    let mut folds = Folds::new(moments);
    topic_reader::read(config, client, Topic::Changes, partitions, |record| {
        let change = EncodedChange::read(record.value.unwrap_or_default())?;
        if pinned.is_none_or(|id| change.envelope.source.organization_id == id) {
            folds.take(&change);
        }
        Ok(())
    })?;
    Ok(folds.finish(organization))
}

/// The folds of the organizations, one for each moment.
#[derive(Debug)]
struct Folds<'a> {
    moments: &'a [Moment],
    organizations: BTreeMap<String, Vec<Fold>>,
}

impl<'a> Folds<'a> {
    fn new(moments: &'a [Moment]) -> Self {
        Self { moments, organizations: BTreeMap::new() }
    }

    fn take<Text: AsRef<str>>(&mut self, change: &EncodedChange<Text>) {
        let id = change.envelope.source.organization_id.as_ref();
        if !self.organizations.contains_key(id) {
            let folds = self.moments.iter().map(|moment| Fold::new(*moment)).collect();
            self.organizations.insert(id.to_owned(), folds);
        }
        for fold in self.organizations.get_mut(id).expect("it was inserted") {
            fold.take(change);
        }
    }

    /// The organization that is asked for by its ID or its newest name: it may have been renamed.
    fn finish(self, asked: Option<&str>) -> History {
        let mut organizations = self.organizations;
        organizations
            .retain(|id, folds| folds.last().is_some_and(|fold| is_asked_for(asked, fold.name(), Some(id))));
        let finish = |folds: Vec<Fold>| folds.into_iter().map(Fold::finish).collect();
        organizations.into_iter().map(|(id, folds)| (id, finish(folds))).collect()
    }
}

#[cfg(test)]
mod tests {
    use graph::access::Moment;
    use schemas::encoded::EncodedChange;

    use super::Folds;
    use crate::tests::fixture::{Log, ORGANIZATION};

    #[test]
    fn a_renamed_organization_keeps_its_history_and_answers_to_its_newest_name() {
        let mut log = Log::larkspur();
        log.monica_leaves();
        let renamed = log.changes.len() - 2;
        for change in &mut log.changes[renamed..] {
            "skylark".clone_into(&mut change.source.name);
        }
        let read = |asked| {
            let mut folds = Folds::new(&[Moment::Now]);
            log.changes.iter().cloned().for_each(|change| folds.take(&EncodedChange::from(change)));
            folds.finish(asked)
        };
        for asked in [None, Some("skylark"), Some(ORGANIZATION)] {
            let history = read(asked);
            let snapshot = &history[ORGANIZATION][0];
            assert_eq!(snapshot.cut_revision(), None, "{asked:?}");
            assert_eq!(snapshot.organization.users().len(), 3, "{asked:?}");
        }
        assert!(read(Some("larkspur")).is_empty());
    }
}

//! A partition's state as the graph topic has it.

use schemas::topics::Topic;
use service::{
    admin::Heartbeat,
    kafka::{
        partition::{PartitionReader, Start},
        restore::{self, RestoreError},
    },
};
use tracing::info;

use crate::{
    partition_state::PartitionState,
    report,
    task::{Error, Shared},
};

/// Restores the partition's state from the graph topic, and refuses one that is not what was written.
pub(crate) fn restored(
    shared: &Shared,
    partition: i32,
    heartbeat: &Heartbeat,
) -> Result<PartitionState, Error> {
    let topic = Topic::Graph.name(&shared.prefix);
    let mut state = PartitionState::new(partition, shared.partition_count);
    let mut reader =
        PartitionReader::open(&shared.client, &shared.group_id, &topic, partition, Start::Beginning)?;
    let restored = restore::restore(&mut reader, |record| {
        heartbeat.beat();
        service::failpoint!("processor::mid_restore");
        let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default());
        state.restore(&key, record.value.as_deref())
    });
    match restored {
        Ok(end) => {
            state.check()?;
            // Written together, so either both were ever written or neither.
            let changes = Topic::Changes.name(&shared.prefix);
            let log = PartitionReader::open(
                &shared.client,
                &shared.group_id,
                &changes,
                partition,
                Start::Beginning,
            )?;
            state.check_log(end, log.end_offset()?)?;
        }
        Err(RestoreError::Read(error)) => return Err(error.into()),
        Err(error @ RestoreError::Stalled { .. }) => return Err(Error::Reopen(error.into())),
        Err(error @ RestoreError::Apply { .. }) => return Err(Error::Fatal(error.into())),
    }
    for (organization_id, state) in state.states().iter() {
        let poll = state.poll();
        info!(
            partition,
            organization.id = organization_id,
            revision = poll.revision,
            elements = poll.element_count,
            "restored"
        );
    }
    report::show(&shared.metrics, state.states());
    Ok(state)
}

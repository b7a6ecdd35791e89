//! One job's upload: batches cut where they are too large, and the objects that JupiterOne refuses found and set
//! aside, so that the others go on.

use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::stream::{self, TryStreamExt};
use jiff::Timestamp;
use schemas::element::ElementType;
use schemas::sync::{Parked, parked};

use super::Halt;
use crate::batch::{Batch, Kind, Load, Object};
use crate::jupiterone::{Error, Job, JupiterOne};

/// Uploads of one job at a time (count): as many as keep a line busy; JupiterOne's own uploader has six.
const UPLOADS_AT_ONCE: usize = 4;

/// What became of an upload.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// What JupiterOne refused.
    pub(crate) refused: Vec<Parked>,
    /// Entities that it took (count).
    entities: u64,
    /// Relationships that it took (count).
    relationships: u64,
}

impl Sent {
    /// How many objects fewer the job has than JupiterOne took, where it tells. More may be a batch that was counted
    /// twice.
    pub(crate) fn missing(&self, job: &Job) -> u64 {
        let missing = |sent: u64, told: Option<u64>| told.map_or(0, |told| sent.saturating_sub(told));
        missing(self.entities, job.num_entities_uploaded)
            + missing(self.relationships, job.num_relationships_uploaded)
    }
}

/// Uploads all of it. If JupiterOne refuses more than `most_refused` objects, the cause is general, and the organization
/// is paused.
pub(crate) async fn upload(
    client: &JupiterOne,
    job_id: &str,
    load: Load,
    most_refused: usize,
) -> Result<Sent, Halt> {
    let upload = Upload { client, job_id, most_refused, sent: Mutex::default() };
    for batch in load.too_large {
        upload.set_aside(batch, &Refusal::too_large()).await?;
    }
    stream::iter(load.batches.into_iter().map(Ok))
        .try_for_each_concurrent(UPLOADS_AT_ONCE, |batch| upload.batch(batch))
        .await?;
    Ok(upload.sent.into_inner().unwrap_or_else(PoisonError::into_inner))
}

struct Upload<'a> {
    client: &'a JupiterOne,
    job_id: &'a str,
    most_refused: usize,
    sent: Mutex<Sent>,
}

impl Upload<'_> {
    /// Uploads a batch, halved where it is too large or refused until what is refused is one object: each takes twice
    /// the logarithm of the batch's objects in requests.
    async fn batch(&self, batch: Batch) -> Result<(), Halt> {
        let mut waiting = vec![(batch, false)];
        while let Some((batch, is_resent)) = waiting.pop() {
            let refusal = match self.client.upload(self.job_id, &batch, is_resent).await {
                Ok(_) => {
                    service::failpoint!("sink::mid_upload");
                    self.took(&batch);
                    continue;
                }
                Err(error @ (Error::SplitBatch | Error::Refused { .. })) => error,
                Err(error) => return Err(error.into()),
            };
            match batch.halves() {
                Ok((first, second)) => waiting.extend([(second, true), (first, true)]),
                Err(alone) => self.set_aside(alone, &Refusal::from(refusal)).await?,
            }
        }
        Ok(())
    }

    /// Uploads the refused object with its required properties only; what is refused even so is parked.
    async fn set_aside(&self, alone: Batch, refusal: &Refusal) -> Result<(), Halt> {
        let kind = alone.kind;
        for object in alone.objects {
            let Some(stripped) = object.stripped() else {
                self.refuse(&object, parked::PARKED, refusal)?;
                continue;
            };
            let batch = Batch { kind, objects: vec![stripped] };
            match self.client.upload(self.job_id, &batch, true).await {
                Ok(_) => {
                    self.took(&batch);
                    self.refuse(&object, parked::STRIPPED, refusal)?;
                }
                Err(error @ (Error::SplitBatch | Error::Refused { .. })) => {
                    self.refuse(&object, parked::PARKED, &Refusal::from(error))?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn took(&self, batch: &Batch) {
        let mut sent = self.sent();
        let count = match batch.kind {
            Kind::Entities => &mut sent.entities,
            Kind::Relationships => &mut sent.relationships,
        };
        *count += batch.objects.len() as u64;
    }

    fn refuse(&self, object: &Object, state: &str, refusal: &Refusal) -> Result<(), Halt> {
        let Object { key, kind, digest, .. } = object;
        let Refusal { words, brief } = refusal;
        let pause = |reason| Err(Halt::Pause { reason, is_for_data: true });
        if state == parked::PARKED && kind == ElementType::Account.name() {
            return pause(format!(
                "JupiterOne refuses the account, {key}, without which nothing is uploaded: {brief}"
            ));
        }
        let mut sent = self.sent();
        let refused = &mut sent.refused;
        refused.push(Parked {
            element_key: key.clone(),
            element_type: kind.clone(),
            digest: digest.clone(),
            reason: words.clone(),
            since_ts_ms: Timestamp::now().as_millisecond(),
            state: state.to_owned(),
        });
        if refused.len() > self.most_refused {
            return pause(format!(
                "JupiterOne refuses more than {} objects, so it is not for single ones; the last was {key}: {brief}",
                self.most_refused
            ));
        }
        Ok(())
    }

    fn sent(&self) -> MutexGuard<'_, Sent> {
        // It is whole between any two calls.
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why an object is refused.
struct Refusal {
    /// With JupiterOne's words: for the sync topic.
    words: String,
    /// Without them, since they may quote a name: for the log.
    brief: String,
}

impl Refusal {
    fn too_large() -> Self {
        let words = "it is larger than one upload may be".to_owned();
        Self { brief: words.clone(), words }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { words: error.to_string(), brief: error.brief() }
    }
}

#[cfg(test)]
mod tests;

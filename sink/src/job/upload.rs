//! One job's upload: batches cut where they are too large, and the objects that JupiterOne refuses found and set
//! aside, so that the others go on.

use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::stream::{self, TryStreamExt};
use jiff::Timestamp;
use schemas::element::ElementType;
use schemas::sync::{Parked, ParkedState};
use tokio::sync::mpsc;

use super::Halt;
use crate::batch::{Batch, Kind, Load, Object, Part, Parts};
use crate::jupiterone::{Error, Job, JupiterOne};
use graph::plan::Outcome;

/// Uploads of one job at a time (count): as many as keep a line busy; JupiterOne's own uploader has six.
const UPLOADS_AT_ONCE: usize = 4;

/// The result of an upload.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    pub(crate) refused: Vec<Parked>,
    /// Entities that it took (count).
    entities: u64,
    /// Relationships that it took (count).
    relationships: u64,
}

impl Sent {
    /// How many objects fewer the job has than JupiterOne took, if the job counts them. More may be a batch that was counted
    /// twice.
    pub(crate) fn missing(&self, job: &Job) -> u64 {
        let missing =
            |sent: u64, counted: Option<u64>| counted.map_or(0, |counted| sent.saturating_sub(counted));
        missing(self.entities, job.num_entities_uploaded)
            + missing(self.relationships, job.num_relationships_uploaded)
    }
}

/// Uploads all of it. If JupiterOne refuses more than `most_refused` objects, the cause is general, and the organization
/// is paused.
pub(crate) async fn upload(
    client: &JupiterOne,
    job_id: &str,
    load: &Load,
    most_refused: usize,
) -> Result<Sent, Halt> {
    let upload = Upload { client, job_id, load, most_refused, sent: Mutex::default() };
    stream::unfold(made(load.parts()), async |mut made| made.recv().await.map(|part| (Ok(part), made)))
        .try_for_each_concurrent(UPLOADS_AT_ONCE, |part| upload.part(part))
        .await?;
    Ok(upload.sent.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// The parts, encoded on their own thread while others are uploaded. It ends when the receiver is dropped.
fn made(parts: Parts) -> mpsc::Receiver<Part> {
    let (sender, made) = mpsc::channel(1);
    tokio::task::spawn_blocking(move || parts.map(|part| sender.blocking_send(part)).find(Result::is_err));
    made
}

struct Upload<'a> {
    client: &'a JupiterOne,
    job_id: &'a str,
    load: &'a Load,
    most_refused: usize,
    sent: Mutex<Sent>,
}

impl Upload<'_> {
    async fn part(&self, part: Part) -> Result<(), Halt> {
        let objects = part.objects();
        match part {
            Part::Batch(batch) => self.batch(batch).await?,
            Part::TooLarge(alone) => self.set_aside(alone, &Refusal::too_large()).await?,
        }
        self.load.count_done(objects);
        Ok(())
    }

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
                self.refuse(&object, ParkedState::Parked, refusal)?;
                continue;
            };
            let batch = Batch::of(kind, vec![stripped]);
            match self.client.upload(self.job_id, &batch, true).await {
                Ok(_) => {
                    self.took(&batch);
                    self.refuse(&object, ParkedState::Stripped, refusal)?;
                }
                Err(error @ (Error::SplitBatch | Error::Refused { .. })) => {
                    self.refuse(&object, ParkedState::Parked, &Refusal::from(error))?;
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

    fn refuse(&self, object: &Object, state: ParkedState, refusal: &Refusal) -> Result<(), Halt> {
        let element = &object.element;
        let (key, kind) = (element.key(), element.kind());
        let Refusal { words, brief } = refusal;
        let pause = |reason| Err(Halt::Ended(Outcome::Refused { reason, is_for_data: true }));
        if state == ParkedState::Parked && kind == ElementType::Account.name() {
            return pause(format!(
                "JupiterOne refuses the account, {key}, without which nothing is uploaded: {brief}"
            ));
        }
        let mut sent = self.sent();
        let refused = &mut sent.refused;
        refused.push(Parked {
            element_key: key.to_owned(),
            element_type: kind.to_owned(),
            digest: element.digest().to_owned(),
            reason: words.clone(),
            since_ts_ms: Timestamp::now().as_millisecond(),
            state,
        });
        if refused.len() > self.most_refused {
            return pause(format!(
                "JupiterOne refuses more than {} objects, so the cause is not a single object; the last one \
                 was {key}: {brief}",
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
        let words = "it is larger than an upload may be".to_owned();
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

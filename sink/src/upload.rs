//! One job's upload: batches cut where they are too large, and the objects that JupiterOne refuses found and set
//! aside, so that the others go on.

use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::stream::{self, TryStreamExt};
use jiff::Timestamp;
use schemas::element::ElementType;
use schemas::sync::{Parked, parked};

use crate::batch::{Batch, Load, Object};
use crate::job::Halt;
use crate::jupiterone::{Error, JupiterOne};

/// Uploads of one job at a time (count): as many as keep a line busy; JupiterOne's own uploader has six.
const UPLOADS_AT_ONCE: usize = 4;

/// Uploads all of it, and gives back what JupiterOne refused. More than `most_refused` of it are no single objects
/// any more: the organization is paused.
pub(crate) async fn upload(
    client: &JupiterOne,
    job_id: &str,
    load: Load,
    most_refused: usize,
) -> Result<Vec<Parked>, Halt> {
    let upload = Upload { client, job_id, most_refused, refused: Mutex::default() };
    for batch in load.too_large {
        upload.set_aside(batch, "it is larger than one upload may be").await?;
    }
    stream::iter(load.batches.into_iter().map(Ok))
        .try_for_each_concurrent(UPLOADS_AT_ONCE, |batch| upload.batch(batch))
        .await?;
    Ok(upload.refused.into_inner().unwrap_or_else(PoisonError::into_inner))
}

struct Upload<'a> {
    client: &'a JupiterOne,
    job_id: &'a str,
    most_refused: usize,
    refused: Mutex<Vec<Parked>>,
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
                    continue;
                }
                Err(error @ (Error::SplitBatch | Error::Refused { .. })) => error.to_string(),
                Err(error) => return Err(error.into()),
            };
            match batch.halves() {
                Ok((first, second)) => waiting.extend([(second, true), (first, true)]),
                Err(alone) => self.set_aside(alone, &refusal).await?,
            }
        }
        Ok(())
    }

    /// Uploads the refused object with its required properties only; what is refused even so is parked.
    async fn set_aside(&self, alone: Batch, reason: &str) -> Result<(), Halt> {
        let kind = alone.kind;
        for object in alone.objects {
            let Some(stripped) = object.stripped() else {
                self.refuse(&object, parked::PARKED, reason)?;
                continue;
            };
            let batch = Batch { kind, objects: vec![stripped] };
            match self.client.upload(self.job_id, &batch, true).await {
                Ok(_) => self.refuse(&object, parked::STRIPPED, reason)?,
                Err(error @ (Error::SplitBatch | Error::Refused { .. })) => {
                    self.refuse(&object, parked::PARKED, &error.to_string())?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn refuse(&self, object: &Object, state: &str, reason: &str) -> Result<(), Halt> {
        let Object { key, kind, digest, .. } = object;
        let pause = |reason| Err(Halt::Pause { reason, is_for_data: true });
        if state == parked::PARKED && kind == ElementType::Account.name() {
            return pause(format!(
                "JupiterOne refuses the account, {key}, without which nothing is uploaded: {reason}"
            ));
        }
        let mut refused = self.refused();
        refused.push(Parked {
            element_key: key.clone(),
            element_type: kind.clone(),
            digest: digest.clone(),
            reason: reason.to_owned(),
            since_ts_ms: Timestamp::now().as_millisecond(),
            state: state.to_owned(),
        });
        if refused.len() > self.most_refused {
            return pause(format!(
                "JupiterOne refuses more than {} objects, so it is not for single ones; the last was {key}: {reason}",
                self.most_refused
            ));
        }
        Ok(())
    }

    fn refused(&self) -> MutexGuard<'_, Vec<Parked>> {
        // A list is whole between any two calls.
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;

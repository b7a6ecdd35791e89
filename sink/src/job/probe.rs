//! Asking a target whether it holds the organization: only a job's counts show it.

use schemas::element::ElementType;
use schemas::sync::{Found, Sync};
use tracing::info;

use super::open::{Open, start};
use super::upload::upload;
use super::{FINALIZE_BOUND, Halt, Work, judge};
use crate::batch::Load;
use crate::jupiterone::Job;

/// Uploads the account alone, with every type partial, and notes what its counts show.
pub(super) async fn probe(work: &Work, account: &Load, sync: &mut Sync, open: &mut Open) -> Result<(), Halt> {
    let job_id = start(work, true, sync, open).await?;
    upload(&work.client, &job_id, account, 1).await?;
    let types = ElementType::ALL.map(|kind| kind.name().to_owned());
    service::failpoint!("sink::before_finalize");
    let finalized = work.client.finalize(&job_id, &types).await?;
    *open = Open::Nothing;
    service::failpoint!("sink::after_finalize");
    let done = work.client.wait(finalized, FINALIZE_BOUND).await?;
    judge(&done)?;
    sync.intent = None;
    let Some(found) = answer(&done) else {
        return Err(Halt::failed(format!(
            "JupiterOne finished sync job {job_id} without writing the account"
        )));
    };
    info!(
        organization.name = work.organization,
        organization.id = sync.organization_id,
        job.id = job_id,
        found = found.as_str(),
        "asked the target of {} what it holds: {}",
        work.organization,
        found.as_str()
    );
    sync.found = Some(found);
    Ok(())
}

/// What an ended job that uploaded the account alone shows; `None`: nothing, so that it has to be asked again.
pub(super) fn answer(ended: &Job) -> Option<Found> {
    match ended.num_entities_created {
        // Whatever became of the job afterward: this was not there before.
        Some(1..) => Some(Found::Nothing),
        _ if !ended.status.is_finished() || ended.write_errors() > 0 => None,
        Some(0) => Some(Found::Objects),
        None => Some(Found::Untold),
    }
}

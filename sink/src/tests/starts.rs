//! Sync jobs that JupiterOne may have started without saying so.

use schemas::sync::Sync;
use service::exit::Outcome;
use simulator::jupiterone::{Effect, Fault, Route, SecondOpenJob, Settings};

use super::{World, keys};
use crate::fixture::Organization;
use crate::sync_topic;

const NIMBUS: &str = "3f0b6c1e-9a52-4d0f-8c7e-1d2b3a4c5d6e";

/// A JupiterOne with this switch, whose first answer to a start is lost.
async fn lost(second_open_job: SecondOpenJob) -> (World, Organization) {
    let world = World::new(&["nimbus"]).await;
    let settings = Settings { second_open_job, ..world.jupiterone.settings() };
    world.jupiterone.set_settings(settings);
    world.jupiterone.fault(Fault::new(Route::Start, Effect::CommitThenCut).first(1));
    let nimbus = Organization::whole(NIMBUS, "nimbus");
    world.write(&nimbus);
    (world, nimbus)
}

fn record(world: &World) -> Sync {
    let (config, options) = (world.config(), world.options(false));
    sync_topic::all(&config, &options).expect("records").into_values().next().expect("a record")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_whose_answer_is_lost_is_repeated_where_jupiterone_takes_several_open_jobs() {
    let (world, nimbus) = lost(SecondOpenJob::LastFinalizeWins).await;
    assert_eq!(world.until_end().await.expect("no failure"), Outcome::Done);
    assert_eq!(world.statuses(), ["AWAITING_UPLOADS", "FINISHED", "FINISHED"]);
    assert_eq!(world.keys(&nimbus), keys(&nimbus));
    assert_eq!(record(&world).intent, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_whose_answer_is_lost_names_the_job_in_the_way_and_goes_on_once_that_has_ended() {
    goes_on_once_the_job_has_ended(SecondOpenJob::Reject).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_open_job_that_is_refused_as_a_bad_request_is_understood_too() {
    goes_on_once_the_job_has_ended(SecondOpenJob::RejectAsBad).await;
}

async fn goes_on_once_the_job_has_ended(second_open_job: SecondOpenJob) {
    let (world, nimbus) = lost(second_open_job).await;
    let error = world.until_end().await.expect_err("a job is in the way").to_string();
    let target = format!("anthropic-graph:{NIMBUS}");
    for said in ["JOB_ALREADY_OPEN", "started at 20", &target, "abort that job"] {
        assert!(error.contains(said), "{said} is not in: {error}");
    }
    assert_eq!(world.statuses(), ["AWAITING_UPLOADS"], "one job is left open at the most");
    let open = world.jupiterone.jobs()[0]["id"].as_str().expect("an ID").to_owned();
    let configured = crate::organizations::all(&world.config(), &world.options(false).environment);
    configured.expect("configured")[0].client.abort(&open, "a person").await.expect("aborted");
    assert_eq!(world.until_end().await.expect("no failure"), Outcome::Done);
    assert_eq!(world.keys(&nimbus), keys(&nimbus));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_leaves_few_open_jobs_where_no_start_is_answered() {
    let (world, _) = lost(SecondOpenJob::LastFinalizeWins).await;
    world.jupiterone.fault(Fault::new(Route::Start, Effect::CommitThenCut));
    let error = world.until_end().await.expect_err("no start is answered").to_string();
    assert!(error.contains("may have an open sync job with an unknown ID"), "{error}");
    assert_eq!(world.statuses(), ["AWAITING_UPLOADS"; 3], "one for each try");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_in_the_middle_of_a_start_gives_the_job_up() {
    let world = World::new(&["nimbus"]).await;
    world.write(&Organization::whole(NIMBUS, "nimbus"));
    world.jupiterone.fault(Fault::new(Route::Start, Effect::Slow(1_500)));
    let (trigger, sink) = world.run();
    world.eventually("a start", |world| !world.statuses().is_empty()).await;
    trigger.cancel();
    sink.await.expect("no panic").expect("no failure");
    assert_eq!(world.statuses(), ["ABORTED"]);
}

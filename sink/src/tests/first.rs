//! A target that JupiterOne filled before anything is known of it.

use schemas::codec::encode;
use schemas::sync::{Intent, Sync};
use service::exit::Outcome;
use simulator::jupiterone::{Effect, Fault, Route, Status};

use super::{World, keys};
use crate::check::check;
use crate::fixture::Organization;
use crate::organizations;

const NIMBUS: &str = "3f0b6c1e-9a52-4d0f-8c7e-1d2b3a4c5d6e";

/// What the sink of another prefix left in the target.
async fn filled() -> (World, Organization) {
    let mut world = World::new(&["nimbus"]).await;
    let nimbus = Organization::whole(NIMBUS, "nimbus");
    world.write(&nimbus);
    assert_eq!(world.until_end().await.expect("no failure"), Outcome::Done);
    world.set("KAFKA__TOPIC_PREFIX", "another");
    (world, nimbus)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_smaller_graph_under_another_prefix_deletes_nothing_and_mixes_nothing_in() {
    let (world, mut nimbus) = filled().await;
    let before = world.jupiterone.graph(&format!("anthropic-graph:{NIMBUS}"));
    nimbus.remove("anthropic_user:ada|assigned|anthropic_workspace:research");
    nimbus.user("eve");
    world.write_under("another", &nimbus);
    for _ in 0..2 {
        let Outcome::Incomplete(line) = world.until_end().await.expect("no failure") else {
            panic!("not paused")
        };
        assert!(
            line.contains("already contained this organization")
                && line.contains("anthropic-graph sync approve"),
            "{line}"
        );
        let Outcome::Incomplete(_) = world.resync(None).await.expect("no failure") else {
            panic!("not paused")
        };
    }
    assert_eq!(world.jupiterone.graph(&format!("anthropic-graph:{NIMBUS}")), before);
    assert_eq!(world.statuses().len(), 3, "it is asked once");
    assert_eq!(check(world.config(), world.options(false)).await.expect("a check"), Outcome::Failed);
    assert_eq!(world.approve("nimbus", nimbus.revision()).await.expect("recorded"), Outcome::Done);
    assert_eq!(world.until_end().await.expect("no failure"), Outcome::Done);
    assert_eq!(world.keys(&nimbus), keys(&nimbus));
    assert_eq!(check(world.config(), world.options(false)).await.expect("a check"), Outcome::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_ended_badly_after_its_account_was_written_is_still_answered() {
    let world = World::new(&["nimbus"]).await;
    let nimbus = Organization::whole(NIMBUS, "nimbus");
    world.write(&nimbus);
    let ending = Effect::EndJobAfterEntities(Status::ErrorUnexpectedFailure);
    world.jupiterone.fault(Fault::new(Route::Finalize, ending).first(1));
    assert_eq!(world.until_end().await.expect("no failure"), Outcome::Done);
    assert_eq!(world.statuses(), ["ERROR_UNEXPECTED_FAILURE", "FINISHED"]);
    assert_eq!(world.keys(&nimbus), keys(&nimbus));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_killed_before_it_recorded_the_answer_leaves_it_to_its_successor() {
    let world = World::new(&["nimbus"]).await;
    let nimbus = Organization::whole(NIMBUS, "nimbus");
    world.write(&nimbus);
    // The first run only asks: the target was empty.
    assert_eq!(world.until_end().await.expect("no failure"), Outcome::Done);
    let asked = world.jupiterone.jobs()[0]["id"].as_str().expect("an id").to_owned();
    let configured =
        organizations::all(&world.config(), &world.options(false).environment).expect("credentials");
    let sync = Sync {
        organization_id: NIMBUS.to_owned(),
        organization_name: "nimbus".to_owned(),
        target: configured[0].target(NIMBUS),
        intent: Some(Intent { job_id: asked, revision: 1, started_ts_ms: 1, asks: true }),
        ..Sync::default()
    };
    world.send("anthropic.sync", nimbus.partition(), &sync.key(), Some(&encode(&sync)));
    assert_eq!(world.until_end().await.expect("no failure"), Outcome::Done);
    assert_eq!(world.statuses().len(), 3);
}

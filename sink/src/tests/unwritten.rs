//! Jobs that JupiterOne finishes without writing all of them.

use service::exit::Outcome;
use simulator::jupiterone::{Effect, Fault, Route};

use super::{World, keys};
use crate::check::check;
use crate::fixture::Organization;

const NIMBUS: &str = "3f0b6c1e-9a52-4d0f-8c7e-1d2b3a4c5d6e";

fn lose_bob(world: &World, jobs: u32) {
    let effect = Effect::LoseObject { key: "anthropic_user:bob".to_owned() };
    world.jupiterone.fault(Fault::new(Route::Finalize, effect).first(jobs));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_a_finished_job_did_not_write_is_written_by_its_repetition() {
    let world = World::new(&["nimbus"]).await;
    let nimbus = Organization::whole(NIMBUS, "nimbus");
    world.write(&nimbus);
    // The question what the target holds is the first.
    lose_bob(&world, 2);
    let (trigger, sink) = world.run();
    world.eventually("the first job", |world| world.statuses().len() == 2).await;
    world.eventually("an incomplete graph", |world| !world.keys(&nimbus).is_empty()).await;
    assert_ne!(world.keys(&nimbus), keys(&nimbus));
    world.eventually("the whole graph", |world| world.keys(&nimbus) == keys(&nimbus)).await;
    trigger.ask();
    assert_eq!(sink.await.expect("no panic").expect("no failure"), Outcome::Done);
    assert_eq!(world.statuses().len(), 3, "it is repeated once, and not at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_leaves_objects_unwritten_fails_and_a_check_says_so_until_they_are_written() {
    let world = World::new(&["nimbus"]).await;
    let nimbus = Organization::whole(NIMBUS, "nimbus");
    world.write(&nimbus);
    lose_bob(&world, 100);
    let error = world.until_end().await.expect_err("not all is written").to_string();
    assert!(error.contains("without writing"), "{error}");
    assert_eq!(world.statuses().len(), 4, "a question and three tries");
    assert_eq!(check(&world.config(), &world.options(false)).await.expect("a check"), Outcome::Failed);
    world.jupiterone.clear_faults();
    assert_eq!(world.until_end().await.expect("no failure"), Outcome::Done);
    assert_eq!(world.keys(&nimbus), keys(&nimbus));
    assert_eq!(check(&world.config(), &world.options(false)).await.expect("a check"), Outcome::Done);
}

//! Jobs that JupiterOne finishes without writing all of them.

use std::time::{Duration, Instant};

use service::exit::Outcome;
use simulator::jupiterone::{Effect, Fault, Route};

use super::{World, keys};
use crate::check::check;
use crate::fixture;

const NIMBUS: &str = "3f0b6c1e-9a52-4d0f-8c7e-1d2b3a4c5d6e";

fn nimbus() -> fixture::Organization {
    fixture::Organization::whole(NIMBUS, "nimbus")
}

fn lose(world: &World, key: &str, jobs: u32) {
    let effect = Effect::LoseObject { key: key.to_owned() };
    world.jupiterone.fault(Fault::new(Route::Finalize, effect).first(jobs));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_a_finished_job_did_not_write_is_written_by_its_repetition() {
    let world = World::new(&["nimbus"]).await;
    world.write(&nimbus());
    // The question what the target holds is the first.
    lose(&world, "anthropic_user:bob", 2);
    let (trigger, sink) = world.run();
    let is_finished = |world: &World| world.statuses().get(1).is_some_and(|status| status == "FINISHED");
    world.eventually("the first job finished", is_finished).await;
    assert!(!world.keys(&nimbus()).contains(&"anthropic_user:bob".to_owned()));
    world.eventually("the whole graph", |world| world.keys(&nimbus()) == keys(&nimbus())).await;
    trigger.cancel();
    assert_eq!(sink.await.expect("no panic").expect("no failure"), Outcome::Done);
    assert_eq!(world.statuses().len(), 3, "it is repeated once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_leaves_objects_unwritten_fails_and_a_check_says_so_until_they_are_written() {
    let world = World::new(&["nimbus"]).await;
    world.write(&nimbus());
    lose(&world, "anthropic_user:bob", 100);
    let error = world.until_end().await.expect_err("not all is written").to_string();
    assert!(error.contains("without writing"), "{error}");
    assert_eq!(world.statuses().len(), 4, "a question and three tries");
    assert_eq!(check(world.config(), world.options(false)).await.expect("a check"), Outcome::Failed);
    world.jupiterone.clear_faults();
    assert_eq!(world.until_end().await.expect("no failure"), Outcome::Done);
    assert_eq!(world.keys(&nimbus()), keys(&nimbus()));
    assert_eq!(check(world.config(), world.options(false)).await.expect("a check"), Outcome::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_says_nothing_of_an_id_that_the_organization_is_not_pinned_to() {
    let mut world = World::new(&["nimbus"]).await;
    world.write(&nimbus());
    lose(&world, "anthropic_user:bob", 100);
    world.until_end().await.expect_err("not all is written");
    world.set("ORGANIZATIONS__NIMBUS__ORGANIZATION_ID", NIMBUS);
    assert_eq!(check(world.config(), world.options(false)).await.expect("a check"), Outcome::Failed);
    world.set("ORGANIZATIONS__NIMBUS__ORGANIZATION_ID", "9d2b3a4c-9a52-4d0f-8c7e-3f0b6c1e5d6e");
    assert_eq!(check(world.config(), world.options(false)).await.expect("a check"), Outcome::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_jupiterone_drops_without_a_word_is_missed_by_the_counts_of_uploads() {
    for (route, key) in [
        (Route::Relationships, nimbus().member("ada", "research")),
        (Route::Entities, "anthropic_user:bob".to_owned()),
    ] {
        let world = World::new(&["nimbus"]).await;
        world.write(&nimbus());
        world.jupiterone.fault(Fault::new(route, Effect::DropObject { key }));
        let error = world.until_end().await.expect_err("not all is written").to_string();
        assert!(error.contains("without writing"), "{error}");
        world.jupiterone.clear_faults();
        assert_eq!(world.until_end().await.expect("no failure"), Outcome::Done);
        assert_eq!(world.keys(&nimbus()), keys(&nimbus()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_jupiterone_asks_for_ends_a_run_that_somebody_waits_for() {
    let world = World::new(&["nimbus"]).await;
    world.write(&nimbus());
    world
        .jupiterone
        .fault(Fault::new(Route::Start, Effect::RateLimited { retry_after: Some(99_999_999) }).first(1));
    let begun = Instant::now();
    let error = world.until_end().await.expect_err("not now").to_string();
    assert!(error.contains("429; the next try is at 20"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_eq!(world.until_end().await.expect("no failure"), Outcome::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_entity_explains_its_own_relationships_and_no_others() {
    let world = World::new(&["nimbus"]).await;
    world.write(&nimbus());
    let refused =
        Effect::RefuseObject { key: "anthropic_api_key:ci".to_owned(), named: false, while_property: None };
    world.jupiterone.fault(Fault::new(Route::Entities, refused));
    assert_eq!(world.until_end().await.expect("two relationships lack an end"), Outcome::Done);
    let member = nimbus().member("ada", "research");
    lose(&world, &member, 100);
    let error = world.resync(None).await.expect_err("not all is written").to_string();
    assert!(error.contains("without writing 1 objects"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relationship_between_two_parked_entities_counts_once() {
    let world = World::new(&["nimbus"]).await;
    world.write(&nimbus());
    for key in ["anthropic_api_key:ci", "anthropic_user:ada"] {
        let refused = Effect::RefuseObject { key: key.to_owned(), named: false, while_property: None };
        world.jupiterone.fault(Fault::new(Route::Entities, refused));
    }
    assert_eq!(world.until_end().await.expect("their relationships lack an end"), Outcome::Done);
    lose(&world, &format!("anthropic_account:{NIMBUS}|has|anthropic_user:bob"), 100);
    let error = world.resync(None).await.expect_err("not all is written").to_string();
    assert!(error.contains("without writing 1 objects"), "{error}");
}

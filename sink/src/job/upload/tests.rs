use simulator::jupiterone::{Effect, Fault, JupiterOne as Simulated, Route, Settings};

use super::upload;
use crate::batch::tests::load;
use crate::batch::{Load, MAX_BODY_BYTES, Progress};
use crate::fixture::Organization;
use crate::job::Halt;
use crate::jupiterone::tests::{ID, client, simulated};
use graph::plan::Outcome;

const SCOPE: service::config::Destination = service::config::Destination::Scope(None);
/// More than any of these tests has refused.
const MANY: usize = 100;

fn users(count: usize) -> Load {
    let mut organization = Organization::empty(ID, "nimbus");
    organization.account();
    (0..count).for_each(|number| organization.user(&key(number)["anthropic_user:".len()..]));
    load(organization.elements.values(), &[], MAX_BODY_BYTES)
}

fn key(number: usize) -> String {
    format!("anthropic_user:user{number:06}")
}

fn refuse(simulated: &Simulated, number: usize, while_property: Option<&str>) {
    let while_property = while_property.map(str::to_owned);
    let effect = Effect::RefuseObject { key: key(number), named: number.is_multiple_of(2), while_property };
    simulated.fault(Fault::new(Route::Entities, effect));
}

fn entities_requests(simulated: &Simulated) -> usize {
    simulated.requests().into_iter().filter(|request| request.route == Some(Route::Entities)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_users_go_in_several_bodies_within_the_bound_and_all_arrive() {
    let simulated = simulated(Settings::default()).await;
    let client = client(&simulated);
    let job = client.start(&SCOPE, ID).await.expect("started");
    let load = users(25_000);
    assert!(load.parts().count() > 2);
    assert_eq!(load.progress(), Progress { done: 0, objects: 50_001 });
    assert!(upload(&client, &job.id, &load, MANY).await.is_ok());
    assert_eq!(load.progress(), Progress { done: 50_001, objects: 50_001 });
    let requests = simulated.requests();
    let uploads: Vec<_> = requests.iter().filter(|request| request.correlation_id.is_some()).collect();
    assert!(uploads.len() > 2);
    assert!(uploads.iter().all(|upload| upload.inflated_bytes <= 5_000_000));
    assert!(uploads.iter().all(|upload| upload.body_bytes * 2 < upload.inflated_bytes));
    client.finalize(&job.id, &[]).await.expect("finalized");
    let graph = simulated.graph(&format!("anthropic-graph:{ID}"));
    assert_eq!((graph.entities.len(), graph.relationships.len()), (25_001, 25_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_for_jupiterone_is_split_until_it_is_not() {
    let simulated = simulated(Settings { body_limit: 2_000, ..Settings::default() }).await;
    let client = client(&simulated);
    let job = client.start(&SCOPE, ID).await.expect("started");
    assert_eq!(upload(&client, &job.id, &users(40), MANY).await.expect("uploaded").refused, []);
    client.finalize(&job.id, &[]).await.expect("finalized");
    assert_eq!(simulated.graph(&format!("anthropic-graph:{ID}")).entities.len(), 41);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_refused_object_is_found_within_twice_log2_requests_and_all_others_arrive() {
    for offender in [0, 1, 500, 1022] {
        let simulated = simulated(Settings::default()).await;
        let client = client(&simulated);
        let job = client.start(&SCOPE, ID).await.expect("started");
        refuse(&simulated, offender, None);
        let refused = upload(&client, &job.id, &users(1023), MANY).await.expect("the others go on").refused;
        let [parked] = &refused[..] else { panic!("{refused:?}") };
        assert_eq!((parked.element_key.clone(), parked.state.as_str()), (key(offender), "parked"));
        assert!(parked.reason.contains("INVALID_GRAPH_OBJECT"), "{}", parked.reason);
        // The batch of 1024 itself, two for each halving, and the object with its required properties.
        assert!(entities_requests(&simulated) <= 1 + 2 * 10 + 1);
        client.finalize(&job.id, &[]).await.expect("finalized");
        assert_eq!(simulated.graph(&format!("anthropic-graph:{ID}")).entities.len(), 1023);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_refused_for_a_property_goes_with_its_required_ones() {
    let simulated = simulated(Settings::default()).await;
    let client = client(&simulated);
    let job = client.start(&SCOPE, ID).await.expect("started");
    refuse(&simulated, 3, Some("isActive"));
    refuse(&simulated, 8, None);
    let mut refused = upload(&client, &job.id, &users(20), MANY).await.expect("the others go on").refused;
    refused.sort_by(|one, other| one.element_key.cmp(&other.element_key));
    let states: Vec<_> =
        refused.iter().map(|parked| (parked.element_key.clone(), parked.state.as_str())).collect();
    assert_eq!(states, [(key(3), "stripped"), (key(8), "parked")]);
    client.finalize(&job.id, &[]).await.expect("finalized");
    assert_eq!(simulated.graph(&format!("anthropic-graph:{ID}")).entities.len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_refused_objects_than_single_ones_explain_pause_the_organization() {
    let simulated = simulated(Settings::default()).await;
    let client = client(&simulated);
    let job = client.start(&SCOPE, ID).await.expect("started");
    (0..6).for_each(|number| refuse(&simulated, 100 * number, None));
    let halt = upload(&client, &job.id, &users(1023), 5).await;
    let Err(Halt::Ended(Outcome::Refused { reason, is_for_data: true })) = halt else { panic!("not paused") };
    assert!(reason.contains("more than 5 objects") && reason.contains("INVALID_GRAPH_OBJECT"), "{reason}");
    assert!(!reason.contains("is invalid"), "JupiterOne's words may quote a name: {reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_uploaded_without_the_account() {
    let simulated = simulated(Settings::default()).await;
    let client = client(&simulated);
    let job = client.start(&SCOPE, ID).await.expect("started");
    let account = format!("anthropic_account:{ID}");
    let effect = Effect::RefuseObject { key: account.clone(), named: false, while_property: None };
    simulated.fault(Fault::new(Route::Entities, effect));
    let Err(Halt::Ended(Outcome::Refused { reason, .. })) = upload(&client, &job.id, &users(9), MANY).await
    else {
        panic!("not paused")
    };
    assert!(reason.contains(&account), "{reason}");
}

use simulator::jupiterone::{Effect, Fault, Route, Settings};

use super::{Halt, upload};
use crate::batch::{Batch, MAX_BODY_BYTES, batches};
use crate::fixture::Organization;
use crate::jupiterone::tests::{ID, client, simulated};

const SCOPE: service::config::Destination = service::config::Destination::Scope(None);

fn users(count: usize) -> Vec<Batch> {
    let mut organization = Organization::empty(ID, "nimbus");
    organization.account();
    (0..count).for_each(|number| organization.user(&format!("user{number:06}")));
    batches(organization.elements.values(), MAX_BODY_BYTES).expect("each fits alone")
}

#[tokio::test(flavor = "multi_thread")]
async fn many_users_go_in_several_bodies_within_the_bound_and_all_arrive() {
    let simulated = simulated(Settings::default()).await;
    let client = client(&simulated);
    let job = client.start(&SCOPE, ID).await.expect("started");
    let batches = users(25_000);
    assert!(batches.len() > 2);
    assert!(upload(&client, &job.id, batches).await.is_ok());
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
    assert!(upload(&client, &job.id, users(40)).await.is_ok());
    client.finalize(&job.id, &[]).await.expect("finalized");
    assert_eq!(simulated.graph(&format!("anthropic-graph:{ID}")).entities.len(), 41);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_refused_object_is_found_within_log2_requests_and_named() {
    for named in [true, false] {
        for offender in [0, 1, 500, 1022] {
            let simulated = simulated(Settings::default()).await;
            let client = client(&simulated);
            let job = client.start(&SCOPE, ID).await.expect("started");
            let key = format!("anthropic_user:user{offender:06}");
            let effect = Effect::RefuseObject { key: key.clone(), named, while_property: None };
            simulated.fault(Fault::new(Route::Entities, effect));
            let Err(Halt::Pause { reason, is_for_data: true }) = upload(&client, &job.id, users(1023)).await
            else {
                panic!("not paused");
            };
            assert!(reason.contains(&key) && reason.contains("INVALID_GRAPH_OBJECT"), "{reason}");
            let uploads =
                simulated.requests().into_iter().filter(|request| request.route == Some(Route::Entities));
            // The batch of 1024 itself, and one for each halving.
            assert!(uploads.count() <= 1 + 10);
        }
    }
}

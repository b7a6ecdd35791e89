//! The client against each fault of the simulated JupiterOne.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use serde_json::json;
use service::api::Api;
use service::config::{Destination, SecretSource};
use service::http;
use simulator::jupiterone::{
    Effect, Fault, Finalize, JupiterOne as Simulated, LoggedRequest, ResentBatches, Route, SecondOpenJob,
    Settings, Status, start,
};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{Error, Event, JupiterOne, REQUEST_TIMEOUT, RETRY};
use crate::batch::Batch;
use crate::batch::tests::batches;
use crate::fixture::Organization;

/// An organization's id.
pub(crate) const ID: &str = "3f0b6c1e-9a52-4d0f-8c7e-1d2b3a4c5d6e";
const INSTANCE: &str = "3c1f6a52-8f7e-4d0c-9b1a-6f0f3c2b7a10";
const SCOPE: Destination = Destination::Scope(None);

/// A simulated JupiterOne.
pub(crate) async fn simulated(settings: Settings) -> Simulated {
    start(settings, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.expect("a loopback port")
}

/// A client with the simulated account's key.
pub(crate) fn client(simulated: &Simulated) -> JupiterOne {
    client_with(simulated, SecretSource::Text(SecretString::from(simulated.api_key())), REQUEST_TIMEOUT)
}

fn client_with(simulated: &Simulated, source: SecretSource, request_timeout: Duration) -> JupiterOne {
    let base_url = http::check_url(&simulated.url(), false).expect("loopback");
    let settings =
        http::Settings { base_url: &base_url, root_certificate: None, request_timeout, what: "sink" };
    let client = http::client(settings).expect("a client");
    JupiterOne::new(client, &base_url, simulated.account_id(), api(source))
}

fn api(source: SecretSource) -> Api {
    Api::new("nimbus", source.resolve(&BTreeMap::new()).expect("a key"), source, Arc::default(), RETRY)
}

fn graph() -> Vec<Batch> {
    batches(&Organization::whole(ID, "nimbus"), usize::MAX)
}

fn of(simulated: &Simulated, route: Route) -> Vec<LoggedRequest> {
    simulated.requests().into_iter().filter(|request| request.route == Some(route)).collect()
}

/// A whole job: start, upload, finalize, wait.
async fn synchronize(client: &JupiterOne, destination: &Destination) -> Result<(), Error> {
    let job = client.start(destination, ID).await?;
    for batch in graph() {
        client.upload(&job.id, &batch, false).await?;
    }
    let job = client.finalize(&job.id, &[]).await?;
    let job = client.wait(job, Duration::from_secs(20)).await?;
    assert!(job.status.is_finished(), "{}", job.status);
    assert_eq!(job.write_errors(), 0);
    Ok(())
}

#[tokio::test]
async fn a_job_is_finished_at_once_or_after_polls_and_bodies_are_compressed() {
    for finalize in [Finalize::AtOnce, Finalize::AfterPolls(3)] {
        let simulated = simulated(Settings { finalize, ..Settings::default() }).await;
        synchronize(&client(&simulated), &SCOPE).await.expect("finished");
        let graph = simulated.graph(&format!("anthropic-graph:{ID}"));
        assert_eq!((graph.entities.len(), graph.relationships.len()), (5, 6));
        let uploads = of(&simulated, Route::Entities);
        assert!(uploads[0].body_bytes < uploads[0].inflated_bytes);
        assert_eq!(uploads[0].inflated_bytes, graph_bytes());
    }
}

fn graph_bytes() -> usize {
    graph()[0].body_bytes
}

#[tokio::test]
async fn a_request_that_fails_for_a_while_is_tried_again_with_its_correlation_id() {
    let effects = [
        Effect::Status(500),
        Effect::Status(502),
        Effect::Status(503),
        Effect::Status(504),
        Effect::RateLimited { retry_after: None },
        Effect::Cut,
        Effect::CommitThenCut,
        Effect::InternalError(400),
        Effect::InternalError(200),
    ];
    for effect in effects {
        // With a persister that takes a second copy for a duplicate.
        let resent_batches = ResentBatches::TreatAsDuplicates;
        let simulated = simulated(Settings { resent_batches, ..Settings::default() }).await;
        for route in [Route::Entities, Route::Finalize] {
            simulated.fault(Fault::new(route, effect.clone()).first(1));
        }
        synchronize(&client(&simulated), &SCOPE).await.unwrap_or_else(|error| panic!("{effect:?}: {error}"));
        let uploads = of(&simulated, Route::Entities);
        assert_eq!(uploads.len(), 2, "{effect:?}");
        assert!(uploads[0].correlation_id.is_some());
        assert_eq!(uploads[0].correlation_id, uploads[1].correlation_id);
    }
}

#[tokio::test]
async fn retry_after_is_waited_for_and_a_long_one_is_handed_on() {
    let simulated = simulated(Settings::default()).await;
    let client = client(&simulated);
    simulated.fault(Fault::new(Route::Start, Effect::RateLimited { retry_after: Some(1) }).first(1));
    let begun = Instant::now();
    client.start(&SCOPE, ID).await.expect("started");
    assert!(begun.elapsed() >= Duration::from_secs(1));
    simulated.fault(Fault::new(Route::Start, Effect::RateLimited { retry_after: Some(600) }));
    let error = client.start(&SCOPE, ID).await.expect_err("not now");
    let after = Some(Duration::from_mins(10));
    assert_eq!(error, Error::Retry { after, reason: "JupiterOne answered 429".to_owned() });
}

#[tokio::test]
async fn tries_have_a_bound() {
    let simulated = simulated(Settings::default()).await;
    simulated.fault(Fault::new(Route::Start, Effect::Status(503)));
    let error = client(&simulated).start(&SCOPE, ID).await.expect_err("not there");
    assert_eq!(error, Error::Retry { after: None, reason: "JupiterOne answered 503".to_owned() });
    assert_eq!(of(&simulated, Route::Start).len(), 6);
}

#[tokio::test]
async fn a_slow_answer_is_not_waited_for_beyond_the_bound() {
    let simulated = simulated(Settings::default()).await;
    let source = SecretSource::Text(SecretString::from(simulated.api_key()));
    let client = client_with(&simulated, source, Duration::from_millis(500));
    let job = client.start(&SCOPE, ID).await.expect("started");
    simulated.fault(Fault::new(Route::Finalize, Effect::Slow(30_000)).first(1));
    client.finalize(&job.id, &[]).await.expect("the second try");
}

#[tokio::test]
async fn a_start_that_may_have_been_carried_out_is_not_repeated() {
    let garbled = json!({"id": "../../graphql"}).as_object().expect("an object").clone();
    let effects = [
        Effect::CommitThenCut,
        Effect::Cut,
        Effect::Status(500),
        Effect::Status(504),
        Effect::InternalError(400),
        Effect::InternalError(200),
        Effect::AnswerWith(garbled),
    ];
    for effect in effects {
        let simulated = simulated(Settings::default()).await;
        simulated.fault(Fault::new(Route::Start, effect.clone()));
        let error = client(&simulated).start(&SCOPE, ID).await.expect_err("not answered");
        assert!(matches!(error, Error::Unanswered { .. }), "{effect:?}: {error:?}");
        assert_eq!(of(&simulated, Route::Start).len(), 1, "{effect:?}");
    }
    let simulated = simulated(Settings::default()).await;
    simulated.fault(Fault::new(Route::Start, Effect::Status(503)).first(2));
    client(&simulated).start(&SCOPE, ID).await.expect("503 says that it was not carried out");
}

#[tokio::test]
async fn counts_of_another_form_are_not_shown_and_disturb_nothing() {
    let simulated = simulated(Settings::default()).await;
    let fields = json!({"numEntityCreateErrors": null, "numEntityUpdateErrors": -1, "numEntityDeleteErrors": 0.0,
        "numRelationshipCreateErrors": "0", "numRelationshipUpdateErrors": [], "numEntitiesCreated": null,
        "numEntitiesUploaded": "many", "done": "no", "ttl": {}});
    let fields = fields.as_object().expect("an object").clone();
    simulated.fault(Fault::new(Route::Any, Effect::AnswerWith(fields)));
    synchronize(&client(&simulated), &SCOPE).await.expect("finished");
    assert_eq!(simulated.jobs().len(), 1);
}

#[tokio::test]
async fn an_answer_about_another_job_is_none() {
    let simulated = simulated(Settings::default()).await;
    let client = client(&simulated);
    let other = json!({"id": "another", "status": "FINISHED", "done": true});
    let job = client.start(&SCOPE, ID).await.expect("started");
    let other = Effect::AnswerWith(other.as_object().expect("an object").clone());
    simulated.fault(Fault::new(Route::Finalize, other.clone()).first(1));
    simulated.fault(Fault::new(Route::Status, other).first(1));
    simulated.set_settings(Settings { finalize: Finalize::AfterPolls(2), ..Settings::default() });
    let finalized = client.finalize(&job.id, &[]).await.expect("finalized");
    let done = client.wait(finalized, Duration::from_secs(20)).await.expect("finished");
    assert_eq!(done.id, job.id);
}

#[tokio::test]
async fn a_finalize_that_is_refused_asks_how_the_job_stands() {
    // The answer to the first is lost; what the second is refused with is not documented.
    let simulated = simulated(Settings::default()).await;
    let client = client(&simulated);
    let job = client.start(&SCOPE, ID).await.expect("started");
    simulated.fault(Fault::new(Route::Finalize, Effect::CommitThenCut).first(1));
    simulated.fault(Fault::new(Route::Finalize, Effect::Status(422)).nth(2));
    let done = client.finalize(&job.id, &[]).await.expect("it was finalized");
    assert!(done.status.is_finished());
    let job = client.start(&SCOPE, ID).await.expect("started");
    simulated.fault(Fault::new(Route::Finalize, Effect::Status(422)));
    assert!(matches!(client.finalize(&job.id, &[]).await, Err(Error::Refused { status: 422, .. })));
}

#[tokio::test]
async fn a_server_that_answers_without_a_key_is_not_jupiterone() {
    let simulated = simulated(Settings::default()).await;
    client(&simulated).check().await.expect("it is JupiterOne");
    simulated.fault(Fault::new(Route::Any, Effect::Status(404)));
    client(&simulated).check().await.expect("a 404 for the job, and 401 without a key");
    // It answers every request with 404.
    let anything = server_of_404s().await;
    let base_url = http::check_url(&anything, false).expect("loopback");
    let settings = http::Settings {
        base_url: &base_url,
        root_certificate: None,
        request_timeout: REQUEST_TIMEOUT,
        what: "sink",
    };
    let api = api(SecretSource::Text(SecretString::from("j1-key")));
    let client = http::client(settings).expect("a client");
    let client = JupiterOne::new(client, &base_url, "nimbus", api);
    let error = client.check().await.expect_err("not JupiterOne").to_string();
    assert!(error.contains("with and without an API key"), "{error}");
}

/// A server that answers 404 to every request.
async fn server_of_404s() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a loopback port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _ = stream.write_all(answer).await;
        }
    });
    url
}

#[tokio::test]
async fn a_refused_key_or_target_pauses_the_organization() {
    let simulated =
        simulated(Settings { integration_instances: Some(BTreeSet::new()), ..Settings::default() }).await;
    let client = client(&simulated);
    for (effect, expected) in
        [(Effect::Unauthorized, "401"), (Effect::Forbidden, "403"), (Effect::Status(302), "302")]
    {
        simulated.fault(Fault::new(Route::Start, effect).first(1));
        let error = client.start(&SCOPE, ID).await.expect_err("refused");
        assert!(
            matches!(&error, Error::PauseOrganization { reason } if reason.contains(expected)),
            "{error:?}"
        );
        simulated.clear_faults();
    }
    let unsendable = SecretSource::Text(SecretString::from("a key\nof two lines"));
    let error = client_with(&simulated, unsendable, REQUEST_TIMEOUT).start(&SCOPE, ID).await;
    assert!(
        matches!(&error, Err(Error::PauseOrganization { reason }) if reason.contains("invalid characters"))
    );
    let instance = Destination::Instance(INSTANCE.to_owned());
    let error = client.start(&instance, ID).await.expect_err("no such instance");
    assert!(error.to_string().contains("SYNC_JOB_INVALID_INTEGRATION_INSTANCE"), "{error}");
    assert!(matches!(error, Error::Refused { .. }));
}

#[tokio::test]
async fn a_key_that_was_rotated_in_its_file_is_read_again_after_a_401() {
    let simulated = simulated(Settings::default()).await;
    let folder = std::env::temp_dir().join(format!("sink-key-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir(&folder).expect("a folder");
    let file: PathBuf = folder.join("key");
    std::fs::write(&file, "an-older-key").expect("written");
    let client = client_with(&simulated, SecretSource::File(file.clone()), REQUEST_TIMEOUT);
    assert!(matches!(client.check().await, Err(Error::PauseOrganization { .. })));
    std::fs::write(&file, format!("{}\n", simulated.api_key())).expect("written");
    client.check().await.expect("the new key");
    std::fs::remove_dir_all(&folder).expect("removed");
}

#[tokio::test]
async fn a_second_open_job_of_the_target_is_waited_out() {
    let simulated =
        simulated(Settings { second_open_job: SecondOpenJob::Reject, ..Settings::default() }).await;
    let client = client(&simulated);
    let first = client.start(&SCOPE, ID).await.expect("started");
    assert!(matches!(client.start(&SCOPE, ID).await, Err(Error::Refused { status: 409, .. })));
    client.abort(&first.id, "test").await.expect("aborted");
    client.start(&SCOPE, ID).await.expect("started");
}

#[tokio::test]
async fn an_upload_says_whether_to_split_or_that_the_job_has_ended() {
    let simulated = simulated(Settings::default()).await;
    let client = client(&simulated);
    let job = client.start(&SCOPE, ID).await.expect("started");
    let batch = graph().remove(0);
    simulated.fault(Fault::new(Route::Entities, Effect::TooLarge).first(1));
    assert_eq!(client.upload(&job.id, &batch, false).await, Err(Error::SplitBatch));
    client.abort(&job.id, "test").await.expect("aborted");
    assert!(matches!(client.upload(&job.id, &batch, false).await, Err(Error::JobEnded { .. })));
    assert!(matches!(client.abort(&job.id, "test").await, Err(Error::JobEnded { .. })));
    let unknown = client.status("9b2f0d34-57c1-4f6e-8a55-1d2c7e60b4aa").await;
    assert!(matches!(unknown, Err(Error::JobEnded { .. })));
}

#[tokio::test]
async fn a_finalize_whose_answer_is_lost_or_that_fails_inside_is_still_one_finalize() {
    for effect in [Effect::CommitThenCut, Effect::FinalizeInternalError] {
        let simulated = simulated(Settings::default()).await;
        simulated.fault(Fault::new(Route::Finalize, effect).first(1));
        synchronize(&client(&simulated), &SCOPE).await.expect("finished");
    }
}

#[tokio::test]
async fn a_job_that_ends_otherwise_or_not_in_time_says_so() {
    let simulated = simulated(Settings::default()).await;
    let client = client(&simulated);
    simulated.fault(Fault::new(Route::Finalize, Effect::EndJob(Status::ErrorBadData)));
    let job = client.start(&SCOPE, ID).await.expect("started");
    let job = client.finalize(&job.id, &[]).await.expect("answered");
    assert!(job.is_done() && job.status.is_bad_data());
    simulated.clear_faults();
    simulated.set_settings(Settings { finalize: Finalize::AfterPolls(1000), ..Settings::default() });
    let job = client.start(&SCOPE, ID).await.expect("started");
    let job = client.finalize(&job.id, &[]).await.expect("answered");
    let error = client.wait(job, Duration::from_millis(200)).await.expect_err("not in time");
    assert!(error.to_string().contains("FINALIZ"), "{error}");
}

#[tokio::test]
async fn events_reach_an_integration_s_job() {
    let simulated = simulated(Settings::default()).await;
    let client = client(&simulated);
    let job = client.start(&Destination::Instance(INSTANCE.to_owned()), ID).await.expect("started");
    let event = Event { name: "warn_incomplete_data", description: "users: 403".to_owned() };
    client.publish(&job.id, &[event]).await.expect("published");
    let events = simulated.jobs()[0]["_simulator"]["events"].clone();
    assert_eq!(events[0]["name"], "warn_incomplete_data");
}

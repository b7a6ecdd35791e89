//! The commands in process, on librdkafka's mock cluster, as the quickstart runs them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use producer::{check, poll_once, run};
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{DefaultProducerContext, FutureProducer, FutureRecord};
use schemas::codec::encode;
use schemas::collection::POLL;
use schemas::coverage::{Coverage, Poll};
use schemas::topics::Topic;
use service::config::Config;
use service::exit::Outcome;
use service::kafka::topics::Broker;
use service::shell::Program;
use service::shutdown::CancellationToken;
use service::startup::Options;
use simulator::anthropic::{Answer, Anthropic, Fault, Settings};

use crate::end::start;

/// How long a service may take to do its first poll: joining a group has delays of seconds.
const PATIENCE: Duration = Duration::from_mins(1);

struct Embedded {
    anthropic: Anthropic,
    config: Config,
    options: Options,
    _broker: MockCluster<'static, DefaultProducerContext>,
}

async fn embedded() -> Embedded {
    let broker = MockCluster::new(1).expect("a mock cluster");
    for topic in Topic::ALL {
        broker.create_topic(&topic.name("anthropic"), 3, 1).expect("a topic");
    }
    let anthropic = start(Settings::default()).await;
    let environment = BTreeMap::from([("KEY".to_owned(), anthropic.admin_key().to_owned())]);
    let text = format!(
        r#"
        admin_listen = ""
        [kafka]
        bootstrap_servers = "{}"
        [[organizations]]
        name = "nimbus"
        base_url = "{}"
        api_key = {{ env = "KEY" }}
        "#,
        broker.bootstrap_servers(),
        anthropic.url()
    );
    let config = Config::from_toml(&text, Path::new(""), &environment).expect("a configuration");
    let options = Options {
        until_end: false,
        environment: Arc::new(environment),
        broker: Broker::Embedded,
        program: Program::new("anthropic-graph", None),
    };
    Embedded { anthropic, config, options, _broker: broker }
}

#[tokio::test(flavor = "multi_thread")]
async fn debug_shows_nothing_of_the_environment() {
    let Embedded { options, config, .. } = embedded().await;
    let (_, key) = options.environment.first_key_value().expect("the key");
    let shown = format!("{options:?} {options:#?} {config:?}");
    assert!(shown.contains("Embedded") && !shown.contains(key), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_polls_at_once_and_leaves_when_asked() {
    let Embedded { anthropic, config, options, _broker } = embedded().await;
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(run::run(config, options, shutdown.clone()));
    let deadline = Instant::now() + PATIENCE;
    let members = anthropic.truth().workspaces.len();
    // The pin is not known, so `/me` is asked once more.
    while anthropic.requests().len() < 5 + members {
        assert!(Instant::now() < deadline, "no whole poll within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    shutdown.cancel();
    assert_eq!(running.await.expect("no panic").expect("a good end"), Outcome::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_fails_for_a_missing_topic_and_for_a_refused_list_alone() {
    let Embedded { anthropic, mut config, options, _broker } = embedded().await;
    let check = |config: &Config| check::check(config.clone(), options.clone());
    assert_eq!(check(&config).await.expect("a check"), Outcome::Done);
    anthropic.fault(Fault::on("api_keys", Answer::Forbidden));
    assert_eq!(check(&config).await.expect("a check"), Outcome::Failed);
    anthropic.clear_faults();
    config.kafka.topic_prefix = "another".to_owned();
    config.kafka.create_topics = false;
    assert_eq!(check(&config).await.expect("a check"), Outcome::Failed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manual_poll_says_what_is_missing() {
    let Embedded { anthropic, config, options, _broker } = embedded().await;
    let asked = CancellationToken::new();
    let poll = || poll_once::poll(config.clone(), options.clone(), Some("nimbus"), asked.clone());
    assert_eq!(poll().await.expect("a poll"), Outcome::Done);
    anthropic.fault(Fault::on("users", Answer::Forbidden));
    let Outcome::Incomplete(line) = poll().await.expect("a poll") else { panic!("users cannot be whole") };
    assert!(line.starts_with("incomplete: nimbus: users failed (403 permission_error: "), "{line}");
    anthropic.clear_faults();
    anthropic.fault(Fault::on("", Answer::Unauthorized));
    let error = poll().await.expect_err("nothing can be done").to_string();
    assert!(error.starts_with("nimbus: cannot poll the organization: 401 authentication_error: "), "{error}");
    let unknown = poll_once::poll(config, options, Some("cumulus"), asked).await.expect_err("no such name");
    assert!(unknown.to_string().contains("configured: nimbus"), "{unknown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_of_one_organization_leaves_it_to_the_other_name_that_its_coverage_has() {
    let Embedded { anthropic, mut config, options, _broker } = embedded().await;
    let mut cumulus = config.organizations[0].clone();
    cumulus.name = "cumulus".to_owned();
    config.organizations.push(cumulus);
    let organization_id = anthropic.organization_id();
    let coverage = Coverage {
        poll: Some(Poll { partition_count: 3, ..Poll::default() }),
        ..Coverage::new(&organization_id, "nimbus", POLL)
    };
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", &config.kafka.bootstrap_servers)
        .create()
        .expect("a producer");
    let (topic, key) = (Topic::Graph.name("anthropic"), format!("{organization_id}/coverage/{POLL}"));
    let value = encode(&coverage);
    let record = FutureRecord::to(&topic).partition(0).key(&key).payload(&value);
    producer.send(record, PATIENCE).await.expect("the mock cluster takes it");
    let asked = CancellationToken::new();
    let poll =
        |name: &'static str| poll_once::poll(config.clone(), options.clone(), Some(name), asked.clone());
    let refused = poll("cumulus").await.expect_err("its key is of nimbus").to_string();
    assert!(refused.contains("is configured twice, as nimbus and as cumulus"), "{refused}");
    assert_eq!(poll("nimbus").await.expect("a poll"), Outcome::Done);
}

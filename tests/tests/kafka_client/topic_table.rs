//! Making and verifying the topics.

use std::time::{Duration, Instant};

use schemas::topics::{Retention, Topic};
use service::kafka::topics::{Broker, Error, Wanted, check, ensure};

use crate::world::{config, config_at, make_topic, unique};

fn wanted<'a>(topics: &'a [Topic], prefix: &'a str) -> Wanted<'a> {
    Wanted {
        topics,
        prefix,
        partitions: 2,
        replication_factor: 1,
        retention: Retention::default(),
        create: true,
        must_see_settings: true,
        broker: Broker::Kafka,
    }
}

fn unfit(result: Result<i32, Error>) -> String {
    match result.unwrap_err() {
        Error::Unfit { problems } => problems.join("\n"),
        error => panic!("{error:?}"),
    }
}

#[test]
fn missing_topics_are_made_as_the_table_says_and_found_good_afterwards() {
    let prefix = unique("made");
    let wanted = wanted(&Topic::ALL, &prefix);
    let before = check(&config(), &wanted).unwrap();
    assert!(before.iter().all(|finding| finding.is_missing), "{before:?}");
    assert_eq!(ensure(&config(), &wanted).unwrap(), 2);
    assert_eq!(ensure(&config(), &wanted).unwrap(), 2, "the second start finds them");
    let after = check(&config(), &wanted).unwrap();
    assert_eq!(after.len(), 10, "a partition count and a cleanup policy for each");
    assert!(after.iter().all(|finding| finding.is_good), "{after:?}");
}

#[test]
fn a_topic_made_later_gets_the_partition_count_of_those_that_exist() {
    let prefix = unique("later");
    make_topic(&format!("{prefix}.raw"), 3, &[]);
    assert_eq!(ensure(&config(), &wanted(&[Topic::Raw, Topic::Graph], &prefix)).unwrap(), 3);
}

#[test]
fn a_topic_with_another_cleanup_policy_is_refused_with_the_command_that_fixes_it() {
    let prefix = unique("policy");
    make_topic(&format!("{prefix}.graph"), 2, &[("cleanup.policy", "delete")]);
    let problems = unfit(ensure(&config(), &wanted(&[Topic::Graph], &prefix)));
    assert!(
        problems.contains(&format!("{prefix}.graph: cleanup.policy=delete, should be compact")),
        "{problems}"
    );
    assert!(problems.contains("kafka-configs.sh"), "{problems}");
}

#[test]
fn topics_with_unequal_partition_counts_are_refused() {
    let prefix = unique("counts");
    make_topic(&format!("{prefix}.raw"), 3, &[]);
    make_topic(&format!("{prefix}.sync"), 2, &[("cleanup.policy", "compact")]);
    let problems = unfit(ensure(&config(), &wanted(&[Topic::Raw], &prefix)));
    assert!(problems.contains(&format!("{prefix}.sync: 2 partitions, should be 3")), "{problems}");
}

#[test]
fn missing_topics_that_are_not_to_be_made_are_listed_as_commands() {
    let prefix = unique("absent");
    let wanted = Wanted { create: false, ..wanted(&[Topic::Raw, Topic::Graph], &prefix) };
    let Err(Error::Missing { commands }) = ensure(&config(), &wanted) else { panic!("they are missing") };
    assert_eq!(commands.len(), 2);
    assert!(
        commands[0].contains("kafka-topics.sh") && commands[0].contains(&format!("{prefix}.raw")),
        "{commands:?}"
    );
}

#[test]
fn a_broker_that_does_not_answer_is_named_within_ten_seconds() {
    let began = Instant::now();
    let error = ensure(&config_at("127.0.0.1:1"), &wanted(&[Topic::Raw], "anthropic")).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    let message = error.to_string();
    assert!(message.contains("127.0.0.1:1") && message.contains("Connection refused"), "{message}");
    assert!(began.elapsed() < Duration::from_secs(10));
}

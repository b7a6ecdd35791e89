//! The keys, at trace level, through everything that goes wrong: nobody shows them, nor a part of them.

mod commands;
mod encrypted;
mod marks;

use std::thread;

use simulator::anthropic::{Answer, Fault};
use simulator::jupiterone::{self, Effect, Fault as Refusal, Route, Status};
use tests::collector::Collector;
use tests::services::Service;
use tests::stub::Stub;
use tests::world::World;
use tests::{comparison, kafka};

use self::marks::Marks;
use schemas::topics::Topic;

const JUPITERONE_KEY: &str = "j1-cD3kW9yR5uE7mQ1xZ8vL2pS6tB4nH0aJ";
const PASSWORD: &str = "sasl-Pw-8fK2qZ71xWvB04nTgH5s";
/// What the collector of spans wants to see.
const TOKEN: &str = "collector-pX7mN4qT9wK2vB6yR3sD8fG1";
const SERVICES: [&str; 3] = ["producer", "processor", "sink"];

/// The environment of all runs: everything is logged, and librdkafka has a password.
const TALKATIVE: [(&str, &str); 3] = [
    ("RUST_LOG", "trace"),
    ("ANTHROPIC_GRAPH__KAFKA__PROPERTIES__DEBUG", "all"),
    ("ANTHROPIC_GRAPH__KAFKA__PROPERTIES__SASL_PASSWORD", PASSWORD),
];

/// A world whose services are watched.
struct Watched {
    world: World,
    collector: Collector,
    marks: Marks,
}

impl Watched {
    fn start() -> Self {
        let mut world = World::start();
        let settings = jupiterone::Settings { api_key: JUPITERONE_KEY.to_owned(), ..Default::default() };
        let end = world.runtime().block_on(jupiterone::start(settings, ([127, 0, 0, 1], 0).into()));
        world.jupiterone = end.expect("a port");
        world.configure("");
        let secrets = [world.anthropic[0].admin_key().to_owned(), world.jupiterone.api_key().to_owned()];
        let marks = Marks::of(secrets.into_iter().chain([PASSWORD, TOKEN].map(str::to_owned)));
        Self { world, collector: Collector::start(), marks }
    }

    fn spawn(&self, service: &'static str, arguments: &[&str], more: &[(&str, &str)]) -> Service {
        let config = self.world.config().display().to_string();
        let arguments = ["--config", &config].into_iter().chain(arguments.iter().copied());
        let traced = self.collector.environment(TOKEN);
        let traced = traced.iter().map(|(name, value)| (*name, value.as_str()));
        let environment: Vec<_> = TALKATIVE.into_iter().chain(traced).chain(more.iter().copied()).collect();
        Service::spawn(service, arguments, &environment)
    }

    /// Runs a command to its end, whatever that is, and looks through all that it wrote.
    fn run(&self, what: &str, service: &'static str, arguments: &[&str], more: &[(&str, &str)]) -> String {
        let finished = self.spawn(service, arguments, more).finish();
        let written = finished.stdout + &finished.stderr;
        self.marks.look(&format!("{service} {arguments:?} on {what}"), written.as_bytes());
        written
    }

    fn round(&self, what: &str, more: &[(&str, &str)]) {
        self.run(what, "producer", &["poll"], more);
        self.run(what, "processor", &["run", "--until-end"], more);
        self.run(what, "sink", &["run", "--until-end"], more);
    }

    /// Looks through every byte of every topic.
    fn look_into_topics(&self) {
        for topic in Topic::ALL {
            for record in self.world.read(topic) {
                let what = format!("{topic:?} at {}", record.offset);
                let headers = record.headers.iter().filter_map(|(_, value)| value.as_ref());
                let parts = record.key.iter().chain(&record.value).chain(headers);
                parts.for_each(|bytes| self.marks.look(&what, bytes));
            }
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.marks.look("a span", format!("{:?}", self.collector.spans()).as_bytes());
        }
    }
}

#[test]
fn the_admin_api_s_failures_show_no_key() {
    let watched = Watched::start();
    watched.round("all is well", &[]);
    let elsewhere = Stub::start(|_| (200, Vec::new(), "{}".to_owned()));
    let end = &watched.world.anthropic[0];
    for answer in [
        Answer::Unauthorized,
        Answer::Forbidden,
        Answer::Status(400),
        Answer::RateLimited { retry_after: Some("0".to_owned()), retry_after_ms: None, reset: None },
        Answer::ServerError { should_retry: None },
        Answer::Overloaded,
        Answer::HtmlBadGateway,
        Answer::Redirect { to: elsewhere.url() },
        Answer::Cut,
        Answer::CutBody,
        Answer::TruncatedJson,
        Answer::InvalidJson,
    ] {
        let what = format!("{answer:?}");
        end.fault(Fault::on("users", answer.clone()).first(2));
        watched.run(&what, "producer", &["poll"], &[]);
        end.clear_faults();
        end.fault(Fault::on("", answer).first(2));
        watched.run(&what, "producer", &["check"], &[]);
        end.clear_faults();
    }
    assert_eq!(elsewhere.requests(), Vec::<String>::new(), "no redirect is followed");
    watched.round("all is well again", &[]);
    comparison::agree(&watched.world, 0);
    watched.look_into_topics();
    assert!(watched.collector.spans().iter().any(|span| span.has_failed), "the failures are in spans too");
}

/// A server that answers with all that it was asked, wherever an answer has room for it.
fn echo(status: u16) -> Stub {
    Stub::start(move |request| {
        let key = request.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            ["x-api-key", "authorization"].contains(&name).then(|| value.to_owned())
        });
        let key = key.unwrap_or_default();
        let quoted = serde_json::json!({ "error": { "type": key, "code": key, "message": request },
            "job": { "id": key, "status": key } });
        let headers = vec![
            ("request-id", key.clone()),
            ("anthropic-organization-id", key),
            ("retry-after", "0".to_owned()),
        ];
        (status, headers, quoted.to_string())
    })
}

#[test]
fn a_server_that_answers_with_what_it_was_asked_brings_no_key_to_light() {
    let watched = Watched::start();
    watched.round("all is well", &[]);
    for status in [200, 400, 401, 404, 409] {
        let stub = echo(status);
        let (url, what) = (stub.url(), format!("an echo with {status}"));
        let admin = [("ANTHROPIC_GRAPH__ORGANIZATIONS__ORGANIZATION_1__BASE_URL", url.as_str())];
        watched.run(&what, "producer", &["poll"], &admin);
        watched.run(&what, "producer", &["check"], &admin);
        watched.run(&what, "processor", &["run", "--until-end"], &admin);
        watched.world.anthropic[0].live(simulator::anthropic::ROUND);
        watched.run("all is well", "producer", &["poll"], &[]);
        watched.run("all is well", "processor", &["run", "--until-end"], &[]);
        // An answer without a job is asked for again until the tries are used up: once is enough.
        if status != 200 {
            let jupiterone = [("ANTHROPIC_GRAPH__JUPITERONE__BASE_URL", url.as_str())];
            watched.run(&what, "sink", &["run", "--until-end"], &jupiterone);
            watched.run(&what, "sink", &["check"], &jupiterone);
        }
        assert!(!stub.requests().is_empty(), "{what} was asked");
    }
    watched.look_into_topics();
}

#[test]
fn jupiterone_s_failures_show_no_key() {
    let watched = Watched::start();
    watched.round("all is well", &[]);
    let user = watched.world.anthropic[0].truth().users.keys().next().expect("a user").clone();
    let key = format!("anthropic_user:{user}");
    for (route, effect) in [
        (Route::Any, Effect::Unauthorized),
        (Route::Any, Effect::Forbidden),
        (Route::Start, Effect::RateLimited { retry_after: Some(0) }),
        (Route::Entities, Effect::Status(500)),
        (Route::Entities, Effect::TooLarge),
        (Route::Entities, Effect::Cut),
        (Route::Finalize, Effect::CommitThenCut),
        (Route::Entities, Effect::RefuseObject { key, named: true, while_property: None }),
        (Route::Finalize, Effect::EndJob(Status::ErrorBadData)),
    ] {
        let what = format!("{effect:?}");
        watched.world.jupiterone.fault(Refusal::new(route, effect).first(2));
        watched.run(&what, "anthropic-graph", &["sync", "resync"], &[]);
        watched.run(&what, "sink", &["check"], &[]);
        watched.world.jupiterone.clear_faults();
    }
    watched.round("all is well again", &[]);
    watched.look_into_topics();
}

#[test]
fn mistakes_and_what_cannot_be_reached_show_no_key() {
    let watched = Watched::start();
    let nowhere = "http://127.0.0.1:1";
    let sasl = ("ANTHROPIC_GRAPH__KAFKA__PROPERTIES__SECURITY_PROTOCOL", "SASL_PLAINTEXT");
    let plain = ("ANTHROPIC_GRAPH__KAFKA__PROPERTIES__SASL_MECHANISM", "PLAIN");
    let user = ("ANTHROPIC_GRAPH__KAFKA__PROPERTIES__SASL_USERNAME", "someone");
    let (admin, jupiterone) = (watched.world.anthropic[0].admin_key(), watched.world.jupiterone.api_key());
    let junk = format!("KEY={admin} {jupiterone}");
    let cases: [(&str, &[(&str, &str)]); 6] = [
        (
            "both ends are away",
            &[
                ("ANTHROPIC_GRAPH__ORGANIZATIONS__ORGANIZATION_1__BASE_URL", nowhere),
                ("ANTHROPIC_GRAPH__JUPITERONE__BASE_URL", nowhere),
            ],
        ),
        ("Kafka is away", &[("ANTHROPIC_GRAPH__KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")]),
        ("Kafka takes no password", &[sasl, plain, user]),
        (
            "a password where a number should be",
            &[("ANTHROPIC_GRAPH__KAFKA__PROPERTIES__LINGER_MS", PASSWORD)],
        ),
        (
            "keys with something around them",
            &[
                ("ANTHROPIC_GRAPH__ORGANIZATIONS__ORGANIZATION_1__API_KEY", &junk),
                ("ANTHROPIC_GRAPH__JUPITERONE__API_KEY", &junk),
            ],
        ),
        ("a key of no name", &[("ANTHROPIC_GRAPH__API_KEY", admin), ("ANTHROPIC_GRAPH__KAFKA", jupiterone)]),
    ];
    for (what, environment) in cases {
        for service in SERVICES {
            watched.run(what, service, &["check"], environment);
        }
    }
    let written_into_it = format!(
        "api_key = \"{admin}\"\njupiterone = {{ api_key = \"{jupiterone}\" }}\ndescription = \"\n[kafka.properties]\n\"sasl.password\" = \"{PASSWORD}"
    );
    watched.world.configure(&written_into_it);
    for service in SERVICES {
        watched.run("a secret within the file", service, &["check"], &[]);
    }
}

#[test]
fn a_key_in_the_place_of_its_variable_s_name_or_its_file_is_not_shown() {
    let watched = Watched::start();
    let (admin, jupiterone) = (watched.world.anthropic[0].admin_key(), watched.world.jupiterone.api_key());
    let fields = [
        ("ORGANIZATIONS__ORGANIZATION_1__API_KEY", admin),
        ("JUPITERONE__API_KEY", jupiterone),
        ("KAFKA__PROPERTIES__SASL_PASSWORD", PASSWORD),
    ];
    let check = |what: &str, environment: &[(&str, &str)]| {
        let mut written = String::new();
        for service in SERVICES {
            // An empty variable is as if absent.
            let no_password = [("ANTHROPIC_GRAPH__KAFKA__PROPERTIES__SASL_PASSWORD", "")];
            let environment = [&no_password, environment].concat();
            written.push_str(&watched.run(what, service, &["check"], &environment));
        }
        written
    };
    let file = std::fs::read_to_string(watched.world.config()).expect("a configuration");
    for (form, advice) in
        [("env", "env does not name an environment variable"), ("file", "file does not name a file")]
    {
        let variables =
            fields.map(|(field, key)| (format!("ANTHROPIC_GRAPH__{field}__{}", form.to_uppercase()), key));
        for (variable, key) in &variables {
            let written = check("a key in a variable for its name", &[(&**variable, key)]);
            assert!(written.contains(advice), "{variable}: {written}");
        }
        let pasted = file
            .replace("{ file = \"admin-key-1\" }", &format!("{{ {form} = \"{admin}\" }}"))
            .replace("{ file = \"jupiterone-key\" }", &format!("{{ {form} = \"{jupiterone}\" }}"))
            .replace(
                "[jupiterone]",
                &format!("properties.\"sasl.password\" = {{ {form} = \"{PASSWORD}\" }}\n[jupiterone]"),
            );
        std::fs::write(watched.world.config(), pasted).expect("the configuration is written");
        let written = check("a key in the file for its name", &[]);
        assert!(written.matches(advice).count() >= SERVICES.len(), "{written}");
        std::fs::write(watched.world.config(), &file).expect("the configuration is written");
    }
}

#[test]
fn what_runs_for_long_shows_no_key_at_its_admin_endpoint() {
    let watched = Watched::start();
    let mut running: Vec<_> = SERVICES.map(|service| (service, watched.spawn(service, &["run"], &[]))).into();
    for (_, service) in &mut running {
        service.ready();
    }
    running[0].1.logged("\"polled ");
    watched.world.anthropic[0].fault(Fault::on("", Answer::Unauthorized));
    watched.world.jupiterone.fault(Refusal::new(Route::Any, Effect::Unauthorized));
    running[0].1.logged("stopped until its next poll");
    for (name, service) in &mut running {
        for path in ["/metrics", "/readyz", "/livez", "/nothing"] {
            let (_, body) = service.get(path).expect("an answer");
            watched.marks.look(&format!("{name} {path}"), body.as_bytes());
        }
    }
    for (name, service) in running {
        let ended = service.terminate();
        watched.marks.look(name, (ended.stdout + &ended.stderr).as_bytes());
    }
    let groups = kafka::partition_count(&watched.world.bootstrap_servers, &watched.world.topic(Topic::Raw));
    assert!(groups > 0, "they did something");
    watched.look_into_topics();
}

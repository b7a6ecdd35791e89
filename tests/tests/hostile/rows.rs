//! Answers that are JSON and were not meant: nothing of them is lost, or the listing fails and says why.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use schemas::codec::decode;
use schemas::raw::{RawRecord, Resource, User};
use schemas::topics::Topic;
use tests::services::{Finished, Service};
use tests::stub::Stub;
use tests::world::World;

const ADA: &str = r#"{"id":"user_ada","email":"ada@nimbus.example","name":"Ada","role":"admin"}"#;
const BO: &str = r#"{"id":"user_bo","email":"bo@nimbus.example","name":"Bo","role":"user"}"#;

/// An Admin API of which every answer can be written by hand, and what follows from it.
struct Written {
    world: World,
    answers: Arc<Mutex<BTreeMap<&'static str, String>>>,
    stub: Stub,
}

impl Written {
    fn start() -> Self {
        let page = |rows: &str| format!(r#"{{"data":[{rows}],"has_more":false}}"#);
        let answers = BTreeMap::from([
            ("me", r#"{"id":"o-1","type":"organization","name":"Nimbus"}"#.to_owned()),
            ("users", page(&format!("{ADA},{BO}"))),
            ("workspaces", page(r#"{"id":"w-1","name":"Production"}"#)),
            ("api_keys", page(r#"{"id":"k-1","name":"ci","created_by":{"id":"user_ada","type":"user"}}"#)),
            (
                "members",
                page(r#"{"user_id":"user_ada","workspace_id":"w-1","workspace_role":"workspace_user"}"#),
            ),
        ]);
        let answers = Arc::new(Mutex::new(answers));
        let written = Arc::clone(&answers);
        let stub = Stub::start(move |request| {
            let path = request.split(' ').nth(1).unwrap_or_default();
            let path = path.split('?').next().unwrap_or_default();
            let name = path.rsplit('/').next().unwrap_or_default();
            let answer = written.lock().expect("not poisoned").get(name).cloned();
            (200, Vec::new(), answer.expect("a collection"))
        });
        Self { world: World::start(), answers, stub }
    }

    fn write(&self, collection: &'static str, body: &str) {
        self.answers.lock().expect("not poisoned").insert(collection, body.to_owned());
    }

    /// Writes these rows as the users, and polls.
    fn poll_users(&self, rows: &str) -> Finished {
        self.write("users", &format!(r#"{{"data":[{rows}],"has_more":false}}"#));
        self.poll()
    }

    fn poll(&self) -> Finished {
        let config = self.world.config().display().to_string();
        let url = self.stub.url();
        let environment = [("ANTHROPIC_GRAPH__ORGANIZATIONS__ORGANIZATION_1__BASE_URL", url.as_str())];
        Service::run("producer", ["--config", &config, "poll"], &environment)
    }

    /// A workspace whose id has a line break: it stays on one line of the log and of the last line.
    fn workspace_with_a_line_break(&self) {
        let whole = r#"{"data":[{"id":"w-1","name":"Production"}],"has_more":false}"#;
        self.write("workspaces", &whole.replace("}]", r#"},{"id":"w\n2 \u001b[2J"}]"#));
        let polled = self.poll();
        let last = polled.expect(3).stderr.lines().last().unwrap_or_default();
        assert!(last.starts_with("incomplete: organization-1: members/w\\n2 \\u{1b}[2J failed ("), "{last}");
        self.write("workspaces", whole);
        self.poll().expect(0);
    }

    /// The keys of what JupiterOne holds, once the rest of the round is done.
    fn held(&self) -> Vec<String> {
        self.world.run("processor", &["run", "--until-end"]);
        self.world.run("sink", &["run", "--until-end"]).expect(0);
        let held = self.world.jupiterone.graph("anthropic-graph:o-1");
        let objects = held.entities.into_iter().chain(held.relationships);
        objects.map(|it| it["_key"].as_str().expect("a key").to_owned()).collect()
    }

    /// Holds all that was written to the laws of the auditor.
    fn verify(&self) {
        self.world.ask(&["verify"]).expect(0);
    }

    /// The newest raw record of a user.
    fn raw_user(&self, id: &str) -> User {
        let records = self.world.read(Topic::Raw).into_iter().rev();
        let mut users = records.filter_map(|record| {
            let record: RawRecord = decode(&record.value?).expect("a raw record");
            let Resource::User(user) = record.body.resource()? else { return None };
            Some(user)
        });
        *users.find(|user| user.id == id).expect("a user")
    }
}

#[test]
fn what_cannot_be_kept_fails_its_listing_with_the_reason_and_deletes_nothing() {
    let written = Written::start();
    written.poll().expect(0);
    let whole = written.held();
    assert!(whole.contains(&"anthropic_user:user_bo".to_owned()), "{whole:?}");
    let bomb = format!(r#"{ADA},{{"id":"user_x","x":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let cases = [
        (
            r#"{"id":"user_ada","id":"user_eve"}"#.to_owned(),
            "an object in the response has two fields with the same name",
        ),
        (bomb, "the response is nested more than 64 levels deep"),
        (
            format!(r#"{ADA},{{"id":"user_x","name":"\ud800"}}"#),
            "page 1: a string in the response has half of a character (a lone \\u surrogate) at byte 107 (row 2)",
        ),
        (
            format!(r#"{ADA},{{"id":"user_ada","name":"Eve"}}"#),
            "the resource user_ada is listed twice and differs",
        ),
        (format!(r#"{ADA},{{"id":7}}"#), "a row has no id"),
        (format!("{ADA},null"), "a row is not a JSON object"),
        (
            format!(r#"{ADA},{{"id":"user_x","extra":"{}"}}"#, "x".repeat(1_100_000)),
            "is too large for the topic",
        ),
    ];
    for (rows, reason) in cases {
        let polled = written.poll_users(&rows);
        let last = polled.expect(3).stderr.lines().last().unwrap_or_default().to_owned();
        assert!(last.contains("users failed (") && last.contains(reason), "{reason}: {last}");
        assert!(last.len() < 1_000, "{} characters are too many for a line", last.len());
    }
    assert_eq!(written.held(), whole, "nothing is deleted");
    written.poll_users(ADA).expect(0);
    written.workspace_with_a_line_break();
    let gone = written.held();
    assert!(!gone.contains(&"anthropic_user:user_bo".to_owned()), "a whole listing deletes");
    written.verify();
}

#[test]
fn what_is_odd_is_kept_as_it_was_sent() {
    let written = Written::start();
    let extra = "é".repeat(200_000);
    let odd = format!(
        r#"{{"id":"user_odd","name":"Odd","added_at":"12345-11-04T09:12:44Z","n":123456789012345678901234567890,
            "f":0.1234567890123456789012,"e":1e999,"a.b":1,"a":{{"b":2}},"extra":"{extra}"}}"#
    );
    // The same state twice is one row.
    written.poll_users(&format!("{ADA},{odd},{BO},{odd}")).expect(0);
    assert!(written.held().contains(&"anthropic_user:user_odd".to_owned()));
    let user = written.raw_user("user_odd");
    assert_eq!(user.added_at.as_deref(), Some("12345-11-04T09:12:44Z"));
    let kept = |name: &str| user.extra.get(name).map(String::as_str);
    assert_eq!(kept("n"), Some("123456789012345678901234567890"));
    assert_eq!(kept("f"), Some("0.1234567890123456789012"));
    assert_eq!(kept("e"), Some("1e999"));
    assert_eq!((kept("a.b"), kept("a")), (Some("1"), Some(r#"{"b":2}"#)));
    assert_eq!(kept("extra"), Some(format!("\"{extra}\"").as_str()));
    let held = written.world.jupiterone.graph("anthropic-graph:o-1");
    let odd = held.entities.iter().find(|it| it["_key"] == "anthropic_user:user_odd").expect("the user");
    assert!(!odd.contains_key("createdOn"), "a year that JupiterOne cannot show is left out: {odd:?}");
    written.verify();
}

#[test]
fn an_organization_whose_id_cannot_be_part_of_a_key_is_refused() {
    let written = Written::start();
    written.write("me", r#"{"id":"o-1/coverage","name":"Nimbus"}"#);
    let polled = written.poll();
    assert_ne!(polled.code, Some(0));
    assert!(polled.stderr.contains("the organization's ID contains a slash"), "{}", polled.stderr);
    assert_eq!(written.world.read(Topic::Raw), Vec::new());
    written.world.run("processor", &["run", "--until-end"]).expect(0);
    written.verify();
}

//! An authorizer that grants what `check --acls` and `anthropic-graph acls` print. With all of it everything works.
//! Without any one of it something fails, and says what is missing.

use std::fmt::Write as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use schemas::topics::Topic;
use simulator::anthropic::Settings;
use tests::broker::acls::{Acl, create, parse};
use tests::broker::guarded::GuardedBroker;
use tests::comparison::agree;
use tests::kafka;
use tests::services::Service;
use tests::services::binaries::SERVICES;
use tests::world::World;

/// How long the broker may take to come up.
const BOUND: Duration = Duration::from_mins(1);
/// How long a program may take to say what is missing: `DescribeConfigs` is waited for for half a minute.
const REFUSAL_BOUND: Duration = Duration::from_secs(45);
/// How often it is looked whether it has.
const LOOK_PERIOD: Duration = Duration::from_millis(100);
/// How long the console is watched that goes on.
const CONSOLE_BOUND: Duration = Duration::from_secs(5);
/// How much is shown of what a program said last (characters).
const NEWEST: usize = 2_000;
/// At least as many as there are permissions (count).
const USERS: usize = 120;
/// How many programs run at a time, where they do not share a group (count).
const PARALLEL: usize = 4;
/// What the printed commands leave to the person who runs them.
const INTO: &str = "PREFIX.";
const GROUP: &str = "NAME";
/// Of the command that deletes topics.
const RESET: &str = "reset";

/// The broker, what is to be granted on it, and the world whose topics it has.
struct Site {
    broker: GuardedBroker,
    world: World,
    granted: Vec<Acl>,
    users: usize,
}

/// Commands that need the same permissions, and a user who has them.
struct Use {
    program: &'static str,
    /// A service's own, or what the comment says that precedes the permissions.
    name: String,
    acls: Vec<Acl>,
    user: String,
}

/// A user who lacks one permission, and the commands of which one must fail.
struct Trial {
    program: &'static str,
    commands: Vec<Vec<String>>,
    user: String,
    prefix: String,
    lacking: Acl,
}

#[test]
fn what_is_printed_suffices_and_nothing_of_it_is_superfluous() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut site = Site::start(folder.path());
    let services = SERVICES.map(|service| site.service(service));
    let people = site.people();
    // Those that share a group or a transactional ID, one after the other.
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for it in services.iter().chain(&people) {
        for lacking in &it.acls {
            let trial = site.without(it, lacking);
            let runs = trial.program != "anthropic-graph" && trial.commands[0][0] == "run";
            let is_alone = runs && trial.prefix == site.world.prefix;
            if is_alone { &mut alone } else { &mut beside }.push(trial);
        }
    }
    assert!(site.users <= USERS, "{} users", site.users);
    create(site.broker.address(), &site.granted).expect("the permissions");

    let mut failures = Vec::new();
    for service in &services {
        let trials = alone.iter().filter(|trial| trial.program == service.program);
        // What is written already is read before more is written.
        let (later, before): (Vec<_>, Vec<_>) = trials.partition(|trial| trial.rereads());
        failures.extend(before.into_iter().filter_map(|trial| site.fails(trial).err()));
        site.serves(service);
        failures.extend(later.into_iter().filter_map(|trial| site.fails(trial).err()));
    }
    agree(&site.world, 0);
    for some in beside.chunks(PARALLEL) {
        thread::scope(|scope| {
            let trials: Vec<_> = some.iter().map(|trial| scope.spawn(|| site.fails(trial).err())).collect();
            failures.extend(trials.into_iter().filter_map(|trial| trial.join().expect("a trial that ends")));
        });
    }
    let (last, first): (Vec<&Use>, Vec<&Use>) = people.iter().partition(|it| it.name == RESET);
    for it in first.into_iter().chain(last) {
        for command in commands(&it.name, "", &site.world.prefix, &site.organization()) {
            if it.name == "console" {
                // Without one of its permissions, it has said so by then.
                let mut console = site.spawn(&it.user, &site.world.prefix, it.program, &command);
                let (has_ended, ended) = (console.ends_within(CONSOLE_BOUND), console.kill());
                assert!(!has_ended && !ended.stderr.contains("is not granted"), "{}", ended.stderr);
                continue;
            }
            let ended = site.spawn(&it.user, &site.world.prefix, it.program, &command).finish();
            // One dead letter is known, and nothing replaces it.
            let is_redrive = command.iter().any(|word| *word == "redrive");
            let is_incomplete = (it.name.starts_with("replay") || is_redrive) && ended.code == Some(3);
            if ended.code != Some(0) && !is_incomplete {
                failures.push(format!("{command:?}: {}{}", ended.stdout, ended.stderr));
            }
        }
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), site.users, failures.join("\n"));
}

impl Trial {
    /// Whether the permission is for what the program has written itself.
    fn rereads(&self) -> bool {
        let Acl { operation, name, .. } = &self.lacking;
        operation == "Read" && [Topic::Changes, Topic::Sync].map(|it| it.name(&self.prefix)).contains(name)
    }
}

impl Site {
    fn start(folder: &Path) -> Self {
        let users: Vec<String> = (0..USERS).map(|number| format!("user-{number}")).collect();
        let users: Vec<&str> = users.iter().map(String::as_str).collect();
        let broker = GuardedBroker::start(folder, &users).expect("a broker starts");
        kafka::until_it_answers(broker.address(), BOUND);
        let mut world = World::on(broker.guarded_address(), vec![Settings::default()]);
        let user = "{ env = \"KAFKA_USER\" }";
        world.kafka = format!(
            "properties = {{ \"security.protocol\" = \"SASL_PLAINTEXT\", \"sasl.mechanism\" = \"PLAIN\", \
             \"sasl.username\" = {user}, \"sasl.password\" = {user} }}"
        );
        world.configure("");
        // The test itself may do everything.
        broker.address().clone_into(&mut world.bootstrap_servers);
        Self { broker, world, granted: Vec::new(), users: 0 }
    }

    /// A service with what its `check --acls` prints.
    fn service(&mut self, service: &'static str) -> Use {
        let user = self.user();
        let printed = self.printed(service, &["check", "--acls"], &user);
        let acls = read(&printed);
        if service == "producer" {
            // As a person does, with the tool itself.
            for command in printed.lines() {
                self.broker.run_acls_command(command).expect("kafka-acls.sh takes it");
            }
        } else {
            self.granted.extend(acls.clone());
        }
        Use { program: service, name: service.to_owned(), acls, user }
    }

    /// The commands of people, with what `anthropic-graph acls` prints for them.
    fn people(&mut self) -> Vec<Use> {
        let printed = self.printed("anthropic-graph", &["acls"], "nobody");
        let mut uses = Vec::new();
        for text in printed.split("# ").filter(|text| !text.is_empty()) {
            let (name, commands) = text.split_once('\n').expect("a comment is a line");
            let (person, prefix) = (self.user(), &self.world.prefix);
            let mut acls = read(commands);
            for acl in &mut acls {
                acl.principal = format!("User:{person}");
                acl.name = acl.name.replace(INTO, &into(prefix));
                if acl.name == GROUP {
                    acl.name = export_group(prefix);
                }
            }
            self.granted.extend(acls.clone());
            uses.push(Use { program: "anthropic-graph", name: name.to_owned(), acls, user: person });
        }
        uses
    }

    fn printed(&self, program: &'static str, arguments: &[&str], user: &str) -> String {
        let config = self.world.config().display().to_string();
        let principal = format!("User:{user}");
        let arguments = [&["--config", &config], arguments, &["--principal", &principal]].concat();
        let servers = ("ANTHROPIC_GRAPH__KAFKA__BOOTSTRAP_SERVERS", self.broker.address());
        Service::run(program, arguments, &[servers]).expect(0).stdout.clone()
    }

    fn organization(&self) -> String {
        self.world.anthropic[0].organization_id()
    }

    fn user(&mut self) -> String {
        self.users += 1;
        format!("user-{}", self.users - 1)
    }

    /// A user who has all the permissions but this one. Where that makes or deletes topics, they are others.
    fn without(&mut self, it: &Use, lacking: &Acl) -> Trial {
        let (user, mut prefix) = (self.user(), self.world.prefix.clone());
        let is_replay = it.name.starts_with("replay");
        let mut rename = (String::new(), String::new());
        if is_replay {
            rename = (into(&prefix), into(&tests::prefix()));
        } else if lacking.operation == "Create" || it.name == RESET {
            let other = tests::prefix();
            rename = (format!("{prefix}."), format!("{other}."));
            prefix = other;
        }
        let acl = |acl: &Acl| Acl {
            principal: format!("User:{user}"),
            name: match acl.name.strip_prefix(&rename.0) {
                Some(rest) => format!("{}{rest}", rename.1),
                None => acl.name.clone(),
            },
            ..acl.clone()
        };
        self.granted.extend(it.acls.iter().filter(|it| *it != lacking).map(acl));
        if it.name == RESET {
            for topic in [Topic::Raw, Topic::Changes, Topic::Graph] {
                kafka::create_topic(self.broker.address(), &topic.name(&prefix), 1, &[]);
            }
            // Something to read, which says nothing.
            let (graph, barrier) = (Topic::Graph.name(&prefix), "anthropic-graph.1/barrier");
            kafka::write(self.broker.address(), &graph, 0, barrier, None, &[]);
            let group = format!("{prefix}.processor");
            kafka::commit(self.broker.address(), &group, &Topic::Raw.name(&prefix), 0, 0);
        }
        let base = rename.1.strip_suffix("-replayed.").unwrap_or(&prefix);
        let commands = commands(&it.name, &lacking.operation, base, &self.organization());
        Trial { program: it.program, commands, user: user.clone(), prefix, lacking: acl(lacking) }
    }

    fn spawn(&self, user: &str, prefix: &str, program: &'static str, arguments: &[String]) -> Service {
        let config = ["--config".to_owned(), self.world.config().display().to_string()];
        let store = self.world.folder().join(format!("{user}.sqlite")).display().to_string();
        let environment = [
            ("KAFKA_USER", user),
            ("ANTHROPIC_GRAPH__KAFKA__TOPIC_PREFIX", prefix),
            ("ANTHROPIC_GRAPH__CONSOLE__LISTEN", "127.0.0.1:0"),
            ("ANTHROPIC_GRAPH__CONSOLE__STORE", &store),
        ];
        Service::spawn(program, config.iter().chain(arguments), &environment)
    }

    /// Whether one of the commands fails and says what is missing.
    fn fails(&self, trial: &Trial) -> Result<(), String> {
        let Acl { operation, name, .. } = &trial.lacking;
        let mut said = String::new();
        for command in &trial.commands {
            let mut service = self.spawn(&trial.user, &trial.prefix, trial.program, command);
            let names = |line: &str| {
                let says = |text: &str| line.contains(text);
                says(operation) && says(name) && (says("is not granted") || says("is needed"))
            };
            // The console goes on.
            let deadline = Instant::now() + REFUSAL_BOUND;
            let goes_on = |service: &Service| command[0] == "console" && service.log().lines().any(names);
            let mut has_ended = false;
            while !has_ended && !goes_on(&service) && Instant::now() < deadline {
                has_ended = service.ends_within(LOOK_PERIOD);
            }
            let ended = service.kill();
            let lines = [ended.stdout, ended.stderr].join("\n");
            let is_named = lines.lines().any(names);
            // They show what they may see, and say why the rest is unknown.
            let shows = matches!(command[0].as_str(), "console" | "status");
            if is_named && (shows || has_ended && ended.code != Some(0)) {
                return Ok(());
            }
            let length = lines.chars().count();
            let newest: String = lines.chars().skip(length.saturating_sub(NEWEST)).collect();
            let code = ended.code;
            writeln!(said, "{command:?}, ended: {has_ended}, {code:?}, named: {is_named}: {newest}")
                .expect("writing to a String cannot fail");
        }
        Err(format!("{} without {operation} on {name} {}:\n{said}", trial.program, trial.prefix))
    }

    /// Has a service do its part of a round.
    fn serves(&self, service: &Use) {
        let prefix = &self.world.prefix;
        let run = |arguments: &[&str]| {
            let arguments: Vec<String> = arguments.iter().map(|it| (*it).to_owned()).collect();
            self.spawn(&service.user, prefix, service.program, &arguments)
        };
        run(&["check"]).finish().expect(0);
        let mut running = run(&["run"]);
        running.ready();
        running.terminate().expect(0);
        if service.program == "producer" {
            run(&["poll"]).finish().expect(0);
            // Which becomes a dead letter.
            let raw = Topic::Raw.name(prefix);
            kafka::write(self.broker.address(), &raw, 0, "unknown/users/1", Some(b"no value"), &[]);
        } else {
            run(&["run", "--until-end"]).finish().expect(0);
        }
        run(&["check"]).finish().expect(0);
    }
}

fn read(printed: &str) -> Vec<Acl> {
    printed.lines().flat_map(|command| parse(command).expect("a command of kafka-acls.sh")).collect()
}

/// What `replay` begins the topics' names with.
fn into(prefix: &str) -> String {
    format!("{prefix}-replayed.")
}

fn export_group(prefix: &str) -> String {
    format!("{prefix}-export")
}

/// The ID of a listing.
const LISTING: &str = "1d2b3a4c-5d6e-4f70-8192-a3b4c5d6e7f8";

/// The commands that the printed permissions are for; those of a service show whether this operation is missing.
fn commands(name: &str, operation: &str, prefix: &str, organization: &str) -> Vec<Vec<String>> {
    let (group, replayed) = (export_group(prefix), format!("{prefix}-replayed"));
    let nobody = ["--organization-id", "00000000-0000-0000-0000-000000000000", "--by", "ada"];
    let decide = |command: &[&'static str]| [command, &nobody].concat();
    let commands: Vec<Vec<&str>> = match name {
        "producer" | "processor" | "sink" if operation == "DescribeConfigs" => vec![vec!["check"]],
        "producer" | "processor" | "sink" => vec![vec!["run"]],
        "who-can, access, changes" => vec![
            vec!["who-can"],
            vec!["access", "--between", "1", "now"],
            vec!["changes", "--from", "earliest", "--until-end"],
        ],
        "changes --group NAME" => {
            vec![vec!["changes", "--from", "earliest", "--until-end", "--group", &group]]
        }
        "console" => vec![vec!["console"]],
        "status" => vec![vec!["status"]],
        "holds list, forget" => {
            vec![vec!["holds", "list"], vec!["forget", "--organization-id", organization]]
        }
        "sync status" => vec![vec!["sync", "status"]],
        "sync parked" => vec![vec!["sync", "parked"]],
        "dead-letters list, dead-letters show" => {
            vec![vec!["dead-letters", "list"], vec!["dead-letters", "show", "0:0"]]
        }
        "dead-letters redrive" => vec![vec!["dead-letters", "redrive"]],
        "verify" => vec![vec!["verify"]],
        "holds approve, holds reject, forget --confirm" => vec![
            decide(&["holds", "approve", "--listing", LISTING]),
            decide(&["holds", "reject", "--key", "anthropic_user:1", "--listing", LISTING]),
            decide(&["forget", "--confirm"]),
        ],
        "replay --into PREFIX" => vec![vec!["replay", "--from", "earliest", "--into", &replayed]],
        RESET => vec![vec!["reset"], vec!["reset", "--confirm"]],
        "sync approve, sync resync" => {
            vec![vec!["sync", "approve", "--organization", "organization-1"], vec!["sync", "resync"]]
        }
        _ => panic!("what is to be run of {name:?}?"),
    };
    commands.into_iter().map(|command| command.into_iter().map(str::to_owned).collect()).collect()
}

//! The commands on the pages exist: those of our programs with these options, the others among those that people have.

use clap::Command;
use tests::pages::{self, pages, text};

use crate::commands_page::programs;
use crate::workspace;

/// What the pages use besides our programs. Their arguments are not looked at.
const KNOWN: [&str; 12] = [
    "cp",
    "curl",
    "docker",
    "export",
    "grep",
    "jq",
    "kafka-configs.sh",
    "mv",
    "pip",
    "siem-forwarder",
    "simulator",
    "ssh",
];

#[test]
fn each_command_on_a_page_exists_with_its_options() {
    let mut problems = Vec::new();
    let mut checked = 0;
    for page in pages() {
        for line in pages::commands(&text(&page)).iter().flat_map(|block| lines(&block.code)) {
            for command in commands(&line) {
                checked += 1;
                if let Err(problem) = check(&command) {
                    problems.push(format!("{}: {line}: {problem}", page.display()));
                }
            }
        }
    }
    assert!(problems.is_empty(), "these commands do not work:\n{}", problems.join("\n"));
    assert!(checked > 50, "{checked} commands: they are not found");
}

#[test]
fn commands_are_found_and_their_mistakes_too() {
    let line =
        "A=1 docker compose exec -T processor anthropic-graph status --json | jq '.a | b' &   # why | not";
    let found = commands(line);
    assert_eq!(
        found,
        [
            vec!["docker", "compose", "exec", "-T", "processor", "anthropic-graph", "status", "--json"],
            vec!["jq", ".a | b"]
        ]
    );
    let problem = |line: &str| check(&commands(line)[0]).is_err();
    assert!(!problem(line));
    assert!(problem("docker compose exec processor anthropic-graph status --jsn"));
    assert!(problem("anthropic-graph who-can --at"));
    assert!(!problem("target/release/producer --config graph.toml check"));
    assert!(problem("producer walk"));
    assert!(problem("frobnicate x"));
    assert!(problem("tests/no-such-script"));
    assert!(problem("cargo run -p no-such-package"));
    assert!(!problem("cargo run --release -p bench -- --short"));
    assert_eq!(lines("a \\\n  b\n# c\nd"), ["a   b", "d"]);
}

/// Without comments, each with the lines that continue it.
fn lines(block: &str) -> Vec<String> {
    let joined = block.replace("\\\n", "");
    joined.lines().map(str::to_owned).filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// The words of each command of a line, without variables before them.
fn commands(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut quote = None;
    for character in line.chars().chain([' ']) {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, '|' | '&') => {
                commands.last_mut().expect("there is one").extend(word.take());
                commands.push(Vec::new());
            }
            (None, _) if character.is_whitespace() => {
                commands.last_mut().expect("there is one").extend(word.take());
            }
            (Some(_) | None, _) => word.get_or_insert_default().push(character),
        }
    }
    let without_variables =
        |command: Vec<String>| command.into_iter().skip_while(|word| is_variable(word)).collect::<Vec<_>>();
    commands.into_iter().map(without_variables).filter(|command| !command.is_empty()).collect()
}

fn is_variable(word: &str) -> bool {
    let name = word.split_once('=').map_or("", |(name, _)| name);
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

fn check(command: &[String]) -> Result<(), String> {
    let programs = programs();
    let name = |word: &str| word.strip_prefix("target/release/").unwrap_or(word).to_owned();
    // The first one that is ours: the image and the service of docker have such names too.
    let ours = (0..command.len()).find_map(|at| {
        let program = programs.iter().find(|program| program.get_name() == name(&command[at]))?;
        let arguments = &command[at + 1..];
        let starts_docker = command[0] == "docker";
        let is_a_name = arguments.first().is_none_or(|next| programs.iter().any(|it| it.get_name() == *next));
        (at == 0 || starts_docker && !is_a_name && !command[at - 1].starts_with('-'))
            .then_some((program, arguments))
    });
    if let Some((program, arguments)) = ours {
        return parse(program, arguments);
    }
    let first = name(&command[0]);
    if first == "cargo" {
        return cargo(&command[1..]);
    }
    let is_of_the_workspace =
        first.contains('/') && !first.starts_with("target/") && workspace().join(&first).is_file();
    let is_built = first.strip_prefix("target/debug/").is_some_and(is_package_or_binary);
    if KNOWN.contains(&first.as_str()) || is_of_the_workspace || is_built {
        return Ok(());
    }
    Err(format!("{first} is not known"))
}

/// By the program's own command line.
fn parse(program: &Command, arguments: &[String]) -> Result<(), String> {
    let words = [program.get_name().to_owned()].into_iter().chain(arguments.iter().cloned());
    match program.clone().try_get_matches_from(words) {
        Err(error) if error.use_stderr() => {
            Err(error.to_string().lines().next().unwrap_or_default().to_owned())
        }
        _ => Ok(()),
    }
}

/// The packages, programs and tests that it names exist.
fn cargo(arguments: &[String]) -> Result<(), String> {
    let ours = arguments.iter().take_while(|argument| *argument != "--");
    let ours: Vec<&str> = ours.map(String::as_str).collect();
    for pair in ours.windows(2) {
        let [option, value] = pair else { continue };
        let name = value.split('@').next().unwrap_or_default();
        let exists = match *option {
            "-p" => workspace().join(name).join("Cargo.toml").is_file(),
            "--bin" => is_package_or_binary(name),
            "--test" => {
                let package = ours.iter().skip_while(|it| **it != "-p").nth(1).copied().unwrap_or("tests");
                let folder = workspace().join(package).join("tests");
                folder.join(name).join("main.rs").is_file() || folder.join(format!("{name}.rs")).is_file()
            }
            _ => true,
        };
        if !exists {
            return Err(format!("{option} {value} does not exist"));
        }
    }
    Ok(())
}

fn is_package_or_binary(name: &str) -> bool {
    workspace().join("tests/src/bin").join(format!("{name}.rs")).is_file()
        || workspace().join(name).join("src").is_dir()
}

//! A malformed configuration, from its file and from the environment, and a malformed address (`fuzz/src/lib.rs` says how to run it longer).

use std::collections::BTreeMap;
use std::path::Path;

use fuzz::Corpus;
use service::config::Config;
use service::http::check_url;
use service::kafka::client::client_config;

const WHOLE: &str = include_str!("corpus/toml/whole.toml");

/// A part of what stands for a secret wherever the corpus has one, `MARKED-SECRET`.
const PART: &str = "KED-SEC";

const TOKENS: [&[u8]; 11] = [
    b"{ env = \"X\" }",
    b"[[",
    b"]]",
    b"[kafka.properties]\n",
    b"nan",
    b"-1",
    b"1e999",
    b"\"\"\"",
    b"\0",
    b"99999999999999999999d",
    b"__",
];

fn corpus(name: &str) -> Corpus {
    Corpus::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name))
        .with_tokens(&TOKENS)
}

/// Reads a configuration as all three services do; all that can be shown of it.
fn shown(text: &str, environment: &BTreeMap<String, String>) -> Result<String, String> {
    match Config::from_toml(text, Path::new("folder"), environment) {
        Ok(config) => {
            let keys = config.admin_keys(environment);
            let client = client_config(&config.kafka, environment).map(drop);
            Ok(format!("{config:?} {keys:?} {client:?} {:?}", config.organization("x")))
        }
        Err(errors) => {
            if errors.problems().is_empty() || errors.problems().iter().any(|it| it.message.contains('\n')) {
                return Err(format!("not every mistake is one line: {errors}"));
            }
            Ok(format!("{errors} {errors:?}"))
        }
    }
}

#[test]
fn no_file_panics_and_each_mistake_is_one_line() {
    fuzz::check(&corpus("toml"), |bytes| shown(&String::from_utf8_lossy(bytes), &BTreeMap::new()).map(drop));
}

#[test]
fn no_environment_panics_and_each_mistake_is_one_line() {
    fuzz::check(&corpus("environment"), |bytes| {
        let environment = variables(&String::from_utf8_lossy(bytes));
        shown("", &environment)?;
        shown(WHOLE, &environment).map(drop)
    });
}

fn variables(text: &str) -> BTreeMap<String, String> {
    let variables = text.lines().filter_map(|line| line.split_once('='));
    variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn no_byte_that_is_missing_shows_a_secret() {
    let environments = [BTreeMap::new(), variables(include_str!("corpus/environment/whole"))];
    let files = [
        "whole.toml",
        "secret_in_the_file.toml",
        "cut_in_a_secret.toml",
        "regions_and_keys_in_the_wrong_place.toml",
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus/toml");
    for file in files {
        let text = std::fs::read_to_string(folder.join(file)).expect("a file of the corpus");
        for position in 0..text.len() {
            let without = format!("{}{}", &text[..position], &text[position + 1..]);
            for (text, environment) in
                [&text[..position], &without].into_iter().zip(environments.iter().cycle())
            {
                let shown = shown(text, environment).expect("each mistake is one line");
                assert!(!shown.contains(PART), "{file}, byte {position}: {shown}");
            }
        }
    }
}

#[test]
fn no_url_that_is_taken_goes_over_plain_http_to_another_machine() {
    let urls = [
        "https://api.anthropic.com",
        "http://127.0.0.1:8080/a",
        "http://[::1]:1",
        "http://localhost@b.example",
    ];
    let files = urls.map(|url| (url.to_owned(), url.as_bytes().to_vec()));
    let tokens: [&[u8]; 9] =
        [b"http://", b"@", b"#", b"?", b"\\", b"localhost", b"127.0.0.1", b"%2e", b".example"];
    fuzz::check(&Corpus::of("urls", files.into()).with_tokens(&tokens), |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let Ok(url) = check_url(&text, false) else { return Ok(()) };
        if url.as_str().starts_with("https://") || url.is_loopback() {
            Ok(())
        } else {
            Err(format!("{text:?} was taken as {url}"))
        }
    });
}

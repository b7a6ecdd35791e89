//! The configurations on the pages are what the programs take.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use service::config::Config;
use service::kafka::client::client_config;
use tests::pages::{blocks, pages, text};

/// What a block that is a part of a file lacks.
const SMALLEST: &str = "[kafka]\nbootstrap_servers = \"127.0.0.1:9092\"\n";

#[test]
fn each_configuration_on_a_page_is_loaded_and_its_properties_are_librdkafkas() {
    let secrets = tempfile::tempdir().expect("a folder");
    fs::write(secrets.path().join("secret"), "a secret").expect("a file");
    let mut count = 0;
    for page in pages() {
        for block in blocks(&text(&page), "toml") {
            count += 1;
            let place = format!("{}:\n{}", page.display(), block.code);
            let is_whole = block.code.contains("[kafka]\n");
            let whole = if is_whole { block.code } else { format!("{SMALLEST}\n{}", block.code) };
            // The files of secrets are not here; what they hold does not matter.
            let file = format!("{{ file = \"{}\" }}", secrets.path().join("secret").display());
            let whole = replaced(&whole, "{ file = \"", "\" }", &file);
            let environment: BTreeMap<String, String> =
                named(&whole, "{ env = \"").map(|name| (name.to_owned(), "a secret".to_owned())).collect();
            let config = Config::from_toml(&whole, Path::new(""), &environment)
                .unwrap_or_else(|error| panic!("{error}\n{place}"));
            // It asks librdkafka about each property.
            client_config(&config.kafka, &environment).unwrap_or_else(|error| panic!("{error}\n{place}"));
        }
    }
    assert!(count >= 15, "{count} configurations: they are not found");
}

#[test]
fn the_files_of_secrets_are_replaced() {
    let text = "x = { file = \"/a\" }, y = { file = \"/b\" }";
    assert_eq!(replaced(text, "{ file = \"", "\" }", "F"), "x = F, y = F");
}

/// What stands behind each `begin`, up to the quotation mark.
fn named<'a>(text: &'a str, begin: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(begin).skip(1).filter_map(|rest| rest.split('"').next())
}

fn replaced(text: &str, begin: &str, end: &str, by: &str) -> String {
    let mut parts = text.split(begin);
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        whole.push_str(by);
        whole.push_str(part.split_once(end).map_or("", |(_, rest)| rest));
    }
    whole
}

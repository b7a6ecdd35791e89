//! Overrides from the environment, laid over the file's table before anything is read from it.
//!
//! `ANTHROPIC_GRAPH__KAFKA__TOPIC_PREFIX` sets `kafka.topic_prefix`. An organization's name is in upper case with `_`
//! for `-`; an organization that is only in the environment is created. An empty variable is ignored: the file's value
//! stays.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::ENVIRONMENT_PREFIX;
use super::table_reader::Context;

/// Mutually exclusive keys: one from the environment replaces another one from the file.
const ALTERNATIVES: [&[&str]; 3] =
    [&["env", "file"], &["integration_instance_id", "scope"], &["region", "base_url"]];

/// The most levels of a key (count), more than any setting has. Each level is a table within another one, and tables
/// are read by recursion.
const MAX_LEVELS: usize = 16;

/// librdkafka's names that have an underscore; all others have dots only.
const PROPERTIES_WITH_UNDERSCORE: [&str; 3] = ["ssl_key", "ssl_certificate", "ssl_ca"];

/// Lays the variables over the table and notes in the context which variable set which path.
pub(super) fn lay_over(root: &mut Table, environment: &BTreeMap<String, String>, context: &mut Context) {
    for (variable, value) in environment {
        let Some(rest) = variable.strip_prefix(ENVIRONMENT_PREFIX) else { continue };
        // A container's unused variables are empty.
        if value.trim().is_empty() {
            continue;
        }
        let keys: Vec<String> = rest.split("__").map(str::to_ascii_lowercase).collect();
        if keys.len() > MAX_LEVELS || keys.iter().any(String::is_empty) {
            context.report(variable, "does not name a key; use ANTHROPIC_GRAPH__SECTION__KEY");
            continue;
        }
        match keys[0].as_str() {
            "organizations" => lay_over_organization(root, variable, &keys[1..], value, context),
            "kafka" if keys.len() > 2 && keys[1] == "properties" => {
                let name = property_name(root, &keys[2]);
                let keys = [&keys[..2], &[name], &keys[3..]].concat();
                Override { variable, value }.set(root, "", &keys, context);
            }
            _ => Override { variable, value }.set(root, "", &keys, context),
        }
    }
}

fn lay_over_organization(
    root: &mut Table,
    variable: &str,
    keys: &[String],
    value: &str,
    context: &mut Context,
) {
    let [slug, keys @ ..] = keys else {
        context.report(
            variable,
            format!("does not name an organization; use {ENVIRONMENT_PREFIX}ORGANIZATIONS__NAME__KEY"),
        );
        return;
    };
    if keys.is_empty() {
        context.report(variable, format!("does not name a key; use {variable}__KEY"));
        return;
    }
    let name = slug.replace('_', "-");
    let organizations = root.entry("organizations").or_insert_with(|| Value::Array(Vec::new()));
    let Value::Array(organizations) = organizations else { return };
    let named = |organization: &Value| {
        organization
            .get("name")
            .and_then(Value::as_str)
            .is_some_and(|other| other.trim().to_ascii_lowercase() == name)
    };
    let position = organizations.iter().position(named).unwrap_or_else(|| {
        organizations
            .push(Value::Table(Table::from_iter([("name".to_owned(), Value::String(name.clone()))])));
        organizations.len() - 1
    });
    if let Some(organization) = organizations[position].as_table_mut() {
        Override { variable, value }.set(organization, &format!("organizations.{name}."), keys, context);
    }
}

/// The property's name as the file spells it, or as librdkafka does.
fn property_name(root: &Table, key: &str) -> String {
    let spelled = |name: &&String| name.replace('.', "_").eq_ignore_ascii_case(key);
    let in_file = root
        .get("kafka")
        .and_then(|kafka| kafka.get("properties")?.as_table())
        .and_then(|properties| properties.keys().find(spelled));
    match in_file {
        Some(name) => name.clone(),
        None if PROPERTIES_WITH_UNDERSCORE.contains(&key) => key.to_owned(),
        None => key.replace('_', "."),
    }
}

/// One variable and what it sets.
#[derive(Clone, Copy)]
struct Override<'a> {
    variable: &'a str,
    value: &'a str,
}

impl Override<'_> {
    /// Sets the key within a table whose own path, with a point after it, is `path`.
    fn set(self, table: &mut Table, path: &str, keys: &[String], context: &mut Context) {
        let [key, rest @ ..] = keys else { return };
        if rest.is_empty() {
            remove_alternatives(table, path, key, context);
            table.insert(key.clone(), Value::String(self.value.to_owned()));
            context.variables.insert(format!("{path}{key}"), self.variable.to_owned());
            return;
        }
        let inner = table.entry(key.clone()).or_insert_with(|| Value::Table(Table::new()));
        let path = format!("{path}{key}");
        match inner {
            Value::Table(inner) => self.set(inner, &format!("{path}."), rest, context),
            // Variables are sorted by name, so the shorter one was set first.
            _ if context.variables.contains_key(&path) => {
                context.report(&path, format!("{} is set as well; set one of the two", self.variable));
            }
            _ => {
                let mut empty = Table::new();
                self.set(&mut empty, &format!("{path}."), rest, context);
                *inner = Value::Table(empty);
            }
        }
    }
}

/// Removes the file's alternatives. An alternative from another variable stays, and both are reported.
fn remove_alternatives(table: &mut Table, path: &str, key: &str, context: &Context) {
    let alternatives = ALTERNATIVES.iter().filter(|group| group.contains(&key)).copied().flatten();
    for alternative in alternatives {
        if !context.variables.contains_key(&format!("{path}{alternative}")) {
            table.remove(*alternative);
        }
    }
}

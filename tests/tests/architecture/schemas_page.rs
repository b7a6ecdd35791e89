//! docs/schemas.md is what the Avro schemas say.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use schemas::codec::schemas_of;
use schemas::topics::Topic;
use serde_json::Value;

use crate::generated::check_behind_mark;

#[test]
fn the_page_of_schemas_is_what_the_schemas_say() {
    let mut page = String::new();
    let mut known = BTreeSet::new();
    for topic in Topic::ALL {
        let schemas = schemas_of(topic);
        if schemas.is_empty() {
            continue;
        }
        writeln!(page, "## {}\n", topic.name("").trim_start_matches('.'))
            .expect("writing to a String cannot fail");
        for schema in schemas {
            let text = serde_json::from_str(schema.text).expect("the schemas are JSON");
            document(&mut page, &text, "", &mut known);
        }
    }
    check_behind_mark("docs/schemas.md", &format!("{}\n", page.trim_end()), None);
}

/// A section for each record of a type that has none yet: the record first, then those of its fields.
fn document(page: &mut String, of: &Value, namespace: &str, known: &mut BTreeSet<String>) {
    match of {
        Value::Array(branches) => {
            for branch in branches {
                document(page, branch, namespace, known);
            }
        }
        Value::Object(it) if it["type"] == "record" => {
            let namespace = it.get("namespace").and_then(Value::as_str).unwrap_or(namespace);
            let name = full_name(text(&of["name"]), namespace);
            if !known.insert(name.clone()) {
                return;
            }
            let doc = escaped(text(&of["doc"]));
            writeln!(page, "### {name}\n\n{doc}.\n\n| field | type | meaning |\n|---|---|---|")
                .expect("writing to a String cannot fail");
            let fields = of["fields"].as_array().expect("a record has fields");
            for field in fields {
                let pii = if field["pii"] == true { " Personal data." } else { "" };
                let doc = escaped(text(&field["doc"]));
                let doc = if pii.is_empty() { doc } else { format!("{doc}.") };
                let name = text(&field["name"]);
                writeln!(page, "| `{name}` | {} | {doc}{pii} |", shown(&field["type"], namespace))
                    .expect("writing to a String cannot fail");
            }
            page.push('\n');
            for field in fields {
                document(page, &field["type"], namespace, known);
            }
        }
        Value::Object(it) => {
            for inner in ["items", "values"].into_iter().filter_map(|inner| it.get(inner)) {
                document(page, inner, namespace, known);
            }
        }
        _ => {}
    }
}

fn shown(of: &Value, namespace: &str) -> String {
    match of {
        Value::String(name) if PRIMITIVES.contains(&name.as_str()) => name.clone(),
        Value::String(name) => link(&full_name(name, namespace)),
        Value::Array(branches) => {
            let [Value::String(null), branch] = branches.as_slice() else {
                panic!("a union is of null and a type")
            };
            format!("{} or {null}", shown(branch, namespace))
        }
        Value::Object(it) => match text(&of["type"]) {
            "record" => {
                let namespace = it.get("namespace").and_then(Value::as_str).unwrap_or(namespace);
                link(&full_name(text(&of["name"]), namespace))
            }
            "array" => format!("array of {}", shown(&of["items"], namespace)),
            "map" => format!("map of {}", shown(&of["values"], namespace)),
            name => it.get("logicalType").map_or(name, text).to_owned(),
        },
        _ => panic!("{of} is not a type"),
    }
}

const PRIMITIVES: [&str; 8] = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];

fn link(name: &str) -> String {
    let short = name.rsplit('.').next().expect("a name has parts");
    format!("[{short}](#{})", name.replace('.', "").to_lowercase())
}

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') { name.to_owned() } else { format!("{namespace}.{name}") }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

/// Without a full stop. Markdown takes `<` for HTML.
fn escaped(doc: &str) -> String {
    doc.trim_end_matches('.').replace('|', "\\|").replace('<', "\\<")
}

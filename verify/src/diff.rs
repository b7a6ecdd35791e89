//! Comparing two elements, column by column, without a word of what is in them.

use schemas::encoded::EncodedElement;
use serde_json::Value;

/// Names of the columns in which they differ, the digest among them.
pub(super) fn different(one: &EncodedElement, other: &EncodedElement) -> Vec<String> {
    let (one, other) = (columns(one), columns(other));
    let mut names = Vec::new();
    collect("", &one, &other, &mut names);
    names
}

fn columns(element: &EncodedElement) -> Value {
    serde_json::to_value(element.decode()).expect("an element's columns are texts, numbers and truth values")
}

fn collect(prefix: &str, one: &Value, other: &Value, names: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let keys = one.keys().chain(other.keys().filter(|key| !one.contains_key(*key)));
            for key in keys {
                let null = Value::Null;
                let (one, other) = (one.get(key).unwrap_or(&null), other.get(key).unwrap_or(&null));
                // A tag's name is not ours.
                let name = if prefix.ends_with("tags.") { "a tag" } else { key };
                let name = format!("{prefix}{name}");
                if one.is_object() && other.is_object() {
                    collect(&format!("{name}."), one, other, names);
                } else if one != other {
                    names.push(name);
                }
            }
        }
        _ => names.push(prefix.to_owned()),
    }
}

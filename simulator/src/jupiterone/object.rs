//! The rules for one uploaded object: names, values, and what identifies it.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::refusal::Refusal;
use super::sync_mode::SyncMode;

/// What an upload names an object by: `_key` within the scope, or `_id` anywhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Address {
    Key(String),
    Id(String),
}

/// An object as it was uploaded, its raw data reduced to digests by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) properties: Map<String, Value>,
    pub(crate) raw: BTreeMap<String, [u8; 32]>,
}

impl Object {
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.properties.get(name)?.as_str()
    }
}

/// The reserved names that an upload may have, in addition to `_key`, `_type`, `_class` and `_rawData`.
const ENDS: [&str; 8] = [
    "_fromEntityKey",
    "_fromEntityId",
    "_fromEntitySource",
    "_fromEntityScope",
    "_toEntityKey",
    "_toEntityId",
    "_toEntitySource",
    "_toEntityScope",
];

/// Checks an entity. With `lenient`, illegal properties are dropped instead of refused.
pub(crate) fn entity(value: &Value, mode: SyncMode, lenient: bool) -> Result<(Address, Object), Refusal> {
    let mut object = split(value, "entity")?;
    let addressed = matches!(mode, SyncMode::Patch | SyncMode::Override);
    let address = match (object.text("_key"), object.text("_id")) {
        (_, Some(id)) if addressed => Address::Id(id.into()),
        (Some(key), _) => Address::Key(key.into()),
        _ => return Err(missing("_key", "entity")),
    };
    check_text(&object, "_key", address_by_id(&address))?;
    check_text(&object, "_type", addressed)?;
    check_class(&object, addressed)?;
    check_properties(&mut object.properties, lenient, |name| {
        matches!(name, "_key" | "_type" | "_class") || (addressed && name == "_id")
    })?;
    object.properties.remove("_id");
    Ok((address, object))
}

/// Checks a relationship, but never whether its ends exist: they may be uploaded later.
pub(crate) fn relationship(
    value: &Value,
    mode: SyncMode,
    lenient: bool,
) -> Result<(Address, Object), Refusal> {
    let mut object = split(value, "relationship")?;
    if object.properties.contains_key("_mapping") {
        return Err(Refusal::new(501, "NOT_SIMULATED", "Mapped relationships are not simulated."));
    }
    for name in ["_key", "_type", "_class"] {
        check_text(&object, name, false)?;
    }
    for (key, id, scope) in [
        ("_fromEntityKey", "_fromEntityId", "_fromEntityScope"),
        ("_toEntityKey", "_toEntityId", "_toEntityScope"),
    ] {
        let cross_scope = mode == SyncMode::CrossScope;
        check_text(&object, key, !cross_scope && object.properties.contains_key(id))?;
        check_text(&object, id, true)?;
        check_text(&object, scope, !cross_scope)?;
    }
    check_properties(&mut object.properties, lenient, |name| {
        matches!(name, "_key" | "_type" | "_class") || ENDS.contains(&name)
    })?;
    let key = object.text("_key").unwrap_or_default().to_owned();
    Ok((Address::Key(key), object))
}

/// Checks what an explicit deletion names: `_id` or `_key`.
pub(crate) fn deletion(value: &Value) -> Result<Address, Refusal> {
    match (value["_id"].as_str(), value["_key"].as_str()) {
        (Some(id), _) => Ok(Address::Id(id.into())),
        (None, Some(key)) => Ok(Address::Key(key.into())),
        _ => Err(missing("_id or _key", "deletion")),
    }
}

fn address_by_id(address: &Address) -> bool {
    matches!(address, Address::Id(_))
}

fn missing(name: &str, kind: &str) -> Refusal {
    Refusal::bad("MISSING_PROPERTY", format!("Each {kind} needs {name}."))
}

fn invalid(name: &str, rule: &str) -> Refusal {
    Refusal::bad("INVALID_PROPERTY", format!("Property \"{name}\" {rule}."))
}

fn split(value: &Value, kind: &str) -> Result<Object, Refusal> {
    let Value::Object(properties) = value else {
        return Err(Refusal::bad("INVALID_GRAPH_OBJECT", format!("Each {kind} must be an object.")));
    };
    let mut properties = properties.clone();
    let raw = properties.remove("_rawData").map_or_else(|| Ok(BTreeMap::new()), |raw| raw_data(&raw))?;
    Ok(Object { properties, raw })
}

/// Both shapes in use: `[{"name":…,"rawData":…}]` and `{"<name>":{"contentType":…,"body":…}}`.
fn raw_data(value: &Value) -> Result<BTreeMap<String, [u8; 32]>, Refusal> {
    let digest = |value: &Value| <[u8; 32]>::from(Sha256::digest(value.to_string()));
    match value {
        Value::Object(entries) => Ok(entries.iter().map(|(name, v)| (name.clone(), digest(v))).collect()),
        Value::Array(entries) => {
            let mut raw = BTreeMap::new();
            for entry in entries {
                let name = entry["name"].as_str().ok_or_else(|| invalid("_rawData", "needs a name each"))?;
                if raw.insert(name.to_owned(), digest(&entry["rawData"])).is_some() {
                    return Err(invalid("_rawData", "has one name twice"));
                }
            }
            Ok(raw)
        }
        _ => Err(invalid("_rawData", "must be an array or an object")),
    }
}

fn check_text(object: &Object, name: &str, optional: bool) -> Result<(), Refusal> {
    match object.properties.get(name) {
        None if optional => Ok(()),
        None => Err(missing(name, "object")),
        Some(Value::String(text)) if !text.is_empty() => Ok(()),
        Some(_) => Err(invalid(name, "must be a string that is not empty")),
    }
}

fn check_class(object: &Object, optional: bool) -> Result<(), Refusal> {
    let Some(Value::Array(classes)) = object.properties.get("_class") else {
        return check_text(object, "_class", optional);
    };
    if classes.is_empty() || classes.iter().any(|class| class.as_str().is_none_or(str::is_empty)) {
        return Err(invalid("_class", "must be a string or an array of strings"));
    }
    Ok(())
}

fn check_properties(
    properties: &mut Map<String, Value>,
    lenient: bool,
    known: impl Fn(&str) -> bool,
) -> Result<(), Refusal> {
    let mut illegal = Vec::new();
    for (name, value) in &*properties {
        if known(name) {
            continue;
        }
        let rule = if name.is_empty() {
            "needs a name"
        } else if name.starts_with('_') {
            "is reserved: custom names must not start with _"
        } else if value.is_object() {
            "must not be an object"
        } else if !is_plain(value) {
            "must be an array of values of one primitive type"
        } else {
            continue;
        };
        if !lenient {
            return Err(invalid(name, rule));
        }
        illegal.push(name.clone());
    }
    for name in illegal {
        properties.remove(&name);
    }
    Ok(())
}

fn is_plain(value: &Value) -> bool {
    let Value::Array(values) = value else { return true };
    values.iter().all(|value| !value.is_array() && !value.is_object())
        && values.windows(2).all(|pair| std::mem::discriminant(&pair[0]) == std::mem::discriminant(&pair[1]))
}

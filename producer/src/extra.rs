//! A JSON object taken apart: known fields by type, and what is left. Pure.

use schemas::raw::Extra;
use serde_json::{Map, Value};

/// The fields of one object of the API's. What is taken with its expected type is gone from it; all else, and what
/// has another type than expected, ends in `extra`, so that nothing is lost.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    left: Map<String, Value>,
    /// Put before each name: `created_by.` within the object `created_by`.
    prefix: String,
    extra: &'a mut Extra,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(object: Map<String, Value>, prefix: &str, extra: &'a mut Extra) -> Self {
        Self { left: object, prefix: prefix.to_owned(), extra }
    }

    /// A text; `None` where it is absent, null or no text.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            other => self.keep(name, &other),
        }
    }

    /// An array of texts, or a single text as an array of one; empty where it is absent or of another type.
    pub(crate) fn texts(&mut self, name: &str) -> Vec<String> {
        match self.take(name) {
            None => Vec::new(),
            Some(Value::String(text)) => vec![text],
            Some(Value::Array(values)) if values.iter().all(Value::is_string) => {
                values.into_iter().filter_map(|value| value.as_str().map(str::to_owned)).collect()
            }
            Some(other) => self.keep(name, &other).unwrap_or_default(),
        }
    }

    /// A nested object, read by `read`; `None` where it is absent, null or no object.
    pub(crate) fn object<T>(&mut self, name: &str, read: impl FnOnce(&mut Fields<'_>) -> T) -> Option<T> {
        match self.take(name)? {
            Value::Object(fields) => {
                let prefix = format!("{}{name}.", self.prefix);
                let mut nested = Fields::new(fields, &prefix, self.extra);
                let value = read(&mut nested);
                nested.finish();
                Some(value)
            }
            other => self.keep(name, &other),
        }
    }

    /// The names of the fields that are left.
    pub(crate) fn names(&self) -> Vec<String> {
        self.left.keys().cloned().collect()
    }

    /// Keeps what is left.
    pub(crate) fn finish(self) {
        for (name, value) in self.left {
            self.extra.insert(format!("{}{name}", self.prefix), canonical(&value));
        }
    }

    /// Null is as good as absent for a known field.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name).filter(|value| !value.is_null())
    }

    fn keep<T>(&mut self, name: &str, value: &Value) -> Option<T> {
        self.extra.insert(format!("{}{name}", self.prefix), canonical(value));
        None
    }
}

/// JSON text with sorted names and no white space: one value has one text.
pub(crate) fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Array(values) => {
            text.push('[');
            for (position, value) in values.iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                write(value, text);
            }
            text.push(']');
        }
        Value::Object(fields) => {
            // Sorted here, for serde_json keeps the order of insertion when any crate of the build asks for it.
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            text.push('{');
            for (position, (name, value)) in fields.into_iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                write(value, text);
            }
            text.push('}');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::canonical;

    #[test]
    fn one_value_has_one_text() {
        let value = json!({ "b": [1, 2.5, null, true, "é\n"], "a": { "z": {}, "y": [] } });
        assert_eq!(canonical(&value), r#"{"a":{"y":[],"z":{}},"b":[1,2.5,null,true,"é\n"]}"#);
    }
}

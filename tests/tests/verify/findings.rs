//! What the command says, read as a script would.

use std::collections::BTreeMap;

use serde_json::Value;
use tests::services::Finished;

/// The tallies of all organizations, law by law.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    pub(crate) checked: BTreeMap<String, u64>,
    pub(crate) violated: BTreeMap<String, u64>,
    pub(crate) uncheckable: BTreeMap<String, u64>,
    /// Violations as JSON text.
    pub(crate) violations: Vec<String>,
}

impl Findings {
    /// Of a run with `--json`.
    pub(crate) fn of(finished: &Finished) -> Self {
        let mut findings = Self::default();
        for line in finished.stdout.lines() {
            let line: Value = serde_json::from_str(line).expect("a JSON line");
            let Some(law) = line["law"].as_str() else { continue };
            let counts = [
                ("checked", &mut findings.checked),
                ("violated", &mut findings.violated),
                ("uncheckable", &mut findings.uncheckable),
            ];
            for (name, counted) in counts {
                let count = line[name].as_u64().expect("a count");
                if count > 0 {
                    *counted.entry(law.to_owned()).or_default() += count;
                }
            }
            let violations = line["violations"].as_array().expect("violations");
            findings.violations.extend(violations.iter().map(|violation| format!("{law}: {violation}")));
        }
        findings
    }
}

//! What is found of an organization, law by law.

use std::collections::BTreeMap;

use serde::Serialize;

/// How many violations of one law are kept for the report of one organization (count); all are counted.
const KEPT: usize = 20;

/// What must hold of the topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Law {
    /// The graph equals the fold of the changes.
    Fold,
    /// The graph equals the mapping of the last whole listings, less holds.
    Mapping,
    /// Every change has a justification.
    Justification,
    /// Behind each listing the log has what the listing had.
    History,
    /// What a change says of itself is true.
    Envelope,
    /// Each hold has one notice.
    Notices,
    /// The image before is the last image after.
    BeforeImages,
    /// Revisions have no gap.
    Revisions,
    /// No two changes have one id.
    ChangeIds,
    /// No relationship lacks an end, and none is withheld that has both.
    Ends,
    /// The records of listings, polls and counts are correct.
    Coverage,
    /// Each raw record that cannot be used has a dead letter.
    DeadLetters,
}

impl Law {
    pub const ALL: [Self; 12] = [
        Self::Fold,
        Self::Mapping,
        Self::Justification,
        Self::History,
        Self::Envelope,
        Self::Notices,
        Self::BeforeImages,
        Self::Revisions,
        Self::ChangeIds,
        Self::Ends,
        Self::Coverage,
        Self::DeadLetters,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Fold => "fold",
            Self::Mapping => "mapping",
            Self::Justification => "justification",
            Self::History => "history",
            Self::Envelope => "envelope",
            Self::Notices => "notices",
            Self::BeforeImages => "before-images",
            Self::Revisions => "revisions",
            Self::ChangeIds => "change-ids",
            Self::Ends => "ends",
            Self::Coverage => "coverage",
            Self::DeadLetters => "dead-letters",
        }
    }
}

/// A violation of a law. It names columns, never their values, which may be personal data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Key of an element, a collection, or a change's id.
    pub subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// What the law wants.
    pub expected: String,
    pub found: String,
}

impl Violation {
    pub(super) fn new(subject: &str, expected: impl Into<String>, found: impl Into<String>) -> Self {
        let (expected, found) = (expected.into(), found.into());
        Self { subject: subject.to_owned(), revision: None, offset: None, expected, found }
    }

    pub(super) fn at_revision(self, revision: i64) -> Self {
        Self { revision: Some(revision), ..self }
    }

    pub(super) fn at_offset(self, offset: i64) -> Self {
        Self { offset: Some(offset), ..self }
    }
}

/// One law, as far as one organization keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Things held to the law, the violations among them (count).
    pub checked: u64,
    /// Violations (count).
    pub violated: u64,
    /// Things that could not be held to it, since retention has cut the records that would show it, or another version of the
    /// mapping made them (count).
    pub uncheckable: u64,
    pub violations: Vec<Violation>,
}

/// What is found of one organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub organization_id: String,
    /// Its name in the configuration when it was last read; empty if it is unknown.
    pub organization_name: String,
    /// By law; each is there.
    pub tallies: BTreeMap<Law, Tally>,
}

impl Verdict {
    /// Of an organization of which nothing is checked yet.
    pub(super) fn new(organization_id: &str) -> Self {
        let tallies = Law::ALL.into_iter().map(|law| (law, Tally::default())).collect();
        Self { organization_id: organization_id.to_owned(), organization_name: String::new(), tallies }
    }

    /// How one law is kept.
    pub fn tally(&self, law: Law) -> &Tally {
        &self.tallies[&law]
    }

    /// Whether any law is violated.
    pub fn is_violated(&self) -> bool {
        self.tallies.values().any(|tally| tally.violated > 0)
    }

    /// Counts one thing, and what is wrong with it.
    pub(super) fn judge(&mut self, law: Law, judgement: Result<(), Violation>) {
        let tally = self.tallies.entry(law).or_default();
        tally.checked += 1;
        if let Err(violation) = judgement {
            tally.violated += 1;
            if tally.violations.len() < KEPT {
                tally.violations.push(violation);
            }
        }
    }

    /// Counts one thing that must be so.
    pub(super) fn hold(&mut self, law: Law, is_so: bool, violation: impl FnOnce() -> Violation) {
        self.judge(law, if is_so { Ok(()) } else { Err(violation()) });
    }

    /// Adds one in which nothing is violated.
    pub(super) fn add(&mut self, other: Self) {
        for (law, Tally { checked, uncheckable, .. }) in other.tallies {
            let tally = self.tallies.entry(law).or_default();
            tally.checked += checked;
            tally.uncheckable += uncheckable;
        }
    }

    /// Counts things that can no longer be checked.
    pub(super) fn give_up(&mut self, law: Law, count: usize) {
        self.tallies.entry(law).or_default().uncheckable += u64::try_from(count).unwrap_or(u64::MAX);
    }
}

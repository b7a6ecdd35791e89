//! What a person or a script reads of the verdicts.

use std::io::{self, Write};

use serde_json::json;
use service::{stdout, wording};

use super::verdict::{Law, Tally, Verdict, Violation};

/// `letters` are the dead letters in partitions without an organization (count).
pub(super) fn print(verdicts: &[Verdict], letters: usize, as_json: bool) -> anyhow::Result<()> {
    let write = if as_json { json_lines } else { text };
    stdout::write(|stdout| write(stdout, verdicts, letters))?;
    Ok(())
}

fn text(out: &mut dyn Write, verdicts: &[Verdict], letters: usize) -> io::Result<()> {
    for verdict in verdicts {
        for law in Law::ALL {
            let tally = verdict.tally(law);
            let (word, style) =
                if tally.violated > 0 { ("failed", stdout::BAD) } else { ("ok", stdout::GOOD) };
            let name = shown(&verdict.organization_name);
            writeln!(out, "{style}{word:<7}{style:#} {name} {}: {}", law.name(), counts(tally))?;
            for violation in &tally.violations {
                writeln!(out, "        {}", sentence(violation))?;
            }
            let more = tally.violated - u64::try_from(tally.violations.len()).unwrap_or(0);
            if more > 0 {
                writeln!(out, "        and {more} more")?;
            }
        }
    }
    let (violated, uncheckable) = sums(verdicts);
    let organizations = wording::count(verdicts.len(), "organization");
    let violations = wording::count(usize::try_from(violated).unwrap_or(usize::MAX), "violation");
    writeln!(out, "{organizations}, {violations}, {uncheckable} uncheckable")?;
    if letters > 0 {
        let letters = wording::count(letters, "dead letter");
        writeln!(out, "not checked: {letters} in partitions without an organization")?;
    }
    Ok(())
}

fn counts(tally: &Tally) -> String {
    let Tally { checked, violated, uncheckable, .. } = tally;
    let violated = if *violated > 0 { format!(", {violated} violated") } else { String::new() };
    let uncheckable = if *uncheckable > 0 {
        format!(
            ", {uncheckable} uncheckable (retention has deleted the records, or another version mapped them)"
        )
    } else {
        String::new()
    };
    format!("{checked} checked{violated}{uncheckable}")
}

fn sentence(violation: &Violation) -> String {
    let Violation { subject, revision, offset, expected, found } = violation;
    let revision = revision.map(|revision| format!(" revision {revision}")).unwrap_or_default();
    let offset = offset.map(|offset| format!(" offset {offset}")).unwrap_or_default();
    let [subject, expected, found] = [subject, expected, found].map(|text| shown(text));
    format!("{subject}{revision}{offset}: expected {expected}; found {found}")
}

/// Ids come from outside: none moves a terminal's cursor.
fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            // Whatever is quoted stays readable.
            '"' | '\'' => shown.push(sign),
            other => shown.extend(other.escape_debug()),
        }
    }
    shown
}

fn json_lines(out: &mut dyn Write, verdicts: &[Verdict], letters: usize) -> io::Result<()> {
    for verdict in verdicts {
        for law in Law::ALL {
            let Tally { checked, violated, uncheckable, violations } = verdict.tally(law);
            let line = json!({
                "organization": verdict.organization_name,
                "organization_id": verdict.organization_id,
                "law": law.name(),
                "checked": checked,
                "violated": violated,
                "uncheckable": uncheckable,
                "violations": violations,
            });
            writeln!(out, "{line}")?;
        }
    }
    let (violated, uncheckable) = sums(verdicts);
    let summary = json!({
        "organizations": verdicts.len(),
        "violated": violated,
        "uncheckable": uncheckable,
        "dead_letters_without_organization": letters,
    });
    writeln!(out, "{summary}")
}

fn sums(verdicts: &[Verdict]) -> (u64, u64) {
    let tallies = || verdicts.iter().flat_map(|verdict| verdict.tallies.values());
    (tallies().map(|tally| tally.violated).sum(), tallies().map(|tally| tally.uncheckable).sum())
}

#[cfg(test)]
mod tests {
    use super::{Violation, sentence, text};

    #[test]
    fn dead_letters_of_no_organization_are_counted() {
        let printed = |letters| {
            let mut out = Vec::new();
            text(&mut out, &[], letters).expect("a text");
            String::from_utf8(out).expect("text")
        };
        assert_eq!(printed(0), "0 organizations, 0 violations, 0 uncheckable\n");
        assert!(printed(1).ends_with("\nnot checked: 1 dead letter in partitions without an organization\n"));
    }

    #[test]
    fn a_key_that_is_more_than_text_is_shown_as_what_it_is() {
        let violation = Violation::new("anthropic_user:\u{1b}[2J\n", "the log's", "one\tmore");
        let shown = sentence(&violation);
        assert_eq!(shown, r"anthropic_user:\u{1b}[2J\n: expected the log's; found one\tmore");
    }
}

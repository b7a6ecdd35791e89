//! The outcomes in an end mark: how the listing of each collection ended. Pure.

use schemas::collection::{Collection, MEMBERS};
use schemas::raw::{ListingOutcome, Outcome};

use crate::admin::Failure;

/// Most bytes of an end mark's lines, so that the mark fits into a message (`message.max.bytes`, 1,000,000).
const MAX_BYTES: usize = 800_000;
/// Most bytes of the line about all members.
const ALL_MEMBERS_BYTES: usize = 4_000;
/// Most bytes of a line without its strings: lengths, a status, and which fields are present.
const FRAME_BYTES: usize = 20;
/// Longest reason (characters). It may name an ID of any length, and the processor accepts no string of a mark with
/// more than 4,096 bytes.
const MAX_REASON: usize = 1_000;
/// Longest name of a collection (bytes), for the same reason.
const MAX_NAME: usize = 4_096;

/// The line of a collection.
pub(crate) fn line(collection: &str, outcome: Outcome) -> ListingOutcome {
    ListingOutcome {
        collection: collection.to_owned(),
        outcome,
        reason: None,
        http_status: None,
        request_id: None,
        listing_id: None,
    }
}

/// The line of a collection that could not be listed.
pub(crate) fn failed(collection: &str, outcome: Outcome, failure: &Failure) -> ListingOutcome {
    ListingOutcome {
        reason: Some(failure.reason.chars().take(MAX_REASON).collect()),
        http_status: failure.status.map(i32::from),
        request_id: failure.request_id.clone(),
        ..line(collection, outcome)
    }
}

/// How many lines about members are omitted, by how their listings ended.
#[derive(Default)]
struct Left<'a> {
    whole: usize,
    gone: usize,
    failed: usize,
    reason: Option<&'a str>,
}

/// The lines that fit into an end mark. If there are too many workspaces, lines about their members are omitted: those
/// of whole listings first, since the listings themselves are in the topic, and failures last. The line about all
/// members counts the omitted ones.
pub(crate) fn bounded(lines: Vec<ListingOutcome>) -> Vec<ListingOutcome> {
    if lines.iter().map(bytes).sum::<usize>() <= MAX_BYTES && lines.iter().all(is_nameable) {
        return lines;
    }
    let mut room = MAX_BYTES - ALL_MEMBERS_BYTES;
    let mut order: Vec<usize> = (0..lines.len()).collect();
    order.sort_by_key(|position| rank(&lines[*position]));
    let mut is_kept = vec![false; lines.len()];
    let mut left = Left::default();
    for position in order {
        let line = &lines[position];
        match room.checked_sub(bytes(line)).filter(|_| is_nameable(line)) {
            Some(rest) => {
                room = rest;
                is_kept[position] = true;
            }
            None => left.take(line),
        }
    }
    let about_all = about_all(lines.iter().find(|line| line.collection == MEMBERS), &left);
    let kept = lines.iter().zip(is_kept).filter(|(line, is_kept)| *is_kept && line.collection != MEMBERS);
    kept.map(|(line, _)| line.clone()).chain([about_all]).collect()
}

/// Which lines are kept first if not all fit.
fn rank(line: &ListingOutcome) -> u8 {
    let Some(Collection::Members(_)) = Collection::parse(&line.collection) else { return 0 };
    match line.outcome {
        Outcome::Whole => 3,
        Outcome::Gone => 2,
        Outcome::Failed | Outcome::Skipped | Outcome::Partial | Outcome::Guarded | Outcome::Other { .. } => 1,
    }
}

fn is_nameable(line: &ListingOutcome) -> bool {
    line.collection.len() <= MAX_NAME
}

fn bytes(line: &ListingOutcome) -> usize {
    let texts = [&line.reason, &line.request_id, &line.listing_id].into_iter().flatten();
    texts.map(String::len).sum::<usize>() + line.collection.len() + line.outcome.as_str().len() + FRAME_BYTES
}

/// The line about all members. It may exist already because the members of some workspaces were not listed.
fn about_all(skipped: Option<&ListingOutcome>, left: &Left<'_>) -> ListingOutcome {
    let Left { whole, gone, failed, reason } = left;
    let because = reason.map(|reason| format!(" (the first: {reason})")).unwrap_or_default();
    let counted = format!(
        "too many workspaces, or IDs too long, to name each; member listings of the others: {failed} failed{because}, \
         {gone} gone, {whole} whole"
    );
    let (outcome, reason) = match skipped {
        Some(line) => {
            let reason = line.reason.as_deref().unwrap_or_default();
            (line.outcome.clone(), format!("{reason}; {counted}"))
        }
        None if *failed > 0 => (Outcome::Failed, counted),
        None => (Outcome::Whole, counted),
    };
    ListingOutcome { reason: Some(reason.chars().take(MAX_REASON).collect()), ..line(MEMBERS, outcome) }
}

impl<'a> Left<'a> {
    fn take(&mut self, line: &'a ListingOutcome) {
        match line.outcome {
            Outcome::Whole => self.whole += 1,
            Outcome::Gone => self.gone += 1,
            Outcome::Failed
            | Outcome::Skipped
            | Outcome::Partial
            | Outcome::Guarded
            | Outcome::Other { .. } => {
                self.failed += 1;
                self.reason = self.reason.or(line.reason.as_deref());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use schemas::codec::encode;
    use schemas::collection::MEMBERS;
    use schemas::raw::{ListingOutcome, Mark, Outcome, Trigger};

    use super::{bounded, failed, line};
    use crate::admin::Failure;
    use crate::raw::Poll;

    /// `message.max.bytes` of the topics.
    const MAX_MESSAGE_BYTES: usize = 1_000_000;

    fn members(count: usize, outcome: &Outcome) -> Vec<ListingOutcome> {
        let refused = "403 permission_error: the key may not read this; it takes an Admin API key, which an admin of the \
                       organization makes at https://platform.claude.com/settings/admin-keys";
        let line_of = |number| {
            let collection = format!("members/wrkspc_01{outcome}{number:014}");
            let outcome = outcome.clone();
            match outcome {
                Outcome::Whole => ListingOutcome {
                    listing_id: Some("0b1c2d3e-4f50-4617-8293-a4b5c6d7e8f9".to_owned()),
                    ..line(&collection, outcome)
                },
                other => ListingOutcome {
                    request_id: Some("req_011CSHoEeqs5C35K2UUqR7Fy".to_owned()),
                    ..failed(&collection, other, &Failure::of(refused))
                },
            }
        };
        (0..count).map(line_of).collect()
    }

    fn own() -> Vec<ListingOutcome> {
        ["organization", "users", "workspaces", "api_keys"].map(|name| line(name, Outcome::Whole)).to_vec()
    }

    fn mark(lines: Vec<ListingOutcome>) -> (Mark, usize) {
        let poll = Poll {
            organization_id: "3f0b6c1e-9a52-4d0f-8c7e-1d2b3a4c5d6e".to_owned(),
            organization_name: "n".repeat(200),
            poll_id: "0b1c2d3e-4f50-4617-8293-a4b5c6d7e8f9".to_owned(),
            trigger: Trigger::Interval,
        };
        let record = poll.end(lines, None, 1_795_550_000_000);
        let bytes = record.key().len() + encode(&record).len();
        (record.body.mark().expect("a mark"), bytes)
    }

    fn count(lines: &[ListingOutcome], outcome: &Outcome) -> usize {
        let of_members = |line: &&ListingOutcome| line.collection.starts_with("members/");
        lines.iter().filter(of_members).filter(|line| line.outcome == *outcome).count()
    }

    #[test]
    fn an_end_mark_of_few_workspaces_has_a_line_for_each() {
        let lines = [own(), members(2_000, &Outcome::Whole), members(1_000, &Outcome::Failed)].concat();
        assert_eq!(bounded(lines.clone()), lines);
    }

    #[test]
    fn an_end_mark_fits_its_message_however_many_workspaces_there_are() {
        for (whole, gone, refused) in [
            (20_000, 0, 0),
            (0, 20_000, 0),
            (0, 0, 20_000),
            (20_000, 0, 20_000),
            (20_000, 20_000, 20_000),
            (20_000, 0, 5),
        ] {
            let lines = [
                own(),
                members(whole, &Outcome::Whole),
                members(gone, &Outcome::Gone),
                members(refused, &Outcome::Failed),
            ]
            .concat();
            let (mark, bytes) = mark(lines);
            assert!(bytes < MAX_MESSAGE_BYTES, "{bytes} bytes");
            assert!(bytes > MAX_MESSAGE_BYTES / 2, "the mark is nearly full: {bytes} bytes");
            assert_eq!(mark.complete, refused == 0);
            assert_eq!(mark.outcomes[..4], own());
            let about_all = mark.outcomes.last().expect("the line about all members");
            assert_eq!(about_all.collection, MEMBERS);
            let left = refused - count(&mark.outcomes, &Outcome::Failed);
            let expected = if left > 0 { Outcome::Failed } else { Outcome::Whole };
            assert_eq!(about_all.outcome, expected);
            let reason = about_all.reason.as_deref().unwrap_or_default();
            let first = if left > 0 { " (the first: 403 permission_error: " } else { "," };
            assert!(reason.contains(&format!("{left} failed{first}")), "{reason}");
            let gone = gone - count(&mark.outcomes, &Outcome::Gone);
            let whole = whole - count(&mark.outcomes, &Outcome::Whole);
            assert!(reason.contains(&format!("{gone} gone, {whole} whole")), "{reason}");
        }
    }

    #[test]
    fn failures_are_kept_first_and_skipped_collections_stay_skipped() {
        let skipped = ListingOutcome {
            reason: Some("the poll ended before it".to_owned()),
            ..line(MEMBERS, Outcome::Skipped)
        };
        let lines =
            [members(20_000, &Outcome::Whole), members(100, &Outcome::Failed), vec![skipped], own()].concat();
        let (mark, _) = mark(lines);
        assert_eq!(count(&mark.outcomes, &Outcome::Failed), 100);
        let about_all = mark.outcomes.last().expect("the line about all members");
        assert_eq!(about_all.outcome, Outcome::Skipped);
        let reason = about_all.reason.as_deref().unwrap_or_default();
        assert!(
            reason.starts_with("the poll ended before it; too many workspaces, or IDs too long"),
            "{reason}"
        );
        assert_eq!(mark.outcomes.iter().filter(|line| line.collection == MEMBERS).count(), 1);
    }

    #[test]
    fn a_reason_is_cut_where_an_id_in_it_is_too_long() {
        let failure =
            Failure::of(format!("the resource {} is listed twice and differs", "é".repeat(2_000_000)));
        let (_, bytes) = mark(vec![failed("users", Outcome::Failed, &failure)]);
        assert!(bytes < 3_000, "{bytes}");
    }

    #[test]
    fn no_string_is_longer_than_the_processor_accepts() {
        let long = format!("members/{}", "w".repeat(5_000));
        let failure = Failure::of("é".repeat(2_000_000));
        let (mark, _) = mark([own(), vec![failed(&long, Outcome::Failed, &failure)]].concat());
        assert_eq!(mark.outcomes.len(), 5);
        let about_all = &mark.outcomes[4];
        assert_eq!((about_all.collection.as_str(), &about_all.outcome), (MEMBERS, &Outcome::Failed));
        assert!(about_all.reason.as_ref().is_some_and(|reason| reason.len() < 4_096));
    }
}

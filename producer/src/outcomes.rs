//! The lines of an end mark: how the listing of each collection ended. Pure.

use schemas::collection::{Collection, MEMBERS};
use schemas::raw::{ListingOutcome, outcome};

use crate::admin::Failure;

/// Most bytes of an end mark's lines: with what is around them they fit into a message (`message.max.bytes`, 1,000,000).
const MAX_BYTES: usize = 800_000;
/// Most bytes that the line about all members takes.
const ALL_MEMBERS_BYTES: usize = 4_000;
/// Most bytes of a line beside its texts: lengths, a status, and which fields there are.
const FRAME_BYTES: usize = 20;
/// Longest reason (characters): it may name an id, which may be of any length, and the processor takes no text of a mark
/// with more than 4,096 bytes.
const MAX_REASON: usize = 1_000;
/// Longest name of a collection (bytes), for the same reason.
const MAX_NAME: usize = 4_096;

/// A collection's line.
pub(crate) fn line(collection: &str, outcome: &str) -> ListingOutcome {
    ListingOutcome {
        collection: collection.to_owned(),
        outcome: outcome.to_owned(),
        reason: None,
        http_status: None,
        request_id: None,
        listing_id: None,
    }
}

/// The line of a collection that could not be listed.
pub(crate) fn failed(collection: &str, outcome: &str, failure: &Failure) -> ListingOutcome {
    ListingOutcome {
        reason: Some(failure.reason.chars().take(MAX_REASON).collect()),
        http_status: failure.status.map(i32::from),
        request_id: failure.request_id.clone(),
        ..line(collection, outcome)
    }
}

/// How many lines about members were left out, by how their listings ended.
#[derive(Default)]
struct Left<'a> {
    whole: usize,
    gone: usize,
    failed: usize,
    reason: Option<&'a str>,
}

/// The lines that fit into an end mark. Where there are too many workspaces, lines about their members are left out:
/// those of whole listings first, of which the listings themselves tell, failures last. The line about all members,
/// which is about each collection of them that has none of its own, counts them.
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

/// What is told first, if not all can be.
fn rank(line: &ListingOutcome) -> u8 {
    match (Collection::parse(&line.collection), line.outcome.as_str()) {
        (Some(Collection::Members(_)), outcome::WHOLE) => 3,
        (Some(Collection::Members(_)), outcome::GONE) => 2,
        (Some(Collection::Members(_)), _) => 1,
        _ => 0,
    }
}

fn is_nameable(line: &ListingOutcome) -> bool {
    line.collection.len() <= MAX_NAME
}

fn bytes(line: &ListingOutcome) -> usize {
    let texts = [&line.reason, &line.request_id, &line.listing_id].into_iter().flatten();
    texts.map(String::len).sum::<usize>() + line.collection.len() + line.outcome.len() + FRAME_BYTES
}

/// The line about all members, which may stand there already because those of some workspaces were not listed.
fn about_all(skipped: Option<&ListingOutcome>, left: &Left<'_>) -> ListingOutcome {
    let Left { whole, gone, failed, reason } = left;
    let because = reason.map(|reason| format!(" (the first: {reason})")).unwrap_or_default();
    let counted = format!(
        "too many workspaces, or too long ids, to name each: of the members of the others, {failed} failed{because}, {gone} are gone, \
         {whole} are whole"
    );
    let (outcome, reason) = match skipped {
        Some(line) => {
            let reason = line.reason.as_deref().unwrap_or_default();
            (line.outcome.as_str(), format!("{reason}; {counted}"))
        }
        None if *failed > 0 => (outcome::FAILED, counted),
        None => (outcome::WHOLE, counted),
    };
    ListingOutcome { reason: Some(reason.chars().take(MAX_REASON).collect()), ..line(MEMBERS, outcome) }
}

impl<'a> Left<'a> {
    fn take(&mut self, line: &'a ListingOutcome) {
        match line.outcome.as_str() {
            outcome::WHOLE => self.whole += 1,
            outcome::GONE => self.gone += 1,
            _ => {
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
    use schemas::raw::{ListingOutcome, Mark, outcome};

    use super::{bounded, failed, line};
    use crate::admin::Failure;
    use crate::raw::{INTERVAL, Poll};

    /// `message.max.bytes` of the topics.
    const MAX_MESSAGE_BYTES: usize = 1_000_000;

    fn members(count: usize, outcome: &str) -> Vec<ListingOutcome> {
        let refused = "403 permission_error: the key may not read this; it takes an Admin API key, which an admin of the \
                       organization makes at https://platform.claude.com/settings/admin-keys";
        let line_of = |number| {
            let collection = format!("members/wrkspc_01{outcome}{number:014}");
            match outcome {
                outcome::WHOLE => ListingOutcome {
                    listing_id: Some("0b1c2d3e-4f50-4617-8293-a4b5c6d7e8f9".to_owned()),
                    ..line(&collection, outcome)
                },
                _ => ListingOutcome {
                    request_id: Some("req_011CSHoEeqs5C35K2UUqR7Fy".to_owned()),
                    ..failed(&collection, outcome, &Failure::of(refused))
                },
            }
        };
        (0..count).map(line_of).collect()
    }

    fn own() -> Vec<ListingOutcome> {
        ["organization", "users", "workspaces", "api_keys"].map(|name| line(name, outcome::WHOLE)).to_vec()
    }

    fn mark(lines: Vec<ListingOutcome>) -> (Mark, usize) {
        let poll = Poll {
            organization_id: "3f0b6c1e-9a52-4d0f-8c7e-1d2b3a4c5d6e".to_owned(),
            organization_name: "n".repeat(200),
            poll_id: "0b1c2d3e-4f50-4617-8293-a4b5c6d7e8f9".to_owned(),
            trigger: INTERVAL,
        };
        let record = poll.end(lines, None, 1_795_550_000_000);
        let bytes = record.key().len() + encode(&record).len();
        (record.mark.expect("a mark"), bytes)
    }

    fn count(lines: &[ListingOutcome], outcome: &str) -> usize {
        let of_members = |line: &&ListingOutcome| line.collection.starts_with("members/");
        lines.iter().filter(of_members).filter(|line| line.outcome == outcome).count()
    }

    #[test]
    fn an_end_mark_of_few_workspaces_has_a_line_for_each() {
        let lines = [own(), members(2_000, outcome::WHOLE), members(1_000, outcome::FAILED)].concat();
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
                members(whole, outcome::WHOLE),
                members(gone, outcome::GONE),
                members(refused, outcome::FAILED),
            ]
            .concat();
            let (mark, bytes) = mark(lines);
            assert!(bytes < MAX_MESSAGE_BYTES, "{bytes} bytes");
            assert!(bytes > MAX_MESSAGE_BYTES / 2, "as much as fits is told: {bytes} bytes");
            assert_eq!(mark.complete, refused == 0);
            assert_eq!(mark.outcomes[..4], own());
            let about_all = mark.outcomes.last().expect("the line about all members");
            assert_eq!(about_all.collection, MEMBERS);
            let left = refused - count(&mark.outcomes, outcome::FAILED);
            let expected = if left > 0 { outcome::FAILED } else { outcome::WHOLE };
            assert_eq!(about_all.outcome, expected);
            let reason = about_all.reason.as_deref().unwrap_or_default();
            let first = if left > 0 { " (the first: 403 permission_error: " } else { "," };
            assert!(reason.contains(&format!("{left} failed{first}")), "{reason}");
            let gone = gone - count(&mark.outcomes, outcome::GONE);
            let whole = whole - count(&mark.outcomes, outcome::WHOLE);
            assert!(reason.contains(&format!("{gone} are gone, {whole} are whole")), "{reason}");
        }
    }

    #[test]
    fn failures_are_told_before_all_others_and_what_was_skipped_stays_so() {
        let skipped = ListingOutcome {
            reason: Some("the poll ended before it".to_owned()),
            ..line(MEMBERS, outcome::SKIPPED)
        };
        let lines =
            [members(20_000, outcome::WHOLE), members(100, outcome::FAILED), vec![skipped], own()].concat();
        let (mark, _) = mark(lines);
        assert_eq!(count(&mark.outcomes, outcome::FAILED), 100);
        let about_all = mark.outcomes.last().expect("the line about all members");
        assert_eq!(about_all.outcome, outcome::SKIPPED);
        let reason = about_all.reason.as_deref().unwrap_or_default();
        assert!(
            reason.starts_with("the poll ended before it; too many workspaces, or too long ids"),
            "{reason}"
        );
        assert_eq!(mark.outcomes.iter().filter(|line| line.collection == MEMBERS).count(), 1);
    }

    #[test]
    fn a_reason_is_cut_where_an_id_in_it_is_too_long() {
        let failure =
            Failure::of(format!("the resource {} is listed twice and differs", "é".repeat(2_000_000)));
        let (_, bytes) = mark(vec![failed("users", outcome::FAILED, &failure)]);
        assert!(bytes < 3_000, "{bytes}");
    }

    #[test]
    fn no_text_is_longer_than_the_processor_takes() {
        let long = format!("members/{}", "w".repeat(5_000));
        let failure = Failure::of("é".repeat(2_000_000));
        let (mark, _) = mark([own(), vec![failed(&long, outcome::FAILED, &failure)]].concat());
        assert_eq!(mark.outcomes.len(), 5);
        let about_all = &mark.outcomes[4];
        assert_eq!((about_all.collection.as_str(), about_all.outcome.as_str()), (MEMBERS, outcome::FAILED));
        assert!(about_all.reason.as_ref().is_some_and(|reason| reason.len() < 4_096));
    }
}

//! A moment as a person writes it.

use jiff::{
    Timestamp,
    civil::{Date, DateTime},
};

use super::fold::Moment;

/// `--at`: now, a revision, or a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At(pub Moment);

impl At {
    /// The moment, if it is not in the future.
    pub fn moment(self, now_ms: i64) -> Result<Moment, String> {
        match self.0 {
            Moment::Time(ts_ms) if ts_ms > now_ms => {
                Err("is in the future; ask for now, a revision or a time in the past".to_owned())
            }
            moment => Ok(moment),
        }
    }
}

impl std::str::FromStr for At {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let moment = if text == "now" {
            Moment::Now
        } else if let Ok(revision) = text.parse::<i64>() {
            if revision < 1 {
                return Err("revisions begin with 1".to_owned());
            }
            Moment::Revision(revision)
        } else {
            Moment::Time(time(text)?.as_millisecond())
        };
        Ok(Self(moment))
    }
}

/// `UTC` at the end, as the console shows a time, is the offset.
fn time(text: &str) -> Result<Timestamp, String> {
    let with_offset = text.strip_suffix(" UTC").map(|time| format!("{time}Z"));
    let time = with_offset.as_deref().unwrap_or(text).parse().ok().or_else(|| midnight(text));
    time.ok_or_else(|| {
        if text.parse::<DateTime>().is_ok() {
            format!("the time {text:?} has no offset; add Z for UTC")
        } else {
            format!(
                "{text:?} is neither now, nor a revision such as 169, nor a time such as 2026-05-03T12:00Z"
            )
        }
    })
}

/// A date is its first moment, in UTC. A time without an offset is refused: its time zone is unknown.
fn midnight(text: &str) -> Option<Timestamp> {
    let date: Date = text.parse().ok().filter(|date: &Date| date.to_string() == text)?;
    format!("{date}T00:00:00Z").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::Moment;

    use super::At;

    #[test]
    fn now_a_revision_a_time_and_a_date_are_moments() {
        let moment = |text: &str| text.parse::<At>().map(|at| at.0);
        assert_eq!(moment("now"), Ok(Moment::Now));
        assert_eq!(moment("169"), Ok(Moment::Revision(169)));
        assert_eq!(moment("2026-05-03T12:00Z"), Ok(Moment::Time(1_777_809_600_000)));
        assert_eq!(moment("2026-05-03T14:00:00.5+02:00"), Ok(Moment::Time(1_777_809_600_500)));
        assert_eq!(moment("2026-05-03"), Ok(Moment::Time(1_777_766_400_000)));
        assert_eq!(
            moment("2026-05-03 12:00:00 UTC"),
            Ok(Moment::Time(1_777_809_600_000)),
            "as the console shows it"
        );
        for naive in ["2026-05-03T12:00", "2026-05-03 12:00:00"] {
            assert_eq!(moment(naive), Err(format!("the time {naive:?} has no offset; add Z for UTC")));
        }
        for wrong in ["0", "-3", "yesterday", "UTC", "2026-05-03 UTC", "", "99999999999999999999"] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_future_is_refused() {
        let at = At(Moment::Time(1_000));
        assert_eq!(at.moment(1_000), Ok(Moment::Time(1_000)));
        assert!(at.moment(999).is_err_and(|error| error.contains("future")));
        assert_eq!(At(Moment::Now).moment(0), Ok(Moment::Now));
    }
}

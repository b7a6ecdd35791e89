//! Where a replay starts.

use std::collections::BTreeMap;

use jiff::Timestamp;
use service::{
    exit::{UsageError, not_in_future},
    kafka::{cluster_admin::ClusterAdmin, partition::Start},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum From {
    /// At the oldest raw record.
    Earliest,
    /// At the first raw record written at or after that time.
    Time(Timestamp),
    /// At these offsets by partition; at the oldest record of other partitions.
    Offsets(BTreeMap<i32, i64>),
}

impl std::str::FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "earliest" {
            return Ok(Self::Earliest);
        }
        if let Ok(time) = text.parse() {
            return Ok(Self::Time(time));
        }
        let wrong = || {
            format!(
                "{text:?} is neither earliest, nor a time such as 2026-11-24T09:00:00Z, nor offsets by partition such \
                 as 0:120,3:4000"
            )
        };
        let mut offsets = BTreeMap::new();
        for part in text.split(',') {
            let (partition, offset) = part.split_once(':').ok_or_else(wrong)?;
            let partition: u16 = partition.trim().parse().map_err(|_| wrong())?;
            let offset: u64 = offset.trim().parse().map_err(|_| wrong())?;
            if offsets.insert(i32::from(partition), i64::try_from(offset).map_err(|_| wrong())?).is_some() {
                return Err(format!("partition {partition} is given twice"));
            }
        }
        Ok(Self::Offsets(offsets))
    }
}

impl From {
    /// Refuses a time in the future: nothing would be replayed.
    pub(super) fn check(&self, now: Timestamp) -> Result<(), UsageError> {
        match self {
            Self::Time(time) => not_in_future("--from", *time, now, "earliest"),
            Self::Earliest | Self::Offsets(_) => Ok(()),
        }
    }

    /// Where each partition of the raw topic starts.
    pub(super) fn starts(
        &self,
        cluster: &ClusterAdmin,
        raw: &str,
        partitions: i32,
    ) -> anyhow::Result<Vec<Start>> {
        match self {
            Self::Earliest => Ok((0..partitions).map(|_| Start::Beginning).collect()),
            Self::Time(time) => {
                let found = cluster.offsets_at(raw, partitions, time.as_millisecond())?;
                let start = |partition| match found.get(&partition) {
                    Some(offset) => Ok(Start::Offset(*offset)),
                    // Nothing was written since then: start at the end.
                    None => Ok(Start::Offset(cluster.offsets(raw, partition)?.1)),
                };
                (0..partitions).map(start).collect()
            }
            Self::Offsets(offsets) => {
                if let Some(partition) = offsets.keys().find(|partition| **partition >= partitions) {
                    let error = format!(
                        "--from: {raw} has no partition {partition}: it has {partitions}, numbered from 0"
                    );
                    return Err(UsageError(error).into());
                }
                (0..partitions)
                    .map(|partition| start(cluster, raw, partition, offsets.get(&partition)))
                    .collect()
            }
        }
    }
}

fn start(cluster: &ClusterAdmin, raw: &str, partition: i32, offset: Option<&i64>) -> anyhow::Result<Start> {
    let Some(offset) = offset else { return Ok(Start::Beginning) };
    let (beginning, end) = cluster.offsets(raw, partition)?;
    if (beginning..=end).contains(offset) {
        return Ok(Start::Offset(*offset));
    }
    let error = format!(
        "--from: offset {offset} is not in partition {partition} of {raw}, which has the offsets {beginning} to {end}"
    );
    Err(UsageError(error).into())
}

#[cfg(test)]
mod tests {
    use super::From;

    #[test]
    fn a_beginning_is_a_word_a_time_or_offsets() {
        assert_eq!("earliest".parse(), Ok(From::Earliest));
        assert!(matches!("2026-11-24T09:00:00Z".parse(), Ok(From::Time(_))));
        assert_eq!("0:120,3:4000".parse(), Ok(From::Offsets([(0, 120), (3, 4000)].into())));
    }

    #[test]
    fn a_beginning_in_the_future_is_refused() {
        let now = "2026-11-24T09:00:00Z".parse().expect("a time");
        let check = |text: &str| text.parse::<From>().expect("a beginning").check(now);
        assert!(check("2026-11-24T09:00:00Z").is_ok() && check("earliest").is_ok());
        let refusal = check("2027-01-01T00:00:00Z").expect_err("it is in the future").to_string();
        assert!(refusal.starts_with("--from: 2027-01-01T00:00:00Z is in the future; "), "{refusal}");
    }

    #[test]
    fn what_is_none_of_them_is_refused_with_all_three() {
        for text in ["", "latest", "0", "0:", "0:-1", "a:1", "0:1,", "-1:0", "2026-11-24"] {
            let refusal = text.parse::<From>().expect_err(text);
            assert!(refusal.contains("earliest") && refusal.contains("0:120,3:4000"), "{refusal}");
        }
        assert!("0:1,0:2".parse::<From>().expect_err("twice").contains("twice"));
    }
}

//! Whether no two changes of a partition have one id: 8 bytes for each change, and a second pass over the log only where
//! two of them agree in those.

use std::collections::BTreeSet;

use schemas::codec::digest;

/// The ids of a partition's changes.
#[derive(Debug, Default)]
pub(super) struct ChangeIds {
    /// The lower half of each.
    halves: Vec<u64>,
    /// Lower halves that several have.
    suspects: BTreeSet<u64>,
    /// Ids that have such a half, as far as they were met again.
    met: BTreeSet<u128>,
}

impl ChangeIds {
    /// An id as a number; one that is not a hexadecimal number is digested first.
    pub(super) fn number(id: &str) -> u128 {
        u128::from_str_radix(id, 16).unwrap_or_else(|_| {
            u128::from_str_radix(&digest([id.as_bytes()]), 16).expect("a digest is hexadecimal")
        })
    }

    /// Takes the id of the next change.
    pub(super) fn take(&mut self, id: u128) {
        self.halves.push(half(id));
    }

    /// Whether the log has to be read once more to decide.
    pub(super) fn are_suspect(&mut self) -> bool {
        let mut halves = std::mem::take(&mut self.halves);
        halves.sort_unstable();
        self.suspects = halves.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
        !self.suspects.is_empty()
    }

    /// Whether an earlier change has this one's id, when the log is read again.
    pub(super) fn is_repeated(&mut self, id: u128) -> bool {
        self.suspects.contains(&half(id)) && !self.met.insert(id)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "half of it is asked for")]
fn half(id: u128) -> u64 {
    id as u64
}

#[cfg(test)]
mod tests {
    use super::ChangeIds;

    #[test]
    fn ids_that_agree_in_a_half_alone_are_not_repeated() {
        let mut ids = ChangeIds { halves: vec![7, 9, 7], ..ChangeIds::default() };
        assert!(ids.are_suspect());
        assert_eq!(ids.suspects.into_iter().collect::<Vec<_>>(), [7]);
        assert!(!ChangeIds { halves: vec![7, 9], ..ChangeIds::default() }.are_suspect());
    }
}

//! Pauses between tries.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

/// Pauses without an end.
pub type Pauses = <ExponentialBuilder as BackoffBuilder>::Backoff;

/// Pauses whose bound begins at `first` and doubles up to `longest`. Each is between half of its bound and the bound, at
/// random, so that processes do not all retry at once.
pub fn pauses(first: Duration, longest: Duration) -> Pauses {
    // backon adds up to the whole pause at random.
    ExponentialBuilder::new()
        .with_min_delay(first / 2)
        .with_max_delay(longest / 2)
        .with_jitter()
        .without_max_times()
        .build()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::pauses;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let all: Vec<Duration> = pauses(Duration::from_secs(1), Duration::from_secs(5)).take(200).collect();
        for (pause, bound) in all.iter().zip([1, 2, 4].into_iter().chain(std::iter::repeat(5))) {
            let bound = Duration::from_secs(bound);
            assert!((bound / 2..=bound).contains(pause), "{pause:?} of {bound:?}");
        }
        assert!(all.iter().any(|pause| *pause < Duration::from_secs(5)), "they are at random");
        assert_ne!(
            all[10..],
            pauses(Duration::from_secs(1), Duration::from_secs(5)).take(200).collect::<Vec<_>>()[10..]
        );
    }
}

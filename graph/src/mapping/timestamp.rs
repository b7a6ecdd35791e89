//! The Admin API's times as JupiterOne wants them.

use jiff::Timestamp;

/// More digits of a second's fraction than this carry nothing that a millisecond could show.
const FRACTION_DIGITS: usize = 9;

/// Epoch milliseconds of an RFC 3339 time, digits beyond the millisecond cut; `None` for any other string.
pub fn epoch_ms(text: &str) -> Option<i64> {
    let timestamp: Timestamp = shortened(text).parse().ok()?;
    Some(timestamp.as_nanosecond().div_euclid(1_000_000).try_into().expect("jiff's years end at 9999"))
}

/// The text with no more digits of the fraction than jiff reads: the API promises no length.
fn shortened(text: &str) -> String {
    let Some((whole, rest)) = text.split_once('.') else { return text.to_owned() };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (fraction, zone) = rest.split_at(digits);
    format!("{whole}.{}{zone}", &fraction[..digits.min(FRACTION_DIGITS)])
}

#[cfg(test)]
mod tests {
    use super::epoch_ms;

    #[test]
    fn a_time_of_any_precision_becomes_milliseconds_cut_not_rounded() {
        let cases = [
            ("2025-03-02T11:22:33Z", Some(1_740_914_553_000)),
            ("2025-03-02T11:22:33.123456Z", Some(1_740_914_553_123)),
            ("2025-03-02T11:22:33.1239Z", Some(1_740_914_553_123)),
            ("2025-03-02T11:22:33.9999999999999999999Z", Some(1_740_914_553_999)),
            ("2025-03-02T12:22:33.5+01:00", Some(1_740_914_553_500)),
            ("1969-12-31T23:59:59.9995Z", Some(-1)),
            ("yesterday", None),
            ("", None),
            ("2025-13-02T11:22:33Z", None),
        ];
        for (text, expected) in cases {
            assert_eq!(epoch_ms(text), expected, "{text}");
        }
    }
}

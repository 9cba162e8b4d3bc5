//! Times as the scheme writes them (RFC 3339).

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The last second of the year 9999: RFC 3339 has no later one.
const LAST_S: u64 = 253_402_300_799;

/// Writes unix seconds with milliseconds and `Z`, the form of the published servers. What is later
/// than the year 9999 is written as its end.
pub(crate) fn write(unix_s: u64) -> String {
    let unix_s = i64::try_from(unix_s.min(LAST_S)).unwrap_or_default();
    let at = OffsetDateTime::from_unix_timestamp(unix_s).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (date, (hour, minute, second)) = (at.date(), at.to_hms());
    let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
    let mut text = String::with_capacity(24);
    push(&mut text, year.unsigned_abs(), 1_000);
    for (separator, value) in [
        ('-', month),
        ('-', day),
        ('T', hour),
        (':', minute),
        (':', second),
    ] {
        text.push(separator);
        push(&mut text, value.into(), 10);
    }
    text.push_str(".000Z");
    text
}

/// Appends the decimal digits of `value` from the one that counts `unit` on.
fn push(text: &mut String, value: u32, mut unit: u32) {
    while unit > 0 {
        let digit = (value / unit) % 10;
        text.push(char::from_digit(digit, 10).unwrap_or('0'));
        unit /= 10;
    }
}

/// Reads a time as unix seconds, rounded down.
pub(crate) fn parse(text: &str) -> Option<i64> {
    // Far longer texts exist (fractions have no bound), but nobody writes them.
    if text.len() > 40 {
        return None;
    }
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    Some(at.unix_timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_published_servers_do() {
        assert_eq!(write(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(write(1_796_126_405), "2026-12-01T12:00:05.000Z");
        assert_eq!(write(u64::MAX), "9999-12-31T23:59:59.000Z");
    }

    #[test]
    fn what_is_written_is_read() {
        for unix_s in [0, 951_782_400, 1_796_126_405, LAST_S] {
            assert_eq!(parse(&write(unix_s)), i64::try_from(unix_s).ok());
        }
        assert_eq!(parse("2026-12-01T13:00:05.999+01:00"), Some(1_796_126_405));
        for text in ["", "tomorrow", "2026-12-01", "2026-13-01T00:00:00Z"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}

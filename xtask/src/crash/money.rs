//! Reading dollars and moments from answers, without rounding.

use serde_json::Value;

/// The dollars of a JSON number or text, in millionths.
pub(super) fn micros(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => from_text(&number.to_string()),
        Value::String(text) => from_text(text),
        _ => None,
    }
}

fn from_text(text: &str) -> Option<u64> {
    // Numbers below a hundred-thousandth are printed with an exponent.
    let (digits, exponent) = text.split_once("e-").unwrap_or((text, "0"));
    let exponent: usize = exponent.parse().ok()?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if exponent > 0 {
        let zeros = "0".repeat(exponent.checked_sub(1)?);
        return join("0", &format!("{zeros}{whole}{fraction}"));
    }
    join(whole, fraction)
}

fn join(whole: &str, fraction: &str) -> Option<u64> {
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 6 {
        return None;
    }
    let fraction: u64 = format!("{fraction:0<6}").parse().ok()?;
    let whole: u64 = whole.parse().ok()?;
    whole.checked_mul(1_000_000)?.checked_add(fraction)
}

/// The seconds since 1970 of a moment such as `2026-03-17T00:00:00Z`.
pub(super) fn seconds(moment: &str) -> Option<i64> {
    let number = |from: usize, to: usize| moment.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !moment.ends_with('Z') {
        return None;
    }
    // Years begin in March, so that the day that comes and goes is their last.
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    Some((days - 719_468) * 86_400 + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_read_exactly() {
        let read = |text: &str| micros(&serde_json::from_str(text).unwrap());
        assert_eq!(read("0.192"), Some(192_000));
        assert_eq!(read("7"), Some(7_000_000));
        assert_eq!(read("0.000001"), Some(1));
        assert_eq!(read("0.0000023"), None);
        assert_eq!(read("0.000010"), Some(10));
        assert_eq!(read("\"1.50\""), Some(1_500_000));
        assert_eq!(read("null"), None);
        assert_eq!(from_text("1.2e-5"), Some(12));
    }

    #[test]
    fn moments_are_read_to_the_second() {
        assert_eq!(seconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(seconds("2000-03-01T00:00:00Z"), Some(951_868_800));
        assert_eq!(seconds("2026-11-28T05:40:01.25Z"), Some(1_795_844_401));
        assert_eq!(seconds("2026-11-28"), None);
    }
}

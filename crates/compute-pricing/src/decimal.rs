//! Prices of vendors, read digit by digit: their APIs write them as JSON numbers with noise.

use compute_domain::money::HourlyRate;

/// Longest number text that is looked at; real ones have at most 20 digits.
const MAX_LENGTH: usize = 40;

/// What an hour really costs: the larger of the hourly price and the monthly price by the hour,
/// where a month counts `hours_per_month`. Both are JSON texts. `None` unless the prices present are
/// readable and at least one is above zero.
pub fn cost_basis(
    hourly: Option<&str>,
    monthly: Option<&str>,
    hours_per_month: i64,
) -> Option<HourlyRate> {
    let micros = |text: Option<&str>| match text {
        Some(text) => parse_micros(text).map(Some),
        None => Some(None),
    };
    let hourly = micros(hourly)?.unwrap_or(0);
    let monthly = micros(monthly)?.unwrap_or(0);
    let by_month = monthly
        .checked_add(hours_per_month.checked_sub(1)?)?
        .checked_div(hours_per_month)?;
    HourlyRate::from_micros(hourly.max(by_month)).ok()
}

/// Millionths, such as micro-dollars, from a JSON number or from a string that holds one; rounded up,
/// because a cost must not be understated. Negative and unreadable numbers are `None`.
pub fn parse_micros(text: &str) -> Option<i64> {
    let text = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(text);
    if text.len() > MAX_LENGTH {
        return None;
    }
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let are_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !are_digits(whole) || !are_digits(fraction) {
        return None;
    }
    let digits: u128 = [whole, fraction].concat().parse().ok()?;
    if digits == 0 {
        return Some(0);
    }
    // The number is digits × 10^(exponent − fraction digits); micro-dollars have six more.
    let fraction_digits = i32::try_from(fraction.len()).ok()?;
    let shift = exponent.checked_sub(fraction_digits)?.checked_add(6)?;
    let scale = 10_u128.checked_pow(shift.unsigned_abs());
    let micros = if shift >= 0 {
        digits.checked_mul(scale?)?
    } else {
        // A divisor too large for the type is larger than any digits: less than one micro-dollar.
        scale.map_or(1, |scale| digits.div_ceil(scale))
    };
    i64::try_from(micros).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, micros: Option<i64>) {
        assert_eq!(parse_micros(text), micros, "{text}");
    }

    #[test]
    fn numbers_become_micro_dollars_rounded_up() {
        check("5", Some(5_000_000));
        check("2.5", Some(2_500_000));
        check("1122.91", Some(1_122_910_000));
        check("0.007", Some(7_000));
        check("0.00743999984115362", Some(7_440));
        check("0.0000001", Some(1));
        check("0.00000000000000000000000000000000000001", Some(1));
        check("7e-3", Some(7_000));
        check("1.5E2", Some(150_000_000));
        check("1e-300", Some(1));
        check("0", Some(0));
        check("0.000", Some(0));
        check("\"12.5\"", Some(12_500_000));
    }

    #[test]
    fn what_is_no_price_is_refused() {
        for text in [
            "-1",
            "",
            "null",
            "true",
            "\"\"",
            "1e",
            "1e99999999999",
            ".5",
            "+5",
            "1,5",
            "0x10",
            "[]",
        ] {
            check(text, None);
        }
        check("1e30", None);
        check(&"9".repeat(41), None);
    }

    fn check_basis(hourly: &str, monthly: &str, micros: Option<i64>) {
        let basis = cost_basis(Some(hourly), Some(monthly), 672);
        assert_eq!(basis.map(HourlyRate::micros), micros, "{hourly} {monthly}");
    }

    #[test]
    fn the_larger_price_counts() {
        // vc2-1c-1gb: 5 / 672 = 0.00744… is more than the stated 0.007.
        check_basis("0.007", "5", Some(7_441));
        // vcg-l40s: its hourly price is monthly / 672 already.
        check_basis("1.671", "1122.91", Some(1_671_000));
        check_basis("0.5", "0", Some(500_000));
        check_basis("0", "0", None);
        check_basis("-1", "5", None);
        check_basis("0.007", "-5", None);
    }

    #[test]
    fn one_price_alone_is_enough() {
        let basis = |hourly, monthly| cost_basis(hourly, monthly, 672).map(HourlyRate::micros);
        assert_eq!(basis(None, Some("672")), Some(1_000_000));
        assert_eq!(basis(Some("672"), None), Some(672_000_000));
        assert_eq!(basis(None, None), None);
        assert_eq!(cost_basis(Some("1"), Some("1"), 0), None);
    }

    proptest! {
        /// A plain decimal is read exactly.
        #[test]
        fn decimals_are_exact(whole in 0_i64..1_000_000, micros in 0_i64..1_000_000) {
            let text = format!("{whole}.{micros:06}");
            prop_assert_eq!(parse_micros(&text), Some(whole * 1_000_000 + micros));
        }

        /// No text makes the parser panic.
        #[test]
        fn no_text_panics(text in "[-+0-9eE.\"]{0,45}") {
            let _ = parse_micros(&text);
        }
    }
}

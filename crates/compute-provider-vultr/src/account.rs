//! The account that pays.

use compute_domain::money::Usd;
use compute_engine::ports::{AccountState, ProviderAccount};
use compute_pricing::parse_micros;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use crate::wire::AccountRow;

/// How many bytes of a digest tell accounts apart.
const ID_BYTES: usize = 8;

/// What the vendor says of the account. It has no word for one that is locked: its key is refused then.
pub(crate) fn read(row: &AccountRow) -> ProviderAccount {
    ProviderAccount {
        id: id(row),
        state: AccountState::Open,
        funds: funds(row),
        machine_limit: None,
    }
}

// The vendor gives no number, and an address of a person does not belong into our records.
fn id(row: &AccountRow) -> Option<String> {
    let named = if row.email.is_empty() {
        &row.name
    } else {
        &row.email
    };
    if named.is_empty() {
        return None;
    }
    let digest = Sha256::digest(named.to_lowercase().as_bytes());
    digest.get(..ID_BYTES).map(hex::encode)
}

// A balance below zero is credit; what was used and not yet billed comes off it.
fn funds(row: &AccountRow) -> Option<Usd> {
    let owed = micros(row.balance.as_deref()?)?;
    let pending = micros(row.pending_charges.as_deref()?)?;
    let left = owed.checked_add(pending)?.checked_neg()?;
    Usd::from_micros(left.max(0)).ok()
}

/// Digits after the point that count.
const MICRO_DIGITS: usize = 6;

/// Micro-dollars, from the digits. A fraction of one counts where it is a debt, and not where it is credit.
fn micros(raw: &RawValue) -> Option<i64> {
    let text = raw.get().trim_matches('"');
    match text.strip_prefix('-') {
        Some(credit) => parse_micros(cut(credit))?.checked_neg(),
        None => parse_micros(text),
    }
}

// Without the digits below a micro-dollar, which would be rounded up.
fn cut(text: &str) -> &str {
    let point = text.find('.').filter(|_| !text.contains(['e', 'E']));
    let end = point.and_then(|point| point.checked_add(1 + MICRO_DIGITS));
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::AccountAnswer;

    const FIXTURE: &str = include_str!("../../compute-testkit/fixtures/vultr/account.json");

    fn account(text: &str) -> ProviderAccount {
        let answer: AccountAnswer = serde_json::from_str(text).unwrap();
        read(&answer.account)
    }

    fn with(balance: &str, pending: &str) -> Option<i64> {
        let text = format!(
            r#"{{"account":{{"email":"a@example.com","balance":{balance},"pending_charges":{pending}}}}}"#
        );
        account(&text).funds.map(Usd::micros)
    }

    #[test]
    fn an_answer_of_the_vendor_is_read() {
        let read = account(FIXTURE);
        assert_eq!(read.funds.unwrap().micros(), 40_300_000);
        assert_eq!(read.state, AccountState::Open);
        assert_eq!(read.machine_limit, None);
        let id = read.id.unwrap();
        assert_eq!(id.len(), 2 * ID_BYTES);
        assert!(id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        assert!(!FIXTURE.contains(&id));
    }

    #[test]
    fn credit_less_what_is_pending_is_left_and_never_less_than_nothing() {
        assert_eq!(with("-100.55", "60.25"), Some(40_300_000));
        assert_eq!(with("-0.1", "0.2"), Some(0));
        assert_eq!(with("12.5", "0"), Some(0));
        assert_eq!(with("0", "0"), Some(0));
        assert_eq!(with("-1e2", "0.000001"), Some(99_999_999));
        assert_eq!(with("-0.30000000000000004", "0.1"), Some(200_000));
        assert_eq!(with("-5.9999999", "0.0000001"), Some(5_999_998));
        // Digits that a binary fraction cannot hold.
        assert_eq!(with("-9007199.254741", "0.1"), Some(9_007_199_154_741));
        assert_eq!(with(r#""-5.00""#, r#""1.00""#), Some(4_000_000));
    }

    #[test]
    fn what_cannot_be_read_is_not_told() {
        assert_eq!(with("null", "0"), None);
        assert_eq!(with("-5", "null"), None);
        assert_eq!(with(r#""much""#, "0"), None);
        assert_eq!(with("-1e40", "0"), None);
        assert_eq!(account(r#"{"account":{}}"#).funds, None);
        assert_eq!(account(r#"{"account":{}}"#).id, None);
    }

    #[test]
    fn the_id_is_of_the_account_and_shows_no_person() {
        let id = |email: &str, name: &str| {
            account(&format!(
                r#"{{"account":{{"email":"{email}","name":"{name}"}}}}"#
            ))
            .id
        };
        assert_eq!(id("a@example.com", "A"), id("A@example.com", "B"));
        assert_ne!(id("a@example.com", "A"), id("b@example.com", "A"));
        assert!(id("", "A").is_some());
        let row = r#"{"account":{"email":"a@example.com"}}"#;
        let row: AccountAnswer = serde_json::from_str(row).unwrap();
        assert!(!format!("{row:?}").contains("example"));
    }
}

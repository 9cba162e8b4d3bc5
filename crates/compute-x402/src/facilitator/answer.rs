use compute_wallet::WalletAddress;
use serde_json::{Map, Value};

use crate::amount::Amount;
use crate::error_code::{ErrorCode, MethodCode};
use crate::networks::Network;

/// The text tokens revert with when an authorization was settled or cancelled before.
const USED_OR_CANCELED: &str = "authorization is used or canceled";

/// The prefixes of codes that name a failed check, so that nothing was sent to the chain.
const CHECK_PREFIXES: [&str; 7] = [
    "invalid_",
    "unsupported_",
    "insufficient_",
    "permit2_",
    "erc20_approval_",
    "eip2612_",
    "upto_",
];

/// What an answer of `/settle` means. Never two outcomes: unknown is one of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettleClass {
    /// The money moved.
    Settled {
        /// The transaction on the network.
        transaction: String,
        /// Who paid, when the facilitator says so.
        payer: Option<WalletAddress>,
        /// How much, when the facilitator says so.
        amount: Option<Amount>,
    },
    /// The facilitator refused the payment or its transaction reverted.
    ///
    /// Conclusive only when no earlier attempt with this payment can have reached a facilitator:
    /// after an unknown outcome the very success of the first try makes a repeat fail.
    Declined {
        /// Why.
        code: ErrorCode,
    },
    /// The facilitator refused the request itself: configuration or credentials. Nothing moved.
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// The money may or may not have moved.
    Unknown {
        /// Why nobody can tell.
        reason: UnknownReason,
        /// A transaction to look for, when one was named.
        transaction: Option<String>,
    },
}

/// Why the outcome of a settlement is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownReason {
    /// The facilitator is still waiting for the chain, or gave up waiting.
    Pending,
    /// The authorization was used before, perhaps by our own first try.
    AlreadyUsed,
    /// Success was claimed without a usable transaction or for another network: raise an alarm.
    Contradiction,
    /// A failure with a code nobody knows, or after something was sent.
    UnclearFailure,
    /// The answer cannot be read, or the facilitator was overloaded.
    NoAnswer,
}

/// What an answer of `/verify` means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerifyClass {
    /// The payment would settle now.
    Valid {
        /// Who would pay, when the facilitator says so.
        payer: Option<WalletAddress>,
    },
    /// The payment would not settle.
    Invalid {
        /// Why.
        code: ErrorCode,
    },
    /// The facilitator refused the request itself: configuration or credentials.
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// No usable answer: sell nothing, answer 503.
    Unavailable,
}

/// Reads an answer of `/settle` for a payment on `expected` (x402 facilitator interface).
///
/// The body decides: facilitators send readable failures with 400, 412 and 500.
#[must_use]
pub fn classify_settle(http_status: u16, body: &[u8], expected: &Network) -> SettleClass {
    let answer = parse(body);
    match answer.get("success").and_then(Value::as_bool) {
        Some(true) => classify_success(&answer, expected),
        Some(false) => classify_failure(&answer),
        None if is_refusal(http_status) => SettleClass::Refused {
            status: http_status,
        },
        None => unknown(UnknownReason::NoAnswer, &answer),
    }
}

/// Reads an answer of `/verify`. Fails closed: only a readable yes with a 2xx status is one.
#[must_use]
pub fn classify_verify(http_status: u16, body: &[u8], expected: &Network) -> VerifyClass {
    let answer = parse(body);
    match answer.get("isValid").and_then(Value::as_bool) {
        Some(true) if (200..300).contains(&http_status) => VerifyClass::Valid {
            payer: find_payer(&answer, expected),
        },
        Some(false) => match find_code(&answer, "invalidReason") {
            Some(ErrorCode::UnexpectedVerifyError | ErrorCode::UnexpectedSettleError) | None => {
                VerifyClass::Unavailable
            }
            Some(code) => VerifyClass::Invalid { code },
        },
        None if is_refusal(http_status) => VerifyClass::Refused {
            status: http_status,
        },
        Some(true) | None => VerifyClass::Unavailable,
    }
}

fn classify_success(answer: &Map<String, Value>, expected: &Network) -> SettleClass {
    let is_expected = answer
        .get("network")
        .and_then(Value::as_str)
        .is_some_and(|name| expected.is_named(name));
    match find_transaction(answer) {
        Some(transaction) if is_expected && is_transaction_on(&transaction, expected) => {
            SettleClass::Settled {
                transaction,
                payer: find_payer(answer, expected),
                amount: find_amount(answer),
            }
        }
        _ => unknown(UnknownReason::Contradiction, answer),
    }
}

fn classify_failure(answer: &Map<String, Value>) -> SettleClass {
    let says_used = ["errorReason", "errorMessage"].iter().any(|name| {
        let text = answer.get(*name).and_then(Value::as_str);
        text.is_some_and(|text| text.contains(USED_OR_CANCELED))
    });
    if says_used {
        return unknown(UnknownReason::AlreadyUsed, answer);
    }
    let Some(code) = find_code(answer, "errorReason") else {
        return unknown(UnknownReason::UnclearFailure, answer);
    };
    match code {
        ErrorCode::DuplicateSettlement | ErrorCode::EvmNonceAlreadyUsed => {
            unknown(UnknownReason::AlreadyUsed, answer)
        }
        // The number of a Permit2 payment, which is used by whoever submits it.
        ErrorCode::Method(MethodCode::PERMIT2_NONCE) => unknown(UnknownReason::AlreadyUsed, answer),
        ErrorCode::SettlementPending | ErrorCode::UnexpectedSettleError => {
            unknown(UnknownReason::Pending, answer)
        }
        _ if code.as_str().ends_with("_confirmation_timed_out") => {
            unknown(UnknownReason::Pending, answer)
        }
        // A reverted transaction is the one kind of failure that follows a sent transaction.
        ErrorCode::InvalidTransactionState => SettleClass::Declined { code },
        _ if find_transaction(answer).is_some() => unknown(UnknownReason::UnclearFailure, answer),
        _ if is_failed_check(&code) => SettleClass::Declined { code },
        _ => unknown(UnknownReason::UnclearFailure, answer),
    }
}

/// Codes of checks that come before anything is sent; any other code may follow a transfer.
fn is_failed_check(code: &ErrorCode) -> bool {
    match code {
        ErrorCode::Eip6492FactoryNotAllowed
        | ErrorCode::ExtensionEchoMismatch
        | ErrorCode::PaymentRequired => true,
        ErrorCode::EvmTransferEventMismatch => false,
        _ => CHECK_PREFIXES
            .iter()
            .any(|prefix| code.as_str().starts_with(prefix)),
    }
}

/// Client errors blame our request; 408, 425 and 429 only say that it was not the moment.
const fn is_refusal(http_status: u16) -> bool {
    matches!(http_status, 400..500) && !matches!(http_status, 408 | 425 | 429)
}

fn unknown(reason: UnknownReason, answer: &Map<String, Value>) -> SettleClass {
    SettleClass::Unknown {
        reason,
        transaction: find_transaction(answer),
    }
}

fn parse(body: &[u8]) -> Map<String, Value> {
    serde_json::from_slice(body).unwrap_or_default()
}

fn find_code(answer: &Map<String, Value>, name: &str) -> Option<ErrorCode> {
    let text = answer.get(name)?.as_str()?;
    (!text.is_empty()).then(|| ErrorCode::from_wire(text))
}

/// A transaction is a short printable word; anything else is not repeated to anybody.
fn find_transaction(answer: &Map<String, Value>) -> Option<String> {
    let text = answer.get("transaction")?.as_str()?;
    let is_word =
        (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_word.then(|| text.to_owned())
}

/// The digits of base58.
const BASE58: &str = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/// On EVM chains a hash, on Solana a signature of 64 bytes; facilitators exist that answer `pending`
/// before they send anything.
fn is_transaction_on(transaction: &str, network: &Network) -> bool {
    match (network.chain_id(), transaction.strip_prefix("0x")) {
        (Some(_), Some(digits)) => {
            digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        }
        (Some(_), None) => false,
        (None, _) => {
            (64..=88).contains(&transaction.len())
                && transaction.chars().all(|digit| BASE58.contains(digit))
        }
    }
}

fn find_payer(answer: &Map<String, Value>, network: &Network) -> Option<WalletAddress> {
    WalletAddress::parse(network.namespace(), answer.get("payer")?.as_str()?).ok()
}

fn find_amount(answer: &Map<String, Value>) -> Option<Amount> {
    Amount::parse(answer.get("amount")?.as_str()?).ok()
}

#[cfg(test)]
mod tests;

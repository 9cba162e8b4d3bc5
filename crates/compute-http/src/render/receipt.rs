//! The headers that tell what became of a payment: each client library reads only its own.

use compute_domain::instance::FailureCode;
use compute_domain::operation::OperationState;
use compute_domain::payment::{Payment, PaymentState};
use compute_engine::OperationView;
use compute_x402::{ErrorCode, SettlementHeaders};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

use super::extensions;
use crate::app::App;

const PAYMENT_RESPONSE: HeaderName = HeaderName::from_static("payment-response");
const PAYMENT_RECEIPT: HeaderName = HeaderName::from_static("payment-receipt");
const X_PAYMENT_RESPONSE: HeaderName = HeaderName::from_static("x-payment-response");

/// What tells a client of either protocol that its payment settled.
#[derive(Debug)]
pub(crate) enum Receipt {
    X402(SettlementHeaders),
    /// The value of `Payment-Receipt`.
    Mpp(String),
}

/// What the headers say about a payment; nothing while its outcome is unknown, or for ever unknown.
pub(crate) fn of(view: &OperationView, app: &App) -> Option<Receipt> {
    let payment = view.payment.as_ref()?;
    if payment.challenge_id.is_some() {
        return of_charge(payment).map(Receipt::Mpp);
    }
    of_x402(view, payment, app).map(Receipt::X402)
}

fn of_charge(payment: &Payment) -> Option<String> {
    let (evidence, at) = match &payment.state {
        PaymentState::Settled { evidence, at } => (evidence, at),
        PaymentState::Refunded {
            evidence,
            settled_at,
            ..
        } => (evidence, settled_at),
        PaymentState::Claimed | PaymentState::Declined { .. } => return None,
    };
    let method = compute_engine::method_of(payment)?;
    let receipt = compute_mpp::Receipt::new(&method, evidence.reference.as_str(), at.secs());
    Some(receipt.encode())
}

fn of_x402(view: &OperationView, payment: &Payment, app: &App) -> Option<SettlementHeaders> {
    let payer = payment.payer.as_ref()?;
    let network = app.network_of(&payment.rail)?;
    match &payment.state {
        PaymentState::Claimed => None,
        PaymentState::Settled { evidence, at }
        | PaymentState::Refunded {
            evidence,
            settled_at: at,
            ..
        } => {
            let transaction = evidence.reference.as_str();
            let headers = SettlementHeaders::settled(&network, transaction, payer);
            let Some(issuer) = &app.settings().issuer else {
                return Some(headers);
            };
            let (url, issued) = (app.purchase_url(&view.operation), (at.secs(), transaction));
            let signed = extensions::of_settlement(issuer, &network, &url, payer, issued);
            Some(headers.with_extensions(signed))
        }
        PaymentState::Declined { .. } if is_given_up(view) => None,
        PaymentState::Declined { code } => {
            let code = ErrorCode::from_wire(code);
            Some(SettlementHeaders::declined(&network, &code, Some(payer)))
        }
    }
}

/// The receipt of an x402 payment that the shop signs, where it signs receipts.
pub(crate) fn signed(view: &OperationView, app: &App) -> Option<Value> {
    let payment = view.payment.as_ref()?;
    let (at, transaction) = match &payment.state {
        PaymentState::Settled { evidence, at } => (at, &evidence.reference),
        PaymentState::Refunded {
            evidence,
            settled_at,
            ..
        } => (settled_at, &evidence.reference),
        PaymentState::Claimed | PaymentState::Declined { .. } => return None,
    };
    let (issuer, payer) = (app.settings().issuer.as_ref()?, payment.payer.as_ref()?);
    let network = app.network_of(&payment.rail)?;
    let url = app.purchase_url(&view.operation);
    let mut extension = issuer.receipt(&network, &url, payer, at.secs(), transaction);
    extension.pointer_mut("/info/receipt").map(Value::take)
}

/// The payment network's reason for a payment that certainly moved no money.
pub(crate) fn decline_code(view: &OperationView) -> Option<&str> {
    match view.payment.as_ref().map(|payment| &payment.state) {
        Some(PaymentState::Declined { code }) if !is_given_up(view) => Some(code),
        _ => None,
    }
}

/// Whether an operator ended what nobody could find out; whether the money moved stays unknown.
const fn is_given_up(view: &OperationView) -> bool {
    matches!(
        view.operation.state,
        OperationState::Failed {
            code: FailureCode::OperatorRefunded
        }
    )
}

/// Writes the headers of a receipt. A `Payment-Receipt` stands on a success alone (mpp.md 5).
pub(crate) fn insert(headers: &mut HeaderMap, receipt: &Receipt, status: StatusCode) {
    let mut write = |name, value| {
        // Base64 is always a header value.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    match receipt {
        Receipt::X402(settlement) => {
            write(PAYMENT_RESPONSE, &settlement.payment_response);
            write(X_PAYMENT_RESPONSE, &settlement.x_payment_response);
        }
        Receipt::Mpp(value) if status.is_success() => write(PAYMENT_RECEIPT, value),
        Receipt::Mpp(_) => {}
    }
}

/// Where the money for this work stands, in one word for the client; none when it was free.
pub(crate) fn settlement_word(view: &OperationView) -> Option<&'static str> {
    let Some(payment) = &view.payment else {
        return view.operation.data.credits.map(|_| "credits");
    };
    Some(match payment.state {
        _ if is_given_up(view) => "refunded",
        PaymentState::Claimed => "pending",
        PaymentState::Settled { .. } => "settled",
        PaymentState::Declined { .. } => "declined",
        PaymentState::Refunded { .. } => "refunded",
    })
}

/// The transaction by which the money arrived.
pub(crate) fn tx_hash(view: &OperationView) -> Option<&str> {
    let evidence = view.payment.as_ref()?.evidence()?;
    Some(&evidence.reference)
}

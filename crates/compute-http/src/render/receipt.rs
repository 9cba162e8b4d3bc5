//! The headers that tell what became of a payment: each client library reads only its own.

use compute_domain::payment::{Payment, PaymentState};
use compute_engine::OrderView;
use compute_x402::{ErrorCode, SettlementHeaders};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::app::App;

const PAYMENT_RESPONSE: HeaderName = HeaderName::from_static("payment-response");
const X_PAYMENT_RESPONSE: HeaderName = HeaderName::from_static("x-payment-response");

/// What the headers say about an order's payment; nothing while its outcome is unknown.
pub(crate) fn of(view: &OrderView, app: &App) -> Option<SettlementHeaders> {
    let payment = view.payment.as_ref()?;
    let network = app.network_of(&payment.rail)?;
    match &payment.state {
        PaymentState::Claimed => None,
        PaymentState::Settled { evidence, .. } | PaymentState::Refunded { evidence, .. } => Some(
            SettlementHeaders::settled(&network, &evidence.reference, &payment.payer),
        ),
        PaymentState::Declined { code } => {
            let code = ErrorCode::from_wire(code);
            Some(SettlementHeaders::declined(
                &network,
                &code,
                Some(&payment.payer),
            ))
        }
    }
}

/// Writes both headers.
pub(crate) fn insert(headers: &mut HeaderMap, settlement: &SettlementHeaders) {
    let pairs = [
        (PAYMENT_RESPONSE, &settlement.payment_response),
        (X_PAYMENT_RESPONSE, &settlement.x_payment_response),
    ];
    for (name, value) in pairs {
        // Base64 is always a header value.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
}

/// Where a payment stands, in one word for the client.
pub(crate) const fn settlement_word(payment: &Payment) -> &'static str {
    match payment.state {
        PaymentState::Claimed => "pending",
        PaymentState::Settled { .. } => "settled",
        PaymentState::Declined { .. } => "declined",
        PaymentState::Refunded { .. } => "refunded",
    }
}

//! What happens after a sale: money back, and money that buyers ask back.

use std::collections::BTreeMap;
use std::future::Future;

use async_trait::async_trait;
use compute_domain::money::AssetAmount;
use compute_domain::reserve::DisputeState;
use compute_domain::time::Timestamp;
use compute_engine::ports::{
    CardDesk, Notice, Rail as _, RailUnavailable, RefundLook, RefundOrder, SeenDispute,
};
use compute_outbound::OutboundRequest;
use secrecy::ExposeSecret as _;
use serde::Deserialize;

use crate::api::{Outcome, StripeError, unknown};
use crate::rail::{StripeRail, unavailable};
use crate::webhook;

const REFUNDS: [&str; 2] = ["v1", "refunds"];
const DISPUTES: [&str; 2] = ["v1", "disputes"];

/// The metadata by which a refund is found again.
const RESERVE: &str = "reserve";

/// What Stripe says when it does not know an object; to another account it says the same.
const MISSING: &str = "resource_missing";

/// The longest code of Stripe's that is passed on.
const MAX_CODE: usize = 64;

#[derive(Deserialize)]
struct Refund {
    id: String,
    amount: u64,
    status: String,
    payment_intent: Option<String>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Dispute {
    id: String,
    payment_intent: Option<String>,
    amount: u64,
    currency: String,
    status: String,
    created: u64,
}

impl Refund {
    fn look(self, order: &RefundOrder<'_>) -> RefundLook {
        let is_it = u128::from(self.amount) == order.atomic
            && self.payment_intent.as_deref() == Some(order.payment)
            && self.metadata.get(RESERVE) == Some(&order.id.to_string());
        if !is_it {
            return under_way("Stripe speaks of another refund");
        }
        match self.status.as_str() {
            "succeeded" => RefundLook::Done { reference: self.id },
            "failed" | "canceled" => RefundLook::Refused {
                code: "refund_failed".to_owned(),
            },
            _ => under_way("the bank has not decided yet"),
        }
    }
}

/// What a word of Stripe's for a dispute means. Inquiries (`warning_…`) take no money yet, and are
/// disputes all the same: what can be lost later must still be there.
fn state_of(status: &str) -> DisputeState {
    match status {
        "won" | "warning_closed" | "prevented" => DisputeState::Won,
        "lost" | "charge_refunded" => DisputeState::Lost,
        _ => DisputeState::Open,
    }
}

fn under_way(reason: &str) -> RefundLook {
    RefundLook::UnderWay {
        reason: reason.to_owned(),
    }
}

/// A code of Stripe's, when it is a code and no sentence.
fn code(text: String) -> String {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if text.is_empty() || text.len() > MAX_CODE || !text.bytes().all(is_allowed) {
        return "refused".to_owned();
    }
    text
}

impl StripeRail {
    async fn within<T>(
        &self,
        call: impl Future<Output = Result<T, StripeError>> + Send,
    ) -> Result<T, RailUnavailable> {
        match tokio::time::timeout(self.timeouts.call, call).await {
            Ok(outcome) => outcome.map_err(|error| unavailable(&error)),
            Err(_) => Err(unavailable(&"time ran out")),
        }
    }

    async fn find_refund(&self, order: &RefundOrder<'_>) -> Result<RefundLook, StripeError> {
        let of = [("payment_intent", order.payment.to_owned())];
        let listed = self.api.list(&REFUNDS, &of, |it: &Refund| &it.id).await;
        let listed = match listed {
            Ok(listed) => listed,
            Err(StripeError::Refused { code }) if code == MISSING => {
                return Ok(RefundLook::Stranger);
            }
            Err(error) => return Err(error),
        };
        let id = order.id.to_string();
        let mut listed = listed.into_iter();
        let own = listed.find(|refund| refund.metadata.get(RESERVE) == Some(&id));
        Ok(own.map_or(RefundLook::Unmade, |refund| refund.look(order)))
    }

    async fn try_send_refund(&self, order: &RefundOrder<'_>) -> RefundLook {
        let fields = [
            ("payment_intent".to_owned(), order.payment.to_owned()),
            ("amount".to_owned(), order.atomic.to_string()),
            (format!("metadata[{RESERVE}]"), order.id.to_string()),
        ];
        let key = format!("refund_{}", order.id);
        match self.api.post::<Refund>(&REFUNDS, Some(&key), &fields).await {
            Outcome::Done(refund) => refund.look(order),
            Outcome::Refused(objection) => {
                match objection.code.unwrap_or(objection.kind) {
                    // Another account would say so, too.
                    missing if missing == MISSING => {
                        under_way("the account does not know the payment")
                    }
                    other => RefundLook::Refused { code: code(other) },
                }
            }
            Outcome::Failed(error) => under_way(&error.to_string()),
        }
    }

    fn seen(&self, told: Dispute) -> Option<SeenDispute> {
        let currency = match &self.spec().terms {
            compute_engine::ChargeTerms::Stripe { currency, .. } => currency,
            compute_engine::ChargeTerms::Tempo(_) => return None,
        };
        // In another currency than the payment: as much as there is.
        let atomic = if told.currency == *currency {
            told.amount
        } else {
            u64::MAX
        };
        Some(SeenDispute {
            state: state_of(&told.status),
            reference: told.id,
            payment: told.payment_intent?,
            asset: AssetAmount {
                atomic: atomic.into(),
                decimals: self.spec().decimals,
            },
            status: told.status,
            opened_at: Timestamp::from_secs(told.created),
        })
    }
}

#[async_trait]
impl CardDesk for StripeRail {
    async fn own_account(&self) -> Result<String, RailUnavailable> {
        self.within(async { self.account_id().await.map(str::to_owned) })
            .await
    }

    async fn look_for_refund(
        &self,
        order: &RefundOrder<'_>,
    ) -> Result<RefundLook, RailUnavailable> {
        self.within(self.find_refund(order)).await
    }

    async fn send_refund(&self, order: &RefundOrder<'_>) -> RefundLook {
        tokio::time::timeout(self.timeouts.call, self.try_send_refund(order))
            .await
            .unwrap_or_else(|_| under_way("time ran out"))
    }

    async fn disputes_since(&self, since: Timestamp) -> Result<Vec<SeenDispute>, RailUnavailable> {
        let since = [("created[gte]", since.secs().to_string())];
        let listed = self.api.list(&DISPUTES, &since, |it: &Dispute| &it.id);
        let listed = self.within(listed).await?;
        // What is about no PaymentIntent is about none of ours.
        let listed = listed.into_iter();
        Ok(listed.filter_map(|told| self.seen(told)).collect())
    }

    async fn dispute(&self, reference: &str) -> Result<SeenDispute, RailUnavailable> {
        let [v1, disputes] = DISPUTES;
        let path = [v1, disputes, reference];
        let asked = async {
            let request = OutboundRequest::get(&path);
            let told: Dispute = self.api.get(request).await.into_result()?;
            if told.id != reference {
                return Err(unknown("Stripe speaks of another dispute"));
            }
            let seen = self.seen(told);
            seen.ok_or_else(|| unknown("the dispute is about no payment"))
        };
        self.within(asked).await
    }

    fn hear(&self, body: &[u8], signature: &str) -> Option<Notice> {
        let secret = self.webhook_secret.as_ref()?.expose_secret();
        let now_s = self.clock.now().secs();
        Some(webhook::judge(secret.as_bytes(), signature, body, now_s))
    }
}

//! What is sent to webhooks, and what becomes of it.

use async_trait::async_trait;
use compute_engine::ports::{Courier, Handed};
use metrics::counter;

const TAKEN: &str = "taken";
const REFUSED: &str = "refused";
const FAILED: &str = "failed";

/// Everything that can become of a delivery.
pub(super) const OUTCOMES: [&str; 3] = [TAKEN, REFUSED, FAILED];

/// A courier whose deliveries are counted. Whose they are, no metric says.
#[derive(Debug)]
pub(crate) struct MeteredCourier<C>(pub(crate) C);

#[async_trait]
impl<C: Courier> Courier for MeteredCourier<C> {
    fn check(&self, url: &str) -> Result<String, String> {
        self.0.check(url)
    }

    async fn hand(&self, url: &str, body: &str, signature: &str) -> Handed {
        let handed = self.0.hand(url, body, signature).await;
        let outcome = match &handed {
            Handed::Answered(_) if handed.is_taken() => TAKEN,
            Handed::Answered(_) => REFUSED,
            Handed::Failed(_) => FAILED,
        };
        counter!("compute_webhook_deliveries_total", "outcome" => outcome).increment(1);
        handed
    }
}

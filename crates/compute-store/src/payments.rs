//! Payments: each proof is bound to one operation.

use async_trait::async_trait;
use compute_domain::WalletAddress;
use compute_domain::id::OperationId;
use compute_domain::money::{AssetAmount, Usd};
use compute_domain::payment::{Evidence, Payment, PaymentState, RailLabel};
use compute_domain::time::Timestamp;
use compute_engine::ports::{ClaimOutcome, Payments, StoreError};

use crate::row::{RowName, millis};
use crate::statement::{Refusal, contended, execute, fetch, rejected};
use crate::tx::StoreTx;

macro_rules! payment_columns {
    () => {
        "id, operation_id, owner_id, rail, proof_key, challenge_id, payer, price_micros, asset_atomic,
    asset_decimals, void_after, claimed_at, state, reference, log_index, settled_at, decline_code,
    refund_transfer_id"
    };
}
pub(crate) use payment_columns;

const CLAIM: &str = concat!(
    "INSERT INTO payments (",
    payment_columns!(),
    ", sealed_proof)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
ON CONFLICT DO NOTHING"
);

const FIND: &str = concat!(
    "SELECT ",
    payment_columns!(),
    "
FROM payments
WHERE proof_key = $1 AND state <> 'declined'"
);

const FIND_BY_CHALLENGE: &str = concat!(
    "SELECT ",
    payment_columns!(),
    "
FROM payments
WHERE challenge_id = $1 AND state <> 'declined'"
);

const COUNT_CLAIMED_BY: &str = "SELECT COUNT(*)
FROM payments
WHERE payer = $1 AND state = 'claimed'";

const FIND_BY_OPERATION: &str = concat!(
    "SELECT ",
    payment_columns!(),
    "
FROM payments
WHERE operation_id = $1"
);

const LOAD_SEALED_PROOF: &str = "SELECT sealed_proof
FROM payments
WHERE operation_id = $1 AND state = 'claimed'";

const SAVE: &str = "UPDATE payments
SET state = $2, reference = $3, log_index = $4, settled_at = $5, decline_code = $6,
    refund_transfer_id = $7,
    sealed_proof = CASE WHEN $2 = 'claimed' THEN sealed_proof END
WHERE id = $1";

#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct PaymentRow {
    id: String,
    operation_id: String,
    owner_id: String,
    rail: String,
    proof_key: String,
    challenge_id: Option<String>,
    payer: Option<String>,
    price_micros: i64,
    asset_atomic: String,
    asset_decimals: i64,
    void_after: i64,
    claimed_at: i64,
    state: String,
    reference: Option<String>,
    log_index: Option<i64>,
    settled_at: Option<i64>,
    decline_code: Option<String>,
    refund_transfer_id: Option<String>,
}

impl PaymentRow {
    fn of(payment: &Payment) -> Self {
        let evidence = payment.evidence();
        let (settled_at, decline_code, transfer) = match &payment.state {
            PaymentState::Claimed => (None, None, None),
            PaymentState::Settled { at, .. } => (Some(*at), None, None),
            PaymentState::Declined { code } => (None, Some(code.clone()), None),
            PaymentState::Refunded {
                settled_at,
                transfer,
                ..
            } => (Some(*settled_at), None, Some(*transfer)),
        };
        Self {
            id: payment.id.to_string(),
            operation_id: payment.operation.to_string(),
            owner_id: payment.owner.to_string(),
            rail: payment.rail.to_string(),
            proof_key: payment.proof_key.clone(),
            challenge_id: payment.challenge_id.clone(),
            payer: payment.payer.map(|payer| payer.to_string()),
            price_micros: payment.price.micros(),
            asset_atomic: payment.asset.atomic.to_string(),
            asset_decimals: i64::from(payment.asset.decimals),
            void_after: payment.void_after.millis(),
            claimed_at: payment.claimed_at.millis(),
            state: payment.state.name().to_owned(),
            reference: evidence.map(|evidence| evidence.reference.clone()),
            log_index: evidence
                .and_then(|evidence| evidence.log_index)
                .map(i64::from),
            settled_at: millis(settled_at),
            decline_code,
            refund_transfer_id: transfer.map(|transfer| transfer.to_string()),
        }
    }

    pub(crate) fn parse(self) -> Result<Payment, StoreError> {
        let name = RowName::new("payments", &self.id);
        Ok(Payment {
            id: name.text("id", &self.id)?,
            operation: name.text("operation_id", &self.operation_id)?,
            owner: name.text("owner_id", &self.owner_id)?,
            rail: name.check("rail", RailLabel::parse(&self.rail))?,
            payer: self
                .payer
                .as_deref()
                .map(|text| name.text("payer", text))
                .transpose()?,
            price: name.check("price_micros", Usd::from_micros(self.price_micros))?,
            asset: AssetAmount {
                atomic: name.text("asset_atomic", &self.asset_atomic)?,
                decimals: name.number("asset_decimals", self.asset_decimals)?,
            },
            void_after: Timestamp::from_millis(self.void_after),
            claimed_at: Timestamp::from_millis(self.claimed_at),
            state: self.parse_state(&name)?,
            proof_key: self.proof_key,
            challenge_id: self.challenge_id,
        })
    }

    /// Exactly the columns that a state needs are filled.
    fn parse_state(&self, name: &RowName) -> Result<PaymentState, StoreError> {
        let log_index = self
            .log_index
            .map(|index| name.number("log_index", index))
            .transpose()?;
        let evidence = self.reference.clone().map(|reference| Evidence {
            reference,
            log_index,
        });
        if evidence.is_none() && log_index.is_some() {
            return Err(name.bad("log_index"));
        }
        let settled_at = self.settled_at.map(Timestamp::from_millis);
        let transfer = self.refund_transfer_id.as_deref();
        let transfer = transfer
            .map(|text| name.text("refund_transfer_id", text))
            .transpose()?;
        match (
            self.state.as_str(),
            evidence,
            settled_at,
            self.decline_code.clone(),
            transfer,
        ) {
            ("claimed", None, None, None, None) => Ok(PaymentState::Claimed),
            ("settled", Some(evidence), Some(at), None, None) => {
                Ok(PaymentState::Settled { evidence, at })
            }
            ("declined", None, None, Some(code), None) => Ok(PaymentState::Declined { code }),
            ("refunded", Some(evidence), Some(settled_at), None, Some(transfer)) => {
                Ok(PaymentState::Refunded {
                    evidence,
                    settled_at,
                    transfer,
                })
            }
            _ => Err(name.bad("state")),
        }
    }
}

#[async_trait]
impl Payments for StoreTx {
    async fn claim_payment(
        &mut self,
        payment: &Payment,
        sealed_proof: &[u8],
    ) -> Result<ClaimOutcome, StoreError> {
        // On PostgreSQL the payment in the way may be declined between the two statements, and
        // then it is in the way no more. Who claims it next may be declined too, but not for ever.
        for _ in 0..8 {
            let row = PaymentRow::of(payment);
            let rows = execute!(
                self,
                "payments",
                CLAIM,
                row.id,
                row.operation_id,
                row.owner_id,
                row.rail,
                row.proof_key,
                row.challenge_id,
                row.payer,
                row.price_micros,
                row.asset_atomic,
                row.asset_decimals,
                row.void_after,
                row.claimed_at,
                row.state,
                row.reference,
                row.log_index,
                row.settled_at,
                row.decline_code,
                row.refund_transfer_id,
                sealed_proof,
            )?;
            if rows == 1 {
                return Ok(ClaimOutcome::Claimed);
            }
            if let Some(other) = self.find_payment(&payment.proof_key).await? {
                return Ok(ClaimOutcome::AlreadyClaimed(other));
            }
            if let Some(challenge) = &payment.challenge_id
                && let Some(other) = self.find_payment_for(challenge).await?
            {
                return Ok(ClaimOutcome::AlreadyClaimed(other));
            }
            // Neither the proof nor the challenge is in the way.
            if self.payment_of(payment.operation).await?.is_some() {
                return Err(self.fail(rejected(Refusal::PaidBefore)));
            }
        }
        Err(self.fail(contended()))
    }

    async fn find_payment(&mut self, proof_key: &str) -> Result<Option<Payment>, StoreError> {
        let row: Option<PaymentRow> = fetch!(fetch_optional, self, "payments", FIND, proof_key)?;
        row.map(PaymentRow::parse).transpose()
    }

    async fn find_payment_for(
        &mut self,
        challenge_id: &str,
    ) -> Result<Option<Payment>, StoreError> {
        let row: Option<PaymentRow> = fetch!(
            fetch_optional,
            self,
            "payments",
            FIND_BY_CHALLENGE,
            challenge_id
        )?;
        row.map(PaymentRow::parse).transpose()
    }

    async fn count_claimed_by(&mut self, payer: &WalletAddress) -> Result<u32, StoreError> {
        let (count,): (i64,) = fetch!(
            fetch_one,
            self,
            "payments",
            COUNT_CLAIMED_BY,
            payer.to_string()
        )?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    async fn payment_of(&mut self, operation: OperationId) -> Result<Option<Payment>, StoreError> {
        let row: Option<PaymentRow> = fetch!(
            fetch_optional,
            self,
            "payments",
            FIND_BY_OPERATION,
            operation.to_string(),
        )?;
        row.map(PaymentRow::parse).transpose()
    }

    async fn load_sealed_proof(
        &mut self,
        operation: OperationId,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let row: Option<(Vec<u8>,)> = fetch!(
            fetch_optional,
            self,
            "payments",
            LOAD_SEALED_PROOF,
            operation.to_string(),
        )?;
        Ok(row.map(|(sealed,)| sealed))
    }

    async fn save_payment(&mut self, payment: &Payment) -> Result<(), StoreError> {
        let row = PaymentRow::of(payment);
        let rows = execute!(
            self,
            "payments",
            SAVE,
            row.id,
            row.state,
            row.reference,
            row.log_index,
            row.settled_at,
            row.decline_code,
            row.refund_transfer_id,
        )?;
        self.exactly_one("payments", rows)
    }
}

#[cfg(test)]
#[path = "payments/tests.rs"]
mod tests;

//! Which payment an arrival of money belongs to, and what the ledger says of those that have none.

use compute_domain::arrival::Arrival;
use compute_domain::id::{PaymentId, TransferId};
use compute_domain::ledger::{Account, Transfer, TransferReason};
use compute_domain::payment::Payment;
use compute_domain::time::Timestamp;

use crate::engine::Engine;
use crate::error::Error;
use crate::ports::{Posted, Tx};

/// How well an arrival fits a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fit {
    /// Same transaction, payer and amount. The place is unknown, or a reorganisation has moved it.
    Alike,
    /// It is the very transfer that shows the payment.
    Same,
}

/// How well an arrival fits a settled payment that names its transaction.
pub(crate) fn fit(arrival: &Arrival, payment: &Payment) -> Option<Fit> {
    let evidence = payment.evidence()?;
    if evidence.reference != arrival.reference {
        return None;
    }
    if evidence.log_index == Some(arrival.log_index) {
        return Some(Fit::Same);
    }
    is_alike(arrival, payment).then_some(Fit::Alike)
}

/// Whether an arrival comes from a payment's payer and is as much as it.
pub(crate) fn is_alike(arrival: &Arrival, payment: &Payment) -> bool {
    let payer = payment.payer.map(|payer| payer.to_string());
    arrival.asset == payment.asset && payer.is_some() && arrival.payer == payer
}

/// The payment that an arrival belongs to. `has_place` says whether a place of its transaction is
/// another arrival's that may still be sorted in: what fits there is left to it.
pub(crate) fn explanation<'a>(
    arrival: &Arrival,
    payments: &'a [Payment],
    has_place: impl Fn(u32) -> bool,
) -> Option<&'a Payment> {
    let mut alike = None;
    for payment in payments {
        match fit(arrival, payment) {
            Some(Fit::Same) => return Some(payment),
            Some(Fit::Alike) if alike.is_none() => {
                let place = payment.evidence().and_then(|shown| shown.log_index);
                if place.is_none_or(|place| !has_place(place)) {
                    alike = Some(payment);
                }
            }
            _ => {}
        }
    }
    alike
}

impl Engine {
    /// Books an arrival that no payment explains.
    pub(crate) async fn book_unmatched(
        &self,
        tx: &mut dyn Tx,
        arrival: &Arrival,
        now: Timestamp,
    ) -> Result<(), Error> {
        let transfer = Transfer {
            id: TransferId::generate(now, self.entropy.as_ref()),
            debit: Account::Clearing(arrival.rail.clone()),
            credit: Account::Suspense,
            amount: arrival.worth(),
            reason: TransferReason::Unmatched,
            cause: arrival.id.into(),
            created_at: now,
        };
        post_once(tx, &transfer).await
    }

    /// Notes whose money an arrival is. What was booked as nobody's is booked back, so that it is not
    /// counted twice. False, and nothing written, when somebody else was faster.
    pub(crate) async fn explain_arrival(
        &self,
        tx: &mut dyn Tx,
        arrival: Arrival,
        payment: PaymentId,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let before = arrival.state.clone();
        let matched = arrival.explain(payment)?;
        if !tx.save_arrival(&matched, before.name()).await? {
            return Ok(false);
        }
        tx.clear_reverted(payment).await?;
        if before.is_booked() {
            let transfer = Transfer {
                id: TransferId::generate(now, self.entropy.as_ref()),
                debit: Account::Suspense,
                credit: Account::Clearing(matched.rail.clone()),
                amount: matched.worth(),
                reason: TransferReason::UnmatchedReversal,
                cause: matched.id.into(),
                created_at: now,
            };
            post_once(tx, &transfer).await?;
            tracing::warn!(
                arrival.id = %matched.id, payment.id = %payment, state = before.name(),
                amount = %matched.worth(),
                "money that was booked as nobody's belongs to a payment: it is booked back"
            );
        }
        Ok(true)
    }

    /// A payment has just settled: if its money was seen before and is no payment's yet, it is now.
    /// Otherwise the next round of the watch finds it.
    pub(crate) async fn claim_arrival(
        &self,
        tx: &mut dyn Tx,
        payment: &Payment,
        now: Timestamp,
    ) -> Result<(), Error> {
        let Some(evidence) = payment.evidence() else {
            return Ok(());
        };
        // Two chains may name transactions alike.
        let rail = self.rail(&payment.rail);
        let Some(source) = rail.and_then(|rail| rail.arrival_source()) else {
            return Ok(());
        };
        let seen = tx.unexplained_in(&evidence.reference).await?;
        let best = seen
            .into_iter()
            .filter(|arrival| arrival.source == source)
            .filter_map(|arrival| Some((fit(&arrival, payment)?, arrival)))
            .max_by_key(|(fit, arrival)| (*fit, core::cmp::Reverse(arrival.log_index)));
        if let Some((_, arrival)) = best {
            self.explain_arrival(tx, arrival, payment.id, now).await?;
        }
        Ok(())
    }
}

async fn post_once(tx: &mut dyn Tx, transfer: &Transfer) -> Result<(), Error> {
    match tx.post_transfer(transfer).await? {
        Posted::New => Ok(()),
        Posted::Already | Posted::Insufficient => Err(Error::Internal(
            "an arrival was booked before, though its state says that it was not".into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use compute_domain::WalletAddress;
    use compute_domain::arrival::ArrivalState;
    use compute_domain::money::{AssetAmount, Usd};
    use compute_domain::payment::{Evidence, PaymentState, RailLabel};
    use compute_wallet::EvmAddress;

    use super::*;

    fn payer(byte: u8) -> WalletAddress {
        WalletAddress::Evm(EvmAddress::new([byte; 20]))
    }

    fn asset(atomic: u128) -> AssetAmount {
        AssetAmount {
            atomic,
            decimals: 6,
        }
    }

    fn arrival(log_index: u32, from: u8, atomic: u128) -> Arrival {
        Arrival {
            id: uuid(9),
            source: "s".into(),
            rail: RailLabel::parse("base").unwrap(),
            reference: "0xa".into(),
            log_index,
            payer: Some(payer(from).to_string()),
            asset: asset(atomic),
            transfers: 1,
            at: Timestamp::from_millis(5),
            state: ArrivalState::Waiting,
        }
    }

    fn uuid<T: core::str::FromStr>(number: u8) -> T
    where
        T::Err: core::fmt::Debug,
    {
        let text = format!("00000000-0000-0000-0000-0000000000{number:02}");
        text.parse().unwrap()
    }

    fn payment(number: u8, log_index: Option<u32>) -> Payment {
        Payment {
            id: uuid(number),
            operation: uuid(number),
            owner: uuid(1),
            rail: RailLabel::parse("base").unwrap(),
            proof_key: "x".into(),
            challenge_id: None,
            payer: Some(payer(1)),
            price: Usd::from_micros(50).unwrap(),
            asset: asset(50),
            void_after: Timestamp::from_millis(9),
            claimed_at: Timestamp::from_millis(1),
            state: PaymentState::Settled {
                evidence: Evidence {
                    reference: "0xa".into(),
                    log_index,
                },
                at: Timestamp::from_millis(2),
            },
        }
    }

    fn found(arrival: &Arrival, payments: &[Payment], places: &[u32]) -> Option<PaymentId> {
        let found = explanation(arrival, payments, |place| places.contains(&place));
        found.map(|payment| payment.id)
    }

    #[test]
    fn the_very_transfer_is_preferred_whoever_sent_it() {
        let payments = [payment(2, None), payment(3, Some(7))];
        assert_eq!(found(&arrival(7, 1, 50), &payments, &[7]), Some(uuid(3)));
        // The amount is the auditor's business then.
        assert_eq!(found(&arrival(7, 4, 1), &payments, &[7]), Some(uuid(3)));
        assert_eq!(found(&arrival(8, 1, 50), &payments, &[7, 8]), Some(uuid(2)));
    }

    #[test]
    fn another_place_in_the_transaction_needs_payer_and_amount() {
        let moved = [payment(3, Some(7))];
        assert_eq!(found(&arrival(9, 1, 50), &moved, &[9]), Some(uuid(3)));
        assert_eq!(found(&arrival(9, 2, 50), &moved, &[9]), None);
        assert_eq!(found(&arrival(9, 1, 51), &moved, &[9]), None);
        // Place 7 has its own.
        assert_eq!(found(&arrival(9, 1, 50), &moved, &[7, 9]), None);
    }

    #[test]
    fn another_transaction_explains_nothing() {
        let mut elsewhere = arrival(7, 1, 50);
        elsewhere.reference = "0xb".into();
        assert_eq!(found(&elsewhere, &[payment(3, Some(7))], &[7]), None);
        // Small ones together have no payer.
        let mut together = arrival(9, 1, 50);
        together.payer = None;
        assert_eq!(found(&together, &[payment(3, None)], &[]), None);
    }
}

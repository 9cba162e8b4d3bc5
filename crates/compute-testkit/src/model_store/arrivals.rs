//! Arrivals: money that chains show to have reached us, and how far they have been read.

use async_trait::async_trait;
use compute_domain::arrival::{Arrival, ArrivalState};
use compute_domain::id::{ArrivalId, PaymentId};
use compute_domain::payment::{Payment, PaymentState, RailLabel};
use compute_domain::time::Timestamp;
use compute_engine::ports::{ArrivalSource, Arrivals, RevertedPayment, StoreError};

use super::state::State;
use super::table::At;
use super::tx::{ModelTx, no_row, require};

impl State {
    /// Arrivals in the order in which they were final.
    fn arrivals_in_order(&self, at: At, counts: impl Fn(&Arrival) -> bool) -> Vec<Arrival> {
        let rows = self.arrivals.iter(at).map(|(_, row)| row);
        let mut rows: Vec<_> = rows.filter(|row| counts(row)).cloned().collect();
        rows.sort_by_key(|row| (row.at, row.id));
        rows
    }

    /// The settled payments that name a transaction and whose money was not seen.
    fn unarrived(&self, at: At, reference: &str) -> Vec<&Payment> {
        let rows = self.payments.iter(at).map(|(_, row)| &row.payment);
        let names = |payment: &&Payment| {
            payment
                .evidence()
                .is_some_and(|shown| shown.reference == reference)
                && !self.arrivals_by_payment.has(at, &payment.id)
        };
        let mut found: Vec<_> = rows.filter(names).collect();
        let place = |payment: &Payment| payment.evidence().and_then(|shown| shown.log_index);
        found.sort_by_key(|payment| (place(payment), payment.id));
        found
    }

    /// Writes an arrival over what stands there.
    fn write_arrival(&mut self, arrival: &Arrival) -> Result<(), StoreError> {
        let version = self.writing();
        match &arrival.state {
            ArrivalState::Matched { payment } => {
                require(
                    self.payments.has(None, payment)
                        && !self.arrivals_by_payment.has(None, payment),
                    "one arrival is the money of one payment",
                )?;
                self.arrivals_by_payment.put(version, *payment, arrival.id);
            }
            ArrivalState::Assigned { owner, .. } => {
                let is_there = self.owners.has(None, owner);
                require(is_there, "an arrival is assigned to an owner")?;
            }
            ArrivalState::Waiting | ArrivalState::Unmatched => {}
        }
        self.arrivals.put(version, arrival.id, arrival.clone());
        Ok(())
    }
}

#[async_trait]
impl Arrivals for ModelTx {
    async fn lock_arrival_source(
        &mut self,
        source: &str,
    ) -> Result<Option<ArrivalSource>, StoreError> {
        Ok(self.read(|state, at| state.arrival_sources.get(at, &source.to_owned()).cloned()))
    }

    async fn list_arrival_sources(&mut self) -> Result<Vec<ArrivalSource>, StoreError> {
        Ok(self.read(|state, at| {
            let rows = state.arrival_sources.iter(at);
            rows.map(|(_, row)| row.clone()).collect()
        }))
    }

    async fn save_arrival_source(&mut self, source: &ArrivalSource) -> Result<(), StoreError> {
        self.write(|state| {
            require(
                i64::try_from(source.small_transfers).is_ok(),
                "a number is one that can be stored",
            )?;
            let version = state.writing();
            let before = state.arrival_sources.get(None, &source.source);
            let started_at = before.map_or(source.started_at, |before| before.started_at);
            let row = ArrivalSource {
                started_at,
                ..source.clone()
            };
            state
                .arrival_sources
                .put(version, source.source.clone(), row);
            Ok(())
        })
    }

    async fn bind_arrival_rail(
        &mut self,
        rail: &RailLabel,
        source: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(|state| {
            let source = source.to_owned();
            require(
                state.arrival_sources.has(None, &source),
                "a rail is paid at a source",
            )?;
            let before = state.arrival_rails.get(None, rail);
            if before.is_none_or(|(known, _)| *known != source) {
                let version = state.writing();
                state
                    .arrival_rails
                    .put(version, rail.clone(), (source, now));
            }
            Ok(())
        })
    }

    async fn insert_arrival(&mut self, arrival: &Arrival) -> Result<bool, StoreError> {
        self.write(|state| {
            require(
                state.arrival_sources.has(None, &arrival.source),
                "an arrival is seen at a source",
            )?;
            require(
                arrival.transfers > 0 && i64::try_from(arrival.transfers).is_ok(),
                "an arrival stands for one transfer or more",
            )?;
            let place = (
                arrival.reference.clone(),
                arrival.log_index,
                arrival.source.clone(),
            );
            if state.arrivals_by_place.has(None, &place) {
                return Ok(false);
            }
            state.write_arrival(arrival)?;
            let version = state.writing();
            state.arrivals_by_place.put(version, place, arrival.id);
            Ok(true)
        })
    }

    async fn save_arrival(
        &mut self,
        arrival: &Arrival,
        before: &'static str,
    ) -> Result<bool, StoreError> {
        self.write(|state| {
            let Some(known) = state.arrivals.get(None, &arrival.id).cloned() else {
                return Ok(false);
            };
            if known.state.name() != before {
                return Ok(false);
            }
            if let ArrivalState::Matched { payment } = &known.state {
                let version = state.writing();
                state.arrivals_by_payment.remove(version, payment);
            }
            state.write_arrival(&Arrival {
                state: arrival.state.clone(),
                ..known
            })?;
            Ok(true)
        })
    }

    async fn find_arrival(&mut self, id: ArrivalId) -> Result<Option<Arrival>, StoreError> {
        Ok(self.read(|state, at| state.arrivals.get(at, &id).cloned()))
    }

    async fn unexplained_in(&mut self, reference: &str) -> Result<Vec<Arrival>, StoreError> {
        Ok(self.read(|state, at| {
            let first = (reference.to_owned(), 0, String::new());
            state
                .arrivals_by_place
                .range(at, first..)
                .take_while(|((transaction, ..), _)| transaction == reference)
                .filter_map(|(_, id)| state.arrivals.get(at, id))
                .filter(|row| !matches!(row.state, ArrivalState::Matched { .. }))
                .cloned()
                .collect()
        }))
    }

    async fn list_arrivals(
        &mut self,
        source: Option<&str>,
        state: &'static str,
        limit: u32,
    ) -> Result<Vec<Arrival>, StoreError> {
        let counts = |row: &Arrival| {
            row.state.name() == state && source.is_none_or(|source| row.source == source)
        };
        let mut found = self.read(|state, at| state.arrivals_in_order(at, counts));
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found)
    }

    async fn list_explicable(
        &mut self,
        source: &str,
        limit: u32,
    ) -> Result<Vec<Arrival>, StoreError> {
        let mut found = self.read(|state, at| {
            state.arrivals_in_order(at, |row| {
                row.source == source
                    && !matches!(row.state, ArrivalState::Matched { .. })
                    && !state.unarrived(at, &row.reference).is_empty()
            })
        });
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found)
    }

    async fn unarrived_in(&mut self, reference: &str) -> Result<Vec<Payment>, StoreError> {
        Ok(self.read(|state, at| {
            let found = state.unarrived(at, reference);
            found.into_iter().cloned().collect()
        }))
    }

    async fn undecided_payments(&mut self, rail: &RailLabel) -> Result<Vec<Payment>, StoreError> {
        Ok(self.read(|state, at| {
            let rows = state.payments.iter(at).map(|(_, row)| &row.payment);
            let is_open = |payment: &&Payment| {
                payment.state == PaymentState::Claimed
                    || state.reverted_payments.has(at, &payment.id)
            };
            let rows = rows.filter(|payment| payment.rail == *rail);
            rows.filter(is_open).cloned().collect()
        }))
    }

    async fn note_reverted(&mut self, proof_key: &str, now: Timestamp) -> Result<bool, StoreError> {
        self.write(|state| {
            let bound = state.payments_with_proof(None, proof_key).into_iter();
            let mut settled = bound.filter(|payment| payment.evidence().is_some());
            let Some(id) = settled.next().map(|payment| payment.id) else {
                return Ok(false);
            };
            if state.reverted_payments.has(None, &id) {
                return Ok(false);
            }
            let version = state.writing();
            state.reverted_payments.put(version, id, now);
            Ok(true)
        })
    }

    async fn clear_reverted(&mut self, payment: PaymentId) -> Result<bool, StoreError> {
        self.write(|state| {
            let version = state.writing();
            Ok(state.reverted_payments.remove(version, &payment))
        })
    }

    async fn list_reverted(&mut self, limit: u32) -> Result<Vec<RevertedPayment>, StoreError> {
        self.read(|state, at| {
            let rows = state.reverted_payments.iter(at).map(|(id, since)| {
                let row = state.payments.get(at, id);
                let row = row.ok_or_else(|| no_row("payments"))?;
                Ok(RevertedPayment {
                    payment: row.payment.clone(),
                    since: *since,
                })
            });
            let mut rows: Vec<_> = rows.collect::<Result<_, StoreError>>()?;
            rows.sort_by_key(|row| (row.since, row.payment.id));
            rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            Ok(rows)
        })
    }

    async fn reverted_since(
        &mut self,
        payment: PaymentId,
    ) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.read(|state, at| state.reverted_payments.get(at, &payment).copied()))
    }
}

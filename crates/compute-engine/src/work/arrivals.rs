//! The watch of what arrives: every final transfer to an address of ours belongs to a payment, or is
//! booked to suspense.
//!
//! The cursor, what was read with it and what was booked are one transaction, so each transfer counts
//! once, whatever dies in between. Nothing is credited to anybody here.

use std::collections::BTreeMap;

use compute_domain::arrival::{Arrival, ArrivalState, worth};
use compute_domain::id::ArrivalId;
use compute_domain::money::AssetAmount;
use compute_domain::payment::{Payment, RailLabel};
use compute_domain::time::{Span, Timestamp};

use crate::arrival::{explanation, is_alike};
use crate::engine::Engine;
use crate::error::Error;
use crate::ports::{AnyRail, ArrivalPage, ArrivalSource, SeenTransfer, Tx, TxMode};

/// The duty's name among the leases.
const DUTY: &str = "arrivals";

/// How many parts of one source one round reads: a day of two-second blocks is about twenty.
const PAGES_MAX: u32 = 64;

/// How many arrivals one round looks at again.
const LOOKS_MAX: u32 = 500;

/// Reading may lag this far behind the chain before it is an error (M10).
const LAG_MAX: Span = Span::from_hours(1);

/// What is worth less than a cent gets no row of its own: whoever wants to fill the ledger pays us a
/// cent for each row. No price is that low.
const SMALL: i64 = 10_000;

/// Addresses that one or more rails are paid at.
struct Inbox {
    source: String,
    /// The rail that reads, and under which is booked.
    rail: AnyRail,
    labels: Vec<RailLabel>,
    /// Rails that are paid elsewhere.
    others: Vec<RailLabel>,
}

impl Inbox {
    fn asset(&self, atomic: u128) -> AssetAmount {
        AssetAmount {
            atomic,
            decimals: self.rail.decimals(),
        }
    }

    /// Whether a payment that names the transaction of an arrival may be paid here. A rail that has
    /// another label now, or is configured no more, may have been.
    fn is_paid_by(&self, payment: &Payment) -> bool {
        !self.others.contains(&payment.rail)
    }
}

/// What is known while a page is sorted.
struct Sorted {
    at: ArrivalSource,
    undecided: Vec<Payment>,
    /// For the log, once all is committed.
    unmatched: Vec<Arrival>,
    now: Timestamp,
}

impl Engine {
    /// One round: reads what has become final since the last one, unless another replica is at it,
    /// and looks again at what was undecided.
    ///
    /// # Errors
    /// When the database cannot be used. A chain that cannot be read is logged, and does not hold up
    /// the others.
    pub async fn watch_arrivals(&self) -> Result<(), Error> {
        let mut outcome = Ok(());
        for inbox in self.inboxes() {
            if !self.holds_arrivals().await? {
                return outcome;
            }
            let read = self.read_inbox(&inbox).await;
            outcome = outcome.and(read).and(self.reconsider(&inbox).await);
        }
        outcome
    }

    /// Rails that are paid at the same addresses see the same transfers, so one of them reads.
    fn inboxes(&self) -> Vec<Inbox> {
        let mut inboxes: BTreeMap<String, Inbox> = BTreeMap::new();
        for rail in &self.rails {
            let Some(source) = rail.arrival_source() else {
                continue;
            };
            let inbox = inboxes.entry(source.clone()).or_insert_with(|| Inbox {
                source,
                rail: rail.clone(),
                labels: Vec::new(),
                others: Vec::new(),
            });
            inbox.labels.push(rail.label().clone());
        }
        let mut inboxes: Vec<Inbox> = inboxes.into_values().collect();
        for inbox in &mut inboxes {
            let labels = self.rails.iter().map(AnyRail::label);
            let others = labels.filter(|label| !inbox.labels.contains(label));
            inbox.others = others.cloned().collect();
        }
        inboxes
    }

    async fn holds_arrivals(&self) -> Result<bool, Error> {
        let now = self.now();
        let mut tx = self.store.begin(TxMode::Write).await?;
        let until = now.plus(self.timing().lease);
        let is_ours = tx
            .acquire_lease(DUTY, &self.config.holder, now, until)
            .await?;
        tx.commit().await?;
        Ok(is_ours)
    }

    async fn read_inbox(&self, inbox: &Inbox) -> Result<(), Error> {
        let mut read = None;
        for _ in 0..PAGES_MAX {
            let mut tx = self.store.begin(TxMode::Read).await?;
            let sources = tx.list_arrival_sources().await?;
            tx.rollback().await?;
            let known = sources.into_iter().find(|it| it.source == inbox.source);
            let cursor = known.as_ref().map(|known| known.cursor.as_str());
            let page = match inbox.rail.arrivals(cursor).await {
                Ok(page) => page,
                Err(error) => {
                    self.report_unread(inbox, known.as_ref(), &error.reason);
                    return Ok(());
                }
            };
            let Some(sorted) = self.write_page(inbox, cursor, &page).await? else {
                return Ok(());
            };
            for arrival in &sorted.unmatched {
                report_unmatched(arrival);
            }
            if !page.has_more || self.is_stopping() || !self.holds_arrivals().await? {
                return Ok(());
            }
            read = Some(sorted.at);
        }
        self.report_unread(
            inbox,
            read.as_ref(),
            "more has arrived than one round reads",
        );
        Ok(())
    }

    fn report_unread(&self, inbox: &Inbox, known: Option<&ArrivalSource>, reason: &str) {
        let lag = known.map(|known| self.now().since(known.read_up_to));
        if lag.is_some_and(|lag| lag > LAG_MAX) {
            tracing::error!(
                source = inbox.source,
                reason,
                lag_s = lag.map(|lag| lag.millis() / 1_000),
                "what arrives has not been read for long: the books cannot be compared with the chain"
            );
        } else {
            tracing::warn!(
                source = inbox.source,
                reason,
                "what arrives could not be read"
            );
        }
    }

    /// Writes down what a page holds and where the next one begins; `None` when somebody else has
    /// read on meanwhile.
    async fn write_page(
        &self,
        inbox: &Inbox,
        cursor: Option<&str>,
        page: &ArrivalPage,
    ) -> Result<Option<Sorted>, Error> {
        let now = self.now();
        let mut tx = self.store.begin(TxMode::Write).await?;
        let stored = tx.lock_arrival_source(&inbox.source).await?;
        if stored.as_ref().map(|stored| stored.cursor.as_str()) != cursor {
            tx.rollback().await?;
            return Ok(None);
        }
        let at = match stored {
            Some(stored) => stored,
            None => {
                let new = ArrivalSource {
                    source: inbox.source.clone(),
                    cursor: page.cursor.clone(),
                    started_at: now,
                    read_up_to: page.read_up_to,
                    small_atomic: 0,
                    small_transfers: 0,
                };
                // What follows refers to it.
                tx.save_arrival_source(&new).await?;
                new
            }
        };
        for label in &inbox.labels {
            tx.bind_arrival_rail(label, &inbox.source, now).await?;
        }
        let mut sorted = Sorted {
            at,
            undecided: self.undecided(tx.as_mut(), inbox).await?,
            unmatched: Vec::new(),
            now,
        };
        self.sort_in(tx.as_mut(), inbox, page, &mut sorted).await?;
        sorted.at.cursor.clone_from(&page.cursor);
        sorted.at.read_up_to = page.read_up_to.max(sorted.at.read_up_to);
        self.book_small(tx.as_mut(), inbox, &mut sorted).await?;
        tx.save_arrival_source(&sorted.at).await?;
        tx.commit().await?;
        Ok(Some(sorted))
    }

    /// Each transfer of a page is a payment's, may be one's, is nobody's, or is too small to tell.
    async fn sort_in(
        &self,
        tx: &mut dyn Tx,
        inbox: &Inbox,
        page: &ArrivalPage,
        sorted: &mut Sorted,
    ) -> Result<(), Error> {
        // Transfers of one transaction follow each other, and mostly no payment names it.
        let mut named: Option<(&str, Vec<Payment>)> = None;
        for seen in &page.transfers {
            let mut payments = match named.take() {
                Some((reference, payments)) if reference == seen.reference => payments,
                _ => tx.unarrived_in(&seen.reference).await?,
            };
            payments.retain(|payment| inbox.is_paid_by(payment));
            let mut arrival = self.arrival_of(inbox, seen, sorted.now);
            let has_place = |place| {
                let mut others = page.transfers.iter();
                others.any(|it| it.reference == seen.reference && it.log_index == place)
            };
            let payment = explanation(&arrival, &payments, has_place).map(|payment| payment.id);
            if let Some(payment) = payment {
                arrival.state = ArrivalState::Matched { payment };
                payments.retain(|it| it.id != payment);
                tx.clear_reverted(payment).await?;
            } else if arrival.worth().micros() < SMALL {
                let at = &mut sorted.at;
                at.small_atomic = at.small_atomic.saturating_add(seen.atomic);
                at.small_transfers = at.small_transfers.saturating_add(1);
                named = Some((&seen.reference, payments));
                continue;
            } else if !sorted.undecided.iter().any(|it| is_alike(&arrival, it)) {
                arrival.state = ArrivalState::Unmatched;
            }
            self.write_arrival(tx, &arrival, sorted).await?;
            named = Some((&seen.reference, payments));
        }
        Ok(())
    }

    /// All that was too small for a row of its own gets one together, once it is worth one.
    async fn book_small(
        &self,
        tx: &mut dyn Tx,
        inbox: &Inbox,
        sorted: &mut Sorted,
    ) -> Result<(), Error> {
        let asset = inbox.asset(sorted.at.small_atomic);
        if worth(asset).micros() < SMALL {
            return Ok(());
        }
        let together = Arrival {
            id: ArrivalId::generate(sorted.now, self.entropy.as_ref()),
            source: inbox.source.clone(),
            rail: inbox.rail.label().clone(),
            // The place up to which they were collected, which comes once.
            reference: format!("small:{}", sorted.at.cursor),
            log_index: 0,
            payer: None,
            asset,
            transfers: sorted.at.small_transfers,
            at: sorted.at.read_up_to,
            state: ArrivalState::Unmatched,
        };
        (sorted.at.small_atomic, sorted.at.small_transfers) = (0, 0);
        self.write_arrival(tx, &together, sorted).await
    }

    async fn undecided(&self, tx: &mut dyn Tx, inbox: &Inbox) -> Result<Vec<Payment>, Error> {
        let mut undecided = Vec::new();
        for label in &inbox.labels {
            undecided.extend(tx.undecided_payments(label).await?);
        }
        Ok(undecided)
    }

    fn arrival_of(&self, inbox: &Inbox, seen: &SeenTransfer, now: Timestamp) -> Arrival {
        Arrival {
            id: ArrivalId::generate(now, self.entropy.as_ref()),
            source: inbox.source.clone(),
            rail: inbox.rail.label().clone(),
            reference: seen.reference.clone(),
            log_index: seen.log_index,
            payer: seen.payer.map(|payer| payer.to_string()),
            asset: inbox.asset(seen.atomic),
            transfers: 1,
            at: seen.at,
            state: ArrivalState::Waiting,
        }
    }

    async fn write_arrival(
        &self,
        tx: &mut dyn Tx,
        arrival: &Arrival,
        sorted: &mut Sorted,
    ) -> Result<(), Error> {
        let is_new = tx.insert_arrival(arrival).await?;
        if is_new && arrival.state == ArrivalState::Unmatched {
            self.book_unmatched(tx, arrival, sorted.now).await?;
            sorted.unmatched.push(arrival.clone());
        }
        Ok(())
    }

    /// What waited for an undecided payment is that payment's now, or nobody's; and what was nobody's
    /// may be a payment's after all.
    async fn reconsider(&self, inbox: &Inbox) -> Result<(), Error> {
        let now = self.now();
        let mut tx = self.store.begin(TxMode::Write).await?;
        for arrival in tx.list_explicable(&inbox.source, LOOKS_MAX).await? {
            let mut payments = tx.unarrived_in(&arrival.reference).await?;
            payments.retain(|payment| inbox.is_paid_by(payment));
            let others = tx.unexplained_in(&arrival.reference).await?;
            let has_place = |place| others.iter().any(|other| other.log_index == place);
            if let Some(payment) = explanation(&arrival, &payments, has_place) {
                let payment = payment.id;
                self.explain_arrival(tx.as_mut(), arrival, payment, now)
                    .await?;
            }
        }
        let undecided = self.undecided(tx.as_mut(), inbox).await?;
        let waiting = tx
            .list_arrivals(Some(&inbox.source), ArrivalState::Waiting.name(), LOOKS_MAX)
            .await?;
        let mut unmatched = Vec::new();
        for arrival in waiting {
            if undecided.iter().any(|it| is_alike(&arrival, it)) {
                continue;
            }
            let before = arrival.state.name();
            let given_up = arrival.give_up()?;
            if tx.save_arrival(&given_up, before).await? {
                self.book_unmatched(tx.as_mut(), &given_up, now).await?;
                unmatched.push(given_up);
            }
        }
        tx.commit().await?;
        for arrival in &unmatched {
            report_unmatched(arrival);
        }
        Ok(())
    }
}

fn report_unmatched(arrival: &Arrival) {
    tracing::warn!(
        arrival.id = %arrival.id, payment.rail = %arrival.rail, source = arrival.source,
        reference = arrival.reference, log_index = arrival.log_index,
        payer = arrival.payer.as_deref(), transfers = arrival.transfers,
        amount = %arrival.worth(),
        "money arrived that no payment explains: it is in suspense; see `ops arrivals`"
    );
}

//! What happens to card payments after they settled: disputes are watched, and refunds sent.
//!
//! Nothing here depends on who does it, or how often: what is read is compared with what is stored under
//! the lock of the owner's account, and a refund has one name at its network.

use compute_domain::arrival::worth;
use compute_domain::payment::Payment;
use compute_domain::reserve::{Dispute, DisputeState, Reserve, ReserveKind, ReserveState};
use compute_domain::time::Span;

use crate::engine::Engine;
use crate::error::Error;
use crate::ports::{AnyRail, CardDesk, Notice, RefundLook, RefundOrder, SeenDispute, Tx, TxMode};
use crate::refund::atomic_of;

/// The duty's name among the leases.
const DUTY: &str = "cards";

/// How many refunds one round looks at.
const REFUNDS_MAX: u32 = 100;

/// How many open disputes one round looks at.
const DISPUTES_MAX: u32 = 1_000;

/// Disputes are read again for so long: a payment whose settlement is still unknown here can be disputed
/// already, and clocks differ.
const OVERLAP: Span = Span::from_hours(48);

/// A refund that is not done after so long is an error.
const REFUND_OVERDUE: Span = Span::from_hours(24);

/// The code of what is released because a dispute was won.
const WON: &str = "dispute_won";

impl Engine {
    /// One round, unless another replica is at it.
    ///
    /// # Errors
    /// When the database cannot be used. A network that cannot be asked is logged.
    pub async fn watch_cards(&self) -> Result<(), Error> {
        if !self.rails.iter().any(|rail| rail.card_desk().is_some()) {
            return Ok(());
        }
        let now = self.now();
        let mut tx = self.store.begin(TxMode::Write).await?;
        let until = now.plus(self.timing().lease);
        let is_ours = tx
            .acquire_lease(DUTY, &self.config.holder, now, until)
            .await?;
        tx.commit().await?;
        if is_ours {
            self.look_at_cards().await?;
        }
        Ok(())
    }

    /// A message that says to come from a payment network. One that its network signed makes us ask the
    /// network at once; nothing else in it is believed. `None` where no messages are taken.
    ///
    /// # Errors
    /// When the database cannot be used; `RailUnavailable` when the network could not be asked, so that
    /// it sends the message again.
    pub async fn hear_notice(&self, body: &[u8], signature: &str) -> Result<Option<Notice>, Error> {
        let desks = self.rails.iter().filter_map(AnyRail::card_desk);
        let heard = desks.filter_map(|desk| desk.hear(body, signature));
        let heard = heard.reduce(|one, other| match (one, other) {
            (Notice::Forged, other) => other,
            (one, _) => one,
        });
        if heard == Some(Notice::News) && !self.look_at_cards().await? {
            return Err(Error::RailUnavailable);
        }
        Ok(heard)
    }

    /// Whether all networks told of all disputes. Of refunds nothing is asked: the next round goes on
    /// with them, and a bank may take days.
    async fn look_at_cards(&self) -> Result<bool, Error> {
        let mut is_complete = true;
        for rail in &self.rails {
            let Some(desk) = rail.card_desk() else {
                continue;
            };
            let account = match desk.own_account().await {
                Ok(account) => account,
                Err(error) => {
                    tracing::warn!(
                        payment.rail = %rail.label(), error = %error,
                        "it is not known whose disputes would be read"
                    );
                    is_complete = false;
                    continue;
                }
            };
            is_complete &= self.read_disputes(rail, desk, &account).await?;
            self.send_refunds(rail, desk, &account).await?;
        }
        Ok(is_complete)
    }

    /// Reads what was opened since the last time, and looks again at what is open.
    async fn read_disputes(
        &self,
        rail: &AnyRail,
        desk: &dyn CardDesk,
        account: &str,
    ) -> Result<bool, Error> {
        let (label, now) = (rail.label(), self.now());
        let mut tx = self.store.begin(TxMode::Read).await?;
        let since = match tx.disputes_read(label, account).await? {
            Some(read) => read,
            None => tx.first_claim(label).await?.unwrap_or(now),
        };
        let open = tx.list_disputes(true, DISPUTES_MAX).await?;
        tx.rollback().await?;
        let seen = match desk.disputes_since(since.minus(OVERLAP)).await {
            Ok(seen) => seen,
            Err(error) => {
                tracing::warn!(payment.rail = %label, error = %error, "disputes could not be read");
                return Ok(false);
            }
        };
        for dispute in &seen {
            self.note_dispute(rail, dispute).await?;
        }
        let mut is_complete = true;
        let own = open.iter().filter(|dispute| dispute.rail == *label);
        for dispute in own {
            if seen.iter().any(|it| it.reference == dispute.reference) {
                continue;
            }
            match desk.dispute(&dispute.reference).await {
                Ok(told) => self.note_dispute(rail, &told).await?,
                Err(error) => {
                    is_complete = false;
                    tracing::warn!(
                        payment.rail = %label, dispute = dispute.reference, error = %error,
                        "a dispute could not be looked at"
                    );
                }
            }
        }
        // What was opened while it was read is read again; and so is what may be about a payment of which
        // it is not known here that it is one.
        let mut tx = self.store.begin(TxMode::Write).await?;
        let undecided = tx.first_undecided(label).await?;
        let up_to = undecided.map_or(now, |claimed| claimed.min(now));
        tx.note_disputes_read(label, account, up_to).await?;
        tx.commit().await?;
        Ok(is_complete)
    }

    /// Writes down where a dispute is, and does what follows from it for the buyer's credit.
    async fn note_dispute(&self, rail: &AnyRail, seen: &SeenDispute) -> Result<(), Error> {
        let label = rail.label();
        let mut tx = self.store.begin(TxMode::Read).await?;
        let payment = tx.settled_payment(label, &seen.payment).await?;
        let known = tx.find_dispute(label, &seen.reference).await?;
        tx.rollback().await?;
        let Some(payment) = payment else {
            tracing::debug!(
                dispute = seen.reference,
                "a dispute is about no payment of ours"
            );
            return Ok(());
        };
        if known.is_some_and(|known| !is_news(&known, seen)) {
            return Ok(());
        }
        let now = self.now();
        let mut tx = self.store.begin(TxMode::Write).await?;
        // Operations are locked before accounts, everywhere.
        let event = match seen.state {
            DisputeState::Open => "dispute.open",
            DisputeState::Won => "dispute.won",
            DisputeState::Lost => "dispute.lost",
        };
        tx.append_event(
            payment.operation,
            now,
            &self.config.holder,
            event,
            &seen.reference,
        )
        .await?;
        tx.open_credits(payment.owner).await?;
        // Somebody else may have written it since.
        let known = tx.find_dispute(label, &seen.reference).await?;
        if known.as_ref().is_some_and(|known| !is_news(known, seen)) {
            return Ok(tx.rollback().await?);
        }
        let before = known.as_ref().map(|known| known.state);
        let dispute = Dispute {
            rail: label.clone(),
            reference: seen.reference.clone(),
            payment: payment.id,
            owner: payment.owner,
            amount: worth(seen.asset),
            status: seen.status.clone(),
            state: seen.state,
            opened_at: seen.opened_at,
            seen_at: known.map_or(now, |known| known.seen_at),
        };
        tx.save_dispute(&dispute).await?;
        self.follow_dispute(tx.as_mut(), &dispute, &payment, before)
            .await?;
        tx.commit().await?;
        report(&dispute, &payment, before);
        Ok(())
    }

    /// What a new state of a dispute means for what is set aside.
    async fn follow_dispute(
        &self,
        tx: &mut dyn Tx,
        dispute: &Dispute,
        payment: &Payment,
        before: Option<DisputeState>,
    ) -> Result<(), Error> {
        let was_harmless = matches!(before, None | Some(DisputeState::Won));
        if was_harmless && dispute.state != DisputeState::Won {
            self.freeze(tx, dispute, payment, dispute.amount).await?;
        }
        if dispute.state == DisputeState::Open {
            return Ok(());
        }
        for reserve in tx.reserves_of(dispute).await? {
            if reserve.state != ReserveState::Held {
                continue;
            }
            let closed = match dispute.state {
                DisputeState::Lost => reserve.pay(dispute.reference.clone())?,
                DisputeState::Won | DisputeState::Open => reserve.release(WON.to_owned())?,
            };
            if self.close_reserve(tx, &closed).await?
                && matches!(closed.state, ReserveState::Released { .. })
            {
                // Another dispute of the same payment may have found nothing left while this one held it.
                self.freeze_given(tx, payment.operation, closed.owner, closed.amount)
                    .await?;
            }
        }
        Ok(())
    }

    /// Sends what operators want given back, and finds out what became of it.
    async fn send_refunds(
        &self,
        rail: &AnyRail,
        desk: &dyn CardDesk,
        account: &str,
    ) -> Result<(), Error> {
        let mut tx = self.store.begin(TxMode::Read).await?;
        let held = tx
            .held_reserves(rail.label(), ReserveKind::Refund, REFUNDS_MAX)
            .await?;
        tx.rollback().await?;
        for reserve in held {
            if self.is_stopping() {
                return Ok(());
            }
            let look = self.send_refund(desk, account, &reserve).await?;
            self.conclude_refund(reserve, look).await?;
        }
        Ok(())
    }

    async fn send_refund(
        &self,
        desk: &dyn CardDesk,
        account: &str,
        reserve: &Reserve,
    ) -> Result<RefundLook, Error> {
        let under_way = |reason: &str| RefundLook::UnderWay {
            reason: reason.to_owned(),
        };
        if reserve.account.as_deref().is_some_and(|it| it != account) {
            // It may have been made there.
            return Ok(under_way("it was begun in another account than our key's"));
        }
        let mut tx = self.store.begin(TxMode::Read).await?;
        let payment = tx.payment_with_id(reserve.payment).await?;
        tx.rollback().await?;
        let order = payment.as_ref().and_then(|payment| {
            Some(RefundOrder {
                id: reserve.id,
                payment: &payment.evidence()?.reference,
                atomic: atomic_of(payment, reserve.amount)?,
            })
        });
        let Some(order) = order else {
            return Err(Error::Internal("a refund of no payment".into()));
        };
        match desk.look_for_refund(&order).await {
            Ok(RefundLook::Unmade) => {}
            Ok(RefundLook::Stranger) => {
                return Ok(under_way("our key's account does not know the payment"));
            }
            Ok(look) => return Ok(look),
            Err(error) => return Ok(under_way(&error.reason)),
        }
        if reserve.account.is_none() {
            // Before the network is asked for it: no other account may ever be.
            let begun = Reserve {
                account: Some(account.to_owned()),
                ..reserve.clone()
            };
            let mut tx = self.store.begin(TxMode::Write).await?;
            let is_held = tx.save_reserve(&begun).await?;
            tx.commit().await?;
            if !is_held {
                return Ok(under_way("somebody else has concluded it"));
            }
        }
        Ok(desk.send_refund(&order).await)
    }

    /// Writes down what became of a refund, once that is known.
    async fn conclude_refund(&self, reserve: Reserve, look: RefundLook) -> Result<(), Error> {
        let (id, now) = (reserve.id, self.now());
        let (event, detail, closed) = match look {
            RefundLook::Done { reference } => (
                "card_refund.paid",
                reference.clone(),
                reserve.pay(reference)?,
            ),
            RefundLook::Refused { code } => {
                ("card_refund.failed", code.clone(), reserve.release(code)?)
            }
            RefundLook::UnderWay { reason } => {
                report_under_way(&reserve, &reason, now.since(reserve.created_at));
                return Ok(());
            }
            RefundLook::Unmade | RefundLook::Stranger => {
                report_under_way(&reserve, "not made", now.since(reserve.created_at));
                return Ok(());
            }
        };
        let mut tx = self.store.begin(TxMode::Write).await?;
        let payment = tx.payment_with_id(closed.payment).await?;
        let payment = payment.ok_or_else(|| Error::Internal("a refund of no payment".into()))?;
        tx.append_event(payment.operation, now, &self.config.holder, event, &detail)
            .await?;
        tx.open_credits(closed.owner).await?;
        if !self.close_reserve(tx.as_mut(), &closed).await? {
            // Another replica was faster.
            return Ok(tx.rollback().await?);
        }
        if matches!(closed.state, ReserveState::Released { .. }) {
            // A dispute that was opened meanwhile found nothing left to freeze.
            let owner = closed.owner;
            self.freeze_given(tx.as_mut(), payment.operation, owner, closed.amount)
                .await?;
        }
        tx.commit().await?;
        match &closed.state {
            ReserveState::Released { code } => tracing::error!(
                reserve.id = %id, operation.id = %payment.operation, code, amount = %closed.amount,
                "a refund to a card was refused; it is its owner's credit again"
            ),
            _ => tracing::info!(
                reserve.id = %id, operation.id = %payment.operation, amount = %closed.amount,
                "a payment was given back to its card"
            ),
        }
        Ok(())
    }
}

fn is_news(known: &Dispute, seen: &SeenDispute) -> bool {
    known.state != seen.state || known.status != seen.status || known.amount != worth(seen.asset)
}

fn report(dispute: &Dispute, payment: &Payment, before: Option<DisputeState>) {
    let (operation, reference) = (payment.operation, dispute.reference.as_str());
    let (rail, amount, status) = (&dispute.rail, dispute.amount, dispute.status.as_str());
    match (before, dispute.state) {
        (Some(DisputeState::Open), DisputeState::Open) => tracing::warn!(
            dispute = reference, payment.rail = %rail, operation.id = %operation, status,
            "a dispute has moved on"
        ),
        (Some(DisputeState::Lost), _) => tracing::error!(
            dispute = reference, payment.rail = %rail, operation.id = %operation, status,
            "a dispute that was lost is told to be something else: what went back stays gone here; an \
             operator must decide"
        ),
        (_, DisputeState::Open) => tracing::error!(
            dispute = reference, payment.rail = %rail, operation.id = %operation, amount = %amount,
            status, "a payment is disputed: what is left of it as credit is frozen; see `ops list`"
        ),
        (_, DisputeState::Lost) => tracing::error!(
            dispute = reference, payment.rail = %rail, operation.id = %operation, amount = %amount,
            "a dispute is lost: the money went back to the buyer"
        ),
        (_, DisputeState::Won) => tracing::info!(
            dispute = reference, payment.rail = %rail, operation.id = %operation, amount = %amount,
            "a dispute is won: what was frozen is its owner's credit again"
        ),
    }
}

fn report_under_way(reserve: &Reserve, reason: &str, age: Span) {
    let id = reserve.id;
    if age > REFUND_OVERDUE {
        tracing::error!(reserve.id = %id, reason, "a refund to a card is not done after a day");
    } else {
        tracing::warn!(reserve.id = %id, reason, "a refund to a card is not done yet");
    }
}

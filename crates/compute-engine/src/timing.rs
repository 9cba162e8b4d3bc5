//! Every wait, window, lease and back-off, in one place.

use compute_domain::time::Span;

/// How long things take and how often they are tried. The defaults are the production values;
/// tests and the process killer run scaled down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// How long a replica may hold an operation without a word. Longer than two outside calls.
    pub lease: Span,
    /// A wait shorter than this is slept through while holding the lease.
    pub linger: Span,
    /// First wait before something is tried again.
    pub retry_min: Span,
    /// Longest wait before something is tried again.
    pub retry_max: Span,
    /// Longest wait between looks at an unclear settlement.
    pub settlement_look_max: Span,
    /// How long a payment network that cannot be reached is tried before the order is given up.
    pub settle_window: Span,
    /// How long after a proof's last valid moment an unclear settlement is given to a human.
    pub settlement_stuck_after: Span,
    /// How long a provider that cannot make a machine now is tried.
    pub create_window: Span,
    /// How long, at least, a machine is looked for after an unclear create.
    pub find_window: Span,
    /// How many looks, at least, before an unclear create is repeated.
    pub find_looks: u32,
    /// How many machines may be asked for on behalf of one order.
    pub machine_attempts: u32,
    /// Wait between looks at a starting machine.
    pub ready_look: Span,
    /// How long a machine may take to start.
    pub ready_window: Span,
    /// A machine must be gone for this long, in two looks, to count as gone.
    pub gone_gap: Span,
    /// Longest wait before a refused deletion is tried again.
    pub destroy_retry_max: Span,
    /// A step that takes longer than this is reported as an error at every further try.
    pub alarm_after: Span,
    /// Looks in vain, after a proof can no longer settle, before a human must decide.
    pub overdue_looks: u32,
    /// How long an expired machine is kept.
    pub expiry_grace: Span,
    /// How long after a proof's last valid moment an unsettled extension still holds its instance.
    pub hold_grace: Span,
    /// How long the client's name for a purchase is remembered.
    pub request_key_life: Span,
    /// Wait between looks at a running machine.
    pub watch_every: Span,
    /// How long, at least, a machine must be missing to count as lost.
    pub lost_window: Span,
    /// How many looks in a row, at least, must miss it.
    pub lost_looks: u32,
    /// How long machines must be missing to count as lost although many of a fleet are.
    pub lost_fleet_window: Span,
    /// A machine younger than this is never taken for an orphan.
    pub orphan_age: Span,
    /// How long, at least, an unexplained machine is watched before it is deleted.
    pub orphan_quarantine: Span,
    /// Over how long destructions that nobody asked for are counted.
    pub guard_window: Span,
    /// How long an unclear settlement blocks an equal request of the same payer.
    pub hanging_window: Span,
    /// An unread one-time password is erased after this.
    pub password_life: Span,
    /// How long the text of an unused management key can be shown again.
    pub management_key_life: Span,
    /// A payment must be valid for at least this much longer when it is claimed.
    pub payment_validity_min: Span,
    /// How old a provider's catalogue may be before it is fetched again.
    pub catalog_refresh: Span,
    /// How long a provider's word about what it has left in a region counts when a price is named; a
    /// tenth of that when a payment is taken.
    pub stock_life: Span,
    /// How long a request waits for that word. Without it, the catalogue's counts.
    pub stock_wait: Span,
    /// How long a plan is not offered in a region after the provider refused it for want of room.
    pub sold_out_for: Span,
    /// How long an owner can read what happened.
    pub event_life: Span,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lease: Span::from_secs(60),
            linger: Span::from_secs(5),
            retry_min: Span::from_secs(1),
            retry_max: Span::from_secs(60),
            settlement_look_max: Span::from_secs(300),
            settle_window: Span::from_secs(25),
            settlement_stuck_after: Span::from_secs(3_600),
            create_window: Span::from_secs(600),
            find_window: Span::from_secs(600),
            find_looks: 20,
            machine_attempts: 3,
            ready_look: Span::from_secs(3),
            ready_window: Span::from_secs(1_200),
            gone_gap: Span::from_secs(30),
            destroy_retry_max: Span::from_secs(600),
            alarm_after: Span::from_secs(3_600),
            overdue_looks: 12,
            expiry_grace: Span::from_secs(3_600),
            hold_grace: Span::from_secs(900),
            request_key_life: Span::from_hours(72),
            watch_every: Span::from_secs(300),
            lost_window: Span::from_secs(600),
            lost_looks: 3,
            lost_fleet_window: Span::from_hours(6),
            orphan_age: Span::from_secs(900),
            orphan_quarantine: Span::from_secs(600),
            guard_window: Span::from_secs(3_600),
            hanging_window: Span::from_secs(600),
            password_life: Span::from_hours(7 * 24),
            management_key_life: Span::from_hours(24),
            payment_validity_min: Span::from_secs(30),
            catalog_refresh: Span::from_secs(600),
            stock_life: Span::from_secs(45),
            stock_wait: Span::from_millis(1_500),
            sold_out_for: Span::from_secs(600),
            event_life: Span::from_hours(90 * 24),
        }
    }
}

impl Timing {
    /// Everything `divisor` times shorter, except what a payment's own clock or an
    /// answer from outside decides.
    #[must_use]
    pub fn scaled(&self, divisor: u32) -> Self {
        let by = |span: Span| Span::from_millis(span.millis() / i64::from(divisor.max(1)));
        Self {
            lease: by(self.lease),
            linger: by(self.linger),
            retry_min: by(self.retry_min),
            retry_max: by(self.retry_max),
            settlement_look_max: by(self.settlement_look_max),
            settle_window: by(self.settle_window),
            settlement_stuck_after: by(self.settlement_stuck_after),
            create_window: by(self.create_window),
            find_window: by(self.find_window),
            ready_look: by(self.ready_look),
            ready_window: by(self.ready_window),
            gone_gap: by(self.gone_gap),
            destroy_retry_max: by(self.destroy_retry_max),
            alarm_after: by(self.alarm_after),
            expiry_grace: by(self.expiry_grace),
            hold_grace: by(self.hold_grace),
            watch_every: by(self.watch_every),
            lost_window: by(self.lost_window),
            lost_fleet_window: by(self.lost_fleet_window),
            orphan_age: by(self.orphan_age),
            orphan_quarantine: by(self.orphan_quarantine),
            guard_window: by(self.guard_window),
            hanging_window: by(self.hanging_window),
            stock_life: by(self.stock_life),
            sold_out_for: by(self.sold_out_for),
            ..self.clone()
        }
    }

    /// The wait before try number `attempt` (from 1): doubling from the shortest, at most `cap`.
    pub(crate) fn backoff(&self, attempt: u32, cap: Span) -> Span {
        let doublings = attempt.saturating_sub(1).min(20);
        (0..doublings).fold(self.retry_min.min(cap), |wait, _| wait.doubled(cap))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap() {
        let timing = Timing::default();
        let waits: Vec<i64> = (0..9)
            .map(|attempt| timing.backoff(attempt, timing.retry_max).millis())
            .collect();
        assert_eq!(
            waits,
            [1, 1, 2, 4, 8, 16, 32, 60, 60].map(|secs| secs * 1_000)
        );
    }

    #[test]
    fn scaling_keeps_counts_and_payment_validity() {
        let scaled = Timing::default().scaled(100);
        assert_eq!(scaled.lease.millis(), 600);
        assert_eq!(scaled.find_looks, 20);
        assert_eq!(
            scaled.payment_validity_min,
            Timing::default().payment_validity_min
        );
    }
}

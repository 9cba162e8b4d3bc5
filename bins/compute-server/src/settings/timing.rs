//! `[timing]`: every wait, window, lease and back-off.

use std::time::Duration;

use compute_domain::time::Span;
use compute_engine::Timing as EngineTiming;
use compute_http::Waits;

use super::check::Check;
use super::database::DatabaseMode;
use super::section::section;
use super::value::span_text;

section! {
    /// Every wait, window, lease and back-off. The defaults are the production values; a live database refuses most that are shorter.
    Timing {
        /// Divides every duration of this section. More than 1 is accepted on databases of mode `test` and `dev` only.
        scale_divisor: u32 = 1,
        /// How long a replica may hold an operation without a word before another takes it over.
        lease: Span = EngineTiming::default().lease,
        /// Waits shorter than this are slept through while holding the lease.
        linger: Span = EngineTiming::default().linger,
        /// First wait before something is tried again; it doubles.
        retry_min: Span = EngineTiming::default().retry_min,
        /// Longest wait before something is tried again.
        retry_max: Span = EngineTiming::default().retry_max,
        /// Longest wait between looks at a settlement whose outcome is unknown.
        settlement_look_max: Span = EngineTiming::default().settlement_look_max,
        /// How long a payment network that cannot be reached is tried before the order is given up.
        settle_window: Span = EngineTiming::default().settle_window,
        /// How long after a payment's last valid moment an unknown settlement is handed to the operator.
        settlement_stuck_after: Span = EngineTiming::default().settlement_stuck_after,
        /// How long a provider that cannot make a machine now is tried.
        create_window: Span = EngineTiming::default().create_window,
        /// How long, at least, a machine is looked for after a create whose outcome is unknown.
        find_window: Span = EngineTiming::default().find_window,
        /// How many looks, at least, before such a create is repeated.
        find_looks: u32 = EngineTiming::default().find_looks,
        /// How many machines may be asked for on behalf of one order.
        machine_attempts: u32 = EngineTiming::default().machine_attempts,
        /// Wait between looks at a starting machine.
        ready_look: Span = EngineTiming::default().ready_look,
        /// How long a machine may take to start.
        ready_window: Span = EngineTiming::default().ready_window,
        /// A machine must be gone for this long, in two looks, to count as gone.
        gone_gap: Span = EngineTiming::default().gone_gap,
        /// Longest wait before a refused deletion is tried again.
        destroy_retry_max: Span = EngineTiming::default().destroy_retry_max,
        /// A step that takes longer than this is logged as an error at every further try.
        alarm_after: Span = EngineTiming::default().alarm_after,
        /// Looks in vain, after a payment can no longer settle, before the operator must decide.
        overdue_looks: u32 = EngineTiming::default().overdue_looks,
        /// How long an expired machine is kept.
        expiry_grace: Span = EngineTiming::default().expiry_grace,
        /// How long after a payment's last valid moment an unsettled extension still keeps its machine from expiring; money that arrives later becomes credit.
        hold_grace: Span = EngineTiming::default().hold_grace,
        /// How long a client's idempotency key is remembered. Not divided.
        request_key_life: Span = EngineTiming::default().request_key_life,
        /// How long after one look at a running machine the next one is due.
        watch_every: Span = EngineTiming::default().watch_every,
        /// How long, at least, a provider must not know a machine before it counts as lost and its owner is credited.
        lost_window: Span = EngineTiming::default().lost_window,
        /// How many looks in a row, at least, must miss it.
        lost_looks: u32 = EngineTiming::default().lost_looks,
        /// How long machines must be missing to count as lost although the provider does not know many of its machines.
        lost_fleet_window: Span = EngineTiming::default().lost_fleet_window,
        /// A machine younger than this is never taken for an orphan.
        orphan_age: Span = EngineTiming::default().orphan_age,
        /// How long, at least, a machine that no instance explains is watched before it is deleted.
        orphan_quarantine: Span = EngineTiming::default().orphan_quarantine,
        /// Over how long the destructions that nobody asked for are counted; see `work.destroy_guard_count`.
        guard_window: Span = EngineTiming::default().guard_window,
        /// How long an unknown settlement blocks an equal request of the same payer.
        hanging_window: Span = EngineTiming::default().hanging_window,
        /// An unread one-time password is erased after this.
        password_life: Span = EngineTiming::default().password_life,
        /// The text of a management key that nobody has used is shown again for this long.
        management_key_life: Span = EngineTiming::default().management_key_life,
        /// A payment must be valid for at least this much longer when it is claimed. Not divided.
        payment_validity_min: Span = EngineTiming::default().payment_validity_min,
        /// How old a provider's catalogue may be before it is fetched again.
        catalog_refresh: Span = EngineTiming::default().catalog_refresh,
        /// How long a provider's word about what it has left in a region counts when a price is named, at most a minute on a live database; a tenth of that when a payment is taken.
        stock_life: Span = EngineTiming::default().stock_life,
        /// How long a request waits for that word; without it the catalogue's counts. Not divided.
        stock_wait: Span = EngineTiming::default().stock_wait,
        /// How long a plan is not offered in a region after the provider refused it for want of room.
        sold_out_for: Span = EngineTiming::default().sold_out_for,
        /// How long events stay in the feeds of their owners. Not divided.
        event_life: Span = EngineTiming::default().event_life,
        /// How long a purchase waits for its machine before it answers with what there is. Not divided.
        create_wait: Span = Waits::default().create,
        /// How long an extension waits for its payment before it answers with what there is. Not divided.
        extend_wait: Span = Waits::default().extend,
        /// How long a top-up waits for its payment before it answers with what there is. Not divided.
        topup_wait: Span = Waits::default().topup,
        /// How long a deletion, a change of plan or a power action waits for its provider before it answers with what there is. Not divided.
        destroy_wait: Span = Waits::default().destroy,
        /// How often unfinished operations are looked for.
        drive_every: Span = Span::from_secs(1),
        /// How often expired instances are looked for, and those that are to be extended or told of before their end.
        expire_every: Span = Span::from_secs(30),
        /// How often machines that are due for a look are looked for.
        watch_round_every: Span = Span::from_secs(30),
        /// How often machines that no instance explains are looked for.
        sweep_every: Span = Span::from_secs(600),
        /// How often what has arrived at our addresses is compared with the payments.
        arrivals_every: Span = Span::from_secs(300),
        /// How often payment networks that take cards are asked about disputes, and sent what operators give back.
        cards_every: Span = Span::from_secs(60),
        /// How often it is looked whether there are events to bring to webhooks.
        webhooks_every: Span = Span::from_secs(2),
        /// How often all promises about money are checked.
        audit_every: Span = Span::from_hours(1),
        /// How often the health of payment networks is checked.
        health_every: Span = Span::from_secs(30),
        /// How often rails that settle by themselves look after what they have sent.
        rails_every: Span = Span::from_secs(10),
        /// How often each provider is asked about our account there.
        account_every: Span = Span::from_secs(600),
        /// How often the database is asked to commit something; while it does not, nothing is sold. Not divided.
        store_every: Span = MOST_STORE_EVERY,
        /// How often what has had its time is deleted.
        clean_up_every: Span = Span::from_hours(1),
        /// How often the clock is compared with the database's.
        clock_every: Span = Span::from_secs(30),
        /// How long running steps may take to finish at shutdown. Not divided.
        shutdown_wait: Span = Span::from_secs(30),
    }
}

/// How often the background workers run.
#[derive(Debug, Clone)]
pub(crate) struct Intervals {
    pub(crate) drive: Span,
    pub(crate) expire: Span,
    pub(crate) watch: Span,
    pub(crate) sweep: Span,
    pub(crate) arrivals: Span,
    pub(crate) cards: Span,
    pub(crate) webhooks: Span,
    pub(crate) audit: Span,
    pub(crate) catalog: Span,
    pub(crate) health: Span,
    pub(crate) rails: Span,
    pub(crate) account: Span,
    pub(crate) store: Span,
    pub(crate) clean_up: Span,
    pub(crate) clock: Span,
}

/// The checked section.
#[derive(Debug)]
pub(crate) struct TimingConfig {
    pub(crate) engine: EngineTiming,
    pub(crate) waits: Waits,
    pub(crate) every: Intervals,
    pub(crate) shutdown_wait: Span,
    scale_divisor: u32,
}

/// What a live database needs at least: a settlement may be seen this much later than it was made.
const LEAST_HOLD_GRACE: Span = Span::from_secs(60);

/// With the check's own limit of 1.5 s, nothing is sold for longer than 5 s on a database that does not
/// commit (reliability.md, L3).
const MOST_STORE_EVERY: Span = Span::from_secs(3);

/// A price is named by what was to be had at most a minute ago (reliability.md, F104).
const MOST_STOCK_LIFE: Span = Span::from_secs(60);

/// Four rounds in the hour within which the books agree with the chains (reliability.md, M10).
const MOST_ARRIVALS_EVERY: Span = Span::from_secs(900);

/// A vendor that is asked more often has nothing new to tell, and less to spare for what matters.
const LEAST_ACCOUNT_EVERY: Span = Span::from_secs(60);

/// Calls to partners are not cut shorter than this by scaling: a busy machine needs that long.
const SHORTEST_CALL: Duration = Duration::from_secs(2);

impl TimingConfig {
    /// A time between things that this process does, scaled like everything else.
    pub(crate) fn scaled(&self, usual: Duration) -> Duration {
        usual / self.scale_divisor.max(1)
    }

    /// How long a call to a partner may take, scaled like everything else.
    pub(crate) fn call(&self, usual: Duration) -> Duration {
        self.scaled(usual).max(usual.min(SHORTEST_CALL))
    }
}

impl Timing {
    pub(super) fn check(&self, check: &mut Check<'_>, mode: DatabaseMode) -> TimingConfig {
        if !(1..=10_000).contains(&self.scale_divisor) {
            check.problem("timing.scale_divisor", "must be 1 to 10000");
        }
        if mode == DatabaseMode::Live {
            self.check_floors(check);
        }
        if self.lease.millis() < self.linger.millis().saturating_mul(2) {
            check.problem("timing.lease", "must be at least twice timing.linger");
        }
        if self.retry_max < self.retry_min {
            check.problem("timing.retry_max", "must not be less than timing.retry_min");
        }
        if self.machine_attempts == 0 {
            check.problem("timing.machine_attempts", "must be at least 1");
        }
        self.check_waits(check);
        TimingConfig {
            engine: self.engine().scaled(self.scale_divisor),
            waits: Waits {
                create: self.create_wait,
                extend: self.extend_wait,
                topup: self.topup_wait,
                destroy: self.destroy_wait,
            },
            every: self.intervals(),
            shutdown_wait: self.shutdown_wait,
            scale_divisor: self.scale_divisor,
        }
    }

    /// Each wait must end before published clients give up.
    fn check_waits(&self, check: &mut Check<'_>) {
        for (key, own, most, clients) in [
            ("timing.create_wait", self.create_wait, 100, 120),
            ("timing.extend_wait", self.extend_wait, 50, 60),
            ("timing.topup_wait", self.topup_wait, 50, 60),
            ("timing.destroy_wait", self.destroy_wait, 25, 30),
        ] {
            if own > Span::from_secs(most) {
                let what = format!("must be at most {most}s: clients wait {clients}s");
                check.problem(key, what);
            }
        }
    }

    fn check_floors(&self, check: &mut Check<'_>) {
        if self.scale_divisor > 1 {
            check.problem(
                "timing.scale_divisor",
                "must be 1 on a live database; rehearsals use database.mode = \"test\"",
            );
        }
        if self.find_looks < EngineTiming::default().find_looks {
            check.problem(
                "timing.find_looks",
                "must be at least 20 on a live database",
            );
        }
        if self.lost_looks < EngineTiming::default().lost_looks {
            check.problem("timing.lost_looks", "must be at least 3 on a live database");
        }
        if self.arrivals_every > MOST_ARRIVALS_EVERY {
            check.problem(
                "timing.arrivals_every",
                "must be at most 15m on a live database",
            );
        }
        if self.account_every < LEAST_ACCOUNT_EVERY {
            check.problem(
                "timing.account_every",
                "must be at least 1m on a live database",
            );
        }
        if self.store_every > MOST_STORE_EVERY {
            check.problem(
                "timing.store_every",
                "must be at most 3s on a live database",
            );
        }
        if self.stock_life > MOST_STOCK_LIFE {
            check.problem("timing.stock_life", "must be at most 1m on a live database");
        }
        if self.hold_grace < LEAST_HOLD_GRACE {
            check.problem(
                "timing.hold_grace",
                "must be at least 1m on a live database",
            );
        }
        for ((key, own), (_, floor)) in self.floored().into_iter().zip(Self::default().floored()) {
            if own < floor {
                let least = span_text(floor);
                check.problem(key, format!("must be at least {least} on a live database"));
            }
        }
    }

    /// What a live database does not let fall below the default: the promises about money and
    /// machines were calculated with these.
    const fn floored(&self) -> [(&'static str, Span); 21] {
        [
            ("timing.lease", self.lease),
            ("timing.retry_min", self.retry_min),
            ("timing.settle_window", self.settle_window),
            ("timing.settlement_stuck_after", self.settlement_stuck_after),
            ("timing.create_window", self.create_window),
            ("timing.find_window", self.find_window),
            ("timing.ready_look", self.ready_look),
            ("timing.ready_window", self.ready_window),
            ("timing.gone_gap", self.gone_gap),
            ("timing.hanging_window", self.hanging_window),
            ("timing.password_life", self.password_life),
            ("timing.management_key_life", self.management_key_life),
            ("timing.payment_validity_min", self.payment_validity_min),
            ("timing.drive_every", self.drive_every),
            ("timing.request_key_life", self.request_key_life),
            ("timing.lost_window", self.lost_window),
            ("timing.lost_fleet_window", self.lost_fleet_window),
            ("timing.orphan_age", self.orphan_age),
            ("timing.orphan_quarantine", self.orphan_quarantine),
            ("timing.guard_window", self.guard_window),
            ("timing.event_life", self.event_life),
        ]
    }

    const fn engine(&self) -> EngineTiming {
        EngineTiming {
            lease: self.lease,
            linger: self.linger,
            retry_min: self.retry_min,
            retry_max: self.retry_max,
            settlement_look_max: self.settlement_look_max,
            settle_window: self.settle_window,
            settlement_stuck_after: self.settlement_stuck_after,
            create_window: self.create_window,
            find_window: self.find_window,
            find_looks: self.find_looks,
            machine_attempts: self.machine_attempts,
            ready_look: self.ready_look,
            ready_window: self.ready_window,
            gone_gap: self.gone_gap,
            destroy_retry_max: self.destroy_retry_max,
            alarm_after: self.alarm_after,
            overdue_looks: self.overdue_looks,
            expiry_grace: self.expiry_grace,
            hold_grace: self.hold_grace,
            request_key_life: self.request_key_life,
            watch_every: self.watch_every,
            lost_window: self.lost_window,
            lost_looks: self.lost_looks,
            lost_fleet_window: self.lost_fleet_window,
            orphan_age: self.orphan_age,
            orphan_quarantine: self.orphan_quarantine,
            guard_window: self.guard_window,
            hanging_window: self.hanging_window,
            password_life: self.password_life,
            management_key_life: self.management_key_life,
            payment_validity_min: self.payment_validity_min,
            catalog_refresh: self.catalog_refresh,
            stock_life: self.stock_life,
            stock_wait: self.stock_wait,
            sold_out_for: self.sold_out_for,
            event_life: self.event_life,
        }
    }

    fn intervals(&self) -> Intervals {
        let divisor = i64::from(self.scale_divisor.max(1));
        // Faster than that, a worker would do nothing but look.
        let scaled = |span: Span| Span::from_millis((span.millis() / divisor).max(10));
        Intervals {
            drive: scaled(self.drive_every),
            expire: scaled(self.expire_every),
            watch: scaled(self.watch_round_every),
            sweep: scaled(self.sweep_every),
            arrivals: scaled(self.arrivals_every),
            cards: scaled(self.cards_every),
            webhooks: scaled(self.webhooks_every),
            audit: scaled(self.audit_every),
            catalog: scaled(self.catalog_refresh),
            health: scaled(self.health_every),
            rails: scaled(self.rails_every),
            account: scaled(self.account_every),
            store: self.store_every,
            clean_up: scaled(self.clean_up_every),
            clock: scaled(self.clock_every),
        }
    }
}

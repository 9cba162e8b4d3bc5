//! Who gives up its connection when all places are taken.
//!
//! A connection costs whoever opens it nothing, so a limit on their number alone would let idle ones
//! keep everybody else out. When the last place is taken, the connection that has been of no use for
//! longest is closed, and never one with a request in progress: behind that may be a payment.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::activity::Activity;

/// All connections.
#[derive(Debug, Default)]
pub(super) struct Seats {
    /// Counts arrivals and answers: an order of what happened that needs no clock.
    happened: Arc<AtomicU64>,
    seated: Mutex<BTreeMap<u64, Arc<Place>>>,
}

#[derive(Debug)]
struct Place {
    activity: Arc<Activity>,
    /// Behind it are many clients.
    is_exempt: bool,
    is_leaving: AtomicBool,
    leave: Notify,
}

/// One connection, until this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    number: u64,
    place: Arc<Place>,
}

impl Seats {
    /// A connection more.
    pub(super) fn sit(self: &Arc<Self>, is_exempt: bool) -> Seat {
        let number = self.happened.fetch_add(1, Ordering::Relaxed);
        let place = Arc::new(Place {
            activity: Arc::new(Activity::new(number, Arc::clone(&self.happened))),
            is_exempt,
            is_leaving: AtomicBool::new(false),
            leave: Notify::new(),
        });
        self.seated().insert(number, Arc::clone(&place));
        Seat {
            seats: Arc::clone(self),
            number,
            place,
        }
    }

    /// Asks the connection that can best be spared to end: one that has had no answer yet before one
    /// that has, and the longest idle first. Whether there is one.
    pub(super) fn make_room(&self) -> bool {
        let seated = self.seated();
        let idle = seated.values().filter(|place| place.can_leave());
        let spared = idle.min_by_key(|place| {
            let activity = &place.activity;
            (
                place.is_exempt,
                activity.has_answered(),
                activity.last_use(),
            )
        });
        if let Some(place) = spared {
            place.is_leaving.store(true, Ordering::Relaxed);
            place.leave.notify_one();
        }
        spared.is_some()
    }

    fn seated(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Place>>> {
        // A change is complete before the lock is given back.
        self.seated.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn can_leave(&self) -> bool {
        !self.activity.is_busy() && !self.is_leaving.load(Ordering::Relaxed)
    }
}

impl Seat {
    /// What the connection does.
    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.place.activity
    }

    /// Waits until the connection is asked to end while no request is in progress on it.
    pub(super) async fn asked_to_leave(&self) {
        loop {
            self.place.leave.notified().await;
            // A request may have come since it was chosen; somebody else is asked then.
            if !self.place.activity.is_busy() {
                return;
            }
            self.place.is_leaving.store(false, Ordering::Relaxed);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.seated().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// Looks once, and does not wait.
    async fn is_asked(seat: &Seat) -> bool {
        timeout(Duration::ZERO, seat.asked_to_leave()).await.is_ok()
    }

    fn serve(seat: &Seat) {
        seat.activity().request_begins(false);
        seat.activity().request_ends();
    }

    #[tokio::test]
    async fn who_has_asked_for_nothing_goes_first_and_then_the_longest_idle() {
        let seats = Arc::new(Seats::default());
        let [first, second, third] = [(); 3].map(|()| seats.sit(false));
        serve(&second);
        serve(&first);
        for next in [&third, &second, &first] {
            assert!(seats.make_room());
            assert!(is_asked(next).await);
        }
        // All are on their way.
        assert!(!seats.make_room());
    }

    #[tokio::test]
    async fn a_request_in_progress_is_never_cut_off() {
        let seats = Arc::new(Seats::default());
        let seat = seats.sit(false);
        seat.activity().request_begins(false);
        assert!(!seats.make_room());
        seat.activity().request_ends();
        assert!(seats.make_room());
        // It comes between the choice and the end.
        seat.activity().request_begins(false);
        assert!(!is_asked(&seat).await);
        seat.activity().request_ends();
        assert!(seats.make_room());
    }

    #[tokio::test]
    async fn a_proxy_is_spared_as_long_as_others_are_idle() {
        let seats = Arc::new(Seats::default());
        let (proxy, client) = (seats.sit(true), seats.sit(false));
        serve(&client);
        assert!(seats.make_room());
        assert!(is_asked(&client).await && !is_asked(&proxy).await);
    }

    #[test]
    fn who_has_left_is_forgotten() {
        let seats = Arc::new(Seats::default());
        drop(seats.sit(false));
        assert!(!seats.make_room());
    }
}

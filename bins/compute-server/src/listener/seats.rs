//! Who gives up its connection when all places are taken.
//!
//! A connection costs whoever opens it nothing, so a limit on their number alone would let idle ones
//! keep everybody else out. When the last place is taken, the connection that has been of no use for
//! longest is closed, and never one with a request in progress: behind that may be a payment.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::activity::Activity;

/// All connections.
#[derive(Debug, Default)]
pub(super) struct Seats {
    /// Counts arrivals and answers: an order of what happened that needs no clock.
    happened: Arc<AtomicU64>,
    seated: Mutex<Seated>,
}

/// Those that were not asked to leave, as they were when they were last looked at: a rank only rises, so the first one
/// is looked at again before it is believed. Nobody is looked at for every newcomer.
#[derive(Debug, Default)]
struct Seated {
    order: BTreeMap<Rank, Arc<Place>>,
    /// By number.
    ranks: HashMap<u64, Rank>,
}

/// Who is spared longer, smallest first: with many clients behind it, of use before, and lately. The number of the
/// connection makes it unique.
type Rank = (bool, bool, u64, u64);

#[derive(Debug)]
struct Place {
    activity: Arc<Activity>,
    number: u64,
    /// Behind it are many clients.
    is_exempt: bool,
    leave: Notify,
}

/// One connection, until this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    place: Arc<Place>,
}

impl Seats {
    /// A connection more.
    pub(super) fn sit(self: &Arc<Self>, is_exempt: bool) -> Seat {
        let number = self.happened.fetch_add(1, Ordering::Relaxed);
        let place = Arc::new(Place {
            activity: Arc::new(Activity::new(number, Arc::clone(&self.happened))),
            number,
            is_exempt,
            leave: Notify::new(),
        });
        self.seated().put(Arc::clone(&place), place.rank());
        Seat {
            seats: Arc::clone(self),
            place,
        }
    }

    /// Asks the connection that can best be spared to end: one that has had no answer yet before one
    /// that has, and the longest idle first. Whether there is one.
    pub(super) fn make_room(&self) -> bool {
        let mut seated = self.seated();
        // Each is looked at twice at most: it may be busy, and then all others are before it.
        for _ in 0..seated.order.len().saturating_mul(2) {
            let Some((believed, place)) = seated.order.pop_first() else {
                break;
            };
            if place.activity.is_busy() {
                let now = self.happened.load(Ordering::Relaxed);
                let rank = (place.is_exempt, true, now, place.number);
                seated.put(place, rank);
            } else if place.rank() == believed {
                seated.ranks.remove(&place.number);
                place.leave.notify_one();
                return true;
            } else {
                let rank = place.rank();
                seated.put(place, rank);
            }
        }
        false
    }

    fn seated(&self) -> MutexGuard<'_, Seated> {
        // A change is complete before the lock is given back.
        self.seated.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seated {
    fn put(&mut self, place: Arc<Place>, rank: Rank) {
        self.ranks.insert(place.number, rank);
        self.order.insert(rank, place);
    }
}

impl Place {
    fn rank(&self) -> Rank {
        let activity = &self.activity;
        (
            self.is_exempt,
            activity.has_answered(),
            activity.last_use(),
            self.number,
        )
    }
}

impl Seat {
    /// What the connection does.
    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.place.activity
    }

    /// Whether many clients are behind it.
    pub(super) fn is_exempt(&self) -> bool {
        self.place.is_exempt
    }

    /// Waits until the connection is asked to end while no request is in progress on it.
    pub(super) async fn asked_to_leave(&self) {
        loop {
            self.place.leave.notified().await;
            // A request may have come since it was chosen; somebody else is asked then.
            if !self.place.activity.is_busy() {
                return;
            }
            let place = Arc::clone(&self.place);
            self.seats.seated().put(place, self.place.rank());
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seated = self.seats.seated();
        if let Some(rank) = seated.ranks.remove(&self.place.number) {
            seated.order.remove(&rank);
        }
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

    #[tokio::test]
    async fn who_has_left_is_forgotten() {
        let seats = Arc::new(Seats::default());
        drop(seats.sit(false));
        assert!(!seats.make_room());
        let seat = seats.sit(false);
        assert!(seats.make_room() && is_asked(&seat).await);
        drop(seat);
        let seated = seats.seated();
        assert!(seated.order.is_empty() && seated.ranks.is_empty());
    }

    #[tokio::test]
    async fn the_busy_are_passed_over_and_come_last_afterwards() {
        let seats = Arc::new(Seats::default());
        let [busy, idle] = [(); 2].map(|()| seats.sit(false));
        busy.activity().request_begins(false);
        assert!(seats.make_room());
        assert!(is_asked(&idle).await);
        assert!(!seats.make_room());
        busy.activity().request_ends();
        assert!(seats.make_room());
        assert!(is_asked(&busy).await);
    }
}

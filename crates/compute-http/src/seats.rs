//! Places for requests that wait for work to move.
//!
//! Whoever waits holds one of the places of all requests in progress, for up to a minute. So there are
//! fewer of these, and each owner has a few: whoever gets none is answered at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use compute_domain::id::OwnerId;

/// All of them.
#[derive(Debug)]
pub(crate) struct Seats {
    total: usize,
    per_owner: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_owner: HashMap<OwnerId, usize>,
}

/// One of them; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Arc<Seats>,
    owner: OwnerId,
}

impl Seats {
    pub(crate) fn new(total: usize, per_owner: usize) -> Self {
        Self {
            total,
            per_owner,
            taken: Mutex::default(),
        }
    }

    /// A place, when there is one.
    pub(crate) fn take(self: &Arc<Self>, owner: OwnerId) -> Option<Seat> {
        let mut taken = self.lock();
        let own = taken.by_owner.get(&owner).copied().unwrap_or(0);
        if taken.total >= self.total || own >= self.per_owner {
            return None;
        }
        taken.total = taken.total.saturating_add(1);
        taken.by_owner.insert(owner, own.saturating_add(1));
        drop(taken);
        Some(Seat {
            seats: Arc::clone(self),
            owner,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // Each change of the counts is complete before the lock is given back.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.lock();
        taken.total = taken.total.saturating_sub(1);
        let own = taken.by_owner.get(&self.owner).copied().unwrap_or(0);
        if own > 1 {
            taken.by_owner.insert(self.owner, own.saturating_sub(1));
        } else {
            taken.by_owner.remove(&self.owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_so_many_places_in_all_and_for_each_owner() {
        let seats = Arc::new(Seats::new(3, 2));
        let [one, other]: [OwnerId; 2] = [
            "0190a5b2-7c1d-7e3f-8a4b-5c6d7e8f9a0b".parse().unwrap(),
            "0190a5b2-7c1d-7e3f-8a4b-5c6d7e8f9a0c".parse().unwrap(),
        ];
        let first = seats.take(one).unwrap();
        let second = seats.take(one).unwrap();
        assert!(seats.take(one).is_none(), "two of one owner");
        let third = seats.take(other).unwrap();
        assert!(seats.take(other).is_none(), "three in all");
        drop(first);
        let fourth = seats.take(other).unwrap();
        drop((second, third, fourth));
        let taken = seats.lock();
        assert_eq!((taken.total, taken.by_owner.len()), (0, 0));
    }
}

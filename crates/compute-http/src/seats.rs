//! Places for requests that wait for something: for work to move, or for a stranger's answer.
//!
//! Whoever waits holds one of the places of all requests in progress, for up to a minute. So there are
//! fewer of these, and each of those who are told apart has a few: whoever gets none is answered at once.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All of them.
#[derive(Debug)]
pub(crate) struct Seats<K> {
    total: usize,
    each: usize,
    taken: Mutex<Taken<K>>,
}

#[derive(Debug)]
struct Taken<K> {
    total: usize,
    by: HashMap<K, usize>,
}

/// One of them; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Seat<K: Copy + Eq + Hash> {
    seats: Arc<Seats<K>>,
    of: K,
}

impl<K: Copy + Eq + Hash> Seats<K> {
    pub(crate) fn new(total: usize, each: usize) -> Self {
        Self {
            total,
            each,
            taken: Mutex::new(Taken {
                total: 0,
                by: HashMap::new(),
            }),
        }
    }

    /// A place, when there is one.
    pub(crate) fn take(self: &Arc<Self>, of: K) -> Option<Seat<K>> {
        let mut taken = self.lock();
        let own = taken.by.get(&of).copied().unwrap_or(0);
        if taken.total >= self.total || own >= self.each {
            return None;
        }
        taken.total = taken.total.saturating_add(1);
        taken.by.insert(of, own.saturating_add(1));
        drop(taken);
        Some(Seat {
            seats: Arc::clone(self),
            of,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Taken<K>> {
        // Each change of the counts is complete before the lock is given back.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Copy + Eq + Hash> Drop for Seat<K> {
    fn drop(&mut self) {
        let mut taken = self.seats.lock();
        taken.total = taken.total.saturating_sub(1);
        let own = taken.by.get(&self.of).copied().unwrap_or(0);
        if own > 1 {
            taken.by.insert(self.of, own.saturating_sub(1));
        } else {
            taken.by.remove(&self.of);
        }
    }
}

#[cfg(test)]
mod tests {
    use compute_domain::id::OwnerId;

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
        assert_eq!((taken.total, taken.by.len()), (0, 0));
    }
}

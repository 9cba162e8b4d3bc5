//! Places for pings that are under way.
//!
//! A ping sends to a stranger's address at once, and waits for an answer as long as the stranger likes
//! within bounds. So there are a few at a time, and each owner has one.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use compute_domain::id::OwnerId;

/// How many there are at a time in this process.
const MOST: usize = 32;

/// Whose pings are under way.
#[derive(Debug, Default)]
pub(crate) struct Pings {
    owners: Mutex<BTreeSet<OwnerId>>,
}

/// A place; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pings: &'a Pings,
    owner: OwnerId,
}

impl Pings {
    /// A place for a ping of this owner, when there is one.
    pub(crate) fn take(&self, owner: OwnerId) -> Option<Place<'_>> {
        let mut owners = self.lock();
        if owners.len() >= MOST || !owners.insert(owner) {
            return None;
        }
        drop(owners);
        Some(Place { pings: self, owner })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<OwnerId>> {
        // Each change is one.
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.pings.lock().remove(&self.owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_so_many_places_in_all_and_one_for_each_owner() {
        let pings = Pings::default();
        let owner = |number: u32| -> OwnerId {
            let id = format!("0190a5b2-7c1d-7e3f-8a4b-{number:012x}");
            id.parse().unwrap()
        };
        let mut places: Vec<_> = (1..=32)
            .map(|number| pings.take(owner(number)).unwrap())
            .collect();
        assert!(pings.take(owner(33)).is_none(), "all are taken");
        drop(places.pop());
        assert!(pings.take(owner(1)).is_none(), "one for each owner");
        let last = pings.take(owner(33)).unwrap();
        drop((places, last));
        assert!(pings.lock().is_empty());
    }
}

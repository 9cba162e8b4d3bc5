//! How many connections each address has.
//!
//! While places are free, an address may have as many as the limit says. Once all are taken, one that has
//! its share of them already, and more than a few, gets no more: so whoever opens ten thousand cannot push
//! others out, nor keep the listener busy with making room.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// This part of an address's limit is few connections: so many can be had by pushing the idle out, however many addresses
/// share the places.
const FEW: u32 = 16;

/// Counts connections by address; an IPv6 network of 64 bits counts as one.
#[derive(Debug)]
pub(super) struct Crowd {
    limit: u32,
    present: Mutex<HashMap<IpAddr, u32>>,
}

/// One connection that is counted until this is dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    crowd: Arc<Crowd>,
    counted_as: Option<IpAddr>,
    /// As how many.
    weight: u32,
}

impl Crowd {
    pub(super) fn new(limit: u32) -> Self {
        Self {
            limit,
            present: Mutex::new(HashMap::new()),
        }
    }

    /// Counts one more connection; `None` when the address has too many, or its share of the `contested`
    /// places: that is how many there are, when all of them are taken. An exempt one is not counted.
    pub(super) fn enter(
        self: &Arc<Self>,
        address: IpAddr,
        exempt: bool,
        contested: Option<usize>,
    ) -> Option<Ticket> {
        let crowd = Arc::clone(self);
        if exempt {
            return Some(Ticket {
                crowd,
                counted_as: None,
                weight: 1,
            });
        }
        let network = network_of(address);
        let mut present = self.present();
        let count = present.get(&network).copied().unwrap_or(0);
        let few = self.limit / FEW;
        let share = contested.map(|places| share(&present, places).max(few));
        let allowed = share.map_or(self.limit, |share| share.min(self.limit));
        if count >= allowed {
            return None;
        }
        present.insert(network, count.saturating_add(1));
        drop(present);
        Some(Ticket {
            crowd,
            counted_as: Some(network),
            weight: 1,
        })
    }

    fn present(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        // A count is complete before the lock is given back.
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// Counts as so many connections from now on.
    pub(super) fn weigh(&mut self, weight: u32) {
        let Some(network) = self.counted_as else {
            return;
        };
        let mut present = self.crowd.present();
        let count = present.entry(network).or_insert(0);
        *count = count.saturating_sub(self.weight).saturating_add(weight);
        drop(present);
        self.weight = weight;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some(network) = self.counted_as else {
            return;
        };
        let mut present = self.crowd.present();
        if let Some(count) = present.get_mut(&network) {
            *count = count.saturating_sub(self.weight);
            if *count == 0 {
                present.remove(&network);
            }
        }
    }
}

/// What each address that is present may have of so many places; an address on its own has no rivals.
fn share(present: &HashMap<IpAddr, u32>, places: usize) -> u32 {
    match present.len() {
        0 | 1 => u32::MAX,
        addresses => u32::try_from(places.div_ceil(addresses)).unwrap_or(u32::MAX),
    }
}

/// One customer has a whole IPv6 network of 64 bits.
fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_so_many_connections_and_no_more() {
        let crowd = Arc::new(Crowd::new(2));
        let first = crowd.enter(address("192.0.2.1"), false, None).unwrap();
        let _second = crowd.enter(address("192.0.2.1"), false, None).unwrap();
        assert!(crowd.enter(address("192.0.2.1"), false, None).is_none());
        assert!(crowd.enter(address("192.0.2.1"), true, None).is_some());
        assert!(crowd.enter(address("192.0.2.2"), false, None).is_some());
        drop(first);
        assert!(crowd.enter(address("192.0.2.1"), false, None).is_some());
    }

    #[test]
    fn one_can_count_as_many() {
        let crowd = Arc::new(Crowd::new(3));
        let enter = || crowd.enter(address("192.0.2.1"), false, None);
        let mut heavy = enter().unwrap();
        heavy.weigh(3);
        assert!(enter().is_none());
        heavy.weigh(2);
        let light = enter().unwrap();
        assert!(enter().is_none());
        drop((heavy, light));
        assert!(crowd.present().is_empty());
        let mut exempt = crowd.enter(address("192.0.2.1"), true, None).unwrap();
        exempt.weigh(3);
        drop(exempt);
        assert!(crowd.present().is_empty());
    }

    #[test]
    fn who_has_left_takes_no_memory() {
        let crowd = Arc::new(Crowd::new(2));
        drop(crowd.enter(address("192.0.2.1"), false, None));
        assert!(crowd.present().is_empty());
    }

    #[test]
    fn neighbours_in_one_ipv6_network_are_one_address() {
        let crowd = Arc::new(Crowd::new(1));
        let _first = crowd.enter(address("2001:db8::1"), false, None);
        assert!(crowd.enter(address("2001:db8::2"), false, None).is_none());
        assert!(
            crowd
                .enter(address("2001:db8:0:1::2"), false, None)
                .is_some()
        );
    }

    #[test]
    fn when_all_places_are_taken_an_address_has_its_share_and_no_more() {
        let crowd = Arc::new(Crowd::new(10));
        let enter = |text: &str| crowd.enter(address(text), false, Some(4));
        let on_its_own = [(); 3].map(|()| enter("192.0.2.1").unwrap());
        let second = enter("192.0.2.2").unwrap();
        assert!(enter("192.0.2.1").is_none());
        assert!(crowd.enter(address("192.0.2.1"), false, None).is_some());
        let third = enter("192.0.2.2").unwrap();
        assert!(enter("192.0.2.2").is_none());
        assert!(crowd.enter(address("192.0.2.2"), true, Some(4)).is_some());
        drop((second, third));
        assert!(enter("192.0.2.1").is_some());
        drop(on_its_own);
    }

    #[test]
    fn a_few_connections_can_always_be_had() {
        let crowd = Arc::new(Crowd::new(32));
        let enter = |text: &str| crowd.enter(address(text), false, Some(2));
        let _others = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(|text| enter(text).unwrap());
        let _few = [(); 2].map(|()| enter("192.0.2.4").unwrap());
        assert!(enter("192.0.2.4").is_none());
    }
}

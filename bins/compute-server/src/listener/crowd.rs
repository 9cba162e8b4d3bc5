//! How many connections each address has.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
}

impl Crowd {
    pub(super) fn new(limit: u32) -> Self {
        Self {
            limit,
            present: Mutex::new(HashMap::new()),
        }
    }

    /// Counts one more connection; `None` when the address has too many. An exempt one is not
    /// counted.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr, exempt: bool) -> Option<Ticket> {
        let crowd = Arc::clone(self);
        if exempt {
            return Some(Ticket {
                crowd,
                counted_as: None,
            });
        }
        let network = network_of(address);
        let mut present = self.present();
        let count = present.entry(network).or_insert(0);
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        drop(present);
        Some(Ticket {
            crowd,
            counted_as: Some(network),
        })
    }

    fn present(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        // A count is complete before the lock is given back.
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some(network) = self.counted_as else {
            return;
        };
        let mut present = self.crowd.present();
        if let Some(count) = present.get_mut(&network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                present.remove(&network);
            }
        }
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
        let first = crowd.enter(address("192.0.2.1"), false).unwrap();
        let _second = crowd.enter(address("192.0.2.1"), false).unwrap();
        assert!(crowd.enter(address("192.0.2.1"), false).is_none());
        assert!(crowd.enter(address("192.0.2.1"), true).is_some());
        assert!(crowd.enter(address("192.0.2.2"), false).is_some());
        drop(first);
        assert!(crowd.enter(address("192.0.2.1"), false).is_some());
    }

    #[test]
    fn who_has_left_takes_no_memory() {
        let crowd = Arc::new(Crowd::new(2));
        drop(crowd.enter(address("192.0.2.1"), false));
        assert!(crowd.present().is_empty());
    }

    #[test]
    fn neighbours_in_one_ipv6_network_are_one_address() {
        let crowd = Arc::new(Crowd::new(1));
        let _first = crowd.enter(address("2001:db8::1"), false);
        assert!(crowd.enter(address("2001:db8::2"), false).is_none());
        assert!(crowd.enter(address("2001:db8:0:1::2"), false).is_some());
    }
}

//! How many may be here: connections in all, and of one client address.
//!
//! ```text
//!   a place is free, for this client, too     In: served, and the place is free again when the connection ends
//!   none is free                              ToBeTold: its request is read, for the refusal to be in its language
//!   there are too many of those as well       Out: closed at once
//! ```

use crate::refusal::Refusal;
use gosched::sync::{Mutex, Semaphore, SemaphorePermit};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

/// Clients that are being told at one time that there is no place.
const TOLD: usize = 64;

pub(crate) struct Places {
    all: Semaphore,
    told: Semaphore,
    per_client: usize,
    clients: Mutex<HashMap<IpAddr, usize>>,
}

pub(crate) enum Place<'p> {
    In { _all: SemaphorePermit<'p>, _mine: Mine<'p> },
    ToBeTold { _place: SemaphorePermit<'p>, refusal: Refusal },
    Out(Refusal),
}

impl Places {
    pub(crate) fn new(all: usize, per_client: usize) -> Places {
        let clients = Mutex::new(HashMap::new());
        Places { all: Semaphore::new(all), told: Semaphore::new(TOLD), per_client, clients }
    }

    pub(crate) fn enter(&self, client: IpAddr) -> Place<'_> {
        let refusal = match (self.all.try_acquire(), self.count(client)) {
            (Some(_all), Some(_mine)) => return Place::In { _all, _mine },
            (None, _) => Refusal::Full,
            (_, None) => Refusal::TooMany,
        };
        match self.told.try_acquire() {
            Some(_place) => Place::ToBeTold { _place, refusal },
            None => Place::Out(refusal),
        }
    }

    fn count(&self, client: IpAddr) -> Option<Mine<'_>> {
        let client = one_client(client);
        let mut clients = self.clients.lock();
        let count = clients.entry(client).or_default();
        if *count == self.per_client {
            return None;
        }
        *count += 1;
        Some(Mine { places: self, client })
    }
}

/// One of a client's connections.
pub(crate) struct Mine<'p> {
    places: &'p Places,
    client: IpAddr,
}

impl Drop for Mine<'_> {
    fn drop(&mut self) {
        let mut clients = self.places.clients.lock();
        if let Some(count) = clients.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                clients.remove(&self.client);
            }
        }
    }
}

/// Whoever has one address of IPv6 has the 2^64 around it.
fn one_client(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_taken_and_given_back() {
        let places = Places::new(3, 2);
        let (a, b, c) = ("1.1.1.1", "2001:db8::1", "3.3.3.3");
        let enter = |ip: &str| places.enter(ip.parse().unwrap());
        let mine = [enter(a), enter(a)];
        assert!(matches!(enter("::ffff:1.1.1.1"), Place::ToBeTold { refusal: Refusal::TooMany, .. }));
        let others = enter(b);
        assert!(matches!(others, Place::In { .. }));
        assert!(matches!(enter(c), Place::ToBeTold { refusal: Refusal::Full, .. }));
        drop(mine);
        let again = [enter("2001:db8::2"), enter("2001:db8::3")];
        assert!(matches!(again, [Place::In { .. }, Place::ToBeTold { refusal: Refusal::TooMany, .. }]));
        let told: Vec<_> = (0..TOLD - 1).map(|_| enter(b)).collect();
        assert!(matches!(enter(b), Place::Out(Refusal::TooMany)));
        drop((others, again, told));
        assert!(places.clients.lock().is_empty() && matches!(enter(c), Place::In { .. }));
    }
}

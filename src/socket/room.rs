//! How many connections a port may have open at a time.
//!
//! A place is given back when its connection closes, however it closes. Without a bound, whoever
//! reaches the port could take all file descriptors, and with them the reload of policies and the
//! other port. While all places are taken new connections wait, most of them in the operating
//! system's queue. To close the longest idle one instead would fail calls of an Envoy that is
//! merely one of many; the silent ones end by themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use metrics::{Counter, Gauge};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use super::{Address, Connection};

/// The places of one port.
#[derive(Debug)]
pub struct Room {
    places: Arc<Semaphore>,
    size: usize,
    open: Gauge,
    waited: Counter,
    was_logged: AtomicBool,
}

/// One connection's place.
#[derive(Debug)]
pub(super) struct Place {
    open: Gauge,
    _permit: OwnedSemaphorePermit,
}

impl Room {
    /// `open` follows the connections that are open; `waited` counts those for which there was no
    /// place at once.
    pub fn new(size: usize, open: Gauge, waited: Counter) -> Self {
        let places = Arc::new(Semaphore::new(size));
        Self { places, size, open, waited, was_logged: AtomicBool::new(false) }
    }

    /// Gives a connection its place; waits until there is one.
    pub async fn admit(&self, connection: Connection, address: &Address) -> Connection {
        let permit = match Arc::clone(&self.places).try_acquire_owned() {
            Err(TryAcquireError::NoPermits) => {
                self.log_full(address);
                self.waited.increment(1);
                Arc::clone(&self.places).acquire_owned().await.ok()
            }
            tried => tried.ok(),
        };
        match permit {
            Some(permit) => connection.holding(Place::new(self.open.clone(), permit)),
            None => connection,
        }
    }

    /// Once: at the bound, connections come and go by the thousand. The metric goes on counting.
    fn log_full(&self, address: &Address) {
        if !self.was_logged.swap(true, Ordering::Relaxed) {
            let (address, open) = (address.to_string(), self.size);
            tracing::warn!(address, open, "as many connections as may be open; others wait");
        }
    }
}

impl Place {
    fn new(open: Gauge, permit: OwnedSemaphorePermit) -> Self {
        open.increment(1.0);
        Self { open, _permit: permit }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.open.decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixStream;

    use super::*;

    #[tokio::test]
    async fn a_connection_without_a_place_waits_for_the_first_that_closes() {
        let room = Room::new(1, Gauge::noop(), Counter::noop());
        let address = Address::parse("unix:@room").unwrap();
        let connection = || Connection::from(UnixStream::pair().unwrap().0);
        let first = room.admit(connection(), &address).await;
        let second = room.admit(connection(), &address);
        tokio::pin!(second);
        tokio::select! {
            biased;
            _ = &mut second => panic!("there is no place"),
            () = std::future::ready(()) => {}
        }
        drop(first);
        second.await;
    }
}

//! The thread that writes: a turn every 50 ms, sooner when a strict rule waits, and one at the end.
//!
//! Nothing ends it but being told to. A turn that panics is told as a failure, and the next turn
//! is made all the same.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use super::{DurableStore, TURN, Writer};
use crate::clock::Clock;

/// A writing thread, to be ended.
#[derive(Debug)]
pub struct Closing {
    store: Arc<DurableStore>,
    thread: JoinHandle<()>,
}

impl Writer {
    /// Writes in a thread of its own from now on.
    pub fn spawn(mut self, clock: Clock) -> std::io::Result<Closing> {
        let store = Arc::clone(self.store());
        let thread = std::thread::Builder::new().name("tollgate-store".to_owned()).spawn({
            let store = Arc::clone(&store);
            move || {
                loop {
                    let began = clock.steady();
                    let turn =
                        || self.turn(store.memory.moment(&clock).now, &mut || clock.steady());
                    if catch_unwind(AssertUnwindSafe(turn)).is_err() {
                        store
                            .status
                            .lock()
                            .failed("an internal error; the log says more".to_owned());
                    }
                    let taken = clock.steady().minus(began);
                    if !store.wait(TURN.minus(taken)) {
                        break;
                    }
                }
                // What was counted since the last turn, now that nobody asks any more.
                let _ = catch_unwind(AssertUnwindSafe(|| {
                    self.last_turn(store.memory.moment(&clock).now, &mut || clock.steady());
                }));
                if let Some(why) = store.status.lock().failing() {
                    tracing::error!("the last hits are not on disk and are forgotten: {why}");
                }
            }
        })?;
        Ok(Closing { store, thread })
    }
}

impl Closing {
    /// Writes what is left and ends the thread. Waits for the disk.
    pub fn close(self) {
        self.store.wake.stops.store(true, Ordering::Release);
        self.store.wake();
        if self.thread.join().is_err() {
            tracing::error!("the writing thread ended with a panic");
        }
    }
}

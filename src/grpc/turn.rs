//! Who is woken when: what wakes a connection while it is polled is seen to in that turn.
//!
//! Every answer wakes the connection that it is to leave by, which is the very task that answers. Only what comes
//! too late for its turn wakes the task again; nothing that comes is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Wake, Waker};

use parking_lot::Mutex;

/// The waker that a connection gives to what it polls.
#[derive(Debug)]
pub(super) struct Turns {
    turn: Arc<Turn>,
    waker: Waker,
}

#[derive(Debug)]
struct Turn {
    /// Of the task.
    task: Mutex<Waker>,
    is_polled: AtomicBool,
    /// Something has woken it since it was last looked at.
    is_woken: AtomicBool,
}

impl Default for Turns {
    fn default() -> Self {
        let turn = Arc::new(Turn {
            task: Mutex::new(Waker::noop().clone()),
            is_polled: AtomicBool::new(false),
            is_woken: AtomicBool::new(false),
        });
        Self { waker: Waker::from(Arc::clone(&turn)), turn }
    }
}

impl Turns {
    /// Begins a turn of a task.
    pub(super) fn begin(&self, cx: &Context<'_>) {
        let mut task = self.turn.task.lock();
        if !task.will_wake(cx.waker()) {
            task.clone_from(cx.waker());
        }
        drop(task);
        self.turn.is_polled.store(true, SeqCst);
    }

    /// What the next poll is given: it sees to all that has woken the task before.
    pub(super) fn next(&self) -> Context<'_> {
        self.turn.is_woken.store(false, SeqCst);
        self.context()
    }

    /// For whatever else may wake the task.
    pub(super) fn context(&self) -> Context<'_> {
        Context::from_waker(&self.waker)
    }

    /// Ends a turn: what the last poll did not see wakes the task again.
    pub(super) fn end(&self) {
        self.turn.is_polled.store(false, SeqCst);
        if self.turn.is_woken.load(SeqCst) {
            self.turn.task.lock().wake_by_ref();
        }
    }
}

impl Wake for Turn {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_woken.store(true, SeqCst);
        // Otherwise the end of the turn looks at it.
        if !self.is_polled.load(SeqCst) {
            self.task.lock().wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    fn task() -> (Arc<Woken>, Waker) {
        let woken = Arc::<Woken>::default();
        (Arc::clone(&woken), Waker::from(woken))
    }

    #[test]
    fn only_what_the_last_poll_did_not_see_wakes_the_task() {
        let (woken, waker) = task();
        let turns = Turns::default();
        turns.begin(&Context::from_waker(&waker));
        let own = turns.next().waker().clone();
        own.wake_by_ref();
        let _ = turns.next();
        turns.end();
        assert_eq!(woken.0.load(SeqCst), 0, "seen by the second poll");
        own.wake_by_ref();
        assert_eq!(woken.0.load(SeqCst), 1, "not polled");
        turns.begin(&Context::from_waker(&waker));
        let _ = turns.next();
        own.wake_by_ref();
        turns.end();
        assert_eq!(woken.0.load(SeqCst), 2, "during the last poll");
    }

    #[test]
    fn the_task_of_the_last_turn_is_woken() {
        let ((first, first_waker), (second, second_waker)) = (task(), task());
        let turns = Turns::default();
        for waker in [&first_waker, &second_waker] {
            turns.begin(&Context::from_waker(waker));
            let _ = turns.next();
            turns.end();
        }
        turns.next().waker().wake_by_ref();
        assert_eq!((first.0.load(SeqCst), second.0.load(SeqCst)), (0, 1));
    }

    /// Another thread brings one thing after the other; a task that polls only when it was woken finds all of them.
    #[test]
    fn nothing_that_another_thread_brings_is_lost() {
        const THINGS: usize = 100_000;
        let brought = Arc::new(AtomicUsize::new(0));
        let turns = Turns::default();
        let own = turns.next().waker().clone();
        let this = thread::current();
        struct Unpark(thread::Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Waker::from(Arc::new(Unpark(this)));
        turns.begin(&Context::from_waker(&waker));
        turns.end();
        let bringing = thread::spawn({
            let brought = Arc::clone(&brought);
            move || {
                for _ in 0..THINGS {
                    brought.fetch_add(1, SeqCst);
                    own.wake_by_ref();
                }
            }
        });
        let mut seen = 0;
        while seen < THINGS {
            turns.begin(&Context::from_waker(&waker));
            let _ = turns.next();
            seen = brought.load(SeqCst);
            turns.end();
            if seen < THINGS {
                thread::park();
            }
        }
        bringing.join().unwrap();
    }
}

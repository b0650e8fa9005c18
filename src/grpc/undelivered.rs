//! Slots of answers that never left: given back at once.
//!
//! Whoever was not told that it holds a slot will not give it back. So what a decision holds is
//! given back when it is dropped, unless the answer was taken by HTTP/2 to its end before. Only
//! answers that hold slots pay for this.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use smallvec::SmallVec;
use tonic::Status;
use tonic::body::Body;

use crate::clock::Clock;
use crate::decide::Lease;
use crate::store::Store;

/// The slots of one decision until its answer has left; a clone is of the same.
#[derive(Clone, Debug)]
pub struct Held(Arc<Guard>);

#[derive(Debug)]
struct Guard {
    leases: SmallVec<[Lease; 1]>,
    store: Arc<Store>,
    clock: Clock,
    has_left: AtomicBool,
}

impl Held {
    /// `None` when there is nothing to give back.
    pub fn new(leases: &[Lease], store: &Arc<Store>, clock: &Clock) -> Option<Self> {
        let guard = || Guard {
            leases: leases.into(),
            store: Arc::clone(store),
            clock: clock.clone(),
            has_left: AtomicBool::new(false),
        };
        (!leases.is_empty()).then(|| Self(Arc::new(guard())))
    }

    /// From now on whoever has the answer gives back.
    pub fn keep(&self) {
        self.0.has_left.store(true, Ordering::Release);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.has_left.load(Ordering::Acquire) {
            self.store.release(&self.leases, self.clock.now());
        }
    }
}

/// Hands what an answer holds over to its body.
pub(super) fn watch(mut answer: http::Response<Body>) -> http::Response<Body> {
    match answer.extensions_mut().remove::<Held>() {
        None => answer,
        Some(held) => answer.map(|body| Body::new(Watched { body, held })),
    }
}

/// A body that knows when it was taken to its end.
struct Watched {
    body: Body,
    held: Held,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        // Trailers come last, and are asked for when the message has been taken.
        if frame.as_ref().is_none_or(|frame| frame.as_ref().is_ok_and(Frame::is_trailers)) {
            self.held.keep();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;
    use std::task::Waker;

    use http_body::Body as _;

    use super::*;
    use crate::decide::{Charge, CounterKey, Denies};
    use crate::limit::{ChargeWhen, Hits, Kind, Limit};
    use crate::policy::model::Mode;
    use crate::time::{Span, Timestamp};

    /// One slot of a limit, held by an answer with a message and trailers.
    async fn answer() -> (Arc<Store>, http::Response<Body>) {
        let (store, now) = (Arc::new(Store::memory()), Timestamp::from_seconds(7));
        let charge = Charge {
            counter: CounterKey(3),
            limit: Limit::new(1, Kind::Concurrent { lease: Span::from_seconds(60) }),
            hits: Hits::Take(1),
            when: ChargeWhen::Admitted,
            mode: Mode::Enforce,
            denies: Denies::Alone,
            is_strict: false,
            is_spared: false,
            group: 0,
            rule: None,
        };
        let outcomes = store.charge(&[charge], store.counters().at(now)).await.unwrap();
        let lease = Lease { counter: charge.counter, id: outcomes[0].lease.unwrap() };
        assert_ne!(lease.id.0, NonZeroU64::MIN);
        let held = Held::new(&[lease], &store, &Clock::manual(now)).unwrap();
        let frames = ["message", "trailers"].map(|part| match part {
            "message" => Ok::<_, Status>(Frame::data("message".into())),
            _ => Ok(Frame::trailers(http::HeaderMap::new())),
        });
        let body = http_body_util::StreamBody::new(tokio_stream::iter(frames));
        let mut answer = http::Response::new(Body::new(body));
        answer.extensions_mut().insert(held);
        (store, watch(answer))
    }

    fn take_frames(answer: &mut http::Response<Body>, count: usize) {
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..count {
            assert!(Pin::new(answer.body_mut()).poll_frame(&mut cx).is_ready());
        }
    }

    #[tokio::test]
    async fn an_answer_that_was_not_taken_to_its_end_holds_nothing() {
        for taken in 0..2 {
            let (store, mut answer) = answer().await;
            take_frames(&mut answer, taken);
            assert_eq!(store.counters().slots_held(Timestamp::from_seconds(7)), 1);
            drop(answer);
            assert_eq!(
                store.counters().slots_held(Timestamp::from_seconds(7)),
                0,
                "{taken} frames taken"
            );
        }
    }

    #[tokio::test]
    async fn an_answer_that_left_holds_what_it_says() {
        let (store, mut answer) = answer().await;
        take_frames(&mut answer, 2);
        drop(answer);
        assert_eq!(store.counters().slots_held(Timestamp::from_seconds(7)), 1);
    }
}

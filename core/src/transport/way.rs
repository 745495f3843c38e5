//! A way to a server while it is being laid: what the driver holds of it, and what the road hears from the driver.

use std::fmt;
use std::future::{poll_fn, Future};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use remqtt_proto::{Attempt, Error};
use tokio::sync::mpsc::{unbounded_channel, UnboundedReceiver, UnboundedSender};

use super::{Road, Stream};

/// What the engine wants of a way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    TryAgain,
    Proceed,
}

/// The driver's end.
pub(crate) struct Way {
    pub(crate) attempt: Attempt,
    future: Pin<Box<dyn Future<Output = Result<Stream, Error>> + Send>>,
    orders: UnboundedSender<Order>,
    reached: Arc<AtomicBool>,
}

impl Way {
    /// Begins to lay the road after a wait, as far as TCP.
    pub(crate) fn begin(attempt: Attempt, road: Road, wait: Duration) -> Way {
        let (orders, receiver) = unbounded_channel();
        let reached = Arc::new(AtomicBool::new(false));
        let mut gate = Gate { orders: receiver, open: false, reached: reached.clone() };
        let future = Box::pin(async move {
            // Even a sleep of no time takes until the next tick of the timers.
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            super::dial(&road, &mut gate).await
        });
        Way { attempt, future, orders, reached }
    }

    /// A way that the test lays.
    #[cfg(test)]
    pub(crate) fn new(
        attempt: Attempt,
        future: impl Future<Output = Result<Stream, Error>> + Send + 'static,
    ) -> Way {
        Way { attempt, future: Box::pin(future), orders: unbounded_channel().0, reached: Arc::default() }
    }

    /// Lets it go on to what lies above TCP.
    pub(crate) fn proceed(&self) {
        self.order(Order::Proceed);
    }

    /// Makes another try, if TCP is not up.
    pub(crate) fn try_again(&self) {
        self.order(Order::TryAgain);
    }

    fn order(&self, order: Order) {
        // A road that is laid listens no more.
        let _ = self.orders.send(order);
    }

    /// True once: TCP is up.
    pub(crate) fn takes_reached(&self) -> bool {
        self.reached.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Stream, Error>> {
        self.future.as_mut().poll(cx)
    }
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Way").field("attempt", &self.attempt).finish_non_exhaustive()
    }
}

/// The road's end. Whoever lays it stops at the gate once TCP is up.
#[derive(Debug)]
pub(super) struct Gate {
    orders: UnboundedReceiver<Order>,
    open: bool,
    reached: Arc<AtomicBool>,
}

impl Gate {
    /// TCP is up: says so, and waits until the way may go on.
    pub(super) async fn pass(&mut self) {
        self.reached.store(true, Ordering::Relaxed);
        poll_fn(|cx| {
            while !self.open {
                if std::task::ready!(self.orders.poll_recv(cx)) != Some(Order::TryAgain) {
                    self.open = true;
                }
            }
            Poll::Ready(())
        })
        .await;
    }

    /// True if another try is wanted; else the task is woken when one is.
    pub(super) fn wants_try(&mut self, cx: &mut Context<'_>) -> bool {
        while let Poll::Ready(Some(order)) = self.orders.poll_recv(cx) {
            match order {
                Order::TryAgain => return true,
                Order::Proceed => self.open = true,
            }
        }
        false
    }

    /// A gate that is open, for those who only connect.
    #[cfg(test)]
    pub(super) fn opened() -> Gate {
        Gate { orders: unbounded_channel().1, open: true, reached: Arc::default() }
    }
}

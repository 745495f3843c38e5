//! A driver by itself: how it ends.

use std::future::poll_fn;
use std::sync::mpsc;
use std::thread::{self, ThreadId};

use remqtt_proto::{Options, Properties, Publish, QoS};

use super::*;
use crate::client::Client;
use crate::runtime::Presence;

/// Says in which thread it was closed, when it may be.
struct Witness {
    may_close: mpsc::Receiver<()>,
    closed: mpsc::Sender<ThreadId>,
}

impl SessionStore for Witness {
    fn commit(&mut self, _: &[remqtt_proto::Change]) -> Result<(), Error> {
        Ok(())
    }

    fn size(&self) -> u64 {
        0
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.may_close.recv_timeout(Duration::from_secs(10)).unwrap();
        self.closed.send(thread::current().id()).unwrap();
    }
}

#[tokio::test]
async fn the_store_is_closed_off_the_io_thread_and_before_the_end_is_told() {
    let shared = Arc::new(Shared::new(Arc::default(), Presence::open().unwrap().0));
    let ((allow, may_close), (closed, closer)) = (mpsc::channel(), mpsc::channel());
    let mut driver = Driver::new(shared.clone(), Engine::new(Options::default(), 0, now()))
        .with_store(Box::new(Witness { may_close, closed }), None);
    let client = Client { shared };
    client.close();
    let first = poll_fn(|cx| Poll::Ready(Pin::new(&mut driver).poll(cx))).await;
    assert!(first.is_pending());
    assert_eq!(client.pull(Duration::ZERO).next(), None, "the store is not closed");
    allow.send(()).unwrap();
    driver.await;
    assert_ne!(closer.try_recv().unwrap(), thread::current().id());
    assert_eq!(client.pull(Duration::ZERO).next(), Some(Event::Closed));
}

#[tokio::test]
async fn hanging_up_a_way_that_has_ended_leaves_the_link_alone() {
    let shared = Arc::new(Shared::new(Arc::default(), Presence::open().unwrap().0));
    let mut driver = Driver::new(shared, Engine::new(Options::default(), 0, now()));
    driver.link = Link::Dialling(Way::new(1, std::future::pending()));
    driver.hang_up(now(), 2, &mut Scratch::default());
    assert!(matches!(driver.link, Link::Dialling(_)));
    driver.hang_up(now(), 1, &mut Scratch::default());
    assert!(matches!(driver.link, Link::Down));
}

#[tokio::test]
async fn a_panic_ends_the_client_and_completes_what_is_open() {
    let shared = Arc::new(Shared::new(Arc::default(), Presence::open().unwrap().0));
    let mut driver = Driver::new(shared.clone(), Engine::new(Options::default(), 0, now()));
    let client = Client { shared };
    let (topic, payload, properties) = ("t".into(), Default::default(), Properties::new());
    let publish = Publish { topic, payload, qos: QoS::AtLeastOnce, retain: false, properties };
    let ticket = client.publish(publish.clone()).unwrap();
    driver.link = Link::Dialling(Way::new(1, async { panic!("this panic belongs to the test") }));
    driver.await;
    let error = client.wait(ticket, Duration::ZERO).unwrap_err();
    assert_eq!((error.code, &*error.detail), (ErrorCode::Panic, "this panic belongs to the test"));
    assert_eq!(client.state(), State::Closed);
    assert_eq!(client.publish(publish).unwrap_err().code, ErrorCode::Closed);
    let mut batch = client.pull(Duration::ZERO);
    assert!(matches!(batch.next(), Some(Event::Completed(done, Outcome::Failed(..))) if done == ticket));
    assert_eq!(batch.next(), Some(Event::Closed));
}

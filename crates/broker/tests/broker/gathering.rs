//! Messages that a link gathers before it wakes subscribers.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

use fieldgate_broker::{Link, Outgoing};

use crate::support::*;

/// What has arrived at a subscriber.
type Arrived = Arc<Mutex<Vec<String>>>;

fn publish(gathering: &fieldgate_broker::Gathering<'_>, payload: &str) {
    let message = Outgoing {
        topic: "t",
        payload: payload.as_bytes(),
        qos: QoS::AtMostOnce,
        retain: false,
        correlation_data: None,
    };
    gathering.publish([message].into_iter()).unwrap();
}

/// Counts how often it was woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Woken {
    fn times(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Gives `test` a link to publish with, and what arrives at another.
fn with_a_subscriber(test: impl AsyncFnOnce(&Link, &Arrived)) {
    let broker = broker();
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(async {
        let reader = broker.link("reader");
        reader.subscribe("t", QoS::AtMostOnce).unwrap();
        let arrived = Arrived::default();
        let noted = Arc::clone(&arrived);
        tokio::spawn(async move {
            loop {
                let delivery = reader.recv().await;
                let payload = String::from_utf8_lossy(delivery.message().payload()).into_owned();
                noted.lock().unwrap().push(payload);
            }
        });
        others_run().await;
        test(&broker.link("gateway"), &arrived).await;
    });
}

/// Lets all tasks run that can.
async fn others_run() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn subscribers_hear_of_what_was_gathered_when_it_is_dropped() {
    with_a_subscriber(async |link, arrived| {
        let gathering = link.gather();
        for payload in ["1", "2"] {
            publish(&gathering, payload);
            others_run().await;
        }
        assert!(arrived.lock().unwrap().is_empty());
        drop(gathering);
        others_run().await;
        assert_eq!(*arrived.lock().unwrap(), ["1", "2"]);
    });
}

#[test]
fn much_is_not_held_back() {
    with_a_subscriber(async |link, arrived| {
        let much = "x".repeat(10_000);
        let gathering = link.gather();
        for _ in 0..5 {
            publish(&gathering, &much);
        }
        others_run().await;
        assert_eq!(arrived.lock().unwrap().len(), 5);
    });
}

#[test]
fn of_several_gatherings_one_wakes_the_subscriber_and_once() {
    let broker = broker();
    let (link, reader) = (broker.link("gateway"), broker.link("reader"));
    reader.subscribe("t", QoS::AtMostOnce).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(async {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut waiting = pin!(reader.recv());
        let mut context = Context::from_waker(&waker);
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        let gatherings = ["1", "2", "3"].map(|payload| {
            let gathering = link.gather();
            publish(&gathering, payload);
            gathering
        });
        let [first, second, third] = gatherings.map(|gathering| Box::pin(gathering.done()));
        let mut first = first;
        let mut unheard = Context::from_waker(Waker::noop());
        assert!(first.as_mut().poll(&mut unheard).is_pending());
        // They leave it to the first.
        for other in [second, third] {
            other.await;
        }
        assert_eq!(woken.times(), 0);
        first.await;
        assert_eq!(woken.times(), 1);
    });
}

#[test]
fn a_gathering_that_ends_before_its_time_leaves_no_message_behind() {
    with_a_subscriber(async |link, arrived| {
        let gathering = link.gather();
        publish(&gathering, "1");
        {
            // Polled once, and given up.
            let mut done = pin!(gathering.done());
            let mut context = Context::from_waker(Waker::noop());
            assert!(done.as_mut().poll(&mut context).is_pending());
        }
        others_run().await;
        assert_eq!(*arrived.lock().unwrap(), ["1"]);
        // The next one is not left to one that has gone.
        let gathering = link.gather();
        publish(&gathering, "2");
        gathering.done().await;
        others_run().await;
        assert_eq!(*arrived.lock().unwrap(), ["1", "2"]);
    });
}

//! A channel to one receiver that takes little room: a gateway has three for each of its thousand devices, nearly
//! always empty. tokio's has room for 32 from the start.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;

/// The end that takes. When it is dropped, the channel is closed.
#[derive(Debug)]
pub struct Receiver<T>(Arc<Shared<T>>);

/// An end that gives. When all are dropped, the receiver gets what is left, and then nothing more.
#[derive(Debug)]
pub struct Sender<T>(Arc<Shared<T>>);

/// Why something was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsent {
    /// There is no room now.
    Full,
    /// The receiver is gone.
    Closed,
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    /// Told when there is room again, and when the receiver is gone.
    room: Notify,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<T>,
    max: usize,
    senders: usize,
    is_closed: bool,
    /// The receiver, if it waits.
    waker: Option<Waker>,
}

/// A channel in which `max` may wait.
pub fn channel<T>(max: usize) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            waiting: VecDeque::new(),
            max,
            senders: 1,
            is_closed: false,
            waker: None,
        }),
        room: Notify::new(),
    });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes `item`, if there is room.
    fn put(&self, item: T) -> Result<(), (Unsent, T)> {
        let mut state = self.lock();
        if state.is_closed {
            return Err((Unsent::Closed, item));
        }
        if state.waiting.len() >= state.max {
            return Err((Unsent::Full, item));
        }
        state.waiting.push_back(item);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }
}

impl<T> Sender<T> {
    /// Sends if there is room.
    ///
    /// # Errors
    ///
    /// If there is none, or the receiver is gone. Then `item` is dropped.
    pub fn try_send(&self, item: T) -> Result<(), Unsent> {
        self.offer(item).map_err(|(why, _)| why)
    }

    /// The same.
    ///
    /// # Errors
    ///
    /// The same, with `item`.
    pub fn offer(&self, item: T) -> Result<(), (Unsent, T)> {
        self.0.put(item)
    }

    /// Waits for room, and sends. Dropped while it waits, it has sent nothing.
    ///
    /// # Errors
    ///
    /// If the receiver is gone. Then `item` is dropped.
    pub async fn send(&self, item: T) -> Result<(), Unsent> {
        let mut item = item;
        loop {
            let mut room = pin!(self.0.room.notified());
            // From here on it hears of room: some that comes after the look is not missed.
            room.as_mut().enable();
            item = match self.0.put(item) {
                Ok(()) => return Ok(()),
                Err((Unsent::Closed, _)) => return Err(Unsent::Closed),
                Err((Unsent::Full, item)) => item,
            };
            room.await;
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.lock().senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.senders -= 1;
        let waker = match state.senders {
            0 => state.waker.take(),
            _ => None,
        };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Receiver<T> {
    /// What was sent first; `None` when no more can come. Cancel-safe.
    pub async fn recv(&mut self) -> Option<T> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// What was sent first, if anything waits.
    pub fn try_recv(&mut self) -> Option<T> {
        let item = self.0.lock().waiting.pop_front();
        if item.is_some() {
            self.0.room.notify_one();
        }
        item
    }

    fn poll_recv(&mut self, cx: &Context<'_>) -> Poll<Option<T>> {
        let mut state = self.0.lock();
        if let Some(item) = state.waiting.pop_front() {
            drop(state);
            self.0.room.notify_one();
            return Poll::Ready(Some(item));
        }
        if state.senders == 0 {
            return Poll::Ready(None);
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_closed = true;
        state.waker = None;
        let left = std::mem::take(&mut state.waiting);
        drop(state);
        drop(left);
        self.0.room.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use tokio::time::timeout;

    #[tokio::test]
    async fn what_is_sent_arrives_in_order_and_no_more_than_there_is_room_for() {
        let (sender, mut receiver) = channel(2);
        assert_eq!(sender.try_send(1), Ok(()));
        assert_eq!(sender.clone().send(2).await, Ok(()));
        assert_eq!(sender.try_send(3), Err(Unsent::Full));
        assert_eq!(receiver.recv().await, Some(1));
        assert_eq!(sender.try_send(4), Ok(()));
        assert_eq!(receiver.try_recv(), Some(2));
        drop(sender);
        assert_eq!(receiver.recv().await, Some(4));
        assert_eq!(receiver.recv().await, None);
        assert_eq!(receiver.try_recv(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn both_ends_wait_for_each_other() {
        let (sender, mut receiver) = channel(1);
        let senders = (0..3_u32).map(|number| {
            let sender = sender.clone();
            tokio::spawn(async move {
                for step in 0..100 {
                    sender.send(number * 100 + step).await.unwrap();
                }
            })
        });
        let senders: Vec<_> = senders.collect();
        drop(sender);
        let mut seen = Vec::new();
        let all = async {
            while let Some(item) = receiver.recv().await {
                seen.push(item);
            }
        };
        timeout(Duration::from_secs(9), all).await.unwrap();
        for sender in senders {
            sender.await.unwrap();
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..300).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn a_sender_that_stops_waiting_leaves_the_room_to_the_next() {
        let (sender, mut receiver) = channel(1);
        sender.try_send(1).unwrap();
        let mut given_up = Box::pin(sender.send(2));
        let instant = Duration::from_millis(1);
        assert!(timeout(instant, &mut given_up).await.is_err());
        let mut next = Box::pin(sender.send(3));
        assert!(timeout(instant, &mut next).await.is_err());
        // The first one is told of room, and gone before it can use it.
        assert_eq!(receiver.recv().await, Some(1));
        drop(given_up);
        assert_eq!(timeout(instant, next).await, Ok(Ok(())));
        assert_eq!(receiver.recv().await, Some(3));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_receiver_nothing_is_sent_and_nothing_is_left() {
        let (sender, receiver) = channel(1);
        let item = Arc::new(());
        sender.try_send(Arc::clone(&item)).unwrap();
        let mut waiting = Box::pin(sender.send(Arc::clone(&item)));
        let instant = Duration::from_millis(1);
        assert!(timeout(instant, &mut waiting).await.is_err());
        drop(receiver);
        assert_eq!(timeout(instant, waiting).await, Ok(Err(Unsent::Closed)));
        assert_eq!(sender.try_send(Arc::clone(&item)), Err(Unsent::Closed));
        assert_eq!(Arc::strong_count(&item), 1);
    }
}

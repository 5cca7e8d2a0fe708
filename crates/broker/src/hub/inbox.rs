//! The messages that wait for a link.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use fieldgate_broker_core::message::{Message, Routed};
use fieldgate_broker_core::session::Tally;
use fieldgate_broker_core::ticket::Part;

/// The client that published a message waits for its acknowledgement until this is dropped.
#[derive(Debug)]
pub struct Vouched {
    part: Arc<Part>,
}

impl Vouched {
    pub(crate) fn new(part: &Arc<Part>) -> Self {
        part.add();
        Self {
            part: Arc::clone(part),
        }
    }
}

impl Drop for Vouched {
    fn drop(&mut self) {
        if let Some(waker) = self.part.remove() {
            waker.wake();
        }
    }
}

/// Messages that wait for one link at most; past it the oldest is dropped and counted.
const INBOX_MAX: usize = 10_000;

/// Characters of a client identifier or a user's name that are told of an author: clients choose how long they are.
const AUTHOR_MAX: usize = 100;

/// Who has published a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// The beginning of the client identifier; that of a link begins with `$link/`.
    pub client: String,
    /// The beginning of the name of the user that the client has logged in as.
    pub user: Option<String>,
}

impl Author {
    pub(crate) fn new(client: &str, user: Option<&str>) -> Self {
        let cut = |text: &str| text.chars().take(AUTHOR_MAX).collect();
        Self {
            client: cut(client),
            user: user.map(cut),
        }
    }
}

/// Where a message comes from that was published just now.
#[derive(Debug)]
pub(crate) struct Origin {
    /// The number of the session.
    pub(crate) session: u64,
    /// If the link asks for it.
    pub(crate) author: Option<Box<Author>>,
}

/// A message for a link.
#[derive(Debug)]
pub struct Delivery {
    message: Message,
    vouched: Option<Vouched>,
    /// `None` if it was kept from before.
    origin: Option<Origin>,
    may_answer: bool,
}

impl Delivery {
    /// The message itself.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// The response topic, if the client that has just published the message may publish there itself: a link must not
    /// write for a client what the client may not. Retained messages and wills have none.
    pub fn answer_to(&self) -> Option<&str> {
        self.message.response_topic().filter(|_| self.may_answer)
    }

    /// What to drop when the message is safe, if its client waits for that. It is dropped with the delivery otherwise.
    pub fn take_vouched(&mut self) -> Option<Vouched> {
        self.vouched.take()
    }

    /// Whether its client waits until the message is safe.
    pub fn is_vouched(&self) -> bool {
        self.vouched.is_some()
    }

    /// The number of the session of the client that has published it just now: two messages of one client have the same.
    pub fn publisher(&self) -> Option<u64> {
        self.origin.as_ref().map(|from| from.session)
    }

    /// Who has published it just now, if the link asks for it.
    pub fn author(&self) -> Option<&Author> {
        self.origin.as_ref()?.author.as_deref()
    }

    /// Whether it was kept from before the subscription, not published just now.
    pub fn is_retained(&self) -> bool {
        self.origin.is_none()
    }
}

/// The messages that wait for a link.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    queue: VecDeque<Delivery>,
    waker: Option<Waker>,
    /// The waker is for when it fills.
    is_patient: bool,
    /// For those that are bounded in bytes and not in messages.
    room: Option<Room>,
}

/// Bytes that an inbox has and may have, and messages that it dropped.
#[derive(Debug)]
struct Room {
    most: usize,
    held: usize,
    dropped: u64,
}

impl Inbox {
    /// Of `bytes` bytes.
    pub(crate) fn with_room(bytes: usize) -> Self {
        Self {
            room: Some(Room {
                most: bytes,
                held: 0,
                dropped: 0,
            }),
            ..Self::default()
        }
    }

    /// Wakes `waker` at the next message, or, for one who is patient, when it fills.
    pub(crate) fn wake(&mut self, waker: &Waker, is_patient: bool) {
        self.waker = Some(waker.clone());
        self.is_patient = is_patient;
    }

    /// Whom to wake after a message.
    pub(crate) fn woken(&mut self) -> Option<Waker> {
        match self.is_patient && !self.is_filling() {
            true => None,
            false => self.waker.take(),
        }
    }

    /// A quarter of it is in use.
    pub(crate) fn is_filling(&self) -> bool {
        let (held, most) = self.level();
        held * 4 > most
    }

    fn is_full(&self) -> bool {
        match &self.room {
            Some(room) => room.held >= room.most,
            None => self.queue.len() >= INBOX_MAX,
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Delivery> {
        let delivery = self.queue.pop_front()?;
        if let Some(room) = &mut self.room {
            room.held -= delivery.message.weight();
        }
        Some(delivery)
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.room.as_ref().map_or(0, |room| room.dropped)
    }

    pub(crate) fn push(
        &mut self,
        routed: &Routed<'_>,
        vouched: Option<Vouched>,
        origin: Option<Origin>,
        now: std::time::Instant,
        tally: &mut Tally,
    ) {
        if routed.expired(now) {
            tally.expired += 1;
            return;
        }
        if self.is_full() {
            self.pop();
            tally.dropped += 1;
            if let Some(room) = &mut self.room {
                room.dropped += 1;
            }
        }
        tally.sent += 1;
        tally.sent_bytes += routed.publish.payload.len() as u64;
        let message = routed.message();
        if let Some(room) = &mut self.room {
            room.held += message.weight();
        }
        self.queue.push_back(Delivery {
            message,
            vouched,
            origin,
            may_answer: routed.may_answer,
        });
    }

    /// How much waits, and how much may.
    fn level(&self) -> (usize, usize) {
        match &self.room {
            Some(room) => (room.held, room.most),
            None => (self.queue.len(), INBOX_MAX),
        }
    }

    pub(crate) fn is_congested(&self) -> bool {
        let (held, most) = self.level();
        held * 2 > most
    }

    pub(crate) fn is_relieved(&self) -> bool {
        let (held, most) = self.level();
        held * 8 <= most
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inbox_of_bytes_drops_its_oldest_messages_and_counts_them_itself() {
        let now = std::time::Instant::now();
        let message = crate::testing::message("t", &[0; 1_000]);
        let weight = message.weight();
        let mut inbox = Inbox::with_room(10 * weight);
        let mut tally = Tally::default();
        for sent in 1..=25 {
            inbox.push(&Routed::kept(&message), None, None, now, &mut tally);
            assert_eq!(inbox.is_congested(), sent > 5, "{sent}");
            for (is_patient, is_woken) in [(false, true), (true, sent > 2)] {
                inbox.wake(Waker::noop(), is_patient);
                assert_eq!(inbox.woken().is_some(), is_woken, "{sent} {is_patient}");
            }
        }
        assert_eq!(
            (inbox.queue.len(), inbox.dropped(), tally.dropped),
            (10, 15, 15)
        );
        for left in (0..10).rev() {
            assert!(inbox.pop().is_some());
            assert_eq!(inbox.is_relieved(), left <= 1, "{left}");
        }
        assert_eq!(inbox.room.map(|room| room.held), Some(0));
    }

    #[test]
    fn a_full_inbox_drops_its_oldest_message_and_counts_it() {
        let mut inbox = Inbox::default();
        let mut tally = Tally::default();
        let now = std::time::Instant::now();
        for number in 0..=INBOX_MAX {
            let message = crate::testing::message("t", number.to_string().as_bytes());
            inbox.push(&Routed::kept(&message), None, None, now, &mut tally);
        }
        assert_eq!(tally.dropped, 1);
        assert_eq!(inbox.queue.len(), INBOX_MAX);
        assert_eq!(inbox.queue[0].message().payload(), b"1");
    }
}

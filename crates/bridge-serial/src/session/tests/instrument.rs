//! An instrument at the other end of a cable in memory. It answers in order, and as late, as
//! wrongly or as little as it is told.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fieldgate_bridge::{Cause, DriverError};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::time::sleep;

use crate::line::Line;

/// The gateway's end.
#[derive(Debug)]
pub(super) struct Cable {
    from: tokio::sync::Mutex<UnboundedReceiver<Vec<u8>>>,
    to: UnboundedSender<(u64, Vec<u8>)>,
    log: Log,
}

impl Cable {
    pub(super) async fn flush(&self) {
        let mut from = self.from.lock().await;
        while from.try_recv().is_ok() {}
    }
}

/// What was written, each with its number from 1.
#[derive(Clone, Debug, Default)]
pub(super) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(super) fn len(&self) -> u64 {
        self.0.lock().unwrap().len() as u64
    }

    pub(super) fn get(&self, number: u64) -> Option<String> {
        let at = usize::try_from(number).unwrap().checked_sub(1)?;
        self.0.lock().unwrap().get(at).cloned()
    }

    /// The number of the last one that begins so; 0 if there is none.
    pub(super) fn last(&self, start: &str) -> u64 {
        let log = self.0.lock().unwrap();
        let at = log.iter().rposition(|sent| sent.starts_with(start));
        at.map_or(0, |at| at as u64 + 1)
    }

    pub(super) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Line for Cable {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, DriverError> {
        let received = self.from.lock().await.recv().await;
        let bytes = received.ok_or_else(|| DriverError::new(Cause::Lost, "unplugged"))?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    async fn write(&mut self, bytes: &[u8], _: Duration) -> Result<(), DriverError> {
        let number = {
            let mut log = self.log.0.lock().unwrap();
            log.push(String::from_utf8_lossy(bytes).trim_end().to_owned());
            log.len() as u64
        };
        let sent = self.to.send((number, bytes.to_vec()));
        sent.map_err(|_| DriverError::new(Cause::Lost, "unplugged"))
    }

    async fn line_break(&mut self, length: Duration) -> Result<(), DriverError> {
        sleep(length).await;
        Ok(())
    }
}

/// What becomes of one thing that the instrument is told.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    /// It works on it for so many milliseconds, and answers.
    Answer(u64),
    /// The same, and the answer pauses in its middle.
    InPieces(u64, u64),
    /// It says its banner first.
    Banner(u64),
    /// It never came.
    Lost,
    /// It works on it, and the answer is lost.
    Unheard(u64),
    /// The answer is not readable.
    Garbled(u64),
    /// It refuses.
    Refuse(u64),
    /// It starts anew, and knows nothing of what it was told until then.
    Restart(u64),
}

/// What an instrument did with a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Did {
    It,
    Refused,
}

/// The far end.
#[derive(Clone, Debug)]
pub(super) struct Instrument {
    to: UnboundedSender<Vec<u8>>,
    fates: Arc<Mutex<VecDeque<Fate>>>,
    /// What it did, and how much had been sent by the time at which it said so.
    done: Arc<Mutex<HashMap<u64, (Did, u64)>>>,
    banner: &'static str,
    /// It is in the middle of an answer: nothing else is said then.
    is_amid: Arc<AtomicBool>,
    pub(super) log: Log,
}

impl Instrument {
    /// One that says `banner` whenever it starts, and what `answer` makes of the number and the text of what it is told.
    pub(super) fn new(
        fates: impl IntoIterator<Item = Fate>,
        banner: &'static str,
        answer: impl Fn(u64, &str) -> Vec<String> + Send + 'static,
    ) -> (Self, Cable) {
        let (to_far, from_near) = mpsc::unbounded_channel();
        let (to_near, from_far) = mpsc::unbounded_channel();
        let log = Log::default();
        let instrument = Self {
            to: to_near,
            fates: Arc::new(Mutex::new(fates.into_iter().collect())),
            done: Arc::default(),
            banner,
            is_amid: Arc::default(),
            log: log.clone(),
        };
        let cable = Cable {
            from: tokio::sync::Mutex::new(from_far),
            to: to_far,
            log,
        };
        tokio::spawn(instrument.clone().serve(from_near, answer));
        (instrument, cable)
    }

    pub(super) fn did(&self, number: u64) -> Option<Did> {
        self.done.lock().unwrap().get(&number).map(|done| done.0)
    }

    pub(super) fn done(&self, number: u64) -> Option<(Did, u64)> {
        self.done.lock().unwrap().get(&number).copied()
    }

    /// Whether the answer came before anything else was sent.
    pub(super) fn was_in_time(&self, number: u64) -> bool {
        let done = self.done.lock().unwrap();
        done.get(&number).is_some_and(|done| done.1 == number)
    }

    /// Says something that it was not asked.
    pub(super) fn say(&self, text: &str) {
        if !self.is_amid.load(Ordering::Relaxed) {
            self.send(text);
        }
    }

    fn send(&self, text: &str) {
        if !text.is_empty() {
            let _ = self.to.send(text.as_bytes().to_vec());
        }
    }

    /// Answers everything at once from now on.
    pub(super) fn recover(&self) {
        self.fates.lock().unwrap().clear();
    }

    async fn serve(
        self,
        mut from: UnboundedReceiver<(u64, Vec<u8>)>,
        answer: impl Fn(u64, &str) -> Vec<String>,
    ) {
        while let Some((number, bytes)) = from.recv().await {
            let fate = self.fates.lock().unwrap().pop_front();
            let fate = fate.unwrap_or(Fate::Answer(5));
            let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
            let whole = answer(number, &text).concat();
            let wait = |millis| sleep(Duration::from_millis(millis));
            let did = match fate {
                Fate::Answer(millis) => {
                    wait(millis).await;
                    self.send(&whole);
                    Some(Did::It)
                }
                Fate::InPieces(millis, pause) => {
                    wait(millis).await;
                    let (start, rest) = whole.split_at(whole.len() / 2);
                    self.send(start);
                    self.is_amid.store(true, Ordering::Relaxed);
                    wait(pause).await;
                    self.is_amid.store(false, Ordering::Relaxed);
                    self.send(rest);
                    Some(Did::It)
                }
                Fate::Banner(millis) => {
                    wait(millis / 2).await;
                    self.send(self.banner);
                    wait(millis / 2).await;
                    self.send(&whole);
                    Some(Did::It)
                }
                Fate::Lost => None,
                Fate::Unheard(millis) => {
                    wait(millis).await;
                    Some(Did::It)
                }
                Fate::Garbled(millis) => {
                    wait(millis).await;
                    self.send("~~!\n");
                    Some(Did::It)
                }
                Fate::Refuse(millis) => {
                    wait(millis).await;
                    self.send("ERR 3\n");
                    Some(Did::Refused)
                }
                Fate::Restart(millis) => {
                    wait(millis).await;
                    while from.try_recv().is_ok() {}
                    self.send(self.banner);
                    None
                }
            };
            // What is known before the answer is read.
            if let Some(did) = did {
                let sent = self.log.len();
                self.done.lock().unwrap().insert(number, (did, sent));
            }
        }
    }
}

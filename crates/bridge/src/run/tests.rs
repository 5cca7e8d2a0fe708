//! The loop against a scripted device, with a paused clock.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fieldgate_model::{Command, Outcome, Quality, Sample, Value};
use jiff::Timestamp;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, advance, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    COMMAND_EXPIRY, Cause, Counters, Driver, DriverError, Event, Ports, Receiver, Request, Rule,
    Sender, Session, Settings, channel, run,
};

/// What the device does next. When the script is over it does the last step again.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// `open` fails.
    NoPort,
    /// A poll fails and the session goes on.
    Silent,
    /// A poll fails and the session is over.
    Unplugged,
    /// A poll reads this.
    Reads(i64),
    /// A poll takes a while, then reads this.
    Slow(i64),
    /// A poll calls NaN a good value.
    NotANumber,
}

#[derive(Clone, Default)]
struct Device {
    script: Arc<Mutex<VecDeque<Step>>>,
    /// Times of the attempts to open it, and the polls.
    log: Arc<Mutex<Vec<(&'static str, Instant)>>>,
    recovered: Arc<tokio::sync::Notify>,
    /// When the next poll is due.
    next: Option<Instant>,
}

impl Device {
    fn step(&self) -> Step {
        let mut script = self.script.lock().unwrap();
        if script.len() > 1 {
            script.pop_front().unwrap()
        } else {
            script[0]
        }
    }

    fn peek(&self) -> Step {
        self.script.lock().unwrap()[0]
    }

    fn note(&self, what: &'static str) {
        self.log.lock().unwrap().push((what, Instant::now()));
    }

    fn times(&self, what: &str) -> Vec<Instant> {
        let log = self.log.lock().unwrap();
        log.iter()
            .filter(|(name, _)| *name == what)
            .map(|(_, at)| *at)
            .collect()
    }
}

impl Driver for Device {
    type Session = Device;

    async fn open(&mut self) -> Result<Device, DriverError> {
        self.note("open");
        if matches!(self.peek(), Step::NoPort) {
            self.step();
            return Err(DriverError::new(Cause::Open, "no such port"));
        }
        Ok(self.clone())
    }

    async fn recovered(&mut self) {
        self.recovered.notified().await;
    }
}

impl Session for Device {
    async fn ready(&mut self) {
        let second = Duration::from_secs(1);
        sleep_until(*self.next.get_or_insert(Instant::now() + second)).await;
    }

    async fn poll(&mut self, out: &mut Vec<Sample>) -> Result<(), DriverError> {
        self.note("poll");
        self.next = None;
        let mut good = |value| {
            out.push(Sample {
                point: 0,
                value: Some(value),
                quality: Quality::Good,
                at: Timestamp::UNIX_EPOCH,
                error: None,
            })
        };
        match self.step() {
            Step::Reads(value) => good(Value::Decimal(value.into())),
            Step::Slow(value) => {
                sleep(Duration::from_secs(10)).await;
                good(Value::Decimal(value.into()));
                self.note("slow poll done");
            }
            Step::NotANumber => good(Value::F32(f32::NAN)),
            Step::Unplugged | Step::NoPort => {
                return Err(DriverError::new(Cause::Lost, "unplugged"));
            }
            Step::Silent => return Err(DriverError::new(Cause::Timeout, "no answer")),
        }
        Ok(())
    }

    async fn apply(&mut self, command: Command, out: &mut Vec<Sample>) -> Outcome {
        self.note("apply");
        sleep(Duration::from_millis(100)).await;
        out.push(Sample::good(
            command.point,
            command.value.clone(),
            Timestamp::UNIX_EPOCH,
        ));
        Outcome::Done {
            readback: Some(command.value.clone()),
            value: command.value,
        }
    }
}

struct Running {
    device: Device,
    requests: Sender<Box<Request>>,
    events: Receiver<Box<Event>>,
    cancel: CancellationToken,
    counters: Arc<Counters>,
    task: JoinHandle<()>,
}

impl Running {
    fn start(script: &[Step]) -> Self {
        let device = Device::default();
        device.script.lock().unwrap().extend(script);
        let settings = Settings {
            device: "d".into(),
            rules: [Rule::default()].into(),
            backoff: crate::Backoff::default(),
            offline_after: 3,
            command_expiry: COMMAND_EXPIRY,
            seed: 1,
        };
        let (requests, requests_rx) = channel(8);
        let (events_tx, events) = channel(1);
        let cancel = CancellationToken::new();
        let counters = Arc::new(Counters::default());
        let ports = Ports {
            requests: requests_rx,
            events: events_tx,
            cancel: cancel.clone(),
        };
        let task = tokio::spawn(run(device.clone(), settings, counters.clone(), ports));
        Self {
            device,
            requests,
            events,
            cancel,
            counters,
            task,
        }
    }

    /// A short text for the next event.
    async fn next(&mut self) -> String {
        match *self.events.recv().await.unwrap() {
            Event::Online => "online".into(),
            Event::Offline { error, .. } => format!("offline: {error}"),
            Event::Samples(samples) => {
                let texts = samples.iter().map(|sample| {
                    let value = sample.value.as_ref().map_or("-".into(), Value::to_string);
                    format!("{:?} {value}", sample.quality)
                });
                texts.collect::<Vec<_>>().join(", ")
            }
        }
    }

    async fn expect(&mut self, wanted: &[&str]) {
        for want in wanted {
            assert_eq!(self.next().await, *want);
        }
    }

    async fn command(&self, value: i64, age: Duration) -> oneshot::Receiver<Outcome> {
        let (mut request, outcome) = Request::new(Command {
            point: 0,
            value: Value::Decimal(value.into()),
        });
        request.received -= age;
        self.requests.send(request).await.unwrap();
        outcome
    }
}

fn failure(outcome: Outcome) -> String {
    match outcome {
        Outcome::Failed(text) => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_comes_online_with_its_first_answer_and_unchanged_values_are_held_back() {
    let mut running = Running::start(&[Step::Reads(1), Step::Reads(1), Step::Reads(2)]);
    running.expect(&["online", "Good 1", "Good 2"]).await;
    let counts = running.counters.snapshot();
    assert_eq!((counts.polls, counts.samples, counts.suppressed), (3, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_device_that_fails_three_times_goes_offline_with_stale_values_and_comes_back() {
    use Step::*;
    let mut running = Running::start(&[
        Reads(1),
        Silent,
        Silent,
        Reads(1),
        Silent,
        Silent,
        Silent,
        Silent,
        Reads(1),
    ]);
    running
        .expect(&[
            "online",
            "Good 1",
            "offline: no answer",
            "Stale 1",
            "online",
            "Good 1",
        ])
        .await;
    let counts = running.counters.snapshot();
    assert_eq!((counts.failed_timeout, counts.offline), (6, 1));
}

#[tokio::test(start_paused = true)]
async fn a_dead_device_is_polled_once_per_pause_and_pauses_grow_to_a_minute() {
    let mut running = Running::start(&[Step::Silent]);
    running.expect(&["offline: no answer"]).await;
    sleep(Duration::from_secs(600)).await;
    let polls = running.device.times("poll");
    let opens = running.device.times("open");
    // Three failures, then one poll for each time that it is opened again.
    assert_eq!(polls.len(), 3 + opens.len() - 1);
    assert!((14..=26).contains(&opens.len()), "{} attempts", opens.len());
    let last = opens.len() - 1;
    let pause = opens[last] - opens[last - 1];
    assert!(
        pause >= Duration::from_secs(30) && pause <= Duration::from_secs(62),
        "{pause:?}"
    );
    assert_eq!(running.counters.snapshot().offline, 1);
}

#[tokio::test(start_paused = true)]
async fn a_device_that_is_offline_for_another_reason_says_so_once() {
    use Step::*;
    let mut running = Running::start(&[NoPort, NoPort, NoPort, Silent, NoPort, Reads(1)]);
    running
        .expect(&[
            "offline: no such port",
            "offline: no answer",
            "offline: no such port",
            "online",
            "Good 1",
        ])
        .await;
    assert_eq!(running.counters.snapshot().offline, 1);
}

#[tokio::test(start_paused = true)]
async fn a_sign_of_recovery_ends_the_pause_early() {
    let mut running = Running::start(&[Step::NoPort]);
    running.expect(&["offline: no such port"]).await;
    sleep(Duration::from_secs(300)).await;
    let before = running.device.times("open").len();
    let now = Instant::now();
    running.device.script.lock().unwrap()[0] = Step::Reads(4);
    running.device.recovered.notify_one();
    running.expect(&["online", "Good 4"]).await;
    assert_eq!(running.device.times("open").len(), before + 1);
    assert!(now.elapsed() <= Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_lost_port_is_opened_again_after_a_pause() {
    use Step::*;
    let mut running = Running::start(&[Reads(1), Unplugged, NoPort, Reads(1), Reads(2)]);
    running.expect(&["online", "Good 1", "Good 2"]).await;
    assert_eq!(running.device.times("open").len(), 3);
    let counts = running.counters.snapshot();
    assert_eq!(
        (counts.failed_lost, counts.failed_open, counts.offline),
        (1, 1, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn commands_are_carried_out_between_polls_and_their_read_back_is_published() {
    let mut running = Running::start(&[Step::Reads(1)]);
    running.expect(&["online", "Good 1"]).await;
    let value = Value::Decimal(7.into());
    let outcome = running.command(7, Duration::ZERO).await.await.unwrap();
    assert_eq!(
        outcome,
        Outcome::Done {
            value: value.clone(),
            readback: Some(value)
        }
    );
    running.expect(&["Good 7"]).await;
    assert_eq!(running.counters.snapshot().commands_ok, 1);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_commands_does_not_stop_the_polls() {
    let mut running = Running::start(&[Step::Reads(1)]);
    running.expect(&["online", "Good 1"]).await;
    let requests = running.requests.clone();
    tokio::spawn(async move {
        let command = Command {
            point: 0,
            value: Value::Bool(true),
        };
        while requests.send(Request::new(command.clone()).0).await.is_ok() {}
    });
    let Running { mut events, .. } = running;
    tokio::spawn(async move { while events.recv().await.is_some() {} });
    sleep(Duration::from_secs(60)).await;
    let polls = running.device.times("poll").len();
    assert!((50..=61).contains(&polls), "{polls}");
    assert!(running.device.times("apply").len() > 400);
}

#[tokio::test(start_paused = true)]
async fn commands_are_refused_at_once_while_the_device_is_not_online() {
    for (script, want) in [
        (Step::Silent, "the device is offline: no answer"),
        (Step::NoPort, "the device is offline: no such port"),
    ] {
        let mut running = Running::start(&[script]);
        let outcome = running.command(1, Duration::ZERO).await.await.unwrap();
        assert_eq!(failure(outcome), "the device is not connected");
        running.next().await;
        let before = Instant::now();
        let outcome = running.command(1, Duration::ZERO).await.await.unwrap();
        assert_eq!(failure(outcome), want);
        assert_eq!(before.elapsed(), Duration::ZERO);
        assert_eq!(running.device.times("apply").len(), 0);
        assert_eq!(running.counters.snapshot().commands_refused, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_that_waited_too_long_is_refused() {
    let mut running = Running::start(&[Step::Reads(1)]);
    running.expect(&["online", "Good 1"]).await;
    for (age, is_done) in [(5_000, true), (5_001, false)] {
        let reply = running.command(9, Duration::from_millis(age)).await;
        let outcome = reply.await.unwrap();
        assert_eq!(
            matches!(outcome, Outcome::Done { .. }),
            is_done,
            "{age} ms: {outcome:?}"
        );
    }
    assert_eq!(running.device.times("apply").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn cancelling_waits_for_the_transaction_that_is_under_way() {
    let mut running = Running::start(&[Step::Reads(1), Step::Slow(2)]);
    running.expect(&["online", "Good 1"]).await;
    sleep(Duration::from_secs(5)).await;
    assert_eq!(running.device.times("poll").len(), 2);
    running.cancel.cancel();
    timeout(Duration::from_secs(20), running.task)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(running.device.times("slow poll done").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn cancelling_ends_a_pause_and_a_full_queue_of_events_at_once() {
    let running = Running::start(&[Step::NoPort]);
    sleep(Duration::from_secs(200)).await;
    running.cancel.cancel();
    timeout(Duration::from_millis(1), running.task)
        .await
        .unwrap()
        .unwrap();

    // Nothing reads the events: the device waits, and drops nothing but the last when cancelled.
    let running = Running::start(&[Step::Reads(1)]);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(running.device.times("poll").len(), 1);
    running.cancel.cancel();
    timeout(Duration::from_millis(1), running.task)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(running.counters.snapshot().dropped, 1);
}

#[tokio::test(start_paused = true)]
async fn the_run_goes_on_without_command_senders_and_ends_without_receivers() {
    let running = Running::start(&[Step::Reads(1), Step::Reads(2)]);
    let Running {
        requests,
        mut events,
        task,
        ..
    } = running;
    drop(requests);
    assert_eq!(events.recv().await.as_deref(), Some(&Event::Online));
    assert!(events.recv().await.is_some());
    drop(events);
    advance(Duration::from_secs(5)).await;
    timeout(Duration::from_secs(5), task)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_good_sample_that_is_no_number_becomes_a_bad_one() {
    let mut running = Running::start(&[Step::NotANumber, Step::NotANumber, Step::Reads(0)]);
    running.expect(&["online", "Bad -", "Good 0"]).await;
}

use std::sync::Arc;

use fieldgate_bridge::{Counters, Defaults, Event, Ports, Receiver, Request, Sender, channel, run};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{self, timeout};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::config::{Drive, Edge, GpioEntry, LineConfig, LineRef, PwmConfig};
use crate::count_store::Memory;
use crate::line::{LineError, LineInfo, OutputLine, PwmLine};
use crate::sim::SimChip;

/// A device on simulated lines, run by the gateway's own loop.
struct Bench {
    chip: SimChip,
    store: Arc<Memory>,
    keeper: Handover,
}

struct Running {
    requests: Sender<Box<Request>>,
    events: Receiver<Box<Event>>,
    cancel: CancellationToken,
    counts: Arc<GpioCounts>,
    task: JoinHandle<()>,
}

impl Bench {
    fn new() -> Self {
        Self {
            chip: SimChip::new(),
            store: Arc::default(),
            keeper: Handover::default(),
        }
    }

    fn start(&self, points: &str) -> Running {
        self.start_on(Arc::new(self.chip.clone()), points)
    }

    fn start_on(&self, backend: Arc<dyn Backend>, points: &str) -> Running {
        let json = format!(r#"{{"gpio": {{"chip": "sim"}}, "points": {points}}}"#);
        let entry: GpioEntry = serde_json::from_str(&json).unwrap();
        let config = entry.resolve("panel", &Defaults::default()).unwrap();
        let settings = config.settings(7);
        let driver = GpioDriver::new(
            config,
            backend,
            Arc::clone(&self.store) as Arc<dyn Store>,
            self.keeper.clone(),
        );
        let counts = driver.counts();
        let (requests, taken) = channel(4);
        let (told, events) = channel(64);
        let cancel = CancellationToken::new();
        let ports = Ports {
            requests: taken,
            events: told,
            cancel: cancel.clone(),
        };
        let task = tokio::spawn(run(driver, settings, Arc::new(Counters::default()), ports));
        Running {
            requests,
            events,
            cancel,
            counts,
            task,
        }
    }
}

impl Running {
    /// The next value of a point; others are passed over.
    async fn value(&mut self, point: usize) -> String {
        loop {
            let event = timeout(Duration::from_secs(3600), self.events.recv()).await;
            match *event.expect("nothing came").expect("the device has ended") {
                Event::Samples(samples) => {
                    let mut found = samples.into_iter().rev();
                    if let Some(sample) = found.find(|sample| sample.point == point) {
                        let why = sample.error.as_deref().unwrap_or("none");
                        let value = sample.value.as_ref().map(|value| value.to_string());
                        return value.unwrap_or_else(|| why.to_owned());
                    }
                }
                Event::Online => {}
                Event::Offline { error, .. } => return format!("offline: {error}"),
            }
        }
    }

    async fn online(&mut self) {
        while self.events.recv().await.as_deref() != Some(&Event::Online) {}
    }

    async fn command(&self, point: usize, payload: &str) -> String {
        let value = fieldgate_model::parse_command_value(payload.as_bytes()).unwrap();
        let (request, outcome) = Request::new(Command { point, value });
        self.requests.send(request).await.unwrap();
        match outcome.await.unwrap() {
            Outcome::Done { value, .. } => value.to_string(),
            Outcome::Mismatch { readback, .. } => format!("mismatch {readback:?}"),
            Outcome::Failed(error) => error,
        }
    }

    async fn stop(self) {
        self.cancel.cancel();
        self.task.await.unwrap();
    }
}

fn line(offset: u32) -> LineRef {
    LineRef::Offset(offset)
}

#[tokio::test(start_paused = true)]
async fn inputs_tell_their_state_at_the_start_and_each_edge() {
    let bench = Bench::new();
    bench.chip.drive(&line(2), true);
    let mut device = bench.start(
        r#"{"door": {"in": 1, "active_low": true, "enum": {"0": "closed", "1": "open"}}, "key": {"in": 2}}"#,
    );
    assert_eq!(device.value(1).await, "true");
    for (is_high, want) in [(true, "closed"), (false, "open"), (true, "closed")] {
        bench.chip.drive(&line(1), is_high);
        assert_eq!(device.value(0).await, want);
    }
    device.stop().await;
    assert!(!bench.chip.is_taken(&line(1)));
}

#[tokio::test(start_paused = true)]
async fn pulses_are_counted_with_lost_ones_kept_and_preset() {
    let points = r#"{
        "water": {"count": 1, "scale": 0.5, "persist": "60s", "write": true},
        "lost": {"lost": "water"},
        "flow": {"rate": "water", "per": "1m"}
    }"#;
    let bench = Bench::new();
    let mut device = bench.start(points);
    device.online().await;
    for _ in 0..20 {
        time::sleep(Duration::from_millis(50)).await;
        bench.chip.drive(&line(1), true);
        bench.chip.drive(&line(1), false);
    }
    // Twenty pulses, 50 ms apart, of half a litre: ten litres a second, 600 a minute.
    while device.value(2).await != "600" {}
    // More than the kernel keeps, while the session does not read.
    for _ in 0..1_500 {
        bench.chip.drive(&line(1), true);
        bench.chip.drive(&line(1), false);
    }
    while device.value(1).await != "476" {}
    device.stop().await;

    let mut device = bench.start(points);
    while device.value(0).await != "760" {}
    assert_eq!(device.command(0, "0.7").await, "0.7 is between two counts");
    assert_eq!(device.command(0, "-1").await, "-1 is out of range");
    assert_eq!(device.command(0, "12.5").await, "12.5");
    while device.value(0).await != "12.5" {}
    device.stop().await;
    assert_eq!(bench.store.load("panel").unwrap()["water"].total, 25);
}

#[tokio::test(start_paused = true)]
async fn a_bad_value_says_why() {
    let bench = Bench::new();
    let huge = "170000000000000000000000000000000000000";
    let points = format!(r#"{{"n": {{"count": 1, "scale": {huge}}}}}"#);
    let mut device = bench.start(&points);
    device.online().await;
    for want in [huge, "the count times `scale` has too many digits"] {
        bench.chip.drive(&line(1), true);
        bench.chip.drive(&line(1), false);
        while device.value(0).await != want {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_in_capitals_is_the_same_name() {
    let bench = Bench::new();
    let names = r#"{"1": "off", "0": "on"}"#;
    let mut device = bench.start(&format!(r#"{{"valve": {{"out": 1, "enum": {names}}}}}"#));
    device.online().await;
    for (payload, is_high) in [
        ("off", true),
        ("ON", false),
        ("OFF", true),
        ("on", false),
        ("1", true),
        ("false", false),
    ] {
        device.command(0, payload).await;
        assert_eq!(bench.chip.is_high(&line(1)), is_high, "{payload}");
    }
    let refused = device.command(0, "7").await;
    assert_eq!(refused, "expected 0, 1 or a pulse, found 7");
}

#[tokio::test(start_paused = true)]
async fn a_pulse_ends_in_time_even_if_no_task_takes_the_readings() {
    let bench = Bench::new();
    let mut device = bench.start(
        r#"{"siren": {"out": 1, "pulse_max": "30s"}, "key": {"in": 2, "publish": "every_poll"}}"#,
    );
    device.online().await;
    assert_eq!(device.command(0, r#"{"pulse":"500ms"}"#).await, "true");
    assert!(bench.chip.is_high(&line(1)));
    // The queue of events is full from here on.
    for step in 0..200 {
        bench.chip.drive(&line(2), step % 2 == 0);
        tokio::task::yield_now().await;
    }
    time::sleep(Duration::from_millis(499)).await;
    assert!(bench.chip.is_high(&line(1)));
    time::sleep(Duration::from_millis(2)).await;
    assert!(!bench.chip.is_high(&line(1)));
    for want in ["true", "false"] {
        while device.value(0).await != want {}
    }
    for (payload, want) in [
        (r#"{"pulse":"31s"}"#, "longer than pulse_max, 30s"),
        (
            r#"{"pulse":"soon"}"#,
            "pulse: expected a time such as \"500ms\" or \"2s\"",
        ),
        (
            r#"{"pulse":"1s","value":0}"#,
            "a pulse switches on: its value can only be 1",
        ),
        ("7", "expected 0, 1 or a pulse, found 7"),
        ("1", "true"),
    ] {
        assert_eq!(device.command(0, payload).await, want, "{payload}");
    }
    time::sleep(Duration::from_millis(29_900)).await;
    assert!(bench.chip.is_high(&line(1)));
    time::sleep(Duration::from_millis(200)).await;
    assert!(!bench.chip.is_high(&line(1)));
}

#[tokio::test(start_paused = true)]
async fn interlocked_outputs_are_never_on_together() {
    let bench = Bench::new();
    let mut device =
        bench.start(r#"{"up": {"out": 1, "interlock": ["down"]}, "down": {"out": 2}}"#);
    device.online().await;
    for (point, payload, want) in [
        (0, "1", "true"),
        (1, "1", "interlocked: \"up\" is on"),
        (1, r#"{"pulse":"1s"}"#, "interlocked: \"up\" is on"),
        (0, "0", "false"),
        (1, "on", "true"),
        (0, "on", "interlocked: \"down\" is on"),
    ] {
        assert_eq!(
            device.command(point, payload).await,
            want,
            "{point} {payload}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn outputs_move_at_the_start_and_at_the_end_only_if_the_mapping_says_so() {
    for (keys, before, running, after) in [
        ("", true, true, true),
        ("", false, false, false),
        (r#", "initial": 0"#, true, false, false),
        (r#", "safe": 0"#, true, true, false),
        (r#", "initial": 1, "safe": 0"#, false, true, false),
        (r#", "initial": 1, "active_low": true"#, true, false, false),
    ] {
        let bench = Bench::new();
        bench.chip.drive(&line(1), before);
        let mut device = bench.start(&format!(r#"{{"relay": {{"out": 1{keys}}}}}"#));
        device.online().await;
        assert_eq!(bench.chip.is_high(&line(1)), running, "{keys}");
        device.stop().await;
        assert_eq!(bench.chip.is_high(&line(1)), after, "{keys}");
    }
}

#[tokio::test(start_paused = true)]
async fn outputs_go_to_their_safe_level_when_the_task_of_the_device_is_lost() {
    let bench = Bench::new();
    let mut device = bench.start(
        r#"{"relay": {"out": 1, "safe": 0}, "fan": {"pwm": 0, "frequency": 100, "safe": 20}}"#,
    );
    device.online().await;
    assert_eq!(bench.chip.duty(0), None);
    assert_eq!(device.command(0, "1").await, "true");
    assert_eq!(device.command(1, "75").await, "75");
    assert_eq!(
        device.command(1, "101").await,
        "expected a duty of 0 to 100 percent, found 101"
    );
    assert_eq!(bench.chip.duty(0), Some(0.75));
    device.task.abort();
    assert!(device.task.await.unwrap_err().is_cancelled());
    assert!(!bench.chip.is_high(&line(1)));
    assert_eq!(bench.chip.duty(0), Some(0.2));
}

#[tokio::test(start_paused = true)]
async fn a_reload_keeps_outputs_and_the_ends_of_their_pulses() {
    let bench = Bench::new();
    let mut device = bench.start(
        r#"{"siren": {"out": 1, "initial": 0, "safe": 0}, "gone": {"out": 2, "initial": 1, "safe": 0}}"#,
    );
    device.online().await;
    assert_eq!(device.command(0, r#"{"pulse":"10s"}"#).await, "true");
    let writes = bench.chip.writes(&line(1));
    bench.keeper.hold("panel");
    device.stop().await;
    assert!(bench.chip.is_taken(&line(1)));
    let mut device =
        bench.start(r#"{"siren": {"out": 1, "initial": 0, "safe": 0}, "new": {"in": 3}}"#);
    device.online().await;
    assert!(bench.chip.is_high(&line(1)));
    assert_eq!(bench.chip.writes(&line(1)), writes, "it was not touched");
    assert!(
        !bench.chip.is_high(&line(2)),
        "what is gone went to its safe level"
    );
    assert!(!bench.chip.is_taken(&line(2)));
    time::sleep(Duration::from_secs(11)).await;
    assert!(!bench.chip.is_high(&line(1)));
    device.stop().await;
    assert!(!bench.chip.is_taken(&line(1)));
}

#[tokio::test(start_paused = true)]
async fn what_is_held_on_keeps_an_interlocked_output_off_that_a_reload_adds() {
    let bench = Bench::new();
    let mut device = bench.start(r#"{"down": {"out": 1, "initial": 0, "safe": 0}}"#);
    device.online().await;
    assert_eq!(device.command(0, "1").await, "true");
    bench.keeper.hold("panel");
    device.stop().await;
    // In the order of the file it would be switched on before the other one is looked at.
    let mut device = bench.start(
        r#"{"up": {"out": 2, "initial": 1, "interlock": ["down"]}, "down": {"out": 1, "initial": 0, "safe": 0}}"#,
    );
    device.online().await;
    assert!(bench.chip.is_high(&line(1)));
    assert!(!bench.chip.is_high(&line(2)));
    device.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_held_for_a_device_that_does_not_start_goes_to_its_safe_level() {
    let bench = Bench::new();
    let mut device = bench.start(r#"{"relay": {"out": 1, "initial": 1, "safe": 0}}"#);
    device.online().await;
    bench.keeper.hold("panel");
    device.stop().await;
    assert!(bench.chip.is_high(&line(1)));
    bench.keeper.release("panel");
    assert!(!bench.chip.is_high(&line(1)) && !bench.chip.is_taken(&line(1)));
}

#[tokio::test(start_paused = true)]
async fn a_wired_input_follows_its_output_and_nothing_else_and_all_is_counted() {
    let bench = Bench::new();
    bench.chip.wire([(line(2), line(1))].into());
    tokio::spawn(bench.chip.clone().play());
    let points = r#"{"relay": {"out": 1, "active_low": true}, "pulses": {"count": 2, "write": true}, "free": {"in": 3}}"#;
    let mut device = bench.start(points);
    device.online().await;
    let counts = Arc::clone(&device.counts);
    for (value, total) in [("0", Some("1")), ("0", None), ("1", None), ("0", Some("2"))] {
        device.command(0, value).await;
        if let Some(total) = total {
            while device.value(1).await != total {}
        }
    }
    let before = counts.snapshot();
    assert_eq!((before.commands, before.refused), (4, 0));
    // Only the input that is wired to nothing moves by itself.
    while device.value(2).await != "true" {}
    while device.value(2).await != "false" {}
    let edges = counts.snapshot().edges - before.edges;
    assert!((1..=3).contains(&edges), "{edges}");
    assert_eq!(device.command(1, "-1").await, "-1 is out of range");
    assert_eq!(counts.snapshot().refused, 1);
    device.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_chip_that_is_pulled_out_comes_back() {
    let bench = Bench::new();
    let mut device = bench.start(r#"{"door": {"in": 1}, "relay": {"out": 2, "initial": 1}}"#);
    device.online().await;
    assert_eq!(device.command(1, "0").await, "false");
    bench.chip.unplug(true);
    while device.value(0).await != "offline: there is no line 1" {}
    bench.chip.unplug(false);
    device.online().await;
    assert!(!bench.chip.is_high(&line(2)), "`initial` is for the start");
}

#[tokio::test(start_paused = true)]
async fn a_line_in_use_elsewhere_is_named_with_its_consumer() {
    let bench = Bench::new();
    bench.chip.take(&line(2), "gpioset");
    let mut device =
        bench.start(r#"{"relay": {"out": 1, "initial": 1, "safe": 0}, "door": {"in": 2}}"#);
    let want = "offline: point \"door\": line 2 is in use by \"gpioset\"";
    assert_eq!(device.value(1).await, want);
    assert!(
        !bench.chip.is_high(&line(1)),
        "no line is kept without the others"
    );
}

/// Simulated lines whose PWM channel waits, as for rights to its files, until it is let go.
#[derive(Debug)]
struct Slow {
    chip: SimChip,
    waits: Notify,
    let_go: std::sync::Mutex<std::sync::mpsc::Receiver<()>>,
}

impl Backend for Slow {
    fn input(
        &self,
        chip: Option<&str>,
        line: &LineConfig,
        edge: Edge,
        owner: &str,
    ) -> Result<Box<dyn InputLine>, LineError> {
        self.chip.input(chip, line, edge, owner)
    }

    fn output(
        &self,
        chip: Option<&str>,
        line: &LineConfig,
        drive: Drive,
        level: Option<bool>,
        owner: &str,
    ) -> Result<Box<dyn OutputLine>, LineError> {
        self.chip.output(chip, line, drive, level, owner)
    }

    fn pwm(&self, pwm: &PwmConfig, duty: f64) -> Result<Box<dyn PwmLine>, LineError> {
        self.waits.notify_one();
        let let_go = self.let_go.lock().unwrap();
        let let_go = let_go.recv_timeout(Duration::from_secs(10));
        let_go.map_err(|_| LineError("the whole thread waited".to_owned()))?;
        self.chip.pwm(pwm, duty)
    }

    fn look(&self, chip: Option<&str>, line: &LineRef) -> Result<LineInfo, LineError> {
        self.chip.look(chip, line)
    }

    fn now(&self) -> Duration {
        self.chip.now()
    }
}

#[tokio::test]
async fn commands_do_not_wait_for_a_pwm_channel_in_use() {
    for (initial, commands) in [(r#","initial": 30"#, &[][..]), ("", &["30"])] {
        let bench = Bench::new();
        let (go, let_go) = std::sync::mpsc::channel();
        let slow = Arc::new(Slow {
            chip: bench.chip.clone(),
            waits: Notify::new(),
            let_go: let_go.into(),
        });
        let points = format!(r#"{{"fan": {{"pwm": 0, "frequency": 1000 {initial}}}}}"#);
        let backend = Arc::clone(&slow) as Arc<dyn Backend>;
        let mut running = bench.start_on(backend, &points);
        let other = async {
            slow.waits.notified().await;
            go.send(()).unwrap();
        };
        let commanded = async {
            for payload in commands {
                running.online().await;
                assert_eq!(running.command(0, payload).await, "30");
            }
        };
        tokio::join!(other, commanded);
        assert_eq!(running.value(0).await, "30");
        running.stop().await;
    }
}

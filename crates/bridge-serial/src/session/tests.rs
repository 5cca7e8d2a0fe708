//! Sessions with instruments in memory, on a clock that stands still while nothing happens.

mod exchanges;
mod instrument;
mod model;

use std::sync::Arc;
use std::time::Duration;

use fieldgate_bridge::{Defaults, Session};
use fieldgate_model::{Command, Outcome, Quality, Sample, Value};
use tokio::time::{Instant, sleep_until};

use super::SerialSession;
use crate::config::{SerialConfig, SerialEntry};
use crate::counts::SerialCounts;
use crate::question::Debts;
use instrument::Cable;

/// A session with an instrument.
struct Bench {
    config: Arc<SerialConfig>,
    counts: Arc<SerialCounts>,
    debts: Debts,
    session: Option<SerialSession<Cable>>,
}

/// A device from its keys besides `serial`.
fn config(keys: &str) -> Arc<SerialConfig> {
    let json = format!(r#"{{"serial": {{"port": "/dev/x"}}, {keys}}}"#);
    let entry: SerialEntry = serde_json::from_str(&json).unwrap_or_else(|e| panic!("{json}: {e}"));
    let config = entry.resolve("d", &Defaults::default());
    Arc::new(config.unwrap_or_else(|faults| panic!("{json}: {faults:?}")))
}

impl Bench {
    async fn new(keys: &str, cable: Cable) -> Self {
        let mut bench = Self {
            config: config(keys),
            counts: Arc::default(),
            debts: Debts::default(),
            session: None,
        };
        bench.open(cable).await;
        bench
    }

    async fn open(&mut self, cable: Cable) {
        let (config, counts) = (Arc::clone(&self.config), Arc::clone(&self.counts));
        let session = SerialSession::start(cable, config, counts, self.debts.clone());
        self.session = Some(session.await.unwrap());
    }

    /// The port is closed and opened again; what came in before is dropped.
    async fn reopen(&mut self) {
        let SerialSession { port, .. } = self.session.take().unwrap();
        port.flush().await;
        self.open(port).await;
    }

    fn session(&mut self) -> &mut SerialSession<Cable> {
        self.session.as_mut().unwrap()
    }

    /// Polls until `end`, as the gateway's loop does. Each poll's samples go to `look`.
    async fn run_until(&mut self, end: Instant, mut look: impl FnMut(Result<&[Sample], String>)) {
        loop {
            tokio::select! {
                biased;
                () = sleep_until(end) => return,
                () = self.session().ready() => {}
            }
            let mut samples = Vec::new();
            let result = self.session().poll(&mut samples).await;
            look(
                result
                    .map(|()| samples.as_slice())
                    .map_err(|error| error.to_string()),
            );
        }
    }

    /// What was read or went wrong in a number of milliseconds, as text: `temperature 21.5`.
    async fn read_for(&mut self, millis: u64) -> Vec<String> {
        let mut all = Vec::new();
        let config = Arc::clone(&self.config);
        let end = Instant::now() + Duration::from_millis(millis);
        self.run_until(end, |polled| match polled {
            Ok(samples) => all.extend(samples.iter().map(|sample| shown(&config, sample))),
            Err(error) => all.push(error),
        })
        .await;
        all
    }

    /// Sends a command; its outcome, and the samples that came with it.
    async fn command(&mut self, point: usize, value: &str) -> (String, Vec<Sample>) {
        let value = Value::Text(value.to_owned());
        let mut samples = Vec::new();
        let outcome = self.session().apply(Command { point, value }, &mut samples);
        let text = match outcome.await {
            Outcome::Done { value, .. } => format!("done {value}"),
            Outcome::Mismatch { value, .. } => format!("mismatch {value}"),
            Outcome::Failed(error) => error,
        };
        (text, samples)
    }
}

fn shown(config: &SerialConfig, sample: &Sample) -> String {
    let name = &config.points[sample.point].0;
    match (sample.quality, &sample.value, &sample.error) {
        (Quality::Good, Some(value), _) => format!("{name} {value}"),
        (_, _, Some(error)) => format!("{name} bad: {error}"),
        _ => format!("{name} bad"),
    }
}

//! Jobs: what takes longer than an answer. Bounded in number, in time and in what they tell.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::task::AbortHandle;

use crate::later::Later;
use crate::shown;
use crate::tools::{Found, Told, Unable};

/// Jobs that work at a time.
pub(crate) const JOBS_MAX: usize = 2;
/// Jobs that are remembered, those that work included.
const KEPT_MAX: usize = 10;
/// How long a job may work: all units of a slow line.
const TIME_MAX: Duration = Duration::from_secs(15 * 60);
/// Bytes of the text of a job.
const TEXT_MAX: usize = 128 * 1024;

/// All jobs.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    all: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    last: u64,
    jobs: BTreeMap<u64, Arc<Job>>,
}

/// One job.
#[derive(Debug)]
pub(crate) struct Job {
    number: u64,
    kind: &'static str,
    subject: String,
    user: String,
    begun: Timestamp,
    now: Mutex<Now>,
}

#[derive(Debug, Default)]
struct Now {
    state: State,
    text: String,
    is_cut: bool,
    done: usize,
    all: usize,
    found: Vec<Found>,
    abort: Option<AbortHandle>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Working,
    Done,
    Failed(String),
    Cancelled,
}

/// A job as it is told.
#[derive(Debug, Serialize)]
pub(crate) struct ShownJob {
    job: u64,
    kind: &'static str,
    subject: String,
    user: String,
    begun: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    done: usize,
    all: usize,
    text: String,
    found: Vec<Found>,
}

impl Jobs {
    /// Begins a job; `None` if too many are at work.
    pub(crate) fn begin(
        &self,
        kind: &'static str,
        subject: &str,
        user: &str,
        work: impl FnOnce(Arc<Job>) -> Later<'static, Result<(), Unable>> + Send + 'static,
    ) -> Option<u64> {
        let mut kept = self.lock();
        let working = kept.jobs.values().filter(|job| job.is_working());
        if working.count() >= JOBS_MAX {
            return None;
        }
        while kept.jobs.len() >= KEPT_MAX {
            let oldest = kept.jobs.iter().find(|(_, job)| !job.is_working());
            let oldest = oldest.map(|(number, _)| *number)?;
            kept.jobs.remove(&oldest);
        }
        kept.last += 1;
        let number = kept.last;
        let job = Arc::new(Job {
            number,
            kind,
            subject: subject.to_owned(),
            user: user.to_owned(),
            begun: Timestamp::now(),
            now: Mutex::default(),
        });
        let own = Arc::clone(&job);
        let task = tokio::spawn(async move {
            let done = tokio::time::timeout(TIME_MAX, work(Arc::clone(&own))).await;
            own.end(match done {
                Ok(Ok(())) => State::Done,
                Ok(Err(Unable::Missing(text) | Unable::Refused(text) | Unable::Device(text))) => {
                    State::Failed(text)
                }
                Err(_) => State::Failed(format!("it did not end within {TIME_MAX:?}")),
            });
        });
        job.lock().abort = Some(task.abort_handle());
        kept.jobs.insert(number, job);
        Some(number)
    }

    /// A job, if it is remembered.
    pub(crate) fn find(&self, number: u64) -> Option<Arc<Job>> {
        self.lock().jobs.get(&number).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job {
    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_working(&self) -> bool {
        self.lock().state == State::Working
    }

    fn end(&self, state: State) {
        let mut now = self.lock();
        if now.state == State::Working {
            now.state = state;
        }
    }

    /// Ends it; what it is waiting for on a bus is withdrawn.
    pub(crate) fn cancel(&self) {
        self.end(State::Cancelled);
        if let Some(abort) = self.lock().abort.take() {
            abort.abort();
        }
    }

    /// The job as it is told.
    pub(crate) fn shown(&self) -> ShownJob {
        let now = self.lock();
        let (state, error) = match &now.state {
            State::Working => ("working", None),
            State::Done => ("done", None),
            State::Failed(error) => ("failed", Some(error.clone())),
            State::Cancelled => ("cancelled", None),
        };
        ShownJob {
            job: self.number,
            kind: self.kind,
            subject: self.subject.clone(),
            user: self.user.clone(),
            begun: shown::time(self.begun),
            state,
            error,
            done: now.done,
            all: now.all,
            text: now.text.clone(),
            found: now.found.clone(),
        }
    }
}

impl Told for Job {
    fn text(&self, text: &str) {
        let mut now = self.lock();
        if now.text.len() + text.len() <= TEXT_MAX {
            now.text.push_str(text);
        } else if !std::mem::replace(&mut now.is_cut, true) {
            now.text.push_str("... and more that is not kept\n");
        }
    }

    fn progress(&self, done: usize, all: usize) {
        let mut now = self.lock();
        (now.done, now.all) = (done, all);
    }

    fn found(&self, unit: Found) {
        let mut now = self.lock();
        // A bus has 247 units.
        if now.found.len() < 256 {
            now.found.push(unit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn settled(jobs: &Jobs, number: u64) -> ShownJob {
        loop {
            let shown = jobs.find(number).unwrap().shown();
            if shown.state != "working" {
                return shown;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    fn forever(_: Arc<Job>) -> Later<'static, Result<(), Unable>> {
        Box::pin(std::future::pending())
    }

    #[tokio::test(start_paused = true)]
    async fn two_jobs_work_at_a_time_and_none_for_ever() {
        let jobs = Jobs::default();
        let [one, two] = [(); 2].map(|()| jobs.begin("scan", "line", "ada", forever).unwrap());
        assert_eq!(jobs.begin("scan", "line", "ada", forever), None);
        jobs.find(one).unwrap().cancel();
        assert_eq!(settled(&jobs, one).await.state, "cancelled");
        let three = jobs.begin("test", "plc", "ada", |job| {
            Box::pin(async move {
                job.progress(1, 2);
                for _ in 0..3_000 {
                    job.text(&"x".repeat(100));
                }
                Err(Unable::Device("no answer".into()))
            })
        });
        let told = settled(&jobs, three.unwrap()).await;
        assert_eq!(
            (told.state, told.error.as_deref()),
            ("failed", Some("no answer"))
        );
        assert_eq!((told.done, told.all), (1, 2));
        assert!(told.text.len() < TEXT_MAX + 100 && told.text.ends_with("not kept\n"));
        let late = settled(&jobs, two).await;
        assert!(late.error.unwrap().contains("did not end"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_jobs_are_remembered() {
        let jobs = Jobs::default();
        for _ in 0..30 {
            let number = jobs
                .begin("test", "plc", "ada", |_| Box::pin(async { Ok(()) }))
                .unwrap();
            assert_eq!(settled(&jobs, number).await.state, "done");
        }
        assert!(jobs.find(20).is_none() && jobs.find(21).is_some() && jobs.find(30).is_some());
    }
}

//! Where log lines go: the journal when systemd started us, else standard error.
//!
//! Much of what is logged was said by clients, devices and other programs. So nothing is written as
//! it came: control characters are escaped, long text is cut, and lines of one kind that come too
//! fast are counted instead ([`limit`]).

mod limit;

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use fieldgate_console::Logs;
use fieldgate_model::plain::{PlainLines, shortened};
use jiff::Timestamp;
use log::kv::{Error, Key, Value, VisitSource};
use log::{LevelFilter, Log, Metadata, Record};
use systemd_journal_logger::{JournalLog, connected_to_journal};

use limit::{Kind, Limiter, Subject};

/// The target of lines that answer a person and whose number a file of theirs bounds, such as the
/// mistakes in a configuration: all of them are written, and whole.
pub const ANSWER: &str = "fieldgate::answer";

/// Characters of a message.
const MESSAGE_MAX: usize = 512;
/// Characters of a field.
const FIELD_MAX: usize = 256;
/// Characters that are shown of a message that others were like.
const SAMPLE_MAX: usize = 160;
/// Fields of one line.
const FIELDS_MAX: usize = 16;
/// How often it is looked whether a flood is over.
const LOOK: Duration = Duration::from_secs(1);

/// Installs the logger of this process.
///
/// Lines are kept in `kept`, too, if it is given.
///
/// # Errors
///
/// If there is one already. A journal that cannot be reached is no error: standard error is there.
pub fn install(level: LevelFilter, kept: Option<Logs>) -> io::Result<()> {
    let journal = connected_to_journal().then(JournalLog::new);
    let sink: Box<dyn Log> = match journal {
        // The fields `DEVICE`, `BUS` and `TOPIC` are found there with `journalctl DEVICE=plc`.
        Some(Ok(journal)) => Box::new(journal.with_syslog_identifier("fieldgate".to_owned())),
        Some(Err(_)) | None => Box::new(Stderr),
    };
    let guarded = Arc::new(Guarded::new(sink, kept));
    let teller = Arc::clone(&guarded);
    let spawned = thread::Builder::new()
        .name("log".into())
        .spawn(move || teller.tell_of_floods());
    log::set_boxed_logger(Box::new(Logger(guarded))).map_err(io::Error::other)?;
    log::set_max_level(level);
    if let Err(error) = spawned {
        log::warn!("what is left out of the log will be told at the end only: {error}");
    }
    Ok(())
}

/// What the process logs to.
struct Logger(Arc<Guarded>);

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.sink.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        self.0.log(record, Instant::now());
    }

    /// Also tells what was left out.
    fn flush(&self) {
        self.0.tell(Instant::now(), true);
        self.0.sink.flush();
    }
}

/// Lets through to the sink what may be written, in a form in which it may be.
struct Guarded {
    sink: Box<dyn Log>,
    kept: Option<Logs>,
    limiter: Mutex<Limiter>,
    /// Lines were left out.
    left_out: Condvar,
}

impl Guarded {
    fn new(sink: Box<dyn Log>, kept: Option<Logs>) -> Self {
        Self {
            sink,
            kept,
            limiter: Mutex::default(),
            left_out: Condvar::new(),
        }
    }

    fn limiter(&self) -> MutexGuard<'_, Limiter> {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self, record: &Record<'_>, now: Instant) {
        let fields = Fields::of(record);
        if record.target() == ANSWER {
            let message = PlainLines(record.args()).to_string();
            // One event looks like one.
            let message = message.replace('\n', "\n    ");
            return self.write(record, &message, &fields);
        }
        let kind = Kind {
            level: record.level(),
            place: record.file_static().zip(record.line()),
            subject: fields.subject.clone(),
        };
        // A message that is left out is not even put together.
        if !self.limiter().admits(kind.clone(), now) {
            return self.left_out.notify_one();
        }
        let message = shortened(record.args(), MESSAGE_MAX);
        self.limiter()
            .wrote(&kind, &shortened(&message, SAMPLE_MAX));
        self.write(record, &message, &fields);
    }

    /// Puts the device, or else the bus, before the message: its writer gives it as a field only,
    /// and a person who reads the journal does not see fields.
    fn write(&self, record: &Record<'_>, message: &str, fields: &Fields) {
        if let Some(kept) = &self.kept {
            let subject = fields.subject.as_ref().map(Subject::name);
            kept.push(Timestamp::now(), record.level(), subject, message);
        }
        let mut builder = record.to_builder();
        let builder = builder.key_values(&fields.all);
        match &fields.subject {
            None => self
                .sink
                .log(&builder.args(format_args!("{message}")).build()),
            Some(subject) => {
                let subject = subject.name();
                let args = format_args!("{subject}: {message}");
                self.sink.log(&builder.args(args).build());
            }
        }
    }

    /// Waits for floods and tells of them, for as long as the process lives.
    fn tell_of_floods(&self) {
        loop {
            let mut limiter = self.limiter();
            while limiter.is_quiet() {
                let waited = self.left_out.wait(limiter);
                limiter = waited.unwrap_or_else(PoisonError::into_inner);
            }
            drop(limiter);
            thread::sleep(LOOK);
            self.tell(Instant::now(), false);
        }
    }

    fn tell(&self, now: Instant, at_end: bool) {
        let told = self.limiter().due(now, at_end);
        for told in told {
            let place = told.kind.place;
            let all = told.kind.subject.iter();
            let fields = Fields {
                all: all
                    .map(|subject| (subject.field().to_owned(), subject.name().to_owned()))
                    .collect(),
                subject: told.kind.subject.clone(),
            };
            let record = Record::builder()
                .level(told.kind.level)
                .target(module_path!())
                .file_static(place.map(|(file, _)| file))
                .line(place.map(|(_, line)| line))
                .build();
            self.write(&record, &told.text, &fields);
        }
    }
}

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = line(record, Timestamp::now());
        // Standard error may be closed: then there is no reader.
        let _ = io::stderr().write_all(line.as_bytes());
    }

    fn flush(&self) {}
}

/// `2026-11-22T17:16:00.123Z WARN  plc: no answer within 300 ms`
fn line(record: &Record<'_>, now: Timestamp) -> String {
    let (level, message) = (record.level(), record.args());
    format!("{now:.3} {level:<5} {message}\n")
}

/// The fields of a line, cut and escaped.
#[derive(Default)]
struct Fields {
    all: Vec<(String, String)>,
    /// The device, or else the bus.
    subject: Option<Subject>,
}

impl Fields {
    fn of(record: &Record<'_>) -> Self {
        let mut fields = Self::default();
        // The visitor below never fails.
        let _ = record.key_values().visit(&mut fields);
        fields
    }
}

impl<'kv> VisitSource<'kv> for Fields {
    fn visit_pair(&mut self, key: Key<'kv>, value: Value<'kv>) -> Result<(), Error> {
        if self.all.len() >= FIELDS_MAX {
            return Ok(());
        }
        let value = shortened(&value, FIELD_MAX);
        match (key.as_str(), &self.subject) {
            ("DEVICE", _) => self.subject = Some(Subject::Device(value.clone())),
            ("BUS", None) => self.subject = Some(Subject::Bus(value.clone())),
            _ => {}
        }
        self.all.push((key.as_str().to_owned(), value));
        Ok(())
    }
}

#[cfg(test)]
mod tests;

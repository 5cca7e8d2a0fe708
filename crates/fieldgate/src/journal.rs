//! Where log lines go: the journal when systemd started us, else standard error.

use std::io::{self, Write};

use jiff::Timestamp;
use log::kv::{Error, Key, Value, VisitSource};
use log::{LevelFilter, Log, Metadata, Record};
use systemd_journal_logger::{JournalLog, connected_to_journal};

/// Installs the logger of this process.
///
/// # Errors
///
/// If there is one already. A journal that cannot be reached is no error: standard error is there.
pub(crate) fn install(level: LevelFilter) -> io::Result<()> {
    let journal = connected_to_journal().then(JournalLog::new);
    let logger: Box<dyn Log> = match journal {
        // The fields `DEVICE`, `BUS` and `TOPIC` are found there with `journalctl DEVICE=plc`.
        Some(Ok(journal)) => Box::new(Named(
            journal.with_syslog_identifier("fieldgate".to_owned()),
        )),
        Some(Err(_)) | None => Box::new(Named(Stderr)),
    };
    log::set_boxed_logger(logger).map_err(io::Error::other)?;
    log::set_max_level(level);
    Ok(())
}

/// Puts the device, or else the bus, before each message: whoever writes it has it as a field
/// only, and a person who reads the journal does not see fields.
struct Named<L>(L);

impl<L: Log> Log for Named<L> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        let fields = Fields::of(record);
        match fields.subject() {
            None => self.0.log(record),
            Some(subject) => {
                let args = record.args();
                let args = format_args!("{subject}: {args}");
                self.0.log(&record.to_builder().args(args).build());
            }
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = line(record, Timestamp::now());
        // Whoever closed standard error does not read it.
        let _ = io::stderr().write_all(line.as_bytes());
    }

    fn flush(&self) {}
}

/// `2026-11-22T17:16:00.123Z WARN  plc: no answer within 300 ms`
fn line(record: &Record<'_>, now: Timestamp) -> String {
    // One event looks like one, whatever a device has sent.
    let message = record.args().to_string().replace('\n', "\n    ");
    let level = record.level();
    format!("{now:.3} {level:<5} {message}\n")
}

#[derive(Default)]
struct Fields {
    device: Option<String>,
    bus: Option<String>,
}

impl Fields {
    fn of(record: &Record<'_>) -> Self {
        let mut fields = Self::default();
        // The visitor below never fails.
        let _ = record.key_values().visit(&mut fields);
        fields
    }

    fn subject(&self) -> Option<&str> {
        self.device.as_deref().or(self.bus.as_deref())
    }
}

impl<'kv> VisitSource<'kv> for Fields {
    fn visit_pair(&mut self, key: Key<'kv>, value: Value<'kv>) -> Result<(), Error> {
        match key.as_str() {
            "DEVICE" => self.device = Some(value.to_string()),
            "BUS" => self.bus = Some(value.to_string()),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use log::Level;
    use std::sync::{Arc, Mutex};

    struct Kept(Arc<Mutex<Vec<String>>>);

    impl Log for Kept {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &Record<'_>) {
            let now: Timestamp = "2026-11-22T17:16:00.123456Z".parse().unwrap();
            self.0.lock().unwrap().push(line(record, now));
        }

        fn flush(&self) {}
    }

    #[test]
    fn a_line_has_time_level_the_device_or_the_bus_and_the_message() {
        let kept = Arc::default();
        let logger = Named(Kept(Arc::clone(&kept)));
        for (level, fields, message, want) in [
            (
                Level::Warn,
                &[("DEVICE", "plc"), ("BUS", "net")][..],
                "no answer",
                "WARN  plc: no answer",
            ),
            (
                Level::Info,
                &[("TOPIC", "a/b"), ("BUS", "net")],
                "connected",
                "INFO  net: connected",
            ),
            (Level::Error, &[], "two\nlines", "ERROR two\n    lines"),
        ] {
            let args = format_args!("{message}");
            let mut builder = Record::builder();
            let builder = builder.level(level).key_values(&fields);
            logger.log(&builder.args(args).build());
            let line = kept.lock().unwrap().pop();
            assert_eq!(line, Some(format!("2026-11-22T17:16:00.123Z {want}\n")));
        }
    }
}

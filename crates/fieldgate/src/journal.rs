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
    match journal {
        // The fields `device`, `bus` and `topic` become DEVICE, BUS and TOPIC there.
        Some(Ok(journal)) => journal
            .with_syslog_identifier("fieldgate".to_owned())
            .install(),
        Some(Err(_)) | None => log::set_boxed_logger(Box::new(Stderr)),
    }
    .map_err(io::Error::other)?;
    log::set_max_level(level);
    Ok(())
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

/// `2026-11-22T17:16:00.123Z WARN plc: no answer within 300 ms (bus=plc_net)`
fn line(record: &Record<'_>, now: Timestamp) -> String {
    let mut fields = Fields::default();
    // The visitor below never fails.
    let _ = record.key_values().visit(&mut fields);
    let message = format!("{}", record.args());
    // One event is one line, whatever a device has sent.
    let message = message.replace('\n', "\n    ");
    let level = record.level();
    format!("{now:.3} {level:<5} {message}{}\n", fields.text())
}

#[derive(Default)]
struct Fields(Vec<String>);

impl Fields {
    fn text(&self) -> String {
        if self.0.is_empty() {
            String::new()
        } else {
            format!(" ({})", self.0.join(" "))
        }
    }
}

impl<'kv> VisitSource<'kv> for Fields {
    fn visit_pair(&mut self, key: Key<'kv>, value: Value<'kv>) -> Result<(), Error> {
        let key = key.as_str().to_lowercase();
        self.0.push(format!("{key}={value}"));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use log::Level;

    #[test]
    fn a_line_has_time_level_message_and_fields() {
        let now: Timestamp = "2026-11-22T17:16:00.123456Z".parse().unwrap();
        let fields = [("DEVICE", "plc"), ("bus", "plc_net")];
        let with_fields: &dyn log::kv::Source = &fields;
        let none: [(&str, &str); 0] = [];
        for (level, fields, message, want) in [
            (
                Level::Warn,
                with_fields,
                "no answer",
                "2026-11-22T17:16:00.123Z WARN  no answer (device=plc bus=plc_net)\n",
            ),
            (
                Level::Error,
                &none as &dyn log::kv::Source,
                "two\nlines",
                "2026-11-22T17:16:00.123Z ERROR two\n    lines\n",
            ),
        ] {
            let args = format_args!("{message}");
            let mut builder = Record::builder();
            let builder = builder.level(level).key_values(&fields);
            assert_eq!(line(&builder.args(args).build(), now), want);
        }
    }
}

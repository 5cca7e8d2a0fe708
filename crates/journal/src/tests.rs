use super::*;

use log::Level;

/// Keeps lines, and of each its fields.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<(String, String)>>>);

impl Log for Memory {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        struct Collect(String);
        impl<'kv> VisitSource<'kv> for Collect {
            fn visit_pair(&mut self, key: Key<'kv>, value: Value<'kv>) -> Result<(), Error> {
                self.0 += &format!("{key}={value};");
                Ok(())
            }
        }
        let now: Timestamp = "2026-11-22T17:16:00.123456Z".parse().unwrap();
        let mut fields = Collect(String::new());
        record.key_values().visit(&mut fields).unwrap();
        self.0.lock().unwrap().push((line(record, now), fields.0));
    }

    fn flush(&self) {}
}

impl Memory {
    fn take(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Logs from one place in the program.
fn say(to: &Guarded, level: Level, fields: &[(&str, &str)], message: &str, now: Instant) {
    let args = format_args!("{message}");
    let mut builder = Record::builder();
    let builder = builder.level(level).key_values(&fields);
    let builder = builder.file_static(Some(file!())).line(Some(1));
    to.log(&builder.args(args).build(), now);
}

fn guarded() -> (Guarded, Memory) {
    let memory = Memory::default();
    (Guarded::new(Box::new(memory.clone()), None), memory)
}

#[test]
fn a_line_has_time_level_the_device_or_the_bus_and_the_message() {
    let (logger, memory) = guarded();
    for (level, fields, message, want) in [
        (
            Level::Warn,
            &[("DEVICE", "plc"), ("BUS", "net")][..],
            "no answer",
            "WARN  plc: no answer",
        ),
        (
            Level::Warn,
            &[("BUS", "net"), ("DEVICE", "plc")],
            "no answer",
            "WARN  plc: no answer",
        ),
        (
            Level::Info,
            &[("TOPIC", "a/b"), ("BUS", "net")],
            "connected",
            "INFO  net: connected",
        ),
        (Level::Error, &[], "two\nlines", "ERROR two\\nlines"),
    ] {
        say(&logger, level, fields, message, Instant::now());
        let lines: Vec<String> = memory.take().into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, [format!("2026-11-22T17:16:00.123Z {want}\n")]);
    }
}

#[test]
fn what_others_say_reaches_no_terminal_as_it_came_and_is_cut() {
    let (logger, memory) = guarded();
    let name = "\u{1b}[31m\u{202e}\n\u{9b}".repeat(10_000);
    let fields = [("CLIENT", name.as_str()), ("DEVICE", "a\nb")];
    let message = format!("client {name}: refused");
    say(&logger, Level::Info, &fields, &message, Instant::now());
    let (line, fields) = memory.take().pop().unwrap();
    assert!(line.ends_with(": refused\n"), "{line}");
    assert!(
        line.contains("a\\nb: client \\u{1b}[31m\\u{202e}\\n\\u{9b}"),
        "{line}"
    );
    for text in [line.trim_end(), &fields] {
        assert!(
            !text.contains(char::is_control) && !text.contains('\u{202e}'),
            "{text}"
        );
        assert!(text.chars().count() < 600, "{text}");
    }
    assert!(fields.starts_with("CLIENT=\\u{1b}[31m") && fields.ends_with(";DEVICE=a\\nb;"));
}

#[test]
fn a_flood_is_counted_and_told_with_its_level_and_its_device() {
    let (logger, memory) = guarded();
    let (now, plc) = (Instant::now(), [("DEVICE", "plc")]);
    for number in 0..1_542 {
        say(&logger, Level::Warn, &plc, &format!("fault {number}"), now);
    }
    say(&logger, Level::Warn, &[("DEVICE", "meter")], "its own", now);
    let lines = memory.take();
    assert_eq!(lines.len(), 11);
    assert!(lines[10].0.ends_with("WARN  meter: its own\n"), "{lines:?}");
    logger.tell(now + Duration::from_secs(3), false);
    let want = "2026-11-22T17:16:00.123Z WARN  plc: … and 1,532 more like it: fault 9\n";
    assert_eq!(memory.take(), [(want.to_owned(), "DEVICE=plc;".to_owned())]);
}

#[test]
fn what_was_left_out_is_told_at_the_end() {
    let (logger, memory) = guarded();
    for _ in 0..12 {
        say(&logger, Level::Info, &[], "again", Instant::now());
    }
    assert_eq!(memory.take().len(), 10);
    Logger(Arc::new(logger)).flush();
    let told = memory.take();
    assert!(
        told[0].0.ends_with("INFO  … and 2 more like it: again\n"),
        "{told:?}"
    );
}

#[test]
fn an_answer_to_a_person_is_whole_and_every_line_of_it_is_there() {
    let (logger, memory) = guarded();
    let text = format!("{}\nsecond \u{1b}", "x".repeat(1_000));
    for _ in 0..100 {
        let (args, mut builder) = (format_args!("{text}"), Record::builder());
        let record = builder.target(ANSWER).args(args).build();
        logger.log(&record, Instant::now());
    }
    let lines = memory.take();
    assert_eq!(lines.len(), 100);
    let line = &lines[99].0;
    assert!(line.ends_with("x\n    second \\u{1b}\n"), "{line}");
}

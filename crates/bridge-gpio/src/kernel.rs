//! The kernel's GPIO character device, version 2 of its interface: edges and debouncing are done
//! there, with times and numbers.
//!
//! Source: the kernel's `Documentation/userspace-api/gpio/chardev.rst`.

use std::io;
use std::path::PathBuf;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use gpiocdev::chip::{self, Chip};
use gpiocdev::line;
use gpiocdev::line::{Bias, Direction, EdgeDetection, EventClock, Offset, Value};
use gpiocdev::request::{Builder, Config, Request};
use rustix::time::{ClockId, clock_gettime};
use tokio::io::unix::AsyncFd;

use crate::config::{Drive, Edge, LineConfig, LineRef, Pull, PwmConfig};
use crate::line::{Backend, EdgeEvent, InputLine, LineError, LineInfo, OutputLine, PwmLine};
use crate::pwm_rpi;

/// The lines of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kernel;

/// As many edges as the kernel keeps for a line at most. When they are full it drops the oldest,
/// which their numbers tell.
const KERNEL_EVENTS: u32 = 1024;
/// As many edges as are read at once.
const READ_EVENTS: usize = 32;
/// `struct gpio_v2_line_event` in units of 8 bytes.
const EVENT_WORDS: usize = 6;
/// The kernel cuts longer names of consumers.
const OWNER_MAX: usize = 31;

impl Backend for Kernel {
    fn input(
        &self,
        chip: Option<&str>,
        line: &LineConfig,
        edge: Edge,
        owner: &str,
    ) -> Result<Box<dyn InputLine>, LineError> {
        let found = find(chip, &line.line)?;
        let mut builder = found.builder(owner);
        builder
            .with_kernel_event_buffer_size(KERNEL_EVENTS)
            .as_input()
            .with_bias(line.pull.map(bias))
            .with_edge_detection(match edge {
                Edge::Rising => EdgeDetection::RisingEdge,
                Edge::Falling => EdgeDetection::FallingEdge,
                Edge::Both => EdgeDetection::BothEdges,
            })
            .with_event_clock(EventClock::Monotonic);
        if line.active_low {
            builder.as_active_low();
        }
        if let Some(debounce) = line.debounce {
            builder.with_debounce_period(debounce);
        }
        let request = builder.request().map_err(|error| found.refused(&error))?;
        let request = registered(request)
            .map_err(|error| LineError(format!("line {}: {error}", line.line)))?;
        Ok(Box::new(Input {
            name: line.line.to_string(),
            offset: found.info.offset,
            request,
        }))
    }

    fn output(
        &self,
        chip: Option<&str>,
        line: &LineConfig,
        drive: Drive,
        level: Option<bool>,
        owner: &str,
    ) -> Result<Box<dyn OutputLine>, LineError> {
        let found = find(chip, &line.line)?;
        let mut builder = found.builder(owner);
        match level {
            Some(level) => builder.with_config(output(&found, line, drive, level)),
            // The kernel takes a resistor and a drive only together with a direction.
            None if line.active_low => builder.as_is().as_active_low(),
            None => builder.as_is(),
        };
        let request = builder.request().map_err(|error| found.refused(&error))?;
        Ok(Box::new(Output {
            line: line.clone(),
            drive,
            request,
            is_driven: level.is_some(),
            found,
        }))
    }

    fn pwm(&self, pwm: &PwmConfig, duty: f64) -> Result<Box<dyn PwmLine>, LineError> {
        pwm_rpi::pwm(pwm, duty)
    }

    fn look(&self, chip: Option<&str>, line: &LineRef) -> Result<LineInfo, LineError> {
        let Found { label, info, .. } = find(chip, line)?;
        Ok(LineInfo {
            chip: label,
            offset: info.offset,
            is_output: info.direction == Direction::Output,
            consumer: info.used.then(|| consumer(&info)),
            name: info.name,
        })
    }

    fn now(&self) -> Duration {
        let now = clock_gettime(ClockId::Monotonic);
        let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
        Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or_default())
    }
}

/// A line that is there.
#[derive(Debug)]
struct Found {
    path: PathBuf,
    label: String,
    wanted: LineRef,
    info: line::Info,
}

impl Found {
    fn builder(&self, owner: &str) -> Builder {
        let mut end = owner.len().min(OWNER_MAX);
        while !owner.is_char_boundary(end) {
            end -= 1;
        }
        let mut builder = Request::builder();
        builder
            .on_chip(&self.path)
            .with_consumer(owner.get(..end).unwrap_or_default())
            .with_line(self.info.offset);
        builder
    }

    /// The words for a line that the kernel does not give us. Who has it is looked for now: at
    /// our first look it may have been free.
    fn refused(&self, error: &gpiocdev::Error) -> LineError {
        let Self { wanted, label, .. } = self;
        let on = format!("line {wanted} on {}", label.escape_debug());
        let open = Chip::from_path(&self.path);
        match open.and_then(|chip| chip.line_info(self.info.offset)) {
            Ok(info) if info.used => LineError(format!("{on} is in use by {}", consumer(&info))),
            _ => LineError(format!("{on}: {error}")),
        }
    }
}

/// Programs name themselves: nothing in it may act on a terminal.
fn consumer(info: &line::Info) -> String {
    match info.consumer.as_str() {
        "" => "the kernel or a program without a name".to_owned(),
        name => format!("\"{}\"", name.escape_debug()),
    }
}

/// Looks through the chips that we may open. A label or a name that is there twice is refused: the
/// order of chips is not the same after the next start.
fn find(chip: Option<&str>, wanted: &LineRef) -> Result<Found, LineError> {
    let paths = chip::chips()
        .map_err(|error| LineError(format!("the GPIO chips cannot be listed: {error}")))?;
    let (mut labels, mut denied, mut found) = (Vec::new(), Vec::new(), Vec::new());
    let mut chips = 0;
    for path in paths {
        let opened = Chip::from_path(&path).and_then(|chip| Ok((chip.info()?, chip)));
        let (info, open) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                denied.push(error.to_string());
                continue;
            }
        };
        let is_meant = chip.is_none_or(|label| label == info.label);
        labels.push(info.label.clone());
        if !is_meant {
            continue;
        }
        chips += 1;
        if let Some(line) = line_of(&open, info.num_lines, wanted)? {
            found.push(Found {
                path,
                label: info.label,
                wanted: wanted.clone(),
                info: line,
            });
        }
    }
    let on = chip.map_or_else(String::new, |chip| format!(" on {}", chip.escape_debug()));
    match (found.len(), found.pop(), chip) {
        (1, Some(found), _) => Ok(found),
        (0, _, Some(chip)) if chips == 0 => {
            let mut text = format!("there is no GPIO chip {}", chip.escape_debug());
            if !labels.is_empty() {
                text += &format!("; there are {}", labels.join(", "));
            }
            if let Some(first) = denied.first() {
                text += &format!("; {} cannot be opened: {first}", denied.len());
            }
            Err(LineError(text))
        }
        (0, ..) => {
            let denied = denied
                .first()
                .map(|first| format!("; one chip cannot be opened: {first}"));
            let text = format!("there is no line {wanted}{on}");
            Err(LineError(text + &denied.unwrap_or_default()))
        }
        (count, ..) => Err(LineError(format!(
            "there are {count} lines {wanted}{on}: say which by `gpio.chip` or by a name of its own"
        ))),
    }
}

fn line_of(chip: &Chip, lines: u32, wanted: &LineRef) -> Result<Option<line::Info>, LineError> {
    let offsets: std::ops::Range<Offset> = match wanted {
        LineRef::Offset(offset) if *offset < lines => *offset..offset + 1,
        LineRef::Offset(_) => return Ok(None),
        LineRef::Name(_) => 0..lines,
    };
    for offset in offsets {
        let info = chip
            .line_info(offset)
            .map_err(|error| LineError(format!("line {offset}: {error}")))?;
        match wanted {
            LineRef::Name(name) if *name != info.name => {}
            _ => return Ok(Some(info)),
        }
    }
    Ok(None)
}

fn bias(pull: Pull) -> Bias {
    match pull {
        Pull::Up => Bias::PullUp,
        Pull::Down => Bias::PullDown,
        Pull::None => Bias::Disabled,
    }
}

fn value(level: bool) -> Value {
    if level {
        Value::Active
    } else {
        Value::Inactive
    }
}

fn output(found: &Found, line: &LineConfig, drive: Drive, level: bool) -> Config {
    let mut config = Config::default();
    config
        .on_chip(&found.path)
        .with_line(found.info.offset)
        .as_output(value(level))
        .with_bias(line.pull.map(bias))
        .with_drive(match drive {
            Drive::PushPull => line::Drive::PushPull,
            Drive::OpenDrain => line::Drive::OpenDrain,
            Drive::OpenSource => line::Drive::OpenSource,
        });
    if line.active_low {
        config.as_active_low();
    }
    config
}

/// Its successor needs `unsafe`, for a promise that the type system cannot see: that the request
/// gives the same descriptor as long as it is registered. It does: it owns one file.
#[allow(deprecated)]
fn registered(request: Request) -> io::Result<AsyncFd<Request>> {
    AsyncFd::new(request)
}

#[derive(Debug)]
struct Input {
    name: String,
    offset: Offset,
    request: AsyncFd<Request>,
}

impl Input {
    fn lost(&self, error: &dyn std::fmt::Display) -> LineError {
        LineError(format!("line {} is lost: {error}", self.name))
    }
}

impl InputLine for Input {
    fn poll_edges(
        &mut self,
        context: &mut Context<'_>,
        max: usize,
        out: &mut Vec<EdgeEvent>,
    ) -> Poll<Result<(), LineError>> {
        let before = out.len();
        loop {
            let ready = ready!(self.request.poll_read_ready(context));
            let mut ready = ready.map_err(|error| self.lost(&error))?;
            let request = self.request.get_ref();
            while out.len() - before < max {
                // A read without an edge would block.
                if !request
                    .has_edge_event()
                    .map_err(|error| self.lost(&error))?
                {
                    ready.clear_ready();
                    break;
                }
                // `read_edge_event` takes several out of the kernel and hands on the first alone,
                // where the library is built for version 2 of the interface only.
                let size = request.edge_event_u64_size();
                let room = (max - (out.len() - before)).min(READ_EVENTS) * size;
                let mut words = [0; READ_EVENTS * EVENT_WORDS];
                let words = words.get_mut(..room).unwrap_or_default();
                let read = request
                    .read_edge_events_into_slice(words)
                    .map_err(|error| self.lost(&error))?;
                for words in words.get(..read).unwrap_or_default().chunks_exact(size) {
                    let event = request
                        .edge_event_from_slice(words)
                        .map_err(|error| self.lost(&error))?;
                    out.push(EdgeEvent {
                        level: event.kind == line::EdgeKind::Rising,
                        sequence: event.line_seqno,
                        at: Duration::from_nanos(event.timestamp_ns),
                    });
                }
            }
            if out.len() > before {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn level(&self) -> Result<bool, LineError> {
        let level = self.request.get_ref().value(self.offset);
        Ok(level.map_err(|error| self.lost(&error))? == Value::Active)
    }
}

#[derive(Debug)]
struct Output {
    found: Found,
    line: LineConfig,
    drive: Drive,
    request: Request,
    /// It was taken as it is, and is not an output of ours before it is set.
    is_driven: bool,
}

impl Output {
    fn lost(&self, error: &gpiocdev::Error) -> LineError {
        LineError(format!("line {}: {error}", self.line.line))
    }
}

impl OutputLine for Output {
    fn set(&mut self, level: bool) -> Result<(), LineError> {
        let set = if self.is_driven {
            self.request.set_value(self.found.info.offset, value(level))
        } else {
            let config = output(&self.found, &self.line, self.drive, level);
            self.request.reconfigure(&config)
        };
        set.map_err(|error| self.lost(&error))?;
        self.is_driven = true;
        Ok(())
    }

    fn level(&self) -> Result<bool, LineError> {
        let level = self.request.value(self.found.info.offset);
        Ok(level.map_err(|error| self.lost(&error))? == Value::Active)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chip_that_is_not_there_is_named() {
        let error = find(Some("no such chip"), &LineRef::Offset(3)).unwrap_err();
        assert!(
            error.0.contains("there is no GPIO chip no such chip"),
            "{error}"
        );
        let error = find(None, &LineRef::Name("NO_SUCH_LINE".into())).unwrap_err();
        assert!(
            error.0.starts_with("there is no line NO_SUCH_LINE"),
            "{error}"
        );
    }
}

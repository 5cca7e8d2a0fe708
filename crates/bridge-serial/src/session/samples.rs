//! From frames to samples.

use std::sync::Arc;

use fieldgate_bridge::late::{Asked, Owed};
use fieldgate_model::{Sample, Value};
use jiff::Timestamp;
use tokio::time::Instant;

use super::{SerialSession, cut};
use crate::config::ParseConfig;
use crate::line::Line;
use crate::point::{self, Unusable};
use crate::question::Question;

impl<L: Line> SerialSession<L> {
    /// Turns the frames of a streaming device into samples.
    pub(super) fn take_if_streaming(&mut self) {
        if self.is_polled() {
            return;
        }
        while let Some(frame) = self.frames.pop_front() {
            let is_owed = |owed: &Owed<Question>| owed.requests().any(|own| own.accepts(&frame));
            if self.debts.with(|owed| is_owed(owed)) {
                self.debts.judge(None, &frame);
                self.note_late(&frame);
                continue;
            }
            let mut samples = std::mem::take(&mut self.samples);
            self.take_frame(&frame, &mut samples);
            self.samples = samples;
        }
    }

    /// Turns one frame of a streaming device into samples.
    pub(super) fn take_frame(&mut self, frame: &[u8], out: &mut Vec<Sample>) {
        let config = Arc::clone(&self.config);
        let before = out.len();
        // What does not fit is counted.
        if self.accept(frame, None, &config.parse, out).is_ok() {
            self.add_absent(None, before, out);
            self.heard = Instant::now();
        }
    }

    /// Makes samples of a frame. An error if there is nothing in it about any point.
    pub(super) fn accept(
        &mut self,
        frame: &[u8],
        request: Option<usize>,
        parse: &ParseConfig,
        out: &mut Vec<Sample>,
    ) -> Result<(), String> {
        let record = match parse.parse(frame) {
            Ok(record) => record,
            Err(why) => {
                self.counts.change(|counts| counts.unmatched += 1);
                self.report_frame(frame, &why);
                return Err(why);
            }
        };
        let at = Timestamp::now();
        let config = Arc::clone(&self.config);
        let before = out.len();
        for (index, (_, point)) in config.points.iter().enumerate() {
            if point.request != request {
                continue;
            }
            if let Some(read) = point::read(point, &record, parse.numbers) {
                let sample = self.sample(index, read, at);
                out.push(sample);
            }
        }
        // A sentence without a point is none that does not fit.
        if out.len() > before {
            Ok(())
        } else {
            Err("it holds none of the points".to_owned())
        }
    }

    /// Appends what it means that points are not in `out` from `from` on, which is all that an
    /// answer, or a frame of a stream, held.
    pub(super) fn add_absent(
        &mut self,
        request: Option<usize>,
        from: usize,
        out: &mut Vec<Sample>,
    ) {
        let at = Timestamp::now();
        let config = Arc::clone(&self.config);
        for (index, (_, point)) in config.points.iter().enumerate() {
            let held = out.get(from..).unwrap_or_default();
            if point.request != request || held.iter().any(|sample| sample.point == index) {
                continue;
            }
            if let Some(read) = point::absence(point) {
                let sample = self.sample(index, read, at);
                out.push(sample);
            }
        }
    }

    fn sample(&mut self, index: usize, read: Result<Value, Unusable>, at: Timestamp) -> Sample {
        let error = match read {
            Ok(value) => {
                self.set_reported(index, false);
                return Sample::good(index, value, at);
            }
            Err(error) => error,
        };
        if matches!(error, Unusable::Wrong(_)) && self.set_reported(index, true) {
            let device = self.config.name.as_str();
            let name = self.config.points.get(index);
            let name = name.map(|(name, _)| name.as_str()).unwrap_or_default();
            log::warn!(DEVICE = device, POINT = name; "{name}: {error}");
        }
        Sample::bad(index, at).because(&error.to_string().into())
    }

    fn report_frame(&mut self, frame: &[u8], why: &str) {
        let device = self.config.name.as_str();
        let text = cut(frame);
        if std::mem::replace(&mut self.has_reported_frame, true) {
            log::debug!(DEVICE = device; "\"{text}\": {why}");
        } else {
            log::info!(DEVICE = device; "\"{text}\": {why}; further ones are only counted");
        }
    }

    /// True if that is a change.
    fn set_reported(&mut self, point: usize, is_reported: bool) -> bool {
        match self.reported.get_mut(point) {
            Some(reported) => std::mem::replace(reported, is_reported) != is_reported,
            None => false,
        }
    }
}

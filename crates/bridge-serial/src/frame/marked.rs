//! Frames between two bytes such as STX and ETX.

use super::{Escape, Framer};

/// Where in a frame the last byte was.
#[derive(Debug, Default)]
pub(super) struct Marked {
    place: Place,
    /// The bytes after the end: the check so far.
    tail: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Outside,
    /// Outside, after the byte that comes before a start.
    Announced,
    Inside,
    /// Inside, after an escape.
    Escaped,
    /// Behind the end, before the check is complete.
    Check,
}

impl Marked {
    pub(super) fn is_inside(&self) -> bool {
        !matches!(self.place, Place::Outside | Place::Announced)
    }

    pub(super) fn held(&self) -> usize {
        self.tail.len()
    }
}

impl Framer {
    pub(super) fn marked(
        &mut self,
        byte: u8,
        start: u8,
        end: u8,
        escape: Escape,
        out: &mut Vec<Vec<u8>>,
    ) {
        let double = match escape {
            Escape::Double(double) => Some(double),
            _ => None,
        };
        match self.marked.place {
            Place::Outside if double == Some(byte) => self.marked.place = Place::Announced,
            Place::Outside if double.is_none() && byte == start => self.open(),
            Place::Announced if byte == start => self.open(),
            Place::Announced if double == Some(byte) => self.rejected.garbage += 1,
            Place::Announced => {
                self.rejected.garbage += 2;
                self.marked.place = Place::Outside;
            }
            Place::Outside => self.rejected.garbage += 1,
            Place::Inside if double == Some(byte) => self.marked.place = Place::Escaped,
            Place::Inside if double.is_some() => self.inside(byte),
            Place::Inside => self.plain(byte, start, end, escape, out),
            Place::Escaped => self.escaped(byte, start, end, escape, out),
            Place::Check => {
                self.marked.tail.push(byte);
                self.close(start, end, escape, out);
            }
        }
    }

    fn open(&mut self) {
        self.buffer.clear();
        self.marked.tail.clear();
        self.marked.place = Place::Inside;
    }

    /// A new frame begins before the last one ended.
    fn reopen(&mut self) {
        self.rejected.incomplete += 1;
        self.open();
    }

    fn plain(&mut self, byte: u8, start: u8, end: u8, escape: Escape, out: &mut Vec<Vec<u8>>) {
        match escape {
            Escape::Before { byte: before, .. } if before == byte => {
                self.marked.place = Place::Escaped;
            }
            _ if byte == end && start == end => {
                // The end of one frame may be the start of the next.
                let frame = std::mem::take(&mut self.buffer);
                if !frame.is_empty() {
                    self.finish(frame, out);
                }
            }
            _ if byte == end => self.end(start, end, escape, out),
            _ if byte == start => self.reopen(),
            _ => self.inside(byte),
        }
    }

    fn escaped(&mut self, byte: u8, start: u8, end: u8, escape: Escape, out: &mut Vec<Vec<u8>>) {
        self.marked.place = Place::Inside;
        match escape {
            Escape::Before { xor, .. } => self.inside(byte ^ xor),
            Escape::Double(double) if byte == double => self.inside(byte),
            Escape::Double(_) if byte == end => self.end(start, end, escape, out),
            Escape::Double(_) if byte == start => self.reopen(),
            _ => {
                self.rejected.bad_escape += 1;
                self.buffer.clear();
                self.marked.place = Place::Outside;
            }
        }
    }

    fn inside(&mut self, byte: u8) {
        if self.buffer.len() >= self.config.max {
            self.rejected.too_long += 1;
            self.buffer.clear();
            self.marked.place = Place::Outside;
            return;
        }
        self.buffer.push(byte);
    }

    fn end(&mut self, start: u8, end: u8, escape: Escape, out: &mut Vec<Vec<u8>>) {
        self.marked.place = Place::Check;
        self.close(start, end, escape, out);
    }

    /// Hands the frame out when its check is complete and right.
    fn close(&mut self, start: u8, end: u8, escape: Escape, out: &mut Vec<Vec<u8>>) {
        let width = self.config.check.map_or(0, |check| check.width());
        if self.marked.tail.len() < width {
            return;
        }
        self.marked.place = Place::Outside;
        let frame = std::mem::take(&mut self.buffer);
        let tail = std::mem::take(&mut self.marked.tail);
        let is_good = self.config.check.is_none_or(|check| {
            let first = check.with_start.then_some(start);
            let last = check.with_end.then_some(end);
            let body = frame.iter().copied().skip(check.from);
            check.holds(first.into_iter().chain(body).chain(last), &tail)
        });
        if is_good {
            return out.push(frame);
        }
        self.rejected.bad_check += 1;
        // If the check was lost, what was taken for it is the start of the next frame. It is too
        // short to be a whole one with its check, so this goes no deeper.
        for byte in tail {
            self.marked(byte, start, end, escape, out);
        }
    }
}

//! One look at a device, for people. Nothing is switched: outputs are not even taken.

use crate::Backend;
use crate::config::{Edge, GpioConfig, Kind};
use crate::line::{LineError, LineInfo};

/// What was seen of a point.
#[derive(Debug)]
pub struct Seen {
    /// The point, by index.
    pub point: usize,
    /// Its line; `None` if it has none of its own.
    pub line: Option<Result<LineInfo, LineError>>,
    /// Its level, if it is an input without another user.
    pub level: Option<Result<bool, LineError>>,
}

/// Looks at each line, and reads the inputs that are free.
pub fn probe(config: &GpioConfig, backend: &dyn Backend) -> Vec<Seen> {
    let chip = config.chip.as_deref();
    let points = config.points.iter().enumerate();
    points
        .map(|(index, (name, point))| {
            let line = point.kind.line().map(|line| backend.look(chip, &line.line));
            let is_free = matches!(&line, Some(Ok(info)) if info.consumer.is_none());
            let level = match &point.kind {
                Kind::In(line) => Some((line, Edge::Both)),
                Kind::Count(count) => Some((&count.line, count.edge)),
                Kind::Rate(_) | Kind::Lost(_) | Kind::Out(_) | Kind::Pwm(_) => None,
            };
            let owner = format!("fieldgate test {name}");
            let read = |(line, edge)| backend.input(chip, line, edge, &owner)?.level();
            Seen {
                point: index,
                line,
                level: level.filter(|_| is_free).map(read),
            }
        })
        .collect()
}

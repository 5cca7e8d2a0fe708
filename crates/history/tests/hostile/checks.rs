//! What decoders must withstand, for tests and fuzz targets.

use fieldgate_history::counters::rows::{Named, Row, Writer as Rows, walk};
use fieldgate_history::events::{Event, blocks};
use fieldgate_history::file::{self, Header, Level, Series, What, Writer};
use fieldgate_history::{cells, chunk};

/// Any bytes as a chunk and as cells: what is read from them is the same when it is written and read again.
pub(crate) fn chunk(data: &[u8]) {
    if let Some(readings) = chunk::decode(&mut &*data, 0) {
        let mut rest = readings.as_slice();
        let mut again = Vec::new();
        while !rest.is_empty() {
            let mut bytes = Vec::new();
            let count = chunk::encode(rest, 0, &mut bytes);
            again
                .extend(chunk::decode(&mut bytes.as_slice(), 0).expect("what was written is read"));
            rest = &rest[count..];
        }
        assert!(again == readings, "{readings:?}");
    }
    if let Some(all) = cells::decode(&mut &*data, 0) {
        let mut bytes = Vec::new();
        cells::encode(&all, 0, &mut bytes);
        let again = cells::decode(&mut bytes.as_slice(), 0).expect("what was written is read");
        assert_eq!(again.len(), all.len());
    }
}

/// Any bytes as a file; and a file of blocks as long as the first half of `data` says, of which the second half says
/// how it is spoilt.
pub(crate) fn file(data: &[u8]) {
    read_all(data);
    let (sizes, spoilt) = data.split_at(data.len() / 2);
    let header = Header {
        level: Level::Day,
        parts: (1, 2),
    };
    let mut writer = Writer::new(Vec::new(), header).unwrap();
    let mut written = Vec::new();
    for (number, size) in (0_i64..).zip(sizes.iter().take(40)) {
        let series = Series {
            device: format!("d{}", size % 5),
            point: format!("p{}", size % 3),
        };
        let block: Vec<u8> = (0..*size).map(|at| at.wrapping_mul(37) ^ size).collect();
        let times = (number * 10, number * 10 + i64::from(*size));
        writer
            .block(&series, What::Minutes, 1, times, &block)
            .unwrap();
        written.push((series, block));
    }
    let (mut bytes, _) = writer.finish().unwrap();
    for change in spoilt.chunks_exact(3).take(16) {
        let at = usize::from(change[0]) << 8 | usize::from(change[1]);
        match (at % (bytes.len() + 1), change[2]) {
            (at, 0) => bytes.truncate(at),
            (at, with) => bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= with),
        }
    }
    for block in read_all(&bytes) {
        assert!(written.contains(&block), "{block:?}");
    }
}

fn read_all(bytes: &[u8]) -> Vec<(Series, Vec<u8>)> {
    let Ok(opened) = file::open(bytes) else {
        return Vec::new();
    };
    let blocks = opened
        .index
        .iter()
        .filter_map(|entry| file::read(bytes, entry).expect("bytes are there"));
    blocks.collect()
}

/// Any bytes as a file of counters; and a file with the rows of one, of which the last bytes say how it is spoilt.
pub(crate) fn counters(data: &[u8]) {
    let rows = |bytes: &[u8]| {
        let mut found: Vec<(Named, Row)> = Vec::new();
        let walked = walk(bytes, |named, row| found.push((named.clone(), row)));
        (found, walked.damaged)
    };
    let (found, _) = rows(data);
    let head = data.get(..16).unwrap_or_default();
    let mut bytes = [head, &Rows::new(1).blocks(&found)].concat();
    let (again, _) = rows(&bytes);
    if head.len() == 16 {
        assert!(again == found, "{found:?}");
    }
    for change in data.rchunks_exact(3).take(4) {
        let at = usize::from(change[0]) << 8 | usize::from(change[1]);
        let at = at % bytes.len().max(1);
        bytes
            .get_mut(at)
            .into_iter()
            .for_each(|byte| *byte ^= change[2]);
    }
    let (spoilt, _) = rows(&bytes);
    assert!(spoilt.iter().all(|row| found.contains(row)), "{spoilt:?}");
}

/// Any bytes as a file of events; and a file with those of one, of which the last bytes say how it is spoilt.
pub(crate) fn events(data: &[u8]) {
    let all = |bytes: &[u8]| {
        let mut found: Vec<Event> = Vec::new();
        let walked = blocks::walk(bytes, |event| found.push(event));
        assert!(walked.whole <= bytes.len() as u64, "{walked:?}");
        (found, walked)
    };
    let (found, _) = all(data);
    let mut bytes = [blocks::header().as_slice(), &blocks::encode(&found)].concat();
    let (again, walked) = all(&bytes);
    assert!(again == found, "{found:?}");
    assert_eq!((walked.damaged, walked.has_rest), (0, false));
    for change in data.rchunks_exact(3).take(4) {
        let at = usize::from(change[0]) << 8 | usize::from(change[1]);
        match (at % bytes.len(), change[2]) {
            (at, 0) if at > 0 => bytes.truncate(at),
            (at, with) => bytes[at] ^= with,
        }
    }
    let (spoilt, _) = all(&bytes);
    assert!(
        spoilt.iter().all(|event| found.contains(event)),
        "{spoilt:?}"
    );
}

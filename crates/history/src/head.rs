//! What no file has yet: readings of the last minutes as they came, and those before as chunks. Pure.
//!
//! Every so often the new readings become a frame for the journal, and the same chunks stay here for those who ask.
//! When the hour is over, or there is no more room, all chunks are handed to a file.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::bits::{put_text, put_varint, take_bytes, take_text, take_varint};
use crate::chunk;
use crate::layout::{NAME_MAX, Series};
use crate::reading::Reading;

/// What a reading takes before it is in a chunk, and what a series takes beside its readings, in bytes.
pub(crate) const READING: usize = size_of::<Reading>();
const STORED: usize = size_of::<Stored>();
const FRAME_VERSION: u8 = 1;

/// A chunk, and where it is in time.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) times: (i64, i64),
    pub(crate) count: usize,
    base: i64,
    bytes: Arc<[u8]>,
}

impl Stored {
    /// The readings in it.
    pub(crate) fn readings(&self) -> Vec<Reading> {
        // Its own bytes can be read.
        chunk::decode(&mut &*self.bytes, self.base).unwrap_or_default()
    }

    /// The last of them before a time.
    pub(crate) fn last_before(&self, before: i64) -> Option<Reading> {
        chunk::last_before(&mut &*self.bytes, self.base, before).flatten()
    }
}

/// The chunks of a part of the journal, by series.
pub(crate) type Chunks = BTreeMap<Arc<Series>, Vec<Stored>>;

#[derive(Debug)]
pub(crate) struct Head {
    /// Which part of the journal its frames are of.
    pub(crate) part: u64,
    /// Bytes that it takes.
    pub(crate) bytes: usize,
    series: Vec<Arc<Series>>,
    places: HashMap<Arc<Series>, u32>,
    /// By place: readings that are in no chunk yet.
    open: Vec<Vec<Reading>>,
    /// By place: whether a frame of this part has named it.
    named: Vec<bool>,
    chunks: Chunks,
}

impl Head {
    pub(crate) fn new(part: u64) -> Self {
        Self {
            part,
            bytes: 0,
            series: Vec::new(),
            places: HashMap::new(),
            open: Vec::new(),
            named: Vec::new(),
            chunks: Chunks::new(),
        }
    }

    /// The number of a series in this process.
    pub(crate) fn place(&mut self, series: &Series) -> u32 {
        if let Some(place) = self.places.get(series) {
            return *place;
        }
        let place = u32::try_from(self.series.len()).unwrap_or(u32::MAX);
        let series = Arc::new(series.clone());
        self.series.push(Arc::clone(&series));
        self.open.push(Vec::new());
        self.named.push(false);
        self.places.insert(series, place);
        place
    }

    /// Takes a reading of a series up.
    pub(crate) fn push(&mut self, place: u32, reading: Reading) {
        if let Some(open) = self.open.get_mut(place as usize) {
            open.push(reading);
            self.bytes += READING;
        }
    }

    /// Makes a frame of what is in no chunk yet; `None` if there is nothing.
    pub(crate) fn frame(&mut self) -> Option<Vec<u8>> {
        let first = self.open.iter().find_map(|open| open.first())?;
        let base = first.at;
        let mut frame = vec![FRAME_VERSION];
        frame.extend(self.part.to_le_bytes());
        frame.extend(base.to_le_bytes());
        let all = self.series.iter().zip(&mut self.open).zip(&mut self.named);
        for (place, ((series, open), named)) in (0_u64..).zip(all) {
            let readings = std::mem::take(open);
            self.bytes -= readings.len() * READING;
            let mut rest = readings.as_slice();
            while !rest.is_empty() {
                put_varint(place << 1 | u64::from(!*named), &mut frame);
                if !*named {
                    put_text(&series.device, &mut frame);
                    put_text(&series.point, &mut frame);
                    *named = true;
                }
                let mut bytes = Vec::new();
                let count = chunk::encode(rest, base, &mut bytes);
                put_varint(bytes.len() as u64, &mut frame);
                frame.extend(&bytes);
                let (these, later) = rest.split_at(count);
                let stored = stored(these, base, bytes.into());
                self.bytes += STORED + stored.bytes.len();
                self.chunks
                    .entry(Arc::clone(series))
                    .or_default()
                    .push(stored);
                rest = later;
            }
        }
        Some(frame)
    }

    /// Takes up what a frame from before this start holds. Returns how many readings, or `None` if it is no frame.
    pub(crate) fn replay(
        &mut self,
        frame: &Frame<'_>,
        names: &mut HashMap<u64, Series>,
    ) -> Option<usize> {
        let mut rest = frame.items;
        let mut count = 0;
        while !rest.is_empty() {
            let code = take_varint(&mut rest)?;
            if code & 1 == 1 {
                let device = take_text(&mut rest, NAME_MAX)?.to_owned();
                let point = take_text(&mut rest, NAME_MAX)?.to_owned();
                names.insert(code >> 1, Series { device, point });
            }
            let length = usize::try_from(take_varint(&mut rest)?).ok()?;
            let bytes = take_bytes(&mut rest, length)?;
            // The frame that named it is lost.
            let Some(series) = names.get(&(code >> 1)) else {
                continue;
            };
            let readings = chunk::decode(&mut &*bytes, frame.base)?;
            count += readings.len();
            let place = self.place(series) as usize;
            let stored = stored(&readings, frame.base, bytes.into());
            self.bytes += STORED + stored.bytes.len();
            let series = self.series.get(place).map(Arc::clone)?;
            self.chunks.entry(series).or_default().push(stored);
        }
        Some(count)
    }

    /// Hands over all chunks; what comes from now on is of the next part.
    pub(crate) fn close(&mut self) -> Chunks {
        self.part += 1;
        self.named.fill(false);
        let chunks = std::mem::take(&mut self.chunks);
        let open: usize = self.open.iter().map(Vec::len).sum();
        self.bytes = open * READING;
        chunks
    }

    /// What it would hand over.
    pub(crate) fn chunks(&self) -> &Chunks {
        &self.chunks
    }

    /// The least time of a reading in a chunk.
    pub(crate) fn first(&self) -> Option<i64> {
        self.chunks
            .values()
            .flatten()
            .map(|chunk| chunk.times.0)
            .min()
    }

    /// Whether there is nothing to hand over.
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The chunks of a series, and the readings behind them.
    pub(crate) fn of(&self, series: &Series) -> (Vec<Stored>, Vec<Reading>) {
        let chunks = self.chunks.get(series).cloned().unwrap_or_default();
        let place = self.places.get(series);
        let open = place.and_then(|place| self.open.get(*place as usize));
        (chunks, open.cloned().unwrap_or_default())
    }

    /// Every series that has something here.
    pub(crate) fn series(&self) -> impl Iterator<Item = &Arc<Series>> {
        let open = self.series.iter().zip(&self.open);
        let open = open
            .filter(|(_, open)| !open.is_empty())
            .map(|(series, _)| series);
        self.chunks.keys().chain(open)
    }
}

fn stored(readings: &[Reading], base: i64, bytes: Arc<[u8]>) -> Stored {
    let times = || readings.iter().map(|reading| reading.at);
    Stored {
        times: (times().min().unwrap_or(base), times().max().unwrap_or(base)),
        count: readings.len(),
        base,
        bytes,
    }
}

/// A frame of the journal.
#[derive(Debug)]
pub(crate) struct Frame<'b> {
    /// The part that it is of.
    pub(crate) part: u64,
    base: i64,
    items: &'b [u8],
}

impl<'b> Frame<'b> {
    /// `None` if it is none, or of another version.
    pub(crate) fn of(bytes: &'b [u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (part, rest) = rest.split_first_chunk()?;
        let (base, items) = rest.split_first_chunk()?;
        (*version == FRAME_VERSION).then_some(())?;
        Some(Self {
            part: u64::from_le_bytes(*part),
            base: i64::from_le_bytes(*base),
            items,
        })
    }
}

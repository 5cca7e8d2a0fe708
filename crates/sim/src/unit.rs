//! What a simulated device holds: four tables, with holes, moving and written values.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

/// One of the four tables of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Bits that clients read and write.
    Coil,
    /// Bits that clients only read.
    Discrete,
    /// Registers that clients only read.
    Input,
    /// Registers that clients read and write.
    Holding,
}

/// One simulated device. An address that was never given a value is a hole.
#[derive(Debug, Default)]
pub struct Unit {
    coils: Cells<bool>,
    discretes: Cells<bool>,
    inputs: Cells<u16>,
    holdings: Cells<u16>,
    /// The basic objects of function 43, in their order; empty for a unit that lacks it.
    pub(crate) identity: Vec<String>,
}

impl Unit {
    /// A unit that consists of holes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers from `address` on that hold `words` until they are written. A word beyond
    /// address 65535 is ignored, as is a call for [`Table::Coil`] or [`Table::Discrete`].
    pub fn set_words(&mut self, table: Table, address: u16, words: &[u16]) {
        if let Some(cells) = self.words_mut(table) {
            cells.store(address, words);
        }
    }

    /// As [`Self::set_words`], for [`Table::Coil`] and [`Table::Discrete`].
    pub fn set_bits(&mut self, table: Table, address: u16, bits: &[bool]) {
        if let Some(cells) = self.bits_mut(table) {
            cells.store(address, bits);
        }
    }

    /// `count` registers from `address` on that move: `source` gives their words for a time since
    /// the start. What it gives beyond `count` is cut, what it leaves out keeps its value.
    /// Once a client writes one of them, all of them hold what they have then.
    ///
    /// `source` must be quick and must not panic: it runs while a request is answered.
    pub fn move_words(
        &mut self,
        table: Table,
        address: u16,
        count: u16,
        source: impl Fn(Duration) -> Vec<u16> + Send + 'static,
    ) {
        if let Some(cells) = self.words_mut(table) {
            cells.mover(address, count, move |now, cells| {
                for (cell, word) in cells.iter_mut().zip(source(now)) {
                    *cell = word;
                }
            });
        }
    }

    /// One bit, 0 to 15, of a register that moves; the other bits stay with whatever was added
    /// before. Several bits of one register may move.
    pub fn move_register_bit(
        &mut self,
        table: Table,
        address: u16,
        bit: u8,
        source: impl Fn(Duration) -> bool + Send + 'static,
    ) {
        let mask = 1u16.checked_shl(u32::from(bit)).unwrap_or(0);
        if let Some(cells) = self.words_mut(table) {
            cells.mover(address, 1, move |now, cells| {
                if let Some(cell) = cells.first_mut() {
                    *cell = if source(now) {
                        *cell | mask
                    } else {
                        *cell & !mask
                    };
                }
            });
        }
    }

    /// A coil or discrete input that moves until a client writes it.
    pub fn move_bit(
        &mut self,
        table: Table,
        address: u16,
        source: impl Fn(Duration) -> bool + Send + 'static,
    ) {
        if let Some(cells) = self.bits_mut(table) {
            cells.mover(address, 1, move |now, cells| {
                if let Some(cell) = cells.first_mut() {
                    *cell = source(now);
                }
            });
        }
    }

    /// The registers at `now`; `None` when one of them is a hole or `table` holds bits.
    pub fn words(&self, table: Table, address: u16, count: u16, now: Duration) -> Option<Vec<u16>> {
        match table {
            Table::Input => self.inputs.read(address, count, now),
            Table::Holding => self.holdings.read(address, count, now),
            Table::Coil | Table::Discrete => None,
        }
    }

    /// The bits at `now`; `None` when one of them is a hole or `table` holds registers.
    pub fn bits(&self, table: Table, address: u16, count: u16, now: Duration) -> Option<Vec<bool>> {
        match table {
            Table::Coil => self.coils.read(address, count, now),
            Table::Discrete => self.discretes.read(address, count, now),
            Table::Input | Table::Holding => None,
        }
    }

    /// A client's write of holding registers. `false`, and nothing is written, when one is a hole.
    pub(crate) fn write_words(&mut self, address: u16, words: &[u16], now: Duration) -> bool {
        self.holdings.write(address, words, now)
    }

    /// A client's write of coils. `false`, and nothing is written, when one is a hole.
    pub(crate) fn write_bits(&mut self, address: u16, bits: &[bool], now: Duration) -> bool {
        self.coils.write(address, bits, now)
    }

    /// Takes over what clients have written to `old`, where this one has the address.
    pub(crate) fn inherit(&mut self, old: &Self) {
        self.coils.inherit(&old.coils);
        self.holdings.inherit(&old.holdings);
    }

    fn words_mut(&mut self, table: Table) -> Option<&mut Cells<u16>> {
        match table {
            Table::Input => Some(&mut self.inputs),
            Table::Holding => Some(&mut self.holdings),
            Table::Coil | Table::Discrete => None,
        }
    }

    fn bits_mut(&mut self, table: Table) -> Option<&mut Cells<bool>> {
        match table {
            Table::Coil => Some(&mut self.coils),
            Table::Discrete => Some(&mut self.discretes),
            Table::Input | Table::Holding => None,
        }
    }
}

/// One table: the stored values, and over them the movers in the order in which they were added.
struct Cells<T> {
    stored: BTreeMap<u16, T>,
    /// Where clients have written.
    written: BTreeSet<u16>,
    movers: BTreeMap<u16, Vec<Mover<T>>>,
    /// The longest mover: how far before a range one may begin that reaches into it.
    longest: u16,
}

struct Mover<T> {
    count: u16,
    apply: Apply<T>,
}

/// Changes a mover's cells into what they are at a time since the start.
type Apply<T> = Box<dyn Fn(Duration, &mut [T]) + Send>;

impl<T> Default for Cells<T> {
    fn default() -> Self {
        Self {
            stored: BTreeMap::new(),
            written: BTreeSet::new(),
            movers: BTreeMap::new(),
            longest: 0,
        }
    }
}

impl<T> fmt::Debug for Cells<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} cells, {} moving",
            self.stored.len(),
            self.movers.len()
        )
    }
}

impl<T: Copy + Default> Cells<T> {
    fn store(&mut self, address: u16, values: &[T]) {
        self.stored
            .extend((address..=u16::MAX).zip(values.iter().copied()));
    }

    fn mover(
        &mut self,
        address: u16,
        count: u16,
        apply: impl Fn(Duration, &mut [T]) + Send + 'static,
    ) {
        for address in (address..=u16::MAX).take(usize::from(count)) {
            self.stored.entry(address).or_default();
        }
        self.longest = self.longest.max(count);
        self.movers.entry(address).or_default().push(Mover {
            count,
            apply: Box::new(apply),
        });
    }

    fn read(&self, address: u16, count: u16, now: Duration) -> Option<Vec<T>> {
        let addresses = (address..=u16::MAX).take(usize::from(count));
        let mut values: Vec<T> = addresses
            .map_while(|address| self.stored.get(&address).copied())
            .collect();
        if values.len() != usize::from(count) {
            return None;
        }
        let end = u32::from(address) + u32::from(count);
        for start in self.starts(address, end) {
            for mover in self.movers.get(&start).into_iter().flatten() {
                apply(mover, start, address, &mut values, now, &self.stored);
            }
        }
        Some(values)
    }

    fn write(&mut self, address: u16, values: &[T], now: Duration) -> bool {
        let end = u32::from(address) + values.len() as u32;
        if end > 0x1_0000 || (u32::from(address)..end).any(|at| !self.holds(at)) {
            return false;
        }
        for start in self.starts(address, end) {
            self.freeze(start, address, now);
        }
        self.store(address, values);
        self.written.extend((address..=u16::MAX).take(values.len()));
        true
    }

    /// Writes what clients have written to `old`; addresses that are holes here are left out.
    fn inherit(&mut self, old: &Self) {
        for address in &old.written {
            if let Some(value) = old.stored.get(address) {
                self.write(*address, &[*value], Duration::ZERO);
            }
        }
    }

    fn holds(&self, address: u32) -> bool {
        u16::try_from(address).is_ok_and(|address| self.stored.contains_key(&address))
    }

    /// The starts of all movers that may reach into `address..end`.
    fn starts(&self, address: u16, end: u32) -> Vec<u16> {
        self.movers
            .range(address.saturating_sub(self.longest)..)
            .map(|(start, _)| *start)
            .take_while(|start| u32::from(*start) < end)
            .collect()
    }

    /// Makes the movers at `start` that reach `address` or begin behind it stand still.
    fn freeze(&mut self, start: u16, address: u16, now: Duration) {
        let Some(movers) = self.movers.remove(&start) else {
            return;
        };
        let (hit, rest): (Vec<_>, Vec<_>) = movers
            .into_iter()
            .partition(|mover| u32::from(start) + u32::from(mover.count) > u32::from(address));
        for mover in hit {
            let mut values: Vec<T> = (start..=u16::MAX)
                .take(usize::from(mover.count))
                .map_while(|at| self.stored.get(&at).copied())
                .collect();
            (mover.apply)(now, &mut values);
            self.store(start, &values);
        }
        if !rest.is_empty() {
            self.movers.insert(start, rest);
        }
    }
}

/// Applies a mover to the part of `values` that it covers.
fn apply<T: Copy>(
    mover: &Mover<T>,
    start: u16,
    address: u16,
    values: &mut [T],
    now: Duration,
    stored: &BTreeMap<u16, T>,
) {
    // The mover's own view of its cells: what `values` has already, else what is stored.
    let place = |at: u16| at.checked_sub(address).map(usize::from);
    let cells = (start..=u16::MAX).take(usize::from(mover.count));
    let mut own: Vec<T> = cells
        .clone()
        .map_while(|at| {
            let shown = place(at).and_then(|place| values.get(place));
            shown.or_else(|| stored.get(&at)).copied()
        })
        .collect();
    (mover.apply)(now, &mut own);
    for (at, value) in cells.zip(own) {
        if let Some(cell) = place(at).and_then(|place| values.get_mut(place)) {
            *cell = value;
        }
    }
}

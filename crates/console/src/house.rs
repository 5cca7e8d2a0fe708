//! Figures of the rest of the program.

/// What kind of figure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FigureKind {
    /// Counts since the start.
    Counter,
    /// What is now.
    Gauge,
}

/// One figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Its name in snake case, with its unit, without prefix and without `_total`.
    pub name: &'static str,
    /// What it counts, for people.
    pub help: &'static str,
    /// What kind it is.
    pub kind: FigureKind,
    /// A label and its value; figures of one name differ in it, and follow each other.
    pub label: Option<(&'static str, &'static str)>,
    /// The figure.
    pub value: f64,
}

/// The rest of the program.
pub trait House: Send + Sync {
    /// Figures of the broker and of the process, those of one name one after the other.
    fn figures(&self) -> Vec<Figure>;

    /// Whether the clock of the machine has been set by something that knows the time.
    fn clock_is_set(&self) -> bool;

    /// What a person must know besides, such as a disk that takes nothing. Empty if there is nothing.
    fn warnings(&self) -> Vec<String>;
}

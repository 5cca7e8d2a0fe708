//! Exports while files are put together, and while they are removed.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use super::keeping::{ALL, Folder, NOON, Plant, settings};
use crate::export::{Chosen, Error, Format};
use crate::query;
use crate::{Reader, Series};

const HOUR: i64 = 3_600_000;
const FORMATS: [Format; 4] = [Format::Csv, Format::Jsonl, Format::Parquet, Format::Line];

fn write(reader: &Reader, format: Format, out: impl Write) -> Result<(), Error> {
    let unit = |_: &Series| "W".to_owned();
    reader.export((&Chosen::default(), ALL), &unit, format, out)
}

/// A writer that removes all files of history with its second write, and what they were made of.
struct Removing {
    folder: PathBuf,
    writes: usize,
}

impl Write for Removing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writes += 1;
        if self.writes == 2 {
            for entry in fs::read_dir(&self.folder)? {
                let path = entry?.path();
                match path.is_dir() {
                    true => fs::remove_dir_all(path)?,
                    false => fs::remove_file(path)?,
                }
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Two hours of readings, in two files.
fn two_hours(folder: &Folder) -> Plant {
    let plant = Plant::new(settings(&folder.0), NOON);
    for hour in 0..2 {
        plant.tell(NOON + hour * HOUR, 0..3_600);
        plant.turn(NOON + (hour + 1) * HOUR);
    }
    plant
}

#[test]
fn an_export_is_whole_when_files_were_put_together_before_it_began_to_read() {
    let folder = Folder::new();
    let plant = two_hours(&folder);
    let inside = plant.history.reader();
    let outside = Reader::of_folder(&folder.0).unwrap();
    let mut before = Vec::new();
    write(&outside, Format::Csv, &mut before).unwrap();
    assert_eq!(before.split(|byte| *byte == b'\n').count(), 7_202);
    plant.turn(NOON + 24 * HOUR);
    for reader in [&inside, &outside] {
        let mut after = Vec::new();
        write(reader, Format::Csv, &mut after).unwrap();
        assert!(after == before);
    }
}

/// A writer that has the day's files put together with its second write.
struct Compacting<'a> {
    plant: &'a Plant,
    bytes: Vec<u8>,
    writes: usize,
}

impl Write for Compacting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writes += 1;
        if self.writes == 2 {
            self.plant.turn(NOON + 24 * HOUR);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_export_is_whole_when_files_are_put_together_in_the_middle_of_a_series() {
    for format in FORMATS {
        let folder = Folder::new();
        let plant = two_hours(&folder);
        let mut before = Vec::new();
        write(&plant.history.reader(), format, &mut before).unwrap();
        let reader = Reader::of_folder(&folder.0).unwrap();
        let mut out = Compacting {
            plant: &plant,
            bytes: Vec::new(),
            writes: 0,
        };
        write(&reader, format, &mut out).unwrap();
        assert!(out.writes > 1 && out.bytes == before, "{format:?}");
    }
}

#[test]
fn an_export_whose_files_go_in_the_middle_says_so() {
    for format in [Format::Csv, Format::Jsonl, Format::Line] {
        let folder = Folder::new();
        let plant = two_hours(&folder);
        for reader in [
            Reader::of_folder(&folder.0).unwrap(),
            plant.history.reader(),
        ] {
            let out = Removing {
                folder: folder.0.clone(),
                writes: 0,
            };
            let failed = write(&reader, format, out).unwrap_err();
            assert!(
                matches!(failed, Error::Read(query::Error::Gone)),
                "{format:?}: {failed}"
            );
        }
    }
}

#[test]
fn an_export_ends_when_no_more_is_taken_and_without_readings_it_is_whole() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self
                .0
                .checked_sub(bytes.len())
                .ok_or(io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let folder = Folder::new();
    let plant = two_hours(&folder);
    let reader = plant.history.reader();
    for format in FORMATS {
        for room in [0, 3, 1_000] {
            let failed = write(&reader, format, Full(room)).unwrap_err();
            assert!(matches!(failed, Error::Write(_)), "{format:?}: {failed}");
        }
    }
    let empty = Folder::new();
    let plant = Plant::new(settings(&empty.0), NOON);
    for (format, least) in FORMATS.into_iter().zip([40, 0, 100, 0]) {
        let mut file = Vec::new();
        write(&plant.history.reader(), format, &mut file).unwrap();
        assert!(
            file.len() >= least && file.len() < 700,
            "{format:?}: {}",
            file.len()
        );
    }
}

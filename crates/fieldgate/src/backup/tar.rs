//! Archives: files by name in one stream, in POSIX's ustar format, packed with gzip. Pure.
//!
//! What is read may be hostile: nothing but plain files with tame names comes out, each once, and no more bytes than
//! were asked for are ever made of what is packed. Source of the format: POSIX.1-2017, pax, "ustar Interchange Format".

use std::collections::BTreeSet;
use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

/// Bytes of a block, and of a header.
const BLOCK: usize = 512;
/// Files of an archive.
pub(super) const FILES_MAX: usize = 1_200;
/// Bytes of one file: as many as a configuration may have.
pub(super) const FILE_MAX: usize = 4 << 20;
/// Levels of a name.
const LEVELS_MAX: usize = 8;

/// A file of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its path with `/`, which leads nowhere but below the top.
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

impl Entry {
    pub(super) fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.into(),
            bytes: bytes.into(),
        }
    }
}

/// Writes files one after the other, all of the time `made` (seconds since 1970).
///
/// # Errors
///
/// A name that the format has no room for, or that would not be read again.
pub(super) fn write(files: &[Entry], made: u64) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    for file in files {
        check_name(&file.name)?;
        if file.bytes.len() > FILE_MAX {
            return Err(format!("{}: larger than {FILE_MAX} bytes", file.name));
        }
        out.extend(header(&file.name, file.bytes.len(), made)?);
        out.extend(&file.bytes);
        out.resize(out.len().next_multiple_of(BLOCK), 0);
    }
    out.resize(out.len() + 2 * BLOCK, 0);
    Ok(out)
}

fn header(name: &str, size: usize, made: u64) -> Result<[u8; BLOCK], String> {
    let (prefix, name) = split(name).ok_or_else(|| format!("{name}: too long a name"))?;
    let mut header = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| {
        let place = header.iter_mut().skip(at);
        place.zip(bytes).for_each(|(to, from)| *to = *from);
    };
    put(0, name.as_bytes());
    put(100, b"0000600\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, format!("{made:011o}\0").as_bytes());
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    put(345, prefix.as_bytes());
    let sum = sum(&header);
    let text = format!("{sum:06o}\0 ");
    let place = header.iter_mut().skip(148);
    place
        .zip(text.as_bytes())
        .for_each(|(to, from)| *to = *from);
    Ok(header)
}

/// A name as the header's two fields have it.
fn split(name: &str) -> Option<(&str, &str)> {
    if name.len() <= 100 {
        return Some(("", name));
    }
    let mut places = name.match_indices('/').map(|(place, _)| place);
    let place = places.find(|place| name.len() - place - 1 <= 100)?;
    (place <= 155).then(|| (&name[..place], &name[place + 1..]))
}

/// The sum of a header's bytes, with spaces in the place of the sum.
fn sum(header: &[u8]) -> u32 {
    let bytes = header.iter().enumerate();
    bytes
        .map(|(at, byte)| match at {
            148..156 => u32::from(b' '),
            _ => u32::from(*byte),
        })
        .sum()
}

/// The files of an archive, in its order.
///
/// # Errors
///
/// What is wrong with it, for people.
pub(super) fn read(archive: &[u8]) -> Result<Vec<Entry>, String> {
    let mut files = Vec::new();
    let mut names = BTreeSet::new();
    let mut rest = archive;
    loop {
        let Some((header, behind)) = rest.split_at_checked(BLOCK) else {
            return Err("it ends in the middle".to_owned());
        };
        if header.iter().all(|byte| *byte == 0) {
            return Ok(files);
        }
        let size = about(header)?;
        let name = name(header)?;
        let kind = header.get(156).copied().unwrap_or_default();
        if kind == b'5' && size == 0 {
            rest = behind;
            continue;
        }
        if !matches!(kind, b'0' | 0) {
            return Err(format!("{name}: neither a plain file nor a folder"));
        }
        check_name(&name)?;
        if files.len() >= FILES_MAX {
            return Err(format!("more than {FILES_MAX} files"));
        }
        if size > FILE_MAX {
            return Err(format!("{name}: larger than {FILE_MAX} bytes"));
        }
        let bytes = behind.get(..size);
        let bytes = bytes.ok_or_else(|| format!("{name}: it ends in the middle of it"))?;
        if !names.insert(name.clone()) {
            return Err(format!("{name}: there are two of it"));
        }
        files.push(Entry::new(name, bytes));
        rest = behind
            .get(size.next_multiple_of(BLOCK)..)
            .unwrap_or_default();
    }
}

/// Looks whether it is a header. Returns the size of its file.
fn about(header: &[u8]) -> Result<usize, String> {
    let no_archive = || "it is no archive, or damaged".to_owned();
    let field = |at: usize, length: usize| header.get(at..at + length).unwrap_or_default();
    if !field(257, 5).eq(b"ustar") {
        return Err(no_archive());
    }
    let told = octal(field(148, 8)).ok_or_else(no_archive)?;
    if told != u64::from(sum(header)) {
        return Err(no_archive());
    }
    let size = octal(field(124, 12)).ok_or_else(no_archive)?;
    usize::try_from(size).map_err(|_| no_archive())
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?;
    let text = text.trim_matches([' ', '\0']);
    u64::from_str_radix(text, 8).ok()
}

fn name(header: &[u8]) -> Result<String, String> {
    let field = |at: usize, length: usize| {
        let field = header.get(at..at + length).unwrap_or_default();
        field.split(|byte| *byte == 0).next().unwrap_or_default()
    };
    let is_posix = header.get(262) == Some(&0);
    // In GNU's own format other things stand where POSIX has the prefix.
    let prefix = if is_posix { field(345, 155) } else { &[] };
    let mut whole = prefix.to_vec();
    if !whole.is_empty() {
        whole.push(b'/');
    }
    whole.extend(field(0, 100));
    String::from_utf8(whole).map_err(|_| "a name that is no UTF-8 text".to_owned())
}

/// Whether a name can only mean a file below the top.
fn check_name(name: &str) -> Result<(), String> {
    let is_tame = |level: &str| {
        !level.is_empty()
            && !level.starts_with('.')
            && !level.chars().any(|c| c.is_control() || c == '\\')
    };
    let levels = name.split('/').count();
    if levels > LEVELS_MAX || !name.split('/').all(is_tame) {
        return Err(format!("{name:?}: a name that is not taken"));
    }
    Ok(())
}

/// Packs with gzip.
///
/// # Errors
///
/// None that is known.
pub(super) fn pack(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(bytes)?;
    packer.finish()
}

/// Unpacks, up to `most` bytes.
///
/// # Errors
///
/// What is wrong, for people.
pub(super) fn unpack(packed: &[u8], most: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX);
    let mut unpacker = MultiGzDecoder::new(packed).take(limit + 1);
    unpacker
        .read_to_end(&mut bytes)
        .map_err(|error| format!("it is not packed with gzip, or damaged: {error}"))?;
    if bytes.len() > most {
        return Err(format!("it holds more than {most} bytes"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Vec<Entry> {
        vec![
            Entry::new("config/gateway.yaml", "gateway: a\n"),
            Entry::new(format!("config/{}/x.yaml", "t".repeat(120)), vec![7; 1_000]),
            Entry::new("empty", ""),
            Entry::new("config/types/zähler.yaml", vec![1; 512]),
        ]
    }

    #[test]
    fn what_is_written_is_read_again() {
        let archive = write(&some(), 1_700_000_000).unwrap();
        assert_eq!(archive.len() % BLOCK, 0);
        assert_eq!(read(&archive).unwrap(), some());
        let packed = pack(&archive).unwrap();
        assert_eq!(unpack(&packed, archive.len()).unwrap(), archive);
        assert_eq!(read(&write(&[], 0).unwrap()).unwrap(), []);
    }

    /// An archive of one file, changed, its sum right again.
    fn changed(change: impl Fn(&mut [u8])) -> Vec<u8> {
        let mut archive = write(&[Entry::new("config/a", "text")], 0).unwrap();
        change(&mut archive);
        let told = format!("{:06o}\0 ", sum(&archive[..BLOCK]));
        archive[148..156].copy_from_slice(told.as_bytes());
        archive
    }

    #[test]
    fn names_that_lead_elsewhere_links_devices_and_doubles_are_refused() {
        let named = |name: &'static str| {
            changed(move |archive| {
                archive[..100].fill(0);
                archive[..name.len()].copy_from_slice(name.as_bytes());
            })
        };
        let of_kind = |kind: u8| changed(move |archive| archive[156] = kind);
        let mut twice = write(&[Entry::new("a", "1")], 0).unwrap();
        twice.truncate(2 * BLOCK);
        let twice = [twice.clone(), twice, vec![0; 2 * BLOCK]].concat();
        let mut cut = write(&[Entry::new("a", vec![1; 600])], 0).unwrap();
        cut.truncate(2 * BLOCK);
        for (archive, want) in [
            (named("/etc/passwd"), "not taken"),
            (named("../gateway.yaml"), "not taken"),
            (named("config/../../x"), "not taken"),
            (named("config//x"), "not taken"),
            (named("config/.ssh"), "not taken"),
            (named("config\\x"), "not taken"),
            (named("a/b/c/d/e/f/g/h/i"), "not taken"),
            (named("a\nb"), "not taken"),
            (named(""), "not taken"),
            (of_kind(b'1'), "neither"),
            (of_kind(b'2'), "neither"),
            (of_kind(b'3'), "neither"),
            (of_kind(b'x'), "neither"),
            (of_kind(b'L'), "neither"),
            (twice, "two of it"),
            (cut, "ends in the middle"),
            (Vec::new(), "ends in the middle"),
            (vec![1; 2 * BLOCK], "no archive"),
            (changed(|archive| archive[124..136].fill(b'7')), "larger"),
            (
                changed(|archive| archive[124..136].fill(0xFF)),
                "no archive",
            ),
            (changed(|archive| archive[0] = 0xFF), "UTF-8"),
        ] {
            let found = read(&archive).unwrap_err();
            assert!(found.contains(want), "{found}, not {want}");
        }
        let mut wrong_sum = write(&[Entry::new("a", "1")], 0).unwrap();
        wrong_sum[0] = b'b';
        assert!(read(&wrong_sum).unwrap_err().contains("damaged"));
    }

    #[test]
    fn a_bomb_and_what_is_no_gzip_end_at_the_bound() {
        let bomb = pack(&vec![0; 10_000_000]).unwrap();
        assert!(bomb.len() < 20_000);
        assert!(unpack(&bomb, 1_000_000).unwrap_err().contains("more than"));
        for packed in [&b""[..], b"PK", &bomb[..100]] {
            assert!(unpack(packed, 1_000).is_err());
        }
        let many = [Entry::new("a", "")]
            .into_iter()
            .cycle()
            .take(FILES_MAX + 1);
        let many: Vec<_> = many
            .enumerate()
            .map(|(number, file)| Entry::new(format!("{}{number}", file.name), ""))
            .collect();
        let many = write(&many, 0).unwrap();
        assert!(read(&many).unwrap_err().contains("more than"));
    }
}

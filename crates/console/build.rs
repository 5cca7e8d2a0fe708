//! Packs the pages and lists them, so that the program carries them ready to be sent.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Error, Write as _};
use std::path::{Path, PathBuf};
use std::{env, fs};

use flate2::Compression;
use flate2::write::GzEncoder;

/// What a browser is told that a file is, by its ending.
const TYPES: [(&str, &str); 6] = [
    ("html", "text/html; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("svg", "image/svg+xml"),
    ("webmanifest", "application/manifest+json"),
];

fn main() -> Result<(), Error> {
    let top = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let web = top.join("web");
    println!("cargo::rerun-if-changed={}", web.display());
    let mut files = BTreeMap::new();
    collect(&web, &web, &mut files)?;
    let mut whole = HASH_START;
    for (name, bytes) in &files {
        whole = hash(hash(whole, name.as_bytes()), bytes);
    }
    let mut table = format!("/// Of all files.\nconst BUILD: &str = \"{whole:016x}\";\n\n");
    table.push_str("/// Sorted by name.\nconst FILES: &[Asset] = &[\n");
    for (number, (name, bytes)) in files.iter().enumerate() {
        let kind = kind(name)
            .ok_or_else(|| Error::other(format!("web/{name}: a file of no known type")))?;
        let bytes = match name.as_str() {
            // The rest is asked for below a name that changes with it.
            "index.html" => String::from_utf8_lossy(bytes)
                .replace("BUILD", &format!("{whole:016x}"))
                .into_bytes(),
            _ => bytes.clone(),
        };
        let mut packer = GzEncoder::new(Vec::new(), Compression::best());
        packer.write_all(&bytes)?;
        fs::write(out.join(format!("{number}.gz")), packer.finish()?)?;
        fs::write(out.join(format!("{number}.raw")), &bytes)?;
        let tag = hash(HASH_START, &bytes);
        writeln!(
            table,
            "    Asset {{ name: {name:?}, kind: {kind:?}, tag: \"\\\"{tag:016x}\\\"\", \
             packed: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{number}.gz\")), \
             plain: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{number}.raw\")) }},"
        )
        .map_err(Error::other)?;
    }
    table.push_str("];\n");
    fs::write(out.join("assets.rs"), table)
}

fn kind(name: &str) -> Option<&'static str> {
    let ending = name.rsplit_once('.')?.1;
    let found = TYPES.iter().find(|(known, _)| *known == ending);
    found.map(|(_, kind)| *kind)
}

fn collect(top: &Path, folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) -> Result<(), Error> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(top, &path, files)?;
        } else if path.extension().is_some_and(|ending| ending != "md") {
            let name = path.strip_prefix(top).map_err(Error::other)?;
            files.insert(name.display().to_string(), fs::read(&path)?);
        }
    }
    Ok(())
}

const HASH_START: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a: it tells versions of a file apart, and has no enemy.
fn hash(start: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(start, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

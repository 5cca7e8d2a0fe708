//! Names the commit in what `fieldgate --version` says: `fieldgate 0.1.0 (a789852)`.
//!
//! Only the binary's crate does this, so a new commit builds no other crate anew. It compiles to the same bytes
//! wherever the same commit is checked out: no date, no path and no branch gets in.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A build without git, such as Yocto's, gets the commit here: 7 to 40 hexadecimal digits, then `-dirty` if files were changed.
const COMMIT: &str = "FIELDGATE_COMMIT";
/// How much of a commit is shown. A length by git would depend on what else a clone holds.
const SHOWN: usize = 7;

#[allow(
    clippy::print_stdout,
    reason = "cargo reads what a build script prints"
)]
fn main() {
    pack_relocations();
    println!("cargo::rerun-if-env-changed={COMMIT}");
    println!("cargo::rerun-if-changed=build.rs");
    let package = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let manifest = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let given = std::env::var(COMMIT).unwrap_or_default();
    match version(&Path::new(&manifest).join("../.."), &package, given.trim()) {
        Ok((version, watched)) => {
            println!("cargo::rustc-env=FIELDGATE_VERSION={version}");
            for path in watched {
                println!("cargo::rerun-if-changed={}", path.display());
            }
        }
        Err(error) => println!("cargo::error={error}"),
    }
}

/// Packs the list of addresses that are filled in at the start, half a megabyte, which stays in memory as it was read.
/// A linker that cannot says so and goes on; glibc 2.36 and newer read it.
#[allow(
    clippy::print_stdout,
    reason = "cargo reads what a build script prints"
)]
fn pack_relocations() {
    let target = |key: &str| std::env::var(key).unwrap_or_default();
    if target("CARGO_CFG_TARGET_OS") == "linux" && target("CARGO_CFG_TARGET_ENV") == "gnu" {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The version with its commit, and the files whose change may change it.
///
/// `root` is the workspace's folder, `package` the version of `Cargo.toml`, `given` the commit from the environment or
/// nothing. A folder that is no git work tree of its own, as an unpacked archive, has no commit to name.
///
/// # Errors
///
/// `given` is no commit.
pub(crate) fn version(
    root: &Path,
    package: &str,
    given: &str,
) -> Result<(String, Vec<PathBuf>), String> {
    if !given.is_empty() {
        return Ok((named(package, given)?, Vec::new()));
    }
    let git = |arguments: &[&str]| git(root, arguments);
    let own = git(&["rev-parse", "--show-toplevel"]).is_some_and(|top| same(Path::new(&top), root));
    let Some(commit) = git(&["rev-parse", "--verify", "HEAD"]).filter(|_| own) else {
        return Ok((package.to_owned(), Vec::new()));
    };
    let sources = sources(root);
    let mut status = vec!["status", "--porcelain", "--untracked-files=all", "--"];
    status.extend(sources.iter().map(String::as_str));
    let modified = git(&status).is_none_or(|changes| !changes.is_empty());
    let shown = commit.get(..SHOWN).unwrap_or(&commit);
    let version = format!(
        "{package} ({shown}{})",
        if modified { ", modified" } else { "" }
    );

    // The branch's own file is missing while it is packed; then the log of HEAD tells of the next commit.
    let mut marks = vec![
        "HEAD".to_owned(),
        "logs/HEAD".to_owned(),
        "packed-refs".to_owned(),
    ];
    marks.extend(git(&["symbolic-ref", "--quiet", "HEAD"]));
    let marks = marks
        .iter()
        .filter_map(|mark| git(&["rev-parse", "--git-path", mark]));
    // A file that is not there would run this at every build.
    let watched = marks
        .chain(sources)
        .map(|path| root.join(path))
        .filter(|path| path.exists());
    Ok((version, watched.collect()))
}

/// The version with a commit as `git describe --always --dirty --abbrev=40 --exclude='*'` prints it.
fn named(package: &str, given: &str) -> Result<String, String> {
    let (commit, modified) = match given.strip_suffix("-dirty") {
        Some(commit) => (commit, ", modified"),
        None => (given, ""),
    };
    let digits = commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    match commit.get(..SHOWN) {
        Some(shown) if digits && commit.len() <= 40 => {
            Ok(format!("{package} ({}{modified})", shown.to_lowercase()))
        }
        _ => Err(format!(
            "{COMMIT}: \"{given}\" is no commit; expected 7 to 40 hexadecimal digits, then -dirty if files were changed"
        )),
    }
}

/// What the program is compiled from, relative to the workspace's folder.
fn sources(root: &Path) -> Vec<String> {
    let mut found = vec!["Cargo.toml".to_owned(), "Cargo.lock".to_owned()];
    let folders = std::fs::read_dir(root.join("crates"))
        .into_iter()
        .flatten()
        .flatten();
    for folder in folders.filter_map(|entry| entry.file_name().into_string().ok()) {
        for part in ["src", "Cargo.toml", "build.rs"] {
            let path = format!("crates/{folder}/{part}");
            if root.join(&path).exists() {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// What git answers, or nothing if it is missing or fails.
fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let answer = Command::new("git")
        .arg("-C")
        .arg(root)
        .args(arguments)
        // Set in a git hook, they name the repository of the hook.
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        // `status` would write the index, which may belong to another user.
        .env("GIT_OPTIONAL_LOCKS", "0")
        .output()
        .ok()?;
    let text = String::from_utf8(answer.stdout).ok()?;
    answer.status.success().then(|| text.trim_end().to_owned())
}

//! `fieldgate --version` names the commit that the program was built from.

// Test code may unwrap: a panic here is a failed test.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "../build.rs"]
#[allow(dead_code, reason = "its `main` is cargo's")]
mod build;

/// A folder of this test that is gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("fieldgate-version-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("crates/one/src")).unwrap();
        fs::write(path.join("Cargo.toml"), "[workspace]\n").unwrap();
        fs::write(path.join("crates/one/src/lib.rs"), "\n").unwrap();
        Self(path)
    }

    fn with_a_commit(name: &str) -> Self {
        let folder = Self::new(name);
        folder.git(&["init", "--quiet", "--initial-branch", "main"]);
        folder.commit();
        folder
    }

    fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", "more"]);
    }

    fn git(&self, arguments: &[&str]) -> String {
        git(&self.0, arguments)
    }

    fn version(&self) -> String {
        build::version(&self.0, "1.2.3", "").unwrap().0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let who = [
        "-c",
        "user.name=test",
        "-c",
        "user.email=test@localhost",
        "-c",
        "commit.gpgsign=false",
    ];
    let done = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(who)
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8(done.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}

#[test]
fn the_program_says_its_version_and_what_the_build_script_found() {
    let said = Command::new(env!("CARGO_BIN_EXE_fieldgate"))
        .arg("--version")
        .output()
        .unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    let want = format!("fieldgate {}", env!("FIELDGATE_VERSION"));
    assert_eq!(said.trim_end(), want);
    assert!(
        want.starts_with(concat!("fieldgate ", env!("CARGO_PKG_VERSION"))),
        "{want}"
    );
}

#[test]
fn a_clean_tree_has_its_commit_a_changed_one_says_so_and_an_archive_has_none() {
    let folder = Folder::with_a_commit("tree");
    let commit = folder.git(&["rev-parse", "HEAD"])[..7].to_owned();
    assert_eq!(folder.version(), format!("1.2.3 ({commit})"));

    fs::write(folder.0.join("README.md"), "not compiled").unwrap();
    assert_eq!(folder.version(), format!("1.2.3 ({commit})"));
    fs::write(folder.0.join("crates/one/src/new.rs"), "not added").unwrap();
    assert_eq!(folder.version(), format!("1.2.3 ({commit}, modified)"));
    fs::remove_file(folder.0.join("crates/one/src/new.rs")).unwrap();
    fs::write(folder.0.join("crates/one/src/lib.rs"), "changed\n").unwrap();
    assert_eq!(folder.version(), format!("1.2.3 ({commit}, modified)"));

    folder.commit();
    let next = folder.git(&["rev-parse", "HEAD"])[..7].to_owned();
    assert_eq!(folder.version(), format!("1.2.3 ({next})"));
    folder.git(&["checkout", "--quiet", "--detach"]);
    assert_eq!(folder.version(), format!("1.2.3 ({next})"));

    let archive = Folder::new("archive");
    assert_eq!(archive.version(), "1.2.3");
}

#[test]
fn an_archive_unpacked_inside_another_repository_does_not_take_its_commit() {
    let outer = Folder::with_a_commit("outer");
    let inner = outer.0.join("build/fieldgate-1.2.3");
    fs::create_dir_all(inner.join("crates")).unwrap();
    assert_eq!(build::version(&inner, "1.2.3", "").unwrap().0, "1.2.3");
}

#[test]
fn the_next_commit_touches_a_watched_file_in_a_clone_a_packed_clone_and_a_second_work_tree() {
    let second = Folder::new("second");
    fs::remove_dir_all(&second.0).unwrap();
    let folder = Folder::with_a_commit("watched");
    let contents = |paths: &[PathBuf]| -> Vec<Vec<u8>> {
        paths
            .iter()
            .filter(|path| path.is_file())
            .map(|path| fs::read(path).unwrap())
            .collect()
    };
    for how in ["loose", "packed", "second work tree"] {
        let root = if how == "second work tree" {
            &second.0
        } else {
            &folder.0
        };
        match how {
            "packed" => drop(folder.git(&["pack-refs", "--all"])),
            "second work tree" => {
                let path = second.0.to_str().unwrap();
                folder.git(&["worktree", "add", "--quiet", "-b", "other", path]);
            }
            _ => {}
        }
        let (_, watched) = build::version(root, "1.2.3", "").unwrap();
        assert!(
            watched.iter().all(|path| path.exists()),
            "{how}: {watched:?}"
        );
        assert!(
            watched.contains(&root.join("crates/one/src")),
            "{how}: {watched:?}"
        );
        let before = contents(&watched);
        git(
            root,
            &["commit", "--quiet", "--allow-empty", "--message", how],
        );
        assert_ne!(contents(&watched), before, "{how}: {watched:?}");
    }
}

#[test]
fn a_commit_from_the_environment_is_shown_and_anything_else_there_is_refused() {
    let archive = Folder::new("given");
    for (given, want) in [
        ("a789852", Some("1.2.3 (a789852)")),
        (
            "A789852DF0A789852DF0A789852DF0A789852DF0",
            Some("1.2.3 (a789852)"),
        ),
        ("a789852df0-dirty", Some("1.2.3 (a789852, modified)")),
        ("a78985", None),
        ("a789852df0a789852df0a789852df0a789852df0a", None),
        ("a789852 dirty", None),
        ("a78985-dirty", None),
        ("äääääää", None),
    ] {
        let said = build::version(&archive.0, "1.2.3", given).map(|(version, _)| version);
        assert_eq!(said.as_deref().ok(), want, "{given}: {said:?}");
    }
}

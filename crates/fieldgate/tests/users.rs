//! `fieldgate user`: what it writes, and what it refuses.

// Test code may unwrap: a panic here is a failed test.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A folder for one test; it goes when this goes.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("fieldgate-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        let config = "version: 1\nbroker: {users: users.yaml}\n";
        fs::write(path.join("gateway.yaml"), config).unwrap();
        Self(path)
    }

    fn users(&self) -> String {
        fs::read_to_string(self.0.join("users.yaml")).unwrap()
    }

    /// Runs `fieldgate` in the folder. Returns the exit code, and what it printed.
    fn run(&self, arguments: &[&str], input: &str) -> (i32, String) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_fieldgate"))
            .args(arguments)
            .current_dir(&self.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that refuses at once does not read it.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.code().unwrap(),
            String::from_utf8(said).unwrap(),
        )
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Where most commands of these tests look.
const CONFIG: [&str; 2] = ["--config", "gateway.yaml"];

#[test]
fn users_are_added_changed_listed_and_removed() {
    let folder = Folder::new("user-life");
    let user = |arguments: &[&str], input: &str| {
        folder.run(&[&["user"], arguments, &CONFIG].concat(), input)
    };
    let (code, said) = folder.run(&["check", "gateway.yaml"], "");
    assert_eq!(
        (code, said.as_str()),
        (
            1,
            "users.yaml: there is no such file; `fieldgate user add NAME` makes it\n1 mistake\n"
        )
    );

    let rights = [
        "--read", "plant7/#", "--write", "own/%u", "--read", "both", "--write", "both",
    ];
    let (code, said) = user(
        &[&["add", "ann", "--stdin"][..], &rights].concat(),
        "secret\r\n",
    );
    let told = "may read plant7/#, read and write both, write own/%u";
    assert_eq!(
        (code, said),
        (0, format!("users.yaml: added ann: {told}\n"))
    );
    let (code, said) = user(&["add", "0123", "--stdin"], "secret");
    assert_eq!(
        (code, said.as_str()),
        (0, "users.yaml: added 0123: may read and write everything\n")
    );

    let text = folder.users();
    assert!(text.starts_with("# Who may connect"), "{text}");
    assert!(
        text.contains("$argon2id$v=19$m=19456,t=2,p=1$") && !text.contains("secret"),
        "{text}"
    );
    let mode = fs::metadata(folder.0.join("users.yaml"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let (code, said) = folder.run(&["check", "gateway.yaml"], "");
    assert_eq!(code, 0, "{said}");

    assert_eq!(user(&["passwd", "ann", "--stdin"], "other\n").0, 0);
    let changed = folder.users();
    assert_ne!(text, changed);
    let (code, said) = user(&["list"], "");
    let want = format!("0123  may read and write everything\nann   {told}\n");
    assert_eq!((code, said), (0, want));

    assert_eq!(user(&["remove", "ann"], "").0, 0);
    assert!(!folder.users().contains("ann"));
    let names: Vec<_> = fs::read_dir(&folder.0)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 2, "nothing is left behind: {names:?}");
}

#[test]
fn what_cannot_be_done_is_refused_and_changes_nothing() {
    let folder = Folder::new("user-refused");
    let (code, said) = folder.run(
        &["user", "add", "ann", "--stdin", "--file", "users.yaml"],
        "pw\n",
    );
    assert_eq!(code, 0, "{said}");
    let before = folder.users();
    for (arguments, input, code, part) in [
        (
            &["add", "ann", "--stdin"][..],
            "pw\n",
            2,
            "is there already",
        ),
        (
            &["add", "bob", "--stdin"],
            "\n",
            2,
            "a password has 1 to 1024 bytes",
        ),
        (
            &["add", "", "--stdin"],
            "pw\n",
            2,
            "a user name has 1 to 256 bytes",
        ),
        (
            &["add", "bob", "--stdin", "--read", "a/#/b"],
            "pw\n",
            2,
            "not a topic filter",
        ),
        (
            &["passwd", "an", "--stdin"],
            "pw\n",
            2,
            "did you mean \"ann\"?",
        ),
        (&["remove", "bob"], "", 2, "there is no user \"bob\""),
        (
            &["add", "bob", "--file", "x", "--config", "y"],
            "",
            2,
            "cannot be used with",
        ),
    ] {
        let file: &[&str] = if arguments.contains(&"--file") {
            &[]
        } else {
            &CONFIG
        };
        let (found, said) = folder.run(&[&["user"], arguments, file].concat(), input);
        assert_eq!(found, code, "{arguments:?}: {said}");
        assert!(said.contains(part), "{arguments:?}: {said}");
        assert_eq!(folder.users(), before, "{arguments:?}");
    }
    let broken = "users:\n  ann: {pasword: x}\n";
    fs::write(folder.0.join("users.yaml"), broken).unwrap();
    for arguments in [
        &["add", "bob", "--stdin"][..],
        &["passwd", "ann", "--stdin"],
        &["list"],
    ] {
        let (code, said) = folder.run(&[&["user"], arguments, &CONFIG].concat(), "pw\n");
        assert_eq!(code, 1, "{said}");
        assert!(
            said.contains("users.yaml:2:9: users.ann.pasword: unknown key"),
            "{said}"
        );
        assert_eq!(folder.users(), broken);
    }
    // Without a name in the configuration, the file is users.yaml beside it.
    fs::write(folder.0.join("gateway.yaml"), "version: 1\n").unwrap();
    fs::remove_file(folder.0.join("users.yaml")).unwrap();
    let (code, said) = folder.run(&[&["user", "list"], &CONFIG[..]].concat(), "");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("there is no such file"), "{said}");
    let add = ["user", "add", "bob", "--stdin"];
    let (code, said) = folder.run(&[&add, &CONFIG[..]].concat(), "pw\n");
    assert_eq!(code, 0, "{said}");
    assert!(folder.users().contains("bob"), "{}", folder.users());
}

#[test]
fn commands_at_the_same_time_lose_none_of_their_users() {
    let folder = Folder::new("user-race");
    let names: Vec<String> = (0..6).map(|number| format!("user{number}")).collect();
    std::thread::scope(|scope| {
        for name in &names {
            let folder = &folder;
            scope.spawn(move || {
                let arguments = ["user", "add", name, "--stdin", "--file", "users.yaml"];
                let (code, said) = folder.run(&arguments, "pw\n");
                assert_eq!(code, 0, "{said}");
            });
        }
    });
    let text = folder.users();
    assert!(
        names
            .iter()
            .all(|name| text.contains(&format!("  {name}:"))),
        "{text}"
    );
}

#[test]
fn the_users_of_the_manual_have_the_rights_that_it_says() {
    let folder = Folder::new("user-manual");
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/users.md");
    let manual = fs::read_to_string(manual).unwrap();
    let (_, example) = manual.split_once("```yaml\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    folder.run(
        &[&["user", "add", "x", "--stdin"], &CONFIG[..]].concat(),
        "pw\n",
    );
    let text = folder.users();
    let (_, hash) = text.split_once("password: ").unwrap();
    let hash = hash.lines().next().unwrap();
    let example = example
        .replace("$argon2id$v=19$m=19456,t=2,p=1$...", hash)
        .replace("$argon2id$...", hash);
    fs::write(folder.0.join("users.yaml"), example).unwrap();
    let (code, said) = folder.run(&[&["user", "list"], &CONFIG[..]].concat(), "");
    let want = "dashboard  may read plant7/#
panel      may read plant7/plc/pump, read plant7/plc/level, write plant7/plc/pump/set, read plant7/plc/pump/result
sensor     may write sensors/%c/#
service    may neither read nor write plant7/boiler/+/set, read and write #, read $SYS/#
";
    assert_eq!((code, said.as_str()), (0, want));
}

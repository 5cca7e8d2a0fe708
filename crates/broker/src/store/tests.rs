//! The store on a real file: what is written comes back, what is damaged is noticed, and what
//! nobody needs any more is never written.

use std::fs;
use std::path::{Path, PathBuf};
use std::task::Waker;

use fieldgate_mqtt::QoS;

use super::*;
use crate::access::Principal;
use crate::journal::Entry;
use crate::message::testing::message_with;
use crate::router::{Grant, Ids};

/// A folder of its own for a test, empty, gone at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("fieldgate-store-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("broker.redb")
    }

    /// The names of all files, in order.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<_> = entries
            .map(|entry| name(entry).into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn retained() -> Arc<Mutex<Retained>> {
    Arc::new(Mutex::new(Retained::new(1_000, 1_000_000)))
}

fn open(path: &Path) -> (Store, Recovered) {
    Store::open(StoreConfig::new(path), retained()).unwrap()
}

fn session(number: u64) -> Change {
    Change::Session {
        session: number,
        record: Box::new(SessionRecord {
            client_id: format!("client {number}").into(),
            principal: Principal::Anonymous {
                local: true,
                allowed: None,
            },
            expiry: None,
            away_since: Some(7),
            unsent_from: Some(3),
            will: None,
        }),
    }
}

fn queued(session: u64, number: u64) -> Change {
    let message = message_with("a/b", b"payload", QoS::ExactlyOnce, false, None);
    Change::Queued {
        session,
        number,
        entry: Entry {
            message,
            qos: QoS::ExactlyOnce,
            retain: true,
            ids: Ids::One(5),
        },
    }
}

fn subscribed(session: u64) -> Change {
    Change::Subscribed {
        session,
        filter: "a/#".into(),
        grant: Grant {
            qos: QoS::ExactlyOnce,
            no_local: true,
            retain_as_published: false,
            id: 268_435_455,
        },
    }
}

/// Hands `changes` over, and waits until they are decided.
fn write(store: &Store, changes: Vec<Change>) -> Outcome {
    let mut journal = Journal {
        changes,
        is_awaited: true,
        ..Journal::default()
    };
    let ticket = store.submit(&mut journal);
    decided(store, ticket)
}

fn decided(store: &Store, ticket: Ticket) -> Outcome {
    let this = std::thread::current();
    let waker = Waker::from(Arc::new(Unpark(this)));
    loop {
        store.wake_at(ticket, &waker);
        match store.outcome(ticket) {
            Outcome::Undecided => std::thread::park(),
            outcome => return outcome,
        }
    }
}

struct Unpark(std::thread::Thread);

impl std::task::Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// What was recovered, short enough to compare.
fn short(recovered: &Recovered) -> String {
    let mut lines = Vec::new();
    for session in &recovered.sessions {
        let entry = |(number, entry): &(u64, Option<Entry>)| match entry {
            None => format!("{number} released"),
            Some(Entry {
                message,
                qos,
                retain,
                ids,
            }) => {
                let text = String::from_utf8_lossy(message.payload()).into_owned();
                let ids = ids.as_slice();
                format!(
                    "{number} {} {text} {qos:?} {retain} {ids:?}",
                    message.topic()
                )
            }
        };
        lines.push(format!(
            "{} {:?} {:?} {:?} {:?} {:?}",
            session.number,
            session.record,
            session.subscriptions,
            session.queue.iter().map(entry).collect::<Vec<_>>(),
            session.received,
            recovered.retained.len(),
        ));
    }
    lines.join("\n")
}

#[test]
fn what_was_written_comes_back_and_what_was_removed_does_not() {
    let folder = Folder::new("back");
    let id = |id| fieldgate_mqtt::PacketId::new(id).unwrap();
    let (store, recovered) = open(&folder.file());
    assert!(recovered.sessions.is_empty());
    let changes = vec![
        session(1),
        session(2),
        subscribed(1),
        subscribed(2),
        queued(1, 3),
        queued(1, 4),
        queued(1, 5),
        queued(2, 1),
        Change::Received {
            session: 1,
            id: id(9),
        },
        Change::Received {
            session: 1,
            id: id(10),
        },
    ];
    assert_eq!(write(&store, changes), Outcome::Kept);
    let changes = vec![
        Change::Released {
            session: 1,
            number: 4,
        },
        Change::Gone {
            session: 1,
            number: 3,
        },
        Change::Completed {
            session: 1,
            id: id(10),
        },
        Change::Ended { session: 2 },
        queued(2, 2), // Overtaken by the end of its session.
    ];
    assert_eq!(write(&store, changes), Outcome::Kept);
    drop(store);
    let (_store, recovered) = open(&folder.file());
    let [only] = &recovered.sessions[..] else {
        panic!("{recovered:?}");
    };
    let told = short(&recovered);
    assert_eq!(only.number, 1);
    assert_eq!(&*only.record.client_id, "client 1");
    assert_eq!(
        (only.record.away_since, only.record.unsent_from),
        (Some(7), Some(3))
    );
    assert_eq!(only.received, [id(9)]);
    for part in [
        r#""4 released", "5 a/b payload ExactlyOnce true [5]""#,
        r#"("a/#", Grant { qos: ExactlyOnce, no_local: true, retain_as_published: false, id: 268435455 })"#,
    ] {
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn a_message_that_is_acknowledged_at_once_is_never_written() {
    let folder = Folder::new("never");
    let (store, _) = open(&folder.file());
    assert_eq!(write(&store, vec![session(1)]), Outcome::Kept);
    let before = store.commits();
    for number in 0..100 {
        let gone = Change::Gone { session: 1, number };
        assert_eq!(write(&store, vec![queued(1, number), gone]), Outcome::Kept);
    }
    assert_eq!(store.commits(), before);
    assert_eq!(write(&store, vec![queued(1, 100)]), Outcome::Kept);
    assert_eq!(store.commits(), before + 1);
}

#[test]
fn a_store_that_another_process_has_open_is_left_alone() {
    let folder = Folder::new("twice");
    let (_store, _) = open(&folder.file());
    let error = Store::open(StoreConfig::new(folder.file()), retained()).unwrap_err();
    assert!(
        error.to_string().contains("another process has it open"),
        "{error}"
    );
    assert_eq!(folder.names(), ["broker.redb"]);
}

#[test]
fn a_damaged_file_is_set_aside_whole_and_what_is_read_was_written() {
    let folder = Folder::new("damaged");
    let (store, _) = open(&folder.file());
    let mut changes = vec![session(1), subscribed(1)];
    changes.extend((0..200).map(|number| queued(1, number)));
    assert_eq!(write(&store, changes), Outcome::Kept);
    drop(store);
    let good = fs::read(folder.file()).unwrap();
    let (store, recovered) = open(&folder.file());
    let want = short(&recovered);
    drop(store);
    let mut noticed = 0;
    let flips = (0..good.len())
        .step_by(good.len() / 31 + 1)
        .chain([0, 9, 20, 64]);
    let spoilt = flips.map(|at| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x41;
        bytes
    });
    let cut = [0, 1, 100, good.len() / 2, good.len() - 1].map(|len| good[..len].to_vec());
    for bytes in spoilt.chain(cut) {
        for name in folder.names() {
            fs::remove_file(folder.0.join(name)).unwrap();
        }
        fs::write(folder.file(), &bytes).unwrap();
        let (store, recovered) = open(&folder.file());
        let names = folder.names();
        if names.len() == 1 {
            // An empty file is a new one; a byte that means nothing changes nothing.
            assert!(bytes.is_empty() || short(&recovered) == want);
        } else {
            noticed += 1;
            assert!(recovered.sessions.is_empty());
            assert!(names[1].starts_with("broker.redb.damaged-"), "{names:?}");
            assert_eq!(
                fs::read(folder.0.join(&names[1])).unwrap().len(),
                bytes.len()
            );
        }
        assert_eq!(write(&store, vec![session(2), queued(2, 0)]), Outcome::Kept);
    }
    assert!(noticed > 10, "{noticed}");
}

#[test]
fn of_damaged_files_the_newest_three_are_kept() {
    let folder = Folder::new("aside");
    for round in 0..5_u8 {
        fs::write(folder.file(), [round; 100]).unwrap();
        drop(open(&folder.file()));
        fs::remove_file(folder.file()).unwrap();
        // Their names tell the millisecond.
        let aside = folder.names().len();
        assert!(aside <= 3, "{aside}");
        std::thread::sleep(Duration::from_millis(2));
    }
    let newest = folder.names().pop().unwrap();
    assert_eq!(fs::read(folder.0.join(newest)).unwrap()[0], 4);
}

//! The store on a real file: what is written comes back, what is damaged is noticed, and what
//! is no longer needed is never written.

mod old;
mod waits;

use std::fs;
use std::path::{Path, PathBuf};
use std::task::Waker;

use fieldgate_mqtt::{Publish, PublishProperties, QoS};

use super::*;
use fieldgate_broker_core::journal::{Awaiting, Entry};
use fieldgate_broker_core::message::Message;
use fieldgate_broker_core::record::{Identity, SessionRecord};
use fieldgate_broker_core::router::{Grant, Ids};

fn message_with(
    topic: &str,
    payload: &[u8],
    qos: QoS,
    retain: bool,
    expires: Option<Instant>,
) -> Message {
    let publish = Publish {
        dup: false,
        qos,
        retain,
        topic,
        packet_id: None,
        properties: PublishProperties::default(),
        payload,
    };
    Message::copy_of(&publish, expires, &Arc::default())
}

/// A session that waits for its messages.
#[derive(Debug)]
struct Waiting(u64);

impl Awaiting for Waiting {
    fn number(&self) -> u64 {
        self.0
    }

    fn is_kept(&self, _: u64) {}

    fn is_lost(&self, _: u64) {}
}

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

    fn store(&self) -> PathBuf {
        self.0.join("broker")
    }

    /// The store's segments, in order.
    fn segments(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.store()).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some());
        paths.sort();
        paths
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
    Arc::new(Mutex::new(Retained::new(
        1_000_000,
        &Arc::default(),
        &Arc::default(),
    )))
}

fn open(path: &Path) -> (Store, Recovered) {
    Store::open(StoreConfig::new(path), retained()).unwrap()
}

fn session(number: u64) -> Change {
    Change::Session {
        session: number,
        record: Box::new(SessionRecord {
            client_id: format!("client {number}").into(),
            identity: Identity::Anonymous {
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
        patience: None,
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
    decided(store, &ticket)
}

fn decided(store: &Store, ticket: &Ticket) -> Outcome {
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
    let (store, recovered) = open(&folder.store());
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
    let (_store, recovered) = open(&folder.store());
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
    let (store, _) = open(&folder.store());
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
    let (_store, _) = open(&folder.store());
    let error = Store::open(StoreConfig::new(folder.store()), retained()).unwrap_err();
    assert!(
        error.to_string().contains("another process has it open"),
        "{error}"
    );
    assert_eq!(folder.names(), ["broker"]);
}

#[test]
fn a_damaged_store_is_set_aside_whole_and_what_is_read_was_written() {
    let folder = Folder::new("damaged");
    let (store, _) = open(&folder.store());
    assert_eq!(
        write(&store, vec![session(1), subscribed(1)]),
        Outcome::Kept
    );
    for number in 0..40 {
        assert_eq!(write(&store, vec![queued(1, number)]), Outcome::Kept);
    }
    drop(store);
    let [path] = &folder.segments()[..] else {
        panic!("{:?}", folder.segments());
    };
    let good = fs::read(path).unwrap();
    let (store, recovered) = open(&folder.store());
    let want = short(&recovered);
    drop(store);
    let mut noticed = 0;
    // Header, content and padding of frames, and blocks that were never used.
    let blocks = (0..good.len()).step_by(4_096 * 3);
    let flips = blocks.flat_map(|block| [0, 9, 20, 64, 100, 2_000].map(|at| block + at));
    let spoilt = flips.map(|at| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x41;
        bytes
    });
    // The last frame is the one of the end: without it everything else is there.
    let cut = [1, 4_096, 100_000].map(|len| good[..len].to_vec());
    for bytes in spoilt.chain(cut) {
        for name in folder.names() {
            fs::remove_dir_all(folder.0.join(name)).unwrap();
        }
        fs::create_dir(folder.store()).unwrap();
        fs::write(path, &bytes).unwrap();
        let (store, recovered) = open(&folder.store());
        let names = folder.names();
        if names.len() == 1 {
            let is_cut = bytes.len() < good.len();
            assert!(is_cut || short(&recovered) == want);
            assert!(want.contains(short(&recovered).split(" [").next().unwrap()));
        } else {
            noticed += 1;
            assert!(recovered.sessions.is_empty());
            assert!(names[1].starts_with("broker.damaged-"), "{names:?}");
        }
        assert_eq!(write(&store, vec![session(2), queued(2, 0)]), Outcome::Kept);
    }
    assert!(noticed > 10, "{noticed}");
}

#[test]
fn of_damaged_stores_the_newest_three_are_kept() {
    let folder = Folder::new("aside");
    for round in 0..5_u8 {
        let (store, _) = open(&folder.store());
        for number in 0..3 {
            write(&store, vec![session(1), queued(1, number)]);
        }
        drop(store);
        let path = folder.segments().remove(0);
        let mut bytes = fs::read(&path).unwrap();
        bytes[50] = !bytes[50];
        fs::write(&path, &bytes).unwrap();
        fs::write(folder.store().join("round"), [round]).unwrap();
        drop(open(&folder.store()));
        fs::remove_dir_all(folder.store()).unwrap();
        // Their names tell the millisecond.
        let aside = folder.names().len();
        assert!(aside <= 3, "{aside}");
        std::thread::sleep(Duration::from_millis(2));
    }
    let newest = folder.names().pop().unwrap();
    assert_eq!(fs::read(folder.0.join(newest).join("round")).unwrap(), [4]);
}

/// Many small commits, a value that never changes, and messages that come and go.
#[test]
fn a_log_that_is_used_for_long_stays_small_and_forgets_nothing_that_is_alive() {
    let folder = Folder::new("long");
    let mut config = StoreConfig::new(folder.store());
    config.commit = Duration::ZERO;
    let (store, _) = Store::open(config, retained()).unwrap();
    assert_eq!(
        write(&store, vec![session(1), subscribed(1)]),
        Outcome::Kept
    );
    assert_eq!(write(&store, vec![queued(1, 0)]), Outcome::Kept);
    for number in 1..1_500 {
        let mut changes = vec![queued(1, number)];
        if number > 5 {
            let gone = number - 5;
            changes.push(Change::Gone {
                session: 1,
                number: gone,
            });
        }
        assert_eq!(write(&store, changes), Outcome::Kept);
    }
    drop(store);
    let (_store, recovered) = open(&folder.store());
    let [only] = &recovered.sessions[..] else {
        panic!("{recovered:?}");
    };
    let numbers: Vec<_> = only.queue.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [0, 1_495, 1_496, 1_497, 1_498, 1_499]);
    assert_eq!(only.subscriptions.len(), 1);
    let bytes = |path: &PathBuf| fs::metadata(path).unwrap().len();
    let bytes: u64 = folder.segments().iter().map(bytes).sum();
    assert!(bytes <= 7 * 256 * 1024, "{bytes}");
}

#[test]
fn a_session_whose_record_was_copied_behind_its_parts_keeps_them() {
    let folder = Folder::new("order");
    let (store, _) = open(&folder.store());
    // Fills segments with what is no longer needed.
    let mut number = 0;
    let mut fill = |count| {
        for _ in 0..count {
            number += 1;
            let payload = [b'x'; 50_000];
            let message = message_with("big", &payload, QoS::AtLeastOnce, false, None);
            let entry = Entry {
                message,
                qos: QoS::AtLeastOnce,
                retain: false,
                ids: Ids::One(5),
            };
            let queued = Change::Queued {
                session: 2,
                number,
                entry,
                patience: None,
            };
            assert_eq!(write(&store, vec![queued]), Outcome::Kept);
            assert_eq!(
                write(&store, vec![Change::Gone { session: 2, number }]),
                Outcome::Kept
            );
        }
    };
    write(
        &store,
        vec![session(1), session(2), subscribed(1), queued(1, 7)],
    );
    fill(6);
    // Its client comes and goes: the record stands in a later segment than the rest.
    write(&store, vec![session(1)]);
    for _ in 0..12 {
        fill(6);
        let path = folder.0.join("copy");
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        for segment in folder.segments() {
            fs::copy(&segment, path.join(segment.file_name().unwrap())).unwrap();
        }
        let (_, recovered) = open(&path);
        let first = &recovered.sessions[0];
        assert_eq!((first.number, recovered.sessions.len()), (1, 2));
        assert_eq!(
            (first.subscriptions.len(), first.queue.len()),
            (1, 1),
            "{number}"
        );
    }
}

#[test]
fn a_store_that_is_damaged_while_it_is_used_asks_for_everything_again() {
    let folder = Folder::new("rot");
    let mut config = StoreConfig::new(folder.store());
    config.commit = Duration::ZERO;
    let (store, _) = Store::open(config, retained()).unwrap();
    assert_eq!(write(&store, vec![session(1)]), Outcome::Kept);
    assert_eq!(write(&store, vec![queued(1, 0)]), Outcome::Kept);
    let path = folder.segments().remove(0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[4_096 + 100] ^= 1;
    fs::write(&path, bytes).unwrap();
    // The damage shows when the segment is to be given back.
    let mut number = 1;
    while !store.wants_all() {
        assert!(number < 5_000, "the damage is not noticed");
        write(&store, vec![queued(1, number)]);
        number += 1;
    }
    assert!(store.is_failing());
    let aside = folder
        .names()
        .into_iter()
        .find(|name| name.contains(".damaged-"));
    assert!(aside.is_some());
    let mut journal = Journal {
        changes: vec![session(1), queued(1, 0)],
        is_all: true,
        ..Journal::default()
    };
    assert_eq!(decided(&store, &store.submit(&mut journal)), Outcome::Kept);
    drop(store);
    let (_store, recovered) = open(&folder.store());
    assert_eq!(recovered.sessions.len(), 1);
}

#[test]
fn a_broker_that_holds_nothing_begins_a_store_anew_too() {
    let mut all = Journal {
        is_all: true,
        ..Journal::default()
    };
    let now = Instant::now();
    let mut batch = super::batch::Batch::default();
    batch.add(Vec::new(), &mut all, now);
    assert!(batch.take(now).is_all);
    batch.add(Vec::new(), &mut Journal::default(), now);
    assert!(batch.is_empty());
}

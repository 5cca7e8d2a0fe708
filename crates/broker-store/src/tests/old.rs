//! The file of version 0.1: a genuine one is read exactly, a damaged one is read exactly or left where it is.

use super::*;

/// Files that version 0.1.0 wrote while clients filled them, LZ4 behind their length: after an orderly end, after a
/// kill, which could undo a deletion. Each with what was retained only then.
const PACKED: [(&[u8], &[&str]); 2] = [
    (
        include_bytes!("broker-0.1.redb.lz4"),
        &["bench/$state=offline of $link/bench"],
    ),
    (
        include_bytes!("broker-0.1-killed.redb.lz4"),
        &[
            "bench/$state=online of $link/bench",
            "r/gone=gone of publisher",
        ],
    ),
];

/// What the clients were promised: two sessions, then retained messages, `others` among them.
fn want(others: &[&str]) -> Vec<String> {
    let sessions = [
        "keeper, for ever, away: a/# 2 true true 268435455, b/+ 1 false false 0; 0 released, \
         1 a/2=second ExactlyOnce [268435455], 2 a/3=third key=välue AtLeastOnce [268435455], \
         3 b/x=fourth AtLeastOnce []; [9]",
        "plain, for ever, away: c/# 1 false false 0; 0 c/0=for plain 0 AtLeastOnce [], \
         1 c/1=for plain 1 AtLeastOnce [], 2 c/2=for plain 2 AtLeastOnce []; []",
    ];
    let mut retained = vec![
        "a/3=third key=välue of publisher",
        "r/2={\\\"value\\\":1.5} of publisher",
        "r/ü=kept \\xff\\x00 as text/plain of publisher",
    ];
    retained.extend(others);
    retained.sort_unstable();
    let all = sessions.into_iter().chain(retained);
    all.map(str::to_owned).collect()
}

fn unpacked(packed: &[u8]) -> Vec<u8> {
    lz4_flex::block::decompress_size_prepended(packed).unwrap()
}

/// Everything, in lines, sessions first.
fn lines(recovered: &Recovered) -> Vec<String> {
    let mut sessions: Vec<_> = recovered.sessions.iter().map(line).collect();
    sessions.sort();
    let retained = recovered.retained.iter();
    let retained = retained.map(|kept| format!("{} of {}", said(&kept.message), kept.publisher));
    let mut retained: Vec<_> = retained.collect();
    retained.sort();
    sessions.extend(retained);
    sessions
}

fn line(session: &RecoveredSession) -> String {
    let part = |(filter, grant): &(Box<str>, Grant)| {
        let (qos, as_published) = (grant.qos as u8, grant.retain_as_published);
        format!(
            "{filter} {qos} {} {as_published} {}",
            grant.no_local, grant.id
        )
    };
    let entry = |(number, entry): &(u64, Option<Entry>)| match entry {
        None => format!("{number} released"),
        Some(entry) => {
            let ids = entry.ids.as_slice();
            format!("{number} {} {:?} {ids:?}", said(&entry.message), entry.qos)
        }
    };
    let subscriptions: Vec<_> = session.subscriptions.iter().map(part).collect();
    let queue: Vec<_> = session.queue.iter().map(entry).collect();
    let record = &session.record;
    let span = |span: Duration| format!("for {span:?}");
    format!(
        "{}, {}, {}: {}; {}; {:?}",
        record.client_id,
        record.expiry.map_or("for ever".to_owned(), span),
        record.away_since.map_or("here", |_| "away"),
        subscriptions.join(", "),
        queue.join(", "),
        session.received
    )
}

fn said(message: &fieldgate_broker_core::message::Message) -> String {
    let (topic, payload) = (message.topic(), message.payload().escape_ascii());
    let properties = message.publish().properties;
    let mut said = format!("{topic}={payload}");
    if let Some(kind) = properties.content_type {
        said += &format!(" as {kind}");
    }
    for (key, value) in properties.user_properties.iter() {
        said += &format!(" {key}={value}");
    }
    said
}

#[test]
fn the_file_of_version_0_1_is_taken_over_exactly_and_once() {
    for (packed, others) in PACKED {
        let (folder, want) = (Folder::new("old"), want(others));
        let path = folder.store().with_extension("redb");
        fs::write(&path, unpacked(packed)).unwrap();
        let (store, recovered) = open(&folder.store());
        assert_eq!(lines(&recovered), want);
        assert_eq!(folder.names(), ["broker", "broker.redb.imported"]);
        drop(store);
        // From the log now.
        let (store, recovered) = open(&folder.store());
        assert_eq!(lines(&recovered), want);
        let session = recovered.sessions[0].number;
        assert_eq!(
            write(&store, vec![Change::Ended { session }]),
            Outcome::Kept
        );
        drop(store);
        // A file that is put there later does not bring back what has ended.
        fs::write(&path, unpacked(packed)).unwrap();
        let (_store, recovered) = open(&folder.store());
        assert_eq!(recovered.sessions.len(), 1);
        assert!(path.exists());
    }
}

#[test]
fn a_damaged_file_of_version_0_1_is_read_exactly_or_left_where_it_is() {
    let folder = Folder::new("old-damaged");
    let path = folder.store().with_extension("redb");
    let (packed, others) = PACKED[0];
    let (good, want) = (unpacked(packed), want(others));
    let used = (0..good.len()).step_by(4_096).filter(|&page| {
        let end = good.len().min(page + 4_096);
        good[page..end].iter().any(|&byte| byte != 0)
    });
    // Headers, the beginnings of pages, and within them.
    let header = [0, 4, 9, 10, 12, 16, 64, 65, 96, 128, 192, 200, 319];
    let places = used.flat_map(|page| [0, 7, 100, 1_000, 4_000].map(|at| page + at));
    let flipped = header.into_iter().chain(places).map(|at| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x41;
        bytes
    });
    let lens = [0, 1, 100, 4_096, 8_192, good.len() / 2, good.len() - 1];
    let cut = lens.map(|len| good[..len].to_vec());
    let zeroed = [0, 4_096, 16_384].map(|at| {
        let mut bytes = good.clone();
        bytes[at..at + 4_096].fill(0);
        bytes
    });
    let foreign = [b"not a database".repeat(1_000)];
    let (mut left, mut read) = (0, 0);
    for (number, bytes) in flipped.chain(cut).chain(zeroed).chain(foreign).enumerate() {
        let _ = fs::remove_dir_all(folder.store());
        let _ = fs::remove_file(path.with_extension("redb.imported"));
        fs::write(&path, &bytes).unwrap();
        let (store, recovered) = open(&folder.store());
        if path.exists() {
            left += 1;
            assert!(lines(&recovered).is_empty(), "{number}");
        } else {
            read += 1;
            assert_eq!(lines(&recovered), want, "{number}");
        }
        assert_eq!(write(&store, vec![session(90)]), Outcome::Kept, "{number}");
    }
    // Unused bytes may change; those that count may not.
    assert!(left > 30 && read > 5, "{left} left, {read} read");
}

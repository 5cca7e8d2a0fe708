//! The lanes against a remote that acknowledges, refuses, is silent or goes away, and a ring that is a list.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use fieldgate_mqtt::UserProperties;
use fieldgate_spool::ring::Block;
use proptest::prelude::*;

use super::*;
use crate::item::Item;

fn record(seq: u64, qos: QoS) -> Record {
    let item = Item {
        topic: "t",
        payload: &[0; 80],
        qos,
        retain: false,
        expires: None,
        utf8: None,
        correlation: None,
        content_type: None,
        user: UserProperties::default(),
    };
    Record {
        seq,
        time: seq,
        bytes: item.encode(),
    }
}

fn qos1(seq: u64) -> Record {
    record(seq, QoS::AtLeastOnce)
}

fn settings() -> Settings {
    Settings {
        window: Duration::from_secs(10),
        window_bytes: 1 << 20,
        share: 0.5,
        order: Order::Auto,
        in_flight: 10,
        messages: None,
        bytes: None,
    }
}

/// All that may be sent now: lane, identifier, number.
fn send(lanes: &mut Lanes, now: Instant) -> Vec<(Lane, Option<PacketId>, u64)> {
    let mut sent = Vec::new();
    while let Next::Send(sending) = lanes.next(now) {
        sent.push((sending.lane, sending.id, sending.record.seq));
    }
    sent
}

fn block(number: u64, seqs: std::ops::Range<u64>) -> Block {
    Block {
        number,
        epoch: 1,
        records: seqs.map(qos1).collect(),
    }
}

#[test]
fn what_is_acknowledged_in_time_never_goes_to_the_ring_and_the_rest_does() {
    let now = Instant::now();
    let mut lanes = Lanes::new(settings(), 2, now);
    lanes.connect(100, now);
    for seq in 0..15 {
        lanes.offer(qos1(seq), now);
    }
    let sent = send(&mut lanes, now);
    assert_eq!(sent.len(), 10);
    for (_, id, _) in &sent[..4] {
        assert!(lanes.acknowledge(id.unwrap(), false, false, now).is_some());
    }
    let later = now + Duration::from_secs(10);
    // Those under way stay until they are acknowledged or the connection is gone.
    let spilled: Vec<u64> = lanes
        .spill(later, false)
        .iter()
        .map(|record| record.seq)
        .collect();
    assert_eq!(spilled, (10..15).collect::<Vec<_>>());
    assert_eq!(lanes.disconnect(false).0, 6);
    let spilled: Vec<u64> = lanes
        .spill(later, false)
        .iter()
        .map(|record| record.seq)
        .collect();
    assert_eq!(spilled, (4..10).collect::<Vec<_>>());
    assert_eq!(lanes.waiting(), (0, 0));
}

#[test]
fn a_short_backlog_goes_first_and_a_long_one_beside_new_messages() {
    let now = Instant::now();
    for (order, on_disk, want) in [
        (Order::Auto, 0, [Lane::Backlog; 6]),
        (Order::InOrder, 1_000_000, [Lane::Backlog; 6]),
        (
            Order::Auto,
            1_000_000,
            [
                Lane::Live,
                Lane::Backlog,
                Lane::Live,
                Lane::Backlog,
                Lane::Live,
                Lane::Backlog,
            ],
        ),
        (
            Order::FreshFirst,
            0,
            [
                Lane::Live,
                Lane::Backlog,
                Lane::Live,
                Lane::Backlog,
                Lane::Live,
                Lane::Backlog,
            ],
        ),
    ] {
        let mut lanes = Lanes::new(
            Settings {
                order,
                ..settings()
            },
            2,
            now,
        );
        lanes.connect(100, now);
        lanes.set_on_disk(on_disk + 20);
        lanes.add_block(block(1, 0..20));
        for seq in 0..20 {
            lanes.offer(qos1(seq), now);
        }
        let sent: Vec<Lane> = send(&mut lanes, now)
            .into_iter()
            .map(|(lane, ..)| lane)
            .collect();
        assert_eq!(sent[..6], want, "{order:?} {on_disk}");
        let backlog = sent.iter().filter(|lane| **lane == Lane::Backlog).count();
        assert!(want[0] == Lane::Backlog || backlog <= 5, "{backlog}");
    }
}

#[test]
fn answers_are_needed_as_soon_as_they_are_what_holds_up_the_backlog() {
    let now = Instant::now();
    // Records of the first two blocks, how many are left on the card, and whether an answer is needed.
    for (records, on_disk, want) in [
        ([4, 4], 0, false),
        ([4, 4], 1, true),
        // Another block can be read.
        ([4, 0], 1, false),
        // No room for another message under way.
        ([4, 8], 0, true),
        ([0, 0], 0, false),
    ] {
        let mut lanes = Lanes::new(settings(), 2, now);
        lanes.connect(100, now);
        let mut end = 0;
        for (number, count) in (1..).zip(records).filter(|(_, count)| *count > 0) {
            lanes.add_block(block(number, end..end + count));
            end += count;
        }
        lanes.set_on_disk(on_disk);
        send(&mut lanes, now);
        assert_eq!(lanes.needs_answer(), want, "{records:?} {on_disk}");
    }
}

#[test]
fn a_remote_that_never_acknowledges_is_noticed_and_an_acknowledgement_of_before_counts_for_nothing()
{
    let now = Instant::now();
    let mut lanes = Lanes::new(settings(), 2, now);
    lanes.connect(100, now);
    lanes.offer(qos1(1), now);
    let (_, id, _) = send(&mut lanes, now)[0];
    assert!(!lanes.is_stuck(now + Duration::from_secs(19)));
    assert!(lanes.is_stuck(now + Duration::from_secs(20)));
    lanes.disconnect(false);
    lanes.connect(100, now);
    assert_eq!(lanes.acknowledge(id.unwrap(), false, false, now), None);
    let again = lanes.next(now);
    assert!(
        matches!(again, Next::Send(Sending { again: true, .. })),
        "{again:?}"
    );
}

#[test]
fn a_message_that_ends_connections_is_sent_alone_and_then_set_aside() {
    let now = Instant::now();
    let mut lanes = Lanes::new(settings(), 2, now);
    for seq in 0..5 {
        lanes.offer(qos1(seq), now);
    }
    for _ in 0..3 {
        lanes.connect(100, now);
        assert_eq!(send(&mut lanes, now).len(), 5);
        assert_eq!(lanes.disconnect(true).2, None);
    }
    lanes.connect(100, now);
    let sent = send(&mut lanes, now);
    assert_eq!(sent.iter().map(|sent| sent.2).collect::<Vec<_>>(), [0]);
    let (epoch, poison) = lanes.disconnect(true).2.unwrap();
    assert_eq!((epoch, poison.seq), (2, 0));
    lanes.connect(100, now);
    assert_eq!(send(&mut lanes, now).len(), 4);
}

#[test]
fn quota_exceeded_sends_again_and_slower_and_refused_comes_back() {
    let now = Instant::now();
    let mut lanes = Lanes::new(
        Settings {
            messages: Some(100),
            ..settings()
        },
        2,
        now,
    );
    lanes.connect(100, now);
    lanes.offer(qos1(1), now);
    lanes.offer(qos1(2), now);
    let sent = send(&mut lanes, now);
    assert_eq!(
        lanes.acknowledge(sent[0].1.unwrap(), false, true, now),
        None
    );
    let done = lanes
        .acknowledge(sent[1].1.unwrap(), true, false, now)
        .unwrap();
    assert_eq!(done.record.map(|(_, record)| record.seq), Some(2));
    assert!(lanes.rate().unwrap() <= 50.0);
    let sent = send(&mut lanes, now + Duration::from_secs(2));
    assert_eq!(sent.iter().map(|sent| sent.2).collect::<Vec<_>>(), [1]);
}

#[test]
fn qos_0_needs_no_acknowledgement_and_is_not_kept() {
    let now = Instant::now();
    let mut lanes = Lanes::new(settings(), 2, now);
    assert_eq!(lanes.offer(record(1, QoS::AtMostOnce), now), 1);
    lanes.connect(100, now);
    assert_eq!(lanes.offer(record(2, QoS::AtMostOnce), now), 0);
    let sent = send(&mut lanes, now);
    assert_eq!(sent, [(Lane::Live, None, 2)]);
    lanes.settle(2, 2);
    assert_eq!(lanes.waiting(), (0, 0));
    lanes.offer(record(3, QoS::AtMostOnce), now);
    assert_eq!(lanes.disconnect(false).1, 1);
    assert!(lanes.spill(now, true).is_empty());
}

#[derive(Clone, Debug)]
enum Step {
    Offer(u8),
    Send,
    /// The remote takes so many of those that it got, oldest first, and we hear of it.
    Acknowledge(u8),
    /// It takes all that it got, and we do not hear of it.
    CutAfterwards,
    Cut,
    Connect,
    Spill,
    /// What was promised goes to the disk, with true also what is under way. So many are acknowledged meanwhile.
    Promised(bool, u8),
    /// The same, and the disk fails.
    PromisedFails(bool, u8),
    /// `kill -9`.
    Kill,
    Read,
    Quota,
    Wait(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..12_u8).prop_map(Step::Offer),
        6 => Just(Step::Send),
        5 => (1..12_u8).prop_map(Step::Acknowledge),
        1 => Just(Step::CutAfterwards),
        1 => Just(Step::Cut),
        2 => Just(Step::Connect),
        2 => Just(Step::Spill),
        3 => (any::<bool>(), 0..4_u8).prop_map(|(all, count)| Step::Promised(all, count)),
        1 => (any::<bool>(), 0..4_u8).prop_map(|(all, count)| Step::PromisedFails(all, count)),
        1 => Just(Step::Kill),
        3 => Just(Step::Read),
        1 => Just(Step::Quota),
        2 => (1..12_u8).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..150)
}

/// The lanes, a ring, and a remote that counts.
struct World {
    lanes: Lanes,
    now: Instant,
    offered: u64,
    ring: VecDeque<Block>,
    number: u64,
    delivered: BTreeMap<u64, u32>,
    under_way: VecDeque<(PacketId, u64)>,
    /// Of which we have heard that they were delivered.
    heard: BTreeSet<u64>,
    /// Were in memory only at a kill.
    killed: BTreeSet<u64>,
    /// What is not told to be done of the blocks that were read.
    read: Vec<Block>,
    epoch: u32,
    cuts: u32,
    /// Messages that were on the disk at a kill though they were delivered.
    again: u32,
    is_up: bool,
}

impl World {
    fn send(&mut self) {
        while let Next::Send(sending) = self.lanes.next(self.now) {
            let key = sending.record.seq;
            self.under_way.push_back((sending.id.unwrap(), key));
        }
    }

    fn take(&mut self, hear: bool) {
        if let Some((id, seq)) = self.under_way.pop_front() {
            *self.delivered.entry(seq).or_default() += 1;
            if hear {
                self.heard.insert(seq);
                assert!(self.lanes.acknowledge(id, false, false, self.now).is_some());
            }
        }
    }

    fn cut(&mut self) {
        let (under_way, qos0, poison) = self.lanes.disconnect(false);
        assert!(qos0 == 0 && poison.is_none());
        assert_eq!(under_way, if self.is_up { under_way } else { 0 });
        self.under_way.clear();
        self.cuts += 1;
        self.is_up = false;
    }

    fn connect(&mut self) {
        if !self.is_up {
            self.lanes.connect(7, self.now);
            self.is_up = true;
        }
    }

    fn spill(&mut self, records: Vec<Record>, fails: bool) {
        if records.is_empty() {
            return;
        }
        if fails {
            self.lanes.give_back(records, self.now);
            return;
        }
        self.number += 1;
        self.ring.push_back(Block {
            number: self.number,
            epoch: self.epoch,
            records,
        });
        self.tell();
    }

    fn promised(&mut self, under_way: bool, count: u8, fails: bool) {
        let records = self.lanes.spill_promised(under_way);
        (0..count).for_each(|_| self.take(true));
        self.spill(records, fails);
    }

    /// What is on the disk is all that is left.
    fn kill(&mut self) {
        self.cut();
        for block in self.read.drain(..).rev() {
            self.ring.push_front(block);
        }
        let on_disk = self.ring.iter().flat_map(|block| &block.records);
        let on_disk: BTreeSet<u64> = on_disk.map(|record| record.seq).collect();
        let again = on_disk
            .iter()
            .filter(|seq| self.delivered.contains_key(seq));
        self.again += again.count() as u32;
        let in_memory = (0..self.offered).filter(|seq| !on_disk.contains(seq));
        self.killed.extend(in_memory);
        self.epoch += 1;
        self.lanes = Lanes::new(self.lanes.settings, self.epoch, self.now);
        self.tell();
    }

    fn tell(&mut self) {
        let records: usize = self.ring.iter().map(|block| block.records.len()).sum();
        self.lanes.set_on_disk(records as u64);
    }

    fn read(&mut self) {
        if self.lanes.wants_block()
            && let Some(block) = self.ring.pop_front()
        {
            self.read.push(block.clone());
            self.lanes.add_block(block);
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Offer(count) => {
                for _ in 0..*count {
                    assert_eq!(self.lanes.offer(qos1(self.offered), self.now), 0);
                    self.offered += 1;
                }
            }
            Step::Send => self.send(),
            Step::Acknowledge(count) => (0..*count).for_each(|_| self.take(true)),
            Step::CutAfterwards => {
                while !self.under_way.is_empty() {
                    self.take(false);
                }
                self.cut();
            }
            Step::Cut => self.cut(),
            Step::Connect => self.connect(),
            Step::Spill => {
                let records = self.lanes.spill(self.now, false);
                self.spill(records, false);
            }
            Step::Promised(under_way, count) => self.promised(*under_way, *count, false),
            Step::PromisedFails(under_way, count) => self.promised(*under_way, *count, true),
            Step::Kill => self.kill(),
            Step::Read => self.read(),
            Step::Quota => {
                if let Some((id, _)) = self.under_way.pop_front() {
                    assert_eq!(self.lanes.acknowledge(id, false, true, self.now), None);
                }
            }
            Step::Wait(seconds) => self.now += Duration::from_secs(u64::from(*seconds)),
        }
        while let Some((number, count)) = self.lanes.progress() {
            let at = self.read.iter().position(|block| block.number == number);
            let at = at.unwrap();
            let whole = self.read.drain(..at).flat_map(|block| block.records);
            let mut done: Vec<Record> = whole.collect();
            done.extend(self.read[0].records.drain(..count));
            assert!(done.iter().all(|record| self.heard.contains(&record.seq)));
            self.read.retain(|block| !block.records.is_empty());
        }
    }
}

proptest! {
    #[test]
    fn nothing_is_lost_and_duplicates_come_from_cuts_only(steps in steps(), order in 0..3_usize) {
        let now = Instant::now();
        let order = [Order::Auto, Order::InOrder, Order::FreshFirst][order];
        let mut world = World {
            lanes: Lanes::new(Settings { order, ..settings() }, 2, now),
            now,
            offered: 0,
            ring: VecDeque::new(),
            number: 0,
            delivered: BTreeMap::new(),
            under_way: VecDeque::new(),
            heard: BTreeSet::new(),
            killed: BTreeSet::new(),
            read: Vec::new(),
            epoch: 2,
            cuts: 0,
            again: 0,
            is_up: false,
        };
        for step in &steps {
            world.step(step);
        }
        // In the end the remote is there and takes everything.
        for _ in 0..2_000 {
            for step in [Step::Connect, Step::Read, Step::Send, Step::Acknowledge(10), Step::Wait(1)] {
                world.step(&step);
            }
            let left = world.lanes.waiting();
            if left == (0, 0) && world.ring.is_empty() {
                break;
            }
        }
        prop_assert_eq!(world.lanes.waiting(), (0, 0));
        prop_assert!(world.read.is_empty(), "{:?}", world.read);
        let is_lost = |seq: &u64| !world.delivered.contains_key(seq) && !world.killed.contains(seq);
        prop_assert_eq!((0..world.offered).find(is_lost), None);
        let duplicates: u32 = world.delivered.values().map(|count| count - 1).sum();
        prop_assert!(duplicates <= 7 * world.cuts + world.again, "{} after {} cuts", duplicates, world.cuts);
    }
}

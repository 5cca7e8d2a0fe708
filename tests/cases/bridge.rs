//! Debian's mosquitto as a bridge to the gateway, beside the same bridge to another mosquitto.

use std::collections::BTreeMap;
use std::io::copy;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use fieldgate_mqtt::{
    AckKind, Connect, Packet, PacketId, Publish, PublishProperties, QoS, SubscriptionOptions,
    Version,
};
use fieldgate_test_client::{Event, Raw, lasting};

use crate::harness::PATIENCE;
use crate::harness::free_port;
use crate::harness::gateway::Gateway;
use crate::harness::mosquitto::Mosquitto;

const STATE: &str = "$SYS/broker/connection/edge/state";

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// The network between the two brokers, which can be cut.
struct Link {
    port: u16,
    is_up: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Link {
    fn to(target: u16) -> Self {
        let port = free_port();
        let listener = TcpListener::bind(local(port)).unwrap();
        let is_up = Arc::new(AtomicBool::new(true));
        let streams = Arc::new(Mutex::new(Vec::new()));
        let (up, open) = (Arc::clone(&is_up), Arc::clone(&streams));
        thread::spawn(move || {
            for near in listener.incoming() {
                let near = near.unwrap();
                let mut open = open.lock().unwrap();
                if !up.load(Ordering::SeqCst) {
                    continue;
                }
                let far = TcpStream::connect(local(target)).unwrap();
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    thread::spawn(move || {
                        let _ = copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
                open.extend([near, far]);
            }
        });
        Self {
            port,
            is_up,
            streams,
        }
    }

    fn cut(&self) {
        self.is_up.store(false, Ordering::SeqCst);
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn mend(&self) {
        self.is_up.store(true, Ordering::SeqCst);
    }
}

/// What a client saw: payload, QoS and retain flag.
type Seen = (String, u8, bool);

/// A client that publishes, and sees everything with the retain flag that it came with.
struct Person {
    raw: Raw,
    last_id: u16,
    seen: Vec<(String, Seen)>,
}

impl Person {
    fn at(port: u16, id: &str) -> Self {
        let connect = Connect {
            clean_start: true,
            ..lasting(Version::V5, id)
        };
        let (raw, _) = Raw::connect(local(port), &connect, PATIENCE).unwrap();
        let mut person = Self {
            raw,
            last_id: 1,
            seen: Vec::new(),
        };
        let options = SubscriptionOptions {
            retain_as_published: true,
            ..SubscriptionOptions::new(QoS::ExactlyOnce)
        };
        let filters = [("#", options), ("$SYS/broker/connection/#", options)];
        person.raw.put_subscribe(1, &filters);
        person.raw.flush().unwrap();
        person.until("SUBACK", |event| matches!(event, Event::SubAck(1, _)));
        person
    }

    /// Takes what comes and answers it, up to a certain packet.
    fn until(&mut self, what: &str, mut is_it: impl FnMut(&Event) -> bool) {
        loop {
            let event = self.raw.next(PATIENCE).unwrap();
            let event = event.unwrap_or_else(|| panic!("no {what}; {:?}", self.seen));
            match &event {
                Event::Publish(got) => {
                    let payload = String::from_utf8(got.payload.clone()).unwrap();
                    let seen = (payload, got.qos, got.retain);
                    self.seen.push((got.topic.clone(), seen));
                    match got.qos {
                        0 => {}
                        1 => self.raw.put_ack(AckKind::PubAck, got.id),
                        _ => self.raw.put_ack(AckKind::PubRec, got.id),
                    }
                }
                Event::Ack(AckKind::PubRec, id, _) => self.raw.put_ack(AckKind::PubRel, *id),
                Event::Ack(AckKind::PubRel, id, _) => self.raw.put_ack(AckKind::PubComp, *id),
                _ => {}
            }
            self.raw.flush().unwrap();
            if is_it(&event) {
                return;
            }
        }
    }

    /// Waits for a message, unless it was there already.
    fn wait(&mut self, topic: &str, payload: &str) {
        let is_it = |(seen, (text, ..)): &(String, Seen)| seen == topic && text == payload;
        if !self.seen.iter().any(is_it) {
            self.until(topic, |event| {
                matches!(event, Event::Publish(got)
                    if got.topic == topic && got.payload == payload.as_bytes())
            });
        }
    }

    /// Publishes and waits until the broker has it.
    fn publish(&mut self, topic: &str, payload: &str, qos: QoS, retain: bool) {
        self.last_id += 1;
        let id = self.last_id;
        let publish = Publish {
            dup: false,
            qos,
            retain,
            topic,
            packet_id: PacketId::new(id).filter(|_| qos > QoS::AtMostOnce),
            properties: PublishProperties::default(),
            payload: payload.as_bytes(),
        };
        self.raw.send(&Packet::Publish(publish)).unwrap();
        let last = match qos {
            QoS::AtMostOnce => return,
            QoS::AtLeastOnce => AckKind::PubAck,
            QoS::ExactlyOnce => AckKind::PubComp,
        };
        self.until(
            "acknowledgement",
            |event| matches!(event, Event::Ack(kind, of, _) if *kind == last && *of == id),
        );
    }

    /// What was seen since the last time, by topic, without marks and what belongs to one broker.
    fn take(&mut self) -> BTreeMap<String, Vec<Seen>> {
        let mut by_topic = BTreeMap::<_, Vec<_>>::new();
        for (topic, seen) in self
            .seen
            .drain(..)
            .filter(|(topic, _)| topic.starts_with('q'))
        {
            by_topic.entry(topic).or_default().push(seen);
        }
        by_topic
    }
}

const SETTINGS: [(&str, bool); 6] = [
    ("mqttv31", true),
    ("mqttv31", false),
    ("mqttv311", true),
    ("mqttv311", false),
    ("mqttv50", true),
    ("mqttv50", false),
];

const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

/// A mosquitto with a bridge to `port`. What is not said here is as mosquitto has it.
fn edge(port: u16, version: &str, is_clean: bool) -> Mosquitto {
    Mosquitto::start_with(&format!(
        "connection up\naddress 127.0.0.1:{port}\nremote_clientid edge\nrestart_timeout 1\n\
         bridge_protocol_version {version}\ncleansession {is_clean}\n\
         topic q0/# both 0\ntopic q1/# both 1\ntopic q2/# both 2\ntopic mark/# both 2\n"
    ))
}

/// All that both sides see, in the same order for each run.
type Record = Vec<(String, BTreeMap<String, Vec<Seen>>)>;

struct Play {
    people: [Person; 2],
    marks: usize,
}

impl Play {
    /// Waits until all that was published has been to the other side, and back if it goes back.
    fn settle(&mut self) {
        for side in [1, 0, 1, 0] {
            self.marks += 1;
            let topic = format!("mark/{}", self.marks);
            self.people[side].publish(&topic, "here", QoS::ExactlyOnce, true);
            self.people[1 - side].wait(&topic, "here");
            self.people[side].wait(&topic, "here");
        }
    }

    fn take(&mut self, what: &str) -> Record {
        let [edge, center] = &mut self.people;
        [("edge", edge), ("center", center)]
            .map(|(side, person)| (format!("{what}, {side}"), person.take()))
            .into()
    }
}

fn play(center: u16, version: &str, is_clean: bool) -> Record {
    let mut at_center = Person::at(center, "center");
    for qos in 0..3 {
        at_center.publish(&format!("q{qos}/before"), "c", QoS::ExactlyOnce, true);
    }
    let link = Link::to(center);
    let mosquitto = edge(link.port, version, is_clean);
    let mut play = Play {
        people: [Person::at(mosquitto.port(), "local"), at_center],
        marks: 0,
    };
    play.people[1].wait(STATE, "1");
    play.settle();
    let mut record = play.take("connected");
    for qos in QOS {
        for (side, person) in ["edge", "center"].iter().zip(&mut play.people) {
            let topic = |name: &str| format!("q{}/{name}-{side}", qos as u8);
            person.publish(&topic("live"), "live", qos, false);
            person.publish(&topic("kept"), "1", qos, true);
            person.publish(&topic("kept"), "2", qos, false);
            person.publish(&topic("gone"), "1", qos, true);
            person.publish(&topic("gone"), "", qos, true);
        }
    }
    // Set on one side, cleared on the other.
    play.people[0].publish("q1/across", "e", QoS::AtLeastOnce, true);
    play.people[1].wait("q1/across", "e");
    play.people[1].publish("q1/across", "", QoS::AtLeastOnce, true);
    play.settle();
    record.extend(play.take("live"));
    play.people[1].seen.clear();
    link.cut();
    play.people[1].wait(STATE, "0");
    for (side, person) in ["edge", "center"].iter().zip(&mut play.people) {
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let topic = |name: &str| format!("q{}/{name}-{side}", qos as u8);
            person.publish(&topic("away"), "away", qos, false);
            person.publish(&topic("kept"), "3", qos, true);
            person.publish(&topic("new"), "1", qos, true);
        }
        person.publish(&format!("q2/kept-{side}"), "", QoS::ExactlyOnce, true);
    }
    link.mend();
    play.people[1].wait(STATE, "1");
    play.settle();
    record.extend(play.take("restored"));
    let late = [mosquitto.port(), center].map(|port| Person::at(port, "late"));
    let mut late = Play {
        people: late,
        marks: play.marks,
    };
    late.settle();
    record.extend(late.take("retained"));
    record
}

/// What both sides have to see while the link is up: all of it once, as it was published.
fn live() -> BTreeMap<String, Vec<Seen>> {
    let mut want = BTreeMap::new();
    for qos in 0..3 {
        for side in ["edge", "center"] {
            let mut add = |name: &str, seen: &[(&str, bool)]| {
                let seen = seen
                    .iter()
                    .map(|&(text, retain)| (text.to_owned(), qos, retain));
                want.insert(format!("q{qos}/{name}-{side}"), seen.collect());
            };
            add("live", &[("live", false)]);
            add("kept", &[("1", true), ("2", false)]);
            add("gone", &[("1", true), ("", true)]);
        }
    }
    let across = [("e".to_owned(), 1, true), (String::new(), 1, true)];
    want.insert("q1/across".to_owned(), across.into());
    want
}

/// Without the values that the edge has retained itself: when its bridge comes back, mosquitto 2.0.11 sends them to where
/// they came from, and so an older value can replace a newer one there.
fn comparable(
    (what, seen): &(String, BTreeMap<String, Vec<Seen>>),
) -> (String, BTreeMap<String, Vec<Seen>>) {
    let is_back = |topic: &str| !what.starts_with("live") && topic.contains("kept-edge");
    let mut seen = seen.clone();
    seen.retain(|topic, _| !is_back(topic));
    (what.clone(), seen)
}

/// What the edge has retained is the same on both sides after a cut, and the edge has seen it once.
fn check_restored(record: &Record, is_clean: bool, setting: &str) {
    let of = |step: &str, topic: &str| {
        let found = record.iter().find(|(what, _)| what == step);
        found.and_then(|(_, seen)| seen.get(topic)).cloned()
    };
    let seen = |qos, list: &[&str]| -> Vec<Seen> {
        let seen = list.iter().map(|&text| (text.to_owned(), qos, true));
        seen.collect()
    };
    for (step, topic, want) in [
        ("restored, edge", "q0/kept-edge", None),
        ("restored, edge", "q1/kept-edge", Some(seen(1, &["3"]))),
        ("restored, edge", "q2/kept-edge", Some(seen(2, &["3", ""]))),
        ("retained, edge", "q0/kept-edge", Some(seen(0, &["1"]))),
        ("retained, edge", "q1/kept-edge", Some(seen(1, &["3"]))),
        ("retained, edge", "q2/kept-edge", None),
        ("retained, center", "q0/kept-edge", Some(seen(0, &["1"]))),
        ("retained, center", "q1/kept-edge", Some(seen(1, &["3"]))),
        // That it was cleared is not kept for a bridge without a session.
        (
            "retained, center",
            "q2/kept-edge",
            is_clean.then(|| seen(2, &["1"])),
        ),
    ] {
        assert_eq!(of(step, topic), want, "{setting}: {step}: {topic}");
    }
}

#[test]
fn a_mosquitto_that_bridges_to_the_gateway_sees_what_it_sees_of_another_mosquitto() {
    thread::scope(|scope| {
        for (version, is_clean) in SETTINGS {
            scope.spawn(move || {
                let (gateway, mosquitto) = (Gateway::start(""), Mosquitto::start());
                let setting = format!("{version}, clean session {is_clean}");
                let [ours, theirs] = thread::scope(|scope| {
                    [gateway.port, mosquitto.port()]
                        .map(|port| scope.spawn(move || play(port, version, is_clean)))
                        .map(|player| player.join().expect("a player does not panic"))
                });
                check_restored(&ours, is_clean, &setting);
                assert_eq!(ours.len(), theirs.len());
                for (ours, theirs) in ours.iter().zip(theirs) {
                    let (ours, theirs) = (comparable(ours), comparable(&theirs));
                    assert_eq!(ours, theirs, "{setting}");
                }
                for (what, seen) in ours.iter().filter(|(what, _)| what.starts_with("live")) {
                    assert_eq!(seen, &live(), "{setting}: {what}");
                }
            });
        }
    });
}

#[test]
fn a_refused_bridge_is_in_the_log_with_its_name_and_the_topic_of_its_will() {
    let gateway = Gateway::start("");
    let _mosquitto = Mosquitto::start_with(&format!(
        "connection up\naddress 127.0.0.1:{}\nremote_clientid edge\nrestart_timeout 1\n\
         notification_topic $SYS/elsewhere\ntopic q0/# both 0\n",
        gateway.port
    ));
    let line = gateway.process.wait_line("topic of its will");
    assert!(
        line.contains("\"edge\"") && line.contains("\"$SYS/elsewhere\""),
        "{line}"
    );
}

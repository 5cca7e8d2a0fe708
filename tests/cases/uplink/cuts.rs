//! Faults of all kinds, with kills of the gateway and of the remote.

use fieldgate_tests::cuts::{Cuts, Daemon, Fault, ROUND, Tally};

use super::*;

impl Daemon for Gateway {
    fn start(&mut self) {
        self.again();
    }

    fn kill(&mut self) {
        self.process.kill();
    }
}

impl Daemon for Mosquitto {
    fn start(&mut self) {
        self.again();
    }

    fn kill(&mut self) {
        self.process().kill();
    }
}

#[test]
fn what_a_client_was_told_is_taken_arrives_through_faults_and_kills_of_all_kinds_and_duplicates_are_few()
 {
    let remote = Mosquitto::start();
    let proxy = Proxy::start(remote.port());
    let rest = uplink(proxy.port, "").replace("window: 1s, durable: none", "durable: clients");
    let gateway = Gateway::start("plant7", &rest);
    gateway.wait("connected", |status| status["state"] == "online");
    let at = |port: u16| ([127, 0, 0, 1], port).into();
    let (here, there) = (at(gateway.port), at(remote.port()));
    let mut cuts = Cuts::new((gateway, here), (remote, there), proxy, 500);
    for (_, fault) in (0..rounds(Fault::ALL.len())).zip(Fault::ALL.into_iter().cycle()) {
        cuts.round(fault, 2 * PATIENCE);
    }
    cuts.gateway().wait("all acknowledged", |status| {
        status["backlog"]["messages"] == 0
            && status["window"] == 0
            && status["dropped"]["full"] == 0
    });
    let mut all = Tally::default();
    let mut kills = 0;
    for (fault, tally) in cuts.tallies() {
        println!("{}: {tally:?}", fault.name());
        assert_eq!((tally.lost, tally.unknown), (0, 0), "{}", fault.name());
        kills += fault.kills() * tally.rounds;
        all.add(tally);
    }
    println!("{} connections: {all:?}", cuts.connections());
    // Those under way when a connection ends; and after a kill those of two blocks, which hold as many as come without the
    // remote here.
    let most = IN_FLIGHT as u64 * cuts.connections() as u64 + kills * ROUND / 2;
    assert!(all.twice <= most, "{all:?}, at most {most}");
}

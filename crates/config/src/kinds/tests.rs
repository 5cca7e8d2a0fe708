use std::sync::Arc;

use fieldgate_bridge::{Counters, Ports, channel};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::tests::{KINDS, load};

#[tokio::test]
async fn every_kind_of_device_has_its_counters_in_the_order_of_the_documents() {
    let text = "version: 1
devices:
  instrument: {serial: {port: /dev/x, baud: 9600}, points: {p: {}}}
  panel: {gpio: {simulated: true}, points: {q: {in: A}}}
";
    let config = load(text, &[]).unwrap();
    for (name, want) in [
        (
            "instrument",
            "bytes frames unmatched unasked late floods too_long bad_check bad_length incomplete bad_escape garbage \
             timeouts lost",
        ),
        (
            "panel",
            "edges commands lost_edges refused failed_saves lost",
        ),
    ] {
        let device = &config.devices[name];
        let mut running = KINDS.find(device.kind).unwrap().running(None);
        let started = running.start(device, 0).unwrap().unwrap();
        let (counters, (events, _)) = (Arc::new(Counters::default()), channel(1));
        let (_, requests) = channel(1);
        let cancel = CancellationToken::new();
        let ports = Ports {
            requests,
            events,
            cancel,
        };
        let (_, tally) = started.run(Arc::clone(&counters), ports);
        let figures = tally.figures(&counters.snapshot()).unwrap();
        let counts = figures.counts();
        let names: Vec<&str> = counts.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.join(" "), want);
    }
}

#[test]
fn devices_and_buses_are_equal_only_to_those_of_their_own_bridge() {
    let bus = "buses: {b: {tcp: \"h:1\"}}\ndevices:\n  d: ";
    let on_bus = format!("version: 1\n{bus}{{bus: b, unit: 1, points: {{p: {{coil: 1}}}}}}\n");
    let other = on_bus.replace("unit: 1", "unit: 2").replace("h:1", "h:2");
    let lines = "version: 1\ndevices:\n  d: {gpio: {}, points: {p: {in: GPIO1}}}\n";
    let [one, same, other, lines] =
        [&on_bus, &on_bus, &other, lines].map(|text| load(text, &[]).unwrap());
    let device = |config: &Config| config.devices["d"].clone();
    assert_eq!(device(&one), device(&same));
    assert_ne!(device(&one), device(&other));
    assert_ne!(device(&one), device(&lines));
    assert_eq!(one.buses, same.buses);
    assert_ne!(one.buses, other.buses);
}

use std::collections::BTreeMap;

use super::*;

const TYPE: &str = "{points: {energy: {quantity: energy, unit: kWh}, number: {header: id}}}";

/// A bus with two meters, one of a type, simulated at `place`.
fn plant(bus: &str, place: Option<Place>) -> (Bus<MbusBusEntry>, Vec<MbusConfig>) {
    let bus = Bus {
        config: serde_yaml::from_str(bus).unwrap(),
        simulated: place,
    };
    let kind: MbusType = serde_yaml::from_str(TYPE).unwrap();
    let devices = [
        ("flat-1", "{bus: heating, type: heat, address: 1}"),
        (
            "flat-2",
            "{bus: heating, secondary: \"12345678\", points: {power: {quantity: power}}}",
        ),
    ];
    let devices = devices.map(|(name, yaml)| {
        let entry: MbusEntry = serde_yaml::from_str(yaml).unwrap();
        assert_eq!(MbusLines::bus_of(&entry), Some("heating"));
        let kind = MbusLines::type_of(&entry).map(|_| &kind);
        MbusLines::resolve(&entry, name, 0, kind, &Defaults::default()).unwrap()
    });
    (bus, devices.into())
}

fn part<'c>(bus: &'c Bus<MbusBusEntry>, devices: &'c [MbusConfig]) -> Part<'c, MbusLines> {
    let named = devices.iter().map(|device| (device.name.as_str(), device));
    Part {
        buses: BTreeMap::from([("heating", bus)]),
        devices: named.collect(),
    }
}

#[tokio::test]
async fn a_simulated_bus_is_read_tested_counted_and_stopped() {
    let listen = Place::Listen("127.0.0.1:0".parse().unwrap());
    for (bus, place) in [
        ("{tcp: \"converter:10001\"}", listen),
        ("{serial: /dev/ttyUSB9, baud: 38400}", Place::Line),
    ] {
        let (bus, devices) = plant(bus, Some(place));
        let mut told = String::new();
        for device in &devices {
            let mut tell = |text: &str| told.push_str(text);
            let tested = MbusLines::test(device, Some(&bus), &mut tell).await;
            assert!(tested.is_ok(), "{tested:?}");
        }
        assert!(
            told.contains("energy: 1000 kWh\nnumber: 00000001"),
            "{told}"
        );
        assert!(told.contains("secondary 12345678: 12345678, FGW"), "{told}");

        let mut lines = MbusLines::new(None);
        let change = Change {
            buses: vec!["heating".into()],
            devices: vec!["flat-1".into(), "flat-2".into()],
            ..Change::default()
        };
        let failed = lines.change(&change, part(&bus, &devices)).await;
        assert!(failed.is_empty(), "{failed:?}");
        let started = lines.start(&devices[0], 7).unwrap().unwrap();
        assert_eq!(started.settings.device, "flat-1");
        let handle = lines.handle("heating").unwrap();
        let handle = handle.downcast::<MbusBusHandle>().unwrap();
        handle.read(devices[1].address, 1).await.unwrap();
        let (whose, figures) = lines.counts().remove(0);
        assert_eq!(whose, Whose::Bus("heating".into()));
        assert_eq!(figures.routine[1], ("answers", 2));

        let gone = Change {
            gone: vec!["heating".into()],
            ..Change::default()
        };
        let none = Part {
            buses: BTreeMap::new(),
            devices: BTreeMap::new(),
        };
        assert!(lines.change(&gone, none).await.is_empty());
        assert!(lines.start(&devices[0], 7).unwrap().is_none());
        assert!(handle.read(devices[1].address, 1).await.is_err());
        lines.stop().await;
    }
}

#[tokio::test]
async fn simulated_meters_are_served_for_a_configuration_and_told() {
    let (bus, devices) = plant("{tcp: \"converter:10001\"}", None);
    let mut told = String::new();
    let mut tell = |text: &str| told.push_str(text);
    let mut places = Places::new(Some("127.0.0.1:0".parse().unwrap()));
    let served = MbusLines::simulate(part(&bus, &devices), &mut places, &mut tell).await;
    let mut served = served.unwrap();
    let address = told.split(": ").nth(1).unwrap().to_owned();
    assert!(
        told.ends_with("flat-1 (address 1), flat-2 (secondary 12345678)\n"),
        "{told}"
    );
    let config = MbusBusEntry::new(Transport::Tcp(address)).unwrap();
    let bus = MbusBus::spawn("heating", config, CancellationToken::new());
    bus.read(devices[0].address, 1).await.unwrap();
    served.remove(0).stop().await;
}

#[tokio::test]
async fn a_meter_that_is_not_there_fails_its_test_with_the_reason() {
    let (bus, devices) = plant("{serial: /dev/no-such-port}", None);
    let tested = MbusLines::test(&devices[0], Some(&bus), &mut |_: &str| ()).await;
    match tested.unwrap_err() {
        Untested::Device(text) => assert!(text.contains("is not there: is the adapter"), "{text}"),
        other => panic!("{other:?}"),
    }
    let claims = MbusLines::bus_claims(&bus.config);
    assert_eq!(
        claims,
        [Claim::new(&["serial"], "port", "/dev/no-such-port")]
    );
}

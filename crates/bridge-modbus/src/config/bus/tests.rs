use super::*;

fn read(json: &str) -> Result<BusConfig, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

#[test]
fn a_bus_needs_only_its_address() {
    let bus = read(r#"{"tcp": "192.168.1.20:502"}"#).unwrap();
    let want = BusConfig {
        transport: Transport::Tcp("192.168.1.20:502".into()),
        timeout: Duration::from_secs(1),
        retries: 1,
        late: Duration::from_secs(10),
        pause: None,
        turnaround: Duration::from_millis(100),
        in_flight: 1,
        settle: Duration::ZERO,
        close_after: None,
        reconnect: Duration::from_secs(1),
        accept: Accept::default(),
        offline: Offline::default(),
    };
    assert_eq!((bus.silence(), bus), (Duration::ZERO, want));
    let full = r#"{"tcp": "[::1]:1502", "modbus": "tcp", "timeout": "300ms", "retries": 0,
        "pause": "100ms", "turnaround": "200ms",
        "offline": {"after": 2, "backoff": "2s..30s", "share": "5%"}}"#;
    let bus = read(full).unwrap();
    assert_eq!(bus.timeout, Duration::from_millis(300));
    assert_eq!(bus.silence(), Duration::from_millis(100));
    assert_eq!(bus.turnaround, Duration::from_millis(200));
    assert_eq!((bus.offline.after, bus.offline.share), (2, 5));
    assert_eq!(bus.offline.backoff.max(), Duration::from_secs(30));
    let pause = read(r#"{"tcp": "a:1", "pause": "auto"}"#).unwrap().pause;
    assert_eq!(pause, None);
    let fast = read(r#"{"tcp": "a:1", "in_flight": 4}"#).unwrap();
    assert_eq!(fast.in_flight, 4);
}

#[test]
fn a_line_is_rtu_over_a_port_or_over_tcp() {
    let line = r#"{"serial": {"port": "/dev/ttyS1", "parity": "even"}, "modbus": "rtu"}"#;
    let short = r#"{"serial": {"port": "/dev/ttyS1", "parity": "even"}}"#;
    let bus = read(line).unwrap();
    assert_eq!(read(short), Ok(bus.clone()));
    assert_eq!(bus.silence(), Duration::from_nanos(4_010_415));
    assert_eq!(bus.transport.to_string(), "/dev/ttyS1, 9600 8E1");
    assert!(bus.transport.is_broadcast(0));
    let over = read(r#"{"tcp": "moxa:4001", "modbus": "rtu"}"#).unwrap();
    assert_eq!(over.transport, Transport::RtuOverTcp("moxa:4001".into()));
    assert!(over.transport.is_rtu() && !over.transport.is_broadcast(247));
    for (keys, want) in [
        (r#""timeout": "300ms""#, 10),
        (r#""timeout": "3s""#, 30),
        (r#""late": "60s""#, 60),
    ] {
        let json = format!(r#"{{"tcp": "moxa:4001", "modbus": "rtu", {keys}}}"#);
        assert_eq!(
            read(&json).unwrap().late,
            Duration::from_secs(want),
            "{keys}"
        );
    }
    let tcp = read(r#"{"tcp": "plc:502"}"#).unwrap().transport;
    assert!(!tcp.is_broadcast(0));
}

#[test]
fn what_a_server_is_forgiven_and_how_long_a_connection_lives_are_keys() {
    let json = r#"{"tcp": "a:1", "settle": "1s", "close_after": "5s", "reconnect": "30s",
        "accept": {"unit": "any", "transaction": "any"}}"#;
    let bus = read(json).unwrap();
    assert_eq!(bus.settle, Duration::from_secs(1));
    assert_eq!(bus.close_after, Some(Duration::from_secs(5)));
    assert_eq!(bus.reconnect, Duration::from_secs(30));
    assert!(bus.accept.unit && bus.accept.transaction);
    let unit = read(r#"{"tcp": "a:1", "accept": {"unit": "any"}}"#).unwrap();
    assert!(unit.accept.unit && !unit.accept.transaction);
}

#[test]
fn a_wrong_bus_is_refused_by_key() {
    for (json, want) in [
        (r#"{}"#, "expected `tcp` or `serial`"),
        (
            r#"{"tcp": "a:1", "serial": {"port": "/p"}}"#,
            "serial: the bus already has `tcp`",
        ),
        (
            r#"{"serial": {"port": "/p"}, "modbus": "tcp"}"#,
            "modbus: a serial line has `rtu`",
        ),
        (
            r#"{"serial": {"port": "/p", "data_bits": 7}}"#,
            "serial: `modbus: rtu` needs 8 data_bits",
        ),
        (
            r#"{"serial": {"port": "/p"}, "in_flight": 2}"#,
            "in_flight: with `modbus: rtu`",
        ),
        (
            r#"{"tcp": "a:1", "in_flight": 2, "pause": "1ms"}"#,
            "in_flight: several requests",
        ),
        (
            r#"{"tcp": "a:1", "in_flight": 33}"#,
            "in_flight: 33 is outside",
        ),
        (
            r#"{"tcp": "a:1", "offline": {"share": "0%"}}"#,
            "a percentage from",
        ),
        (r#"{"tcp": "plc"}"#, "tcp: expected host:port, got `plc`"),
        (r#"{"tcp": ":502"}"#, "tcp: `` is no host"),
        (r#"{"tcp": "a b:502"}"#, "tcp: `a b` is no host"),
        (r#"{"tcp": "a:0"}"#, "tcp: port `0` is outside"),
        (r#"{"tcp": "a:99999"}"#, "tcp: port `99999` is outside"),
        (
            r#"{"tcp": "a:1", "timout": "1s"}"#,
            "unknown field `timout`",
        ),
        (
            r#"{"tcp": "a:1", "timeout": "61s"}"#,
            "timeout: must be at most 60s",
        ),
        (r#"{"tcp": "a:1", "timeout": "0s"}"#, "a time such as"),
        (
            r#"{"tcp": "a:1", "retries": 11}"#,
            "retries: must be at most 10",
        ),
        (
            r#"{"serial": {"port": "/p"}, "close_after": "5s"}"#,
            "close_after: a serial port stays open",
        ),
        (
            r#"{"serial": {"port": "/p"}, "reconnect": "5s"}"#,
            "reconnect: a serial port stays open",
        ),
        (
            r#"{"tcp": "a:1", "settle": "61s"}"#,
            "settle: must be at most 60s",
        ),
        (
            r#"{"tcp": "a:1", "accept": {"unit": "any"}, "in_flight": 2}"#,
            "accept: only with `in_flight: 1`",
        ),
        (
            r#"{"tcp": "a:1", "accept": {"unit": "any"}, "modbus": "rtu"}"#,
            "accept: RTU answers",
        ),
        (
            r#"{"tcp": "a:1", "accept": {"unit": "own"}}"#,
            "unknown variant `own`, expected `any`",
        ),
        (
            r#"{"tcp": "a:1", "late": "20s"}"#,
            "late: only RTU lines need it",
        ),
        (
            r#"{"tcp": "a:1", "modbus": "rtu", "late": "900ms"}"#,
            "late: must be at least `timeout`",
        ),
        (
            r#"{"tcp": "a:1", "modbus": "asci"}"#,
            "unknown variant `asci`",
        ),
        (
            r#"{"tcp": "a:1", "offline": {"after": 0}}"#,
            "after: must be at least 1",
        ),
        (
            r#"{"tcp": "a:1", "offline": {"backoff": "5s..1s"}}"#,
            "a range of times",
        ),
        (r#"{"tcp": "a:1", "pause": "soon"}"#, "auto, or a time"),
    ] {
        let error = read(json).unwrap_err();
        assert!(error.contains(want), "{json}: {error}");
    }
}

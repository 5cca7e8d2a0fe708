use super::*;

#[derive(Deserialize)]
struct Raw {
    rs485: Switch,
}

#[test]
fn a_port_is_as_it_was_written_or_as_most_devices_have_it() {
    let port = || Written {
        port: "/p".into(),
        ..Written::default()
    };
    for (written, shown, character_us) in [
        (port(), "/p, 9600 8N1", 1_041),
        (
            Written {
                baud: Some(19_200),
                parity: Parity::Even,
                ..port()
            },
            "/p, 19200 8E1",
            572,
        ),
        (
            Written {
                baud: Some(1_200),
                parity: Parity::Odd,
                data_bits: Some(7),
                stop_bits: Some(2),
                ..port()
            },
            "/p, 1200 7O2",
            9_166,
        ),
    ] {
        let settings = PortSettings::try_from(written).unwrap();
        assert_eq!(settings.to_string(), shown);
        assert_eq!(settings.character().as_micros(), character_us, "{shown}");
    }
}

#[test]
fn what_no_port_can_be_is_refused_by_its_key() {
    let port = || Written {
        port: "/p".into(),
        ..Written::default()
    };
    let rts = Some(true);
    for (written, want) in [
        (Written::default(), "port: expected a path such as"),
        (
            Written {
                baud: Some(49),
                ..port()
            },
            "baud: 49 is outside",
        ),
        (
            Written {
                data_bits: Some(4),
                ..port()
            },
            "data_bits: 4 is outside 5..=8",
        ),
        (
            Written {
                stop_bits: Some(3),
                ..port()
            },
            "stop_bits: expected 1 or 2, got 3",
        ),
        (
            Written {
                flow: Flow::Hardware,
                rts,
                ..port()
            },
            "rts: with `flow: hardware`",
        ),
        (
            Written {
                rs485: Switch(Some(Rs485::default())),
                rts,
                ..port()
            },
            "rs485: the driver then needs",
        ),
    ] {
        let error = PortSettings::try_from(written).unwrap_err();
        assert!(error.starts_with(want), "{error}");
    }
}

#[test]
fn rs485_is_a_switch_or_its_details() {
    let read = |json: &str| {
        let raw: Result<Raw, _> = serde_json::from_str(json);
        raw.map(|raw| raw.rs485.0)
            .map_err(|error| error.to_string())
    };
    let low = Rs485 {
        rts_low_on_send: true,
        delay_after: Duration::from_millis(2),
        ..Rs485::default()
    };
    for (json, want) in [
        (r#"{"rs485": true}"#, Some(Rs485::default())),
        (r#"{"rs485": false}"#, None),
        (
            r#"{"rs485": {"rts_on_send": "low", "delay_after": "2ms"}}"#,
            Some(low),
        ),
    ] {
        assert_eq!(read(json), Ok(want), "{json}");
    }
    for (json, want) in [
        (r#"{"rs485": 1}"#, "true, false, or details"),
        (
            r#"{"rs485": {"delay_after": "1.5ms"}}"#,
            "delay_after: expected whole milliseconds",
        ),
        (r#"{"rs485": {"rts": "low"}}"#, "unknown field `rts`"),
    ] {
        let error = read(json).unwrap_err();
        assert!(error.contains(want), "{json}: {error}");
    }
}

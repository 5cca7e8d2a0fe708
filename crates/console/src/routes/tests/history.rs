//! Readings that are kept on the card.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use fieldgate_history::{Event, History, Keeps, Kind, Now, Settings as Keeping};
use fieldgate_model::{Decimal, Outcome, Sample, Value};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::*;

/// Some morning, in milliseconds.
const START: i64 = 1_790_000_000_000;

struct Kept {
    history: History,
    folder: PathBuf,
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A minute of a level that rises by a tenth each second, then a reading that failed.
fn kept(name: &str) -> Kept {
    let folder = std::env::temp_dir().join(format!("console-{name}-{}", std::process::id()));
    let settings = Keeping {
        folder: folder.clone(),
        max: 1 << 30,
        keep: Duration::from_secs(86_400),
        reserve: 0,
        events: 1 << 20,
        flush: Duration::from_secs(60),
        memory: 1 << 20,
        keep_counters: Duration::from_secs(86_400),
        zone: TimeZone::UTC,
        trust: Duration::MAX,
    };
    let now = || Now {
        at: START + 3_600_000,
        is_set: true,
    };
    let history = History::start(settings, now).unwrap();
    let tap = history
        .tap()
        .device("plc", ["level", "other"], |point| Keeps {
            readings: true,
            counter: (point == "level").then(|| "m".to_owned()),
        });
    let at = |second: i64| Timestamp::from_millisecond(START + second * 1_000).unwrap();
    let level = |tenths: i64| Value::Decimal(Decimal::new(tenths.into(), 1).unwrap());
    let mut samples: Vec<_> = (0..60)
        .map(|second| Sample::good(0, level(second), at(second)))
        .collect();
    samples.extend([
        Sample::bad(0, at(60)),
        Sample::good(1, Value::Bool(true), at(5)),
    ]);
    tap.take(&samples, true);
    history.flush();
    Kept { history, folder }
}

#[tokio::test]
async fn a_range_is_told_in_columns_with_what_was_before() {
    let kept = kept("columns");
    let bench = bench_with(PEOPLE, false, Some(&kept.history));
    let cookie = bench.login("vera").await;
    let path =
        "/api/v1/history/plc/level?from=2026-09-21T14:13:30Z&to=2026-09-21T14:14:30Z&width=6";
    let answer = bench.ask("GET", path, &cookie, None).await;
    let told = answer.json();
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(told["step_ms"], 10_000);
    assert_eq!(told["at"][0], START + 10_000);
    assert_eq!(told["count"], serde_json::json!([10, 10, 10, 10, 10, 0]));
    assert_eq!(
        told["min"],
        serde_json::json!([1.0, 2.0, 3.0, 4.0, 5.0, null])
    );
    assert_eq!(
        told["last"],
        serde_json::json!([1.9, 2.9, 3.9, 4.9, 5.9, null])
    );
    assert_eq!(told["worst"][5], "bad");
    assert_eq!(told["before"]["value"], 0.9);
    for (query, want) in [
        ("from=yesterday", 400),
        ("from=2026-09-21T14:13:30Z&to=2026-09-21T14:13:30Z", 400),
        ("width=4001", 400),
        ("length=1", 400),
        ("", 200),
    ] {
        let path = format!("/api/v1/history/plc/level?{query}");
        assert_eq!(
            bench.ask("GET", &path, &cookie, None).await.status,
            want,
            "{query}"
        );
    }
}

#[tokio::test]
async fn an_export_has_every_reading_of_a_device_or_of_one_point() {
    let kept = kept("export");
    let bench = bench_with(PEOPLE, false, Some(&kept.history));
    let cookie = bench.login("vera").await;
    let range = "from=2026-09-21T14:13:20Z&to=2026-09-21T15:00:00Z";
    for (query, lines) in [
        ("device=plc", 63),
        ("device=plc&point=other", 2),
        ("device=none", 1),
    ] {
        let path = format!("/api/v1/history.csv?{query}&{range}");
        let answer = bench.ask("GET", &path, &cookie, None).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(
            answer.text.matches("\r\n").count(),
            lines,
            "{query}: {}",
            answer.text
        );
        assert!(
            answer
                .text
                .starts_with("time,device,point,value,quality,clock,unit\r\n")
        );
        if query == "device=plc&point=other" {
            assert!(
                answer
                    .text
                    .ends_with("2026-09-21T14:13:25.000Z,plc,other,true,good,set,\r\n")
            );
        }
    }
    // Parquet is no text: other tests read it.
    for (suffix, media, line) in [
        (
            "csv",
            "text/csv; charset=utf-8",
            "2026-09-21T14:13:25.000Z,plc,other,true,good,set,\r\n",
        ),
        (
            "jsonl",
            "application/x-ndjson",
            "{\"time\":\"2026-09-21T14:13:25.000Z\",\"device\":\"plc\",\"point\":\"other\",\"value\":true,\
             \"quality\":\"good\",\"clock\":\"set\",\"unit\":null}\n",
        ),
        (
            "line",
            "text/plain; charset=utf-8",
            "fieldgate,device=plc,point=other value=1,quality=0 1790000005000000000\n",
        ),
    ] {
        let path = format!("/api/v1/history.{suffix}?device=plc&point=other&{range}");
        let answer = bench.ask("GET", &path, &cookie, None).await;
        assert_eq!(answer.headers["content-type"], media);
        let name = format!("attachment; filename=\"plc.{suffix}\"");
        assert_eq!(answer.headers["content-disposition"], name.as_str());
        assert!(answer.text.ends_with(line), "{}", answer.text);
    }
    for (path, want) in [("csv", 400), ("parquet", 400), ("xlsx?device=plc", 404)] {
        let path = format!("/api/v1/history.{path}");
        let answer = bench.ask("GET", &path, &cookie, None).await;
        assert_eq!(answer.status, want, "{path}");
    }
}

#[tokio::test]
async fn counters_are_told_by_hours_days_and_months_and_as_a_file() {
    let kept = kept("counters");
    let bench = bench_with(PEOPLE, false, Some(&kept.history));
    let cookie = bench.login("vera").await;
    let range = "from=2026-09-21T14:00:00Z&to=2026-09-21T15:00:00Z";
    let path = format!("/api/v1/history/counters?device=plc&point=level&by=hour&{range}");
    let answer = bench.ask("GET", &path, &cookie, None).await;
    let told = answer.json();
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!((&told["by"], &told["damaged"]), (&json!("hour"), &json!(0)));
    let counter = &told["counters"][0];
    assert_eq!(
        (&counter["unit"], &counter["spans"][0]["used"]),
        (&json!("m"), &json!(5.9))
    );
    assert_eq!(counter["spans"][0]["value"], 5.9);
    assert_eq!(
        (
            &counter["spans"][0]["hours"],
            &counter["spans"][0]["hours_of"]
        ),
        (&json!(1), &json!(1))
    );
    let path = format!("/api/v1/history/counters.csv?by=hour&{range}");
    let file = bench.ask("GET", &path, &cookie, None).await.text;
    let mut lines = file.split_terminator("\r\n");
    assert_eq!(
        lines.next(),
        Some("from,to,device,point,unit,used,value,hours,hours_of,resets")
    );
    let line = lines.next().unwrap_or_default();
    assert!(line.ends_with(",plc,level,m,5.9,5.9,1,1,0"), "{line}");
    assert_eq!(lines.next(), None);
    for (query, want) in [
        ("by=week", 400),
        ("by=hour&from=2020-01-01T00:00:00Z", 400),
        ("from=2026-09-21T14:13:30Z&to=2026-09-21T14:13:30Z", 400),
        ("by=month", 200),
        ("device=none", 200),
        ("", 200),
    ] {
        let path = format!("/api/v1/history/counters?{query}");
        let answer = bench.ask("GET", &path, &cookie, None).await;
        assert_eq!(answer.status, want, "{query}: {}", answer.text);
    }
}

#[tokio::test]
async fn without_history_it_says_so() {
    let bench = bench(PEOPLE, false);
    let cookie = bench.login("vera").await;
    let answer = bench
        .ask("GET", "/api/v1/history/plc/level", &cookie, None)
        .await;
    assert_eq!(
        (answer.status, answer.json()["code"].as_str()),
        (404, Some("no_history"))
    );
}

#[tokio::test]
async fn events_are_told_by_range_device_and_kind_and_as_a_file() {
    let kept = kept("events");
    let tap = kept.history.tap();
    let at = |second: i64| Timestamp::from_millisecond(START + second * 1_000).unwrap();
    let offline = |device: &str, second| Event::new(Kind::Offline, at(second)).of(device);
    tap.event(offline("plc", 1).saying("no answer\u{1b}[2J within 300 ms"));
    tap.event(Event::new(Kind::Online, at(2)).of("plc"));
    tap.event(offline("meter", 3));
    tap.event(Event::new(Kind::Reloaded, at(4)).saying("1 device added"));
    kept.history.flush();
    let bench = bench_with(PEOPLE, false, Some(&kept.history));
    let cookie = bench.login("vera").await;
    let range = "from=2026-09-21T14:13:20Z&to=2026-09-21T14:14:20Z";
    for (query, want, is_more) in [
        ("", &["offline", "online", "offline", "reloaded"][..], false),
        ("device=plc", &["offline", "online"], false),
        (
            "device=plc&gateway=true",
            &["offline", "online", "reloaded"],
            false,
        ),
        ("device=", &["reloaded"], false),
        ("kind=online,reloaded", &["online", "reloaded"], false),
        ("limit=2", &["offline", "reloaded"], true),
        ("device=none", &[], false),
    ] {
        let path = format!("/api/v1/history/events?{query}&{range}");
        let answer = bench.ask("GET", &path, &cookie, None).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text);
        let told = answer.json();
        let kinds = told["events"].as_array().unwrap().iter();
        let kinds: Vec<_> = kinds.map(|event| event["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, want, "{query}");
        assert_eq!(told["more"], is_more, "{query}");
    }
    let path = format!("/api/v1/history/events?kind=offline&device=plc&{range}");
    let answer = bench.ask("GET", &path, &cookie, None).await.json();
    let want = json!({
        "at": "2026-09-21T14:13:21.000000Z", "kind": "offline", "device": "plc",
        "text": "no answer\\u{1b}[2J within 300 ms", "clock_set": true,
    });
    assert_eq!(answer["events"][0], want);
    let path = format!("/api/v1/history/events.csv?device=plc&{range}");
    let file = bench.ask("GET", &path, &cookie, None).await.text;
    assert!(file.ends_with(",plc,online,,,,,,set\r\n"), "{file}");
    for query in [
        "kind=away",
        "limit=0",
        "limit=5000",
        "gateway=yes",
        "from=noon",
        "point=level",
    ] {
        let path = format!("/api/v1/history/events?{query}");
        let answer = bench.ask("GET", &path, &cookie, None).await;
        assert_eq!(answer.status, 400, "{query}: {}", answer.text);
    }
}

#[tokio::test]
async fn what_a_visitor_writes_is_an_event_with_who_it_was() {
    let kept = kept("writes");
    let bench = bench_with(PEOPLE, false, Some(&kept.history));
    let mut requests = device(&bench.plant, "plc", 1);
    let cookie = bench.login("otto").await;
    let path = "/api/v1/devices/plc/points/p0/write";
    let answers = tokio::spawn(async move {
        for outcome in [
            Outcome::Done {
                value: Value::Bool(true),
                readback: None,
            },
            Outcome::Failed("the device is offline: no answer".to_owned()),
        ] {
            let request = requests.recv().await.unwrap();
            request.reply.send(vec![outcome]);
        }
    });
    for want in [200, 422] {
        let body = json!({"value": true});
        let answer = bench.ask("POST", path, &cookie, Some(body)).await;
        assert_eq!(answer.status, want, "{}", answer.text);
    }
    answers.await.unwrap();
    kept.history.flush();
    let path = "/api/v1/history/events?kind=command,command_failed";
    let told = bench.ask("GET", path, &cookie, None).await.json();
    let shown = |number: usize| {
        let event = &told["events"][number];
        ["kind", "device", "name", "value", "text"].map(|key| event[key].as_str().unwrap_or(""))
    };
    assert_eq!(shown(0), ["command", "plc", "p0", "true", ""]);
    let why = "the device is offline: no answer";
    assert_eq!(shown(1), ["command_failed", "plc", "p0", "true", why]);
    let by = told["events"][0]["by"].as_str().unwrap();
    assert!(by.starts_with("otto at "), "{by}");
}

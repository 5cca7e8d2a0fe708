//! Jobs and raw reads, with tools that answer at once.

use super::*;
use crate::tools::*;

/// Units 1 and 2 answer on every bus.
pub(super) struct Bag;

fn now<'a, T: Send + 'a>(done: Result<T, Unable>) -> Later<'a, Result<T, Unable>> {
    Box::pin(std::future::ready(done))
}

impl Tools for Bag {
    fn test<'a>(&'a self, device: &'a str, told: Arc<dyn Told>) -> Later<'a, Result<(), Unable>> {
        told.text(&format!("{device} tested\n"));
        now(Err(Unable::Device("1 of 2 failed".into())))
    }

    fn scan<'a>(&'a self, scan: &'a Scan, told: Arc<dyn Told>) -> Later<'a, Result<(), Unable>> {
        for unit in [1, 2] {
            told.found(Found {
                unit,
                understood: true,
                text: scan.units.clone(),
                device: None,
            });
        }
        told.progress(2, 2);
        match scan.units.as_str() {
            "all" => Box::pin(std::future::pending()),
            _ => now(Ok(())),
        }
    }

    fn read<'a>(&'a self, bus: &'a str, read: &'a RawRead) -> Later<'a, Result<Raw, Unable>> {
        now(match bus {
            "line" => Ok(Raw {
                words: Some(vec![read.address; read.count.into()]),
                bits: None,
                text: "a table".into(),
            }),
            _ => Err(Unable::Device("no answer".into())),
        })
    }

    fn types(&self) -> Later<'_, Vec<String>> {
        Box::pin(std::future::ready(vec!["em340".to_owned()]))
    }

    fn add(&self, text: String, devices: Vec<NewDevice>) -> Later<'_, Result<String, Unable>> {
        now(match devices.as_slice() {
            [] => Err(Unable::Refused("nothing".into())),
            [first, ..] => Ok(format!("{text}{}", first.name)),
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_is_begun_looked_at_and_ended_and_the_third_waits() {
    let bench = bench(PEOPLE, false);
    let _queue = device(&bench.plant, "plc", 1);
    bench.plant.change(|layout| {
        let bus = bench.plant.new_bus("modbus");
        layout.buses.insert("line".into(), bus);
    });
    let cookie = bench.login("otto").await;
    let begin = async |path: &str, body: Json| {
        let answer = bench.ask("POST", path, &cookie, Some(body)).await;
        (answer.status, answer.json()["job"].clone())
    };
    let told = async |job: &Json| {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let path = format!("/api/v1/jobs/{job}");
        bench.ask("GET", &path, &cookie, None).await.json()
    };
    let (status, job) = begin("/api/v1/devices/plc/test", json!({})).await;
    assert_eq!(status, 202);
    let job = told(&job).await;
    assert_eq!(
        (&job["state"], &job["text"]),
        (&json!("failed"), &json!("plc tested\n"))
    );
    let (_, job) = begin(
        "/api/v1/buses/line/scan",
        json!({"units": "1-2", "timeout_ms": 50}),
    )
    .await;
    let job = told(&job).await;
    assert_eq!(
        (&job["state"], job["found"].as_array().unwrap().len()),
        (&json!("done"), 2)
    );
    for (path, body, want) in [
        ("/api/v1/devices/none/test", json!({}), 404),
        ("/api/v1/buses/none/scan", json!({}), 404),
        ("/api/v1/buses/line/scan", json!({"timeout_ms": 5}), 400),
        ("/api/v1/buses/line/scan", json!({"units": 1}), 400),
        ("/api/v1/buses/line/scan", json!({"units": "all"}), 202),
        ("/api/v1/buses/line/scan", json!({"units": "all"}), 202),
        ("/api/v1/buses/line/scan", json!({"units": "all"}), 429),
    ] {
        assert_eq!(begin(path, body.clone()).await.0, want, "{path} {body}");
    }
    let ended = bench.ask("DELETE", "/api/v1/jobs/3", &cookie, None).await;
    assert_eq!(ended.status, 204);
    assert_eq!(told(&json!(3)).await["state"], "cancelled");
    assert_eq!(
        begin("/api/v1/buses/line/scan", json!({"units": "all"}))
            .await
            .0,
        202
    );
    assert_eq!(
        bench
            .ask("GET", "/api/v1/jobs/x", &cookie, None)
            .await
            .status,
        404
    );
}

#[tokio::test(start_paused = true)]
async fn raw_reads_and_new_devices_are_answers() {
    let bench = bench(PEOPLE, false);
    let cookie = bench.login("ada").await;
    for (bus, body, want) in [
        (
            "line",
            json!({"unit": 1, "table": "holding", "address": 7, "count": 2}),
            200,
        ),
        (
            "line",
            json!({"unit": 300, "table": "holding", "address": 7, "count": 2}),
            400,
        ),
        ("line", json!({"unit": 1}), 400),
        (
            "other",
            json!({"unit": 1, "table": "holding", "address": 7, "count": 2}),
            502,
        ),
    ] {
        let path = format!("/api/v1/buses/{bus}/read");
        let answer = bench.ask("POST", &path, &cookie, Some(body)).await;
        assert_eq!(answer.status, want, "{}", answer.text);
    }
    for (devices, want) in [
        (json!([{"name": "a", "bus": "line", "unit": 1}]), 200),
        (json!([]), 422),
    ] {
        let body = json!({"text": "x", "devices": devices});
        let answer = bench
            .ask("POST", "/api/v1/config/add", &cookie, Some(body))
            .await;
        assert_eq!(answer.status, want, "{}", answer.text);
    }
}

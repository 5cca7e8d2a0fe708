//! What is told of the plant.

use fieldgate_model::Outcome;

use super::*;

async fn get(bench: &Bench, cookie: &str, path: &str) -> Json {
    let answer = bench.ask("GET", path, cookie, None).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.json()
}

fn names(page: &Json, key: &str) -> Vec<String> {
    let items = page["items"].as_array().unwrap().iter();
    items
        .map(|item| item[key].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn points_are_told_page_after_page_each_once() {
    let bench = bench(PEOPLE, false);
    let _queues = ["b", "a", "c"].map(|name| device(&bench.plant, name, 7));
    let cookie = bench.login("vera").await;
    for limit in [1, 2, 3, 7, 20, 21, 500] {
        let (mut all, mut after, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let path = format!("/api/v1/points?limit={limit}&after={after}");
            let page = get(&bench, &cookie, &path).await;
            assert_eq!(page["total"].as_u64(), after.is_empty().then_some(21));
            all.extend(page["items"].as_array().unwrap().iter().map(|item| {
                format!(
                    "{}/{}",
                    item["device"].as_str().unwrap(),
                    item["point"].as_str().unwrap()
                )
            }));
            pages += 1;
            match page["next"].as_str() {
                Some(next) => after = next.replace('/', "%2F"),
                None => break,
            }
        }
        let want: Vec<_> = ["a", "b", "c"]
            .iter()
            .flat_map(|device| (0..7).map(move |point| format!("{device}/p{point}")))
            .collect();
        assert_eq!(all, want, "{limit}");
        assert_eq!(pages, 21_usize.div_ceil(limit), "{limit}");
    }
}

#[tokio::test(start_paused = true)]
async fn points_are_found_by_name_unit_quality_device_and_access() {
    let bench = bench(PEOPLE, false);
    let _queues = ["Pump", "fan"].map(|name| device(&bench.plant, name, 3));
    tell(&bench.plant, "fan", 1, 21.5);
    let cookie = bench.login("vera").await;
    for (query, want) in [
        ("q=pump", vec!["p0", "p1", "p2"]),
        ("q=FAN%2Fp1", vec!["p1"]),
        ("q=%C2%B0c", vec!["p1", "p1"]),
        ("q=*", vec![]),
        ("device=fan", vec!["p0", "p1", "p2"]),
        ("device=none", vec![]),
        ("quality=good", vec!["p1"]),
        ("quality=none&device=fan", vec!["p0", "p2"]),
        ("writable=true&device=fan", vec!["p0", "p2"]),
        ("after=fan%2Fp1&device=fan", vec!["p2"]),
        ("after=fan%2Fgone&device=fan", vec!["p0", "p1", "p2"]),
    ] {
        let page = get(&bench, &cookie, &format!("/api/v1/points?{query}")).await;
        assert_eq!(names(&page, "point"), want, "{query}");
    }
    for query in [
        "limit=0",
        "limit=501",
        "limit=x",
        "quality=fine",
        "after=x",
        "wanted=1",
    ] {
        let path = format!("/api/v1/points?{query}");
        let answer = bench.ask("GET", &path, &cookie, None).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "bad_request"),
            "{query}"
        );
    }
    let found = get(&bench, &cookie, "/api/v1/points?quality=good").await;
    let want = json!({
        "device": "fan", "point": "p1", "unit": "°C", "writable": false,
        "value": 21.5, "quality": "good", "at": "2023-11-14T22:13:20.123Z",
    });
    assert_eq!(found["items"][0], want);
}

#[tokio::test(start_paused = true)]
async fn a_device_says_how_it_is_since_when_and_why() {
    let bench = bench(PEOPLE, false);
    let _queues = ["a", "b"].map(|name| device(&bench.plant, name, 2));
    bench
        .plant
        .device("a")
        .unwrap()
        .set_state(DeviceState::Online);
    bench
        .plant
        .device("b")
        .unwrap()
        .set_state(DeviceState::Offline {
            error: "no answer within 300 ms".into(),
            since: Timestamp::UNIX_EPOCH,
        });
    let cookie = bench.login("vera").await;
    let offline = get(&bench, &cookie, "/api/v1/devices?state=offline").await;
    let want = json!({
        "device": "b", "bridge": "modbus", "bus": "line", "points": 2, "state": "offline",
        "error": "no answer within 300 ms", "since": "1970-01-01T00:00:00.000Z",
    });
    assert_eq!(offline["items"], json!([want]));
    let overview = get(&bench, &cookie, "/api/v1/overview").await;
    assert_eq!(
        overview["devices"],
        json!({"online": 1, "offline": 1, "starting": 0})
    );
    assert_eq!(overview["troubled"][0], want);
    assert_eq!(overview["broker"]["broker_messages.sent"], 9.0);
    let whole = get(&bench, &cookie, "/api/v1/devices/a").await;
    assert_eq!(whole["values"].as_array().unwrap().len(), 2);
    for path in [
        "/api/v1/devices/x",
        "/api/v1/devices/a/points/x",
        "/api/v1/devices/%FF",
        "/api/v1/x",
    ] {
        let status = bench.ask("GET", path, &cookie, None).await.status;
        assert_eq!(status, if path.contains('%') { 400 } else { 404 }, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn digits_that_a_browser_would_lose_are_told_as_text() {
    let bench = bench(PEOPLE, false);
    let _queue = device(&bench.plant, "a", 1);
    let sample = Sample::good(0, whole(9_007_199_254_740_993), Timestamp::UNIX_EPOCH);
    bench.plant.device("a").unwrap().take(&[sample]);
    let cookie = bench.login("vera").await;
    let point = get(&bench, &cookie, "/api/v1/devices/a/points/p0").await;
    assert_eq!(point["text"], "9007199254740993");
    assert_eq!(point["value"].to_string(), "9007199254740993");
}

#[tokio::test(start_paused = true)]
async fn a_write_waits_for_its_result_and_says_what_became_of_it() {
    let bench = bench(PEOPLE, false);
    let mut queue = device(&bench.plant, "plc", 3);
    tell(&bench.plant, "plc", 0, 20.0);
    tokio::spawn(async move {
        let mut unanswered = Vec::new();
        while let Some(request) = queue.recv().await {
            let value = request.commands[0].value.clone();
            let outcome = match value.to_string().as_str() {
                "65" => Outcome::Done {
                    value: value.clone(),
                    readback: Some(value),
                },
                "66" => Outcome::Mismatch {
                    value,
                    readback: Some(whole(60)),
                },
                "67" => Outcome::Failed("exception 3 (ILLEGAL DATA VALUE)".into()),
                _ => {
                    unanswered.push(request);
                    continue;
                }
            };
            request.reply.send(vec![outcome]);
        }
    });
    let cookie = bench.login("otto").await;
    for (point, body, status, code) in [
        ("p0", json!({"value": 65}), 200, ""),
        ("p0", json!({"value": 65, "expect": 20}), 200, ""),
        ("p0", json!({"value": 65, "expect": "20.0"}), 200, ""),
        ("p0", json!({"value": 65, "expect": 21}), 409, "changed"),
        ("p0", json!({"value": 65, "expect": null}), 409, "changed"),
        ("p0", json!({"value": 66}), 409, "mismatch"),
        ("p0", json!({"value": 67}), 422, "not_written"),
        ("p0", json!({"value": 68}), 504, "no_result"),
        ("p0", json!({"value": [1]}), 400, "bad_request"),
        ("p0", json!({}), 400, "bad_request"),
        ("p1", json!({"value": 65}), 422, "not_written"),
        ("p9", json!({"value": 65}), 404, "not_found"),
    ] {
        let path = format!("/api/v1/devices/plc/points/{point}/write");
        let answer = bench.ask("POST", &path, &cookie, Some(body.clone())).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (status, code),
            "{body} {}",
            answer.text
        );
    }
    let path = "/api/v1/devices/plc/points/p0/write";
    let answer = bench
        .ask("POST", path, &cookie, Some(json!({"value": 66})))
        .await;
    assert_eq!(answer.json()["present"], 60);
}

#[tokio::test(start_paused = true)]
async fn a_stream_tells_the_newest_value_of_its_points_and_no_others() {
    let bench = bench(PEOPLE, false);
    let _queue = device(&bench.plant, "a", 4);
    let cookie = bench.login("vera").await;
    let request = HttpRequest::builder()
        .uri("/api/v1/stream?points=a%2Fp0&states=true")
        .header("host", "192.168.1.2")
        .header("cookie", &cookie)
        .extension(bench.peer)
        .body(Body::empty());
    let response = bench.router.clone().call(request.unwrap()).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut stream = response.into_body().into_data_stream();
    let mut next = async || {
        let item = std::future::poll_fn(|cx| {
            futures_core::Stream::poll_next(std::pin::Pin::new(&mut stream), cx)
        });
        item.await
            .map(|bytes| String::from_utf8(bytes.unwrap().into()).unwrap())
    };
    let hello = next().await.unwrap();
    assert!(
        hello.starts_with("event: hello\ndata: {\"stream\":1}\n\n"),
        "{hello}"
    );
    assert!(hello.contains("event: values\ndata: [{\"device\":\"a\",\"point\":\"p0\",\"value\":null,\"quality\":\"none\"}]"));
    assert!(
        hello.contains("event: states\ndata: [{\"device\":\"a\""),
        "{hello}"
    );
    for value in 0..100_u16 {
        (0..4).for_each(|point| tell(&bench.plant, "a", point, value.into()));
    }
    let told = next().await.unwrap();
    assert_eq!(told.matches("\"point\"").count(), 1, "{told}");
    assert!(told.contains("\"point\":\"p0\",\"value\":99,"), "{told}");
    let change = json!({"add": ["a/p3", "a/p1", "a/gone"], "remove": ["a/p0"]});
    let path = "/api/v1/stream/1";
    let foreign = bench.login("otto").await;
    let answer = bench
        .ask("PATCH", path, &foreign, Some(change.clone()))
        .await;
    assert_eq!(answer.status, 404, "another session's stream");
    let answer = bench.ask("PATCH", path, &cookie, Some(change)).await;
    assert_eq!(answer.status, 204, "{}", answer.text);
    let told = next().await.unwrap();
    assert_eq!(told.matches("\"point\"").count(), 2, "{told}");
    bench.ask("DELETE", "/api/v1/session", &cookie, None).await;
    assert!(next().await.unwrap().contains("event: bye"));
    assert_eq!(next().await, None);
    drop(stream);
    assert_eq!(bench.app.streams.count(), 0);
}

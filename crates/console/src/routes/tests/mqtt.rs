//! Clients and kept messages, of a broker that has three of each.

use super::*;
use crate::messages::*;

/// Clients a, b and c; topics x, y and z.
pub(super) struct Post;

fn behind<'a>(all: [&'a str; 3], after: &'a str, limit: usize) -> impl Iterator<Item = String> {
    let found = all.into_iter().filter(move |one| *one > after).take(limit);
    found.map(str::to_owned).collect::<Vec<_>>().into_iter()
}

impl Messages for Post {
    fn clients(&self, _: &str, after: &str, limit: usize) -> (Vec<Client>, usize) {
        let told = behind(["a", "b", "c"], after, limit).map(|client| Client {
            client,
            ..Client::default()
        });
        (told.collect(), 3)
    }

    fn levels(&self, prefix: Option<&str>, after: Option<&str>, limit: usize) -> Vec<Level> {
        let told = behind(["x", "y", "z"], after.unwrap_or_default(), limit).map(|level| Level {
            level: format!("{}{level}", prefix.unwrap_or_default()),
            ..Level::default()
        });
        told.collect()
    }

    fn send<'a>(&'a self, user: &'a str, message: Sent) -> Later<'a, Result<(), String>> {
        let done = match message.topic.as_str() {
            "open" if user == "ada" => Ok(()),
            _ => Err("not there".to_owned()),
        };
        Box::pin(std::future::ready(done))
    }
}

#[tokio::test(start_paused = true)]
async fn clients_and_levels_come_page_by_page_and_a_message_goes_where_it_may() {
    let bench = bench(PEOPLE, false);
    let cookie = bench.login("ada").await;
    let get = async |path: &str| bench.ask("GET", path, &cookie, None).await.json();
    let first = get("/api/v1/mqtt/clients?limit=2").await;
    assert_eq!((&first["next"], &first["total"]), (&json!("b"), &json!(3)));
    let second = get("/api/v1/mqtt/clients?limit=2&after=b").await;
    assert_eq!(
        (&second["items"][0]["client"], &second["next"]),
        (&json!("c"), &Json::Null)
    );
    let levels = get("/api/v1/mqtt/retained?below=p/&limit=1&after=x").await;
    assert_eq!(
        (&levels["items"][0]["level"], &levels["next"]),
        (&json!("p/y"), &json!("p/y"))
    );
    for (body, want) in [
        (json!({"topic": "open", "payload": "1"}), 204),
        (json!({"topic": "own"}), 422),
        (json!({"topic": "open", "qos": 3}), 400),
        (json!({"payload": "1"}), 400),
    ] {
        let answer = bench
            .ask("POST", "/api/v1/mqtt/publish", &cookie, Some(body))
            .await;
        assert_eq!(answer.status, want, "{}", answer.text);
    }
}

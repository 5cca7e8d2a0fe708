//! The configuration and backups, over a shelf that holds one text.

use super::*;
use crate::files::*;

/// One text, of which `wrong` is a mistake.
pub(super) struct Shelf(Mutex<Text>);

impl Default for Shelf {
    fn default() -> Self {
        Self(Mutex::new(text("a: 1 # ä\r\n")))
    }
}

fn text(text: &str) -> Text {
    Text {
        text: text.to_owned(),
        tag: format!("t{}", text.len()),
    }
}

fn now<'a, T: Send + 'a>(done: Result<T, NotDone>) -> Later<'a, Result<T, NotDone>> {
    Box::pin(std::future::ready(done))
}

fn mistakes(text: &str) -> Vec<Mistake> {
    let mistake = Mistake {
        file: "gateway.yaml".into(),
        own: true,
        line: Some(1),
        message: "wrong".into(),
        ..Mistake::default()
    };
    text.contains("wrong")
        .then_some(mistake)
        .into_iter()
        .collect()
}

impl Files for Shelf {
    fn read(&self) -> Later<'_, Result<Text, NotDone>> {
        now(Ok(self.running()))
    }

    fn running(&self) -> Text {
        self.0.lock().unwrap().clone()
    }

    fn check(&self, text: String) -> Later<'_, Result<Vec<Mistake>, NotDone>> {
        now(Ok(mistakes(&text)))
    }

    fn save(&self, new: String, tag: String, _: String) -> Later<'_, Result<String, NotDone>> {
        let mut kept = self.0.lock().unwrap();
        let done = match (kept.tag == tag, mistakes(&new)) {
            (false, _) => Err(NotDone::Stale),
            (true, mistakes) if !mistakes.is_empty() => Err(NotDone::Mistakes(mistakes)),
            (true, _) => {
                *kept = text(&new);
                Ok(kept.tag.clone())
            }
        };
        now(done)
    }

    fn apply(&self) -> Later<'_, Result<Applied, NotDone>> {
        now(Ok(Applied::default()))
    }

    fn versions(&self) -> Later<'_, Result<Vec<Version>, NotDone>> {
        now(Ok(Vec::new()))
    }

    fn version(&self, version: u64) -> Later<'_, Result<Text, NotDone>> {
        now(if version == 1 {
            Ok(text("old"))
        } else {
            Err(NotDone::Missing)
        })
    }

    fn complete(&self, _: String, place: usize) -> Later<'_, Result<Completion, NotDone>> {
        now(Ok(Completion {
            from: place,
            items: Vec::new(),
        }))
    }

    fn backup(&self, password: Option<String>) -> Later<'_, Result<Backup, NotDone>> {
        now(Ok(Backup {
            name: "b.tar.gz".into(),
            bytes: password.unwrap_or_default().into(),
        }))
    }

    fn restore(&self, wanted: Restore) -> Later<'_, Result<Restored, NotDone>> {
        now(match wanted.archive.as_slice() {
            b"good" => Ok(Restored::default()),
            b"sealed" => Err(NotDone::Password("which?".into())),
            _ => Err(NotDone::Refused("no backup".into())),
        })
    }
}

#[tokio::test(start_paused = true)]
async fn the_text_is_kept_byte_for_byte_and_only_over_the_one_that_was_read() {
    let bench = bench(PEOPLE, false);
    let cookie = bench.login("ada").await;
    let read = bench.ask("GET", "/api/v1/config", &cookie, None).await;
    assert_eq!(read.json()["text"], "a: 1 # ä\r\n");
    let tag = read.headers["etag"].to_str().unwrap().to_owned();
    let long = "#".repeat(100_000);
    for (tag, new, want) in [
        (None, "b: 2", 428),
        (Some("\"other\""), "b: 2", 412),
        (Some(tag.as_str()), "wrong", 422),
        (Some(tag.as_str()), long.as_str(), 200),
        (Some(tag.as_str()), "b: 3", 412),
        (Some("\"t100000\""), "\u{feff}b: 4\r\n#\u{a0}", 200),
    ] {
        let mut headers = vec![
            ("host", "192.168.1.2"),
            ("sec-fetch-site", "same-origin"),
            ("content-type", "application/json"),
            ("cookie", cookie.as_str()),
        ];
        headers.extend(tag.map(|tag| ("if-match", tag)));
        let body = json!({"text": new}).to_string();
        let answer = bench.send("PUT", "/api/v1/config", &headers, body).await;
        assert_eq!(answer.status, want, "{}", answer.text);
        if want == 422 {
            assert_eq!(answer.json()["mistakes"][0]["line"], 1);
        }
        let now = bench
            .ask("GET", "/api/v1/config", &cookie, None)
            .await
            .json();
        if want == 200 {
            assert_eq!(now["text"], new);
        }
    }
    let checked = bench
        .ask(
            "POST",
            "/api/v1/config/check",
            &cookie,
            Some(json!({"text": "wrong"})),
        )
        .await;
    assert_eq!(checked.json()["mistakes"][0]["own"], true);
    for (version, want) in [("1", 200), ("2", 404), ("x", 404)] {
        let path = format!("/api/v1/config/versions/{version}");
        assert_eq!(bench.ask("GET", &path, &cookie, None).await.status, want);
    }
    let huge = json!({"text": "x".repeat(2_100_000)});
    let answer = bench
        .ask("POST", "/api/v1/config/check", &cookie, Some(huge))
        .await;
    assert_eq!(answer.status, 413);
}

#[tokio::test(start_paused = true)]
async fn a_backup_comes_as_a_file_and_goes_back_in_base64() {
    let bench = bench(PEOPLE, false);
    let cookie = bench.login("ada").await;
    let body = json!({"password": "correct horse"});
    let answer = bench
        .ask("POST", "/api/v1/backup", &cookie, Some(body))
        .await;
    assert_eq!(
        (answer.status, answer.text.as_str()),
        (200, "correct horse")
    );
    assert_eq!(
        answer.headers["content-disposition"],
        "attachment; filename=\"b.tar.gz\""
    );
    for (archive, want) in [
        ("Z29vZA==", (200, "")),
        ("c2VhbGVk", (422, "wrong_password")),
        ("eA==", (422, "refused")),
        ("%", (400, "bad_request")),
    ] {
        let body = json!({"archive": archive, "check": true});
        let answer = bench
            .ask("POST", "/api/v1/restore", &cookie, Some(body))
            .await;
        assert_eq!((answer.status, answer.code().as_str()), want, "{archive}");
    }
}

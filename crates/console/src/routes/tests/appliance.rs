//! The board, over one that has room for ten bytes.

use super::*;
use crate::appliance::*;
use bytes::Bytes;

#[derive(Clone, Default)]
struct Card {
    coming: Vec<u8>,
    bundle: Option<Vec<u8>>,
    tasks: Vec<Task>,
}

/// What was uploaded and asked for.
#[derive(Clone, Default)]
pub(super) struct Board(Arc<Mutex<Card>>);

impl Appliance for Board {
    fn look(&self) -> Later<'_, ApplianceView> {
        let card = self.0.lock().unwrap();
        let bundle = card.bundle.as_ref().map(|bytes| BundleView {
            release: ReleaseView {
                version: String::from_utf8_lossy(bytes).into_owned(),
                build: None,
            },
            fit: "newer",
        });
        let view = ApplianceView {
            managed: true,
            room: 10,
            bundle,
            work: card.tasks.last().map(|task| WorkView {
                act: match task {
                    Task::Install => "install",
                    Task::Next(_) => "next",
                    Task::RestartGateway => "restart_gateway",
                    Task::RestartBoard => "restart_board",
                },
                state: "busy",
                percent: None,
                step: None,
                problem: None,
            }),
            ..ApplianceView::default()
        };
        Box::pin(std::future::ready(view))
    }

    fn upload(&self, bytes: u64) -> Later<'_, Result<Box<dyn Upload>, NotDone>> {
        let upload: Result<Box<dyn Upload>, NotDone> = match bytes {
            0..=10 => Ok(Box::new(self.clone())),
            _ => Err(NotDone::Refused("no room".to_owned())),
        };
        Box::pin(std::future::ready(upload))
    }

    fn discard(&self) -> Later<'_, Result<(), NotDone>> {
        let found = self.0.lock().unwrap().bundle.take();
        let done = found.map(|_| ()).ok_or(NotDone::Missing);
        Box::pin(std::future::ready(done))
    }

    fn begin(&self, task: Task) -> Later<'_, Result<(), NotDone>> {
        self.0.lock().unwrap().tasks.push(task);
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Upload for Board {
    fn take(&mut self, bytes: Bytes) -> Later<'_, Result<(), NotDone>> {
        self.0.lock().unwrap().coming.extend_from_slice(&bytes);
        Box::pin(std::future::ready(Ok(())))
    }

    fn whole(self: Box<Self>) -> Later<'static, Result<(), NotDone>> {
        let mut card = self.0.lock().unwrap();
        card.bundle = Some(std::mem::take(&mut card.coming));
        Box::pin(std::future::ready(Ok(())))
    }
}

const UPLOAD: &str = "/api/v1/system/update/bundle";

#[tokio::test]
async fn an_admin_uploads_an_update_that_says_what_it_is_and_has_room() {
    let bench = bench(PEOPLE, false);
    let (ada, otto) = (bench.login("ada").await, bench.login("otto").await);
    let bytes = "application/octet-stream";
    for (cookie, kind, site, body, want) in [
        (&otto, bytes, "same-origin", "0.2.0", 403),
        (&ada, "application/json", "same-origin", "0.2.0", 415),
        (&ada, bytes, "cross-site", "0.2.0", 403),
        (&ada, bytes, "same-origin", "", 411),
        (&ada, bytes, "same-origin", "0.2.0-and-more", 422),
        (&ada, bytes, "same-origin", "0.2.0", 200),
    ] {
        let headers = [
            ("host", "192.168.1.2"),
            ("sec-fetch-site", site),
            ("content-type", kind),
            ("cookie", cookie.as_str()),
        ];
        let answer = bench.send("PUT", UPLOAD, &headers, body.to_owned()).await;
        assert_eq!(answer.status, want, "{kind} {body}: {}", answer.text);
        if want == 200 {
            assert_eq!(answer.json()["bundle"]["version"], body);
        }
    }
    for want in [200, 404] {
        let answer = bench.ask("DELETE", UPLOAD, &ada, None).await;
        assert_eq!(answer.status, want, "{}", answer.text);
    }
}

#[tokio::test]
async fn an_admin_installs_goes_back_and_restarts() {
    let bench = bench(PEOPLE, false);
    let (ada, otto) = (bench.login("ada").await, bench.login("otto").await);
    let path = "/api/v1/system/update";
    assert_eq!(bench.ask("GET", path, &otto, None).await.status, 403);
    for (path, body, act) in [
        ("update/install", json!({}), Some("install")),
        ("update/next", json!({"slot": "A"}), Some("next")),
        (
            "restart",
            json!({"what": "gateway"}),
            Some("restart_gateway"),
        ),
        ("restart", json!({"what": "board"}), Some("restart_board")),
        ("restart", json!({"what": "world"}), None),
        ("update/install", json!({"slot": "A"}), None),
        ("update/next", json!({}), None),
    ] {
        let path = format!("/api/v1/system/{path}");
        let refused = bench.ask("POST", &path, &otto, Some(body.clone())).await;
        assert_eq!(refused.status, 403, "{path}");
        let answer = bench.ask("POST", &path, &ada, Some(body)).await;
        match act {
            Some(act) => assert_eq!(answer.json()["work"]["act"], act, "{}", answer.text),
            None => assert_eq!(answer.status, 400, "{}", answer.text),
        }
    }
}

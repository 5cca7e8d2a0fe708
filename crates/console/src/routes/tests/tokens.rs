//! What scripts show: who they are taken for, and for how long.

use super::*;

type One = (String, String, Role, [u8; 32]);

/// Tokens of a test.
#[derive(Default)]
pub(super) struct Kept(Mutex<(Vec<One>, u32)>);

/// What a token is found by here.
pub(super) fn key(text: &str) -> [u8; 32] {
    let mut key = [0; 32];
    let bytes = text.bytes().take(key.len());
    key.iter_mut()
        .zip(bytes)
        .for_each(|(place, byte)| *place = byte);
    key
}

impl Kept {
    pub(super) fn of(&self, name: &str) -> Vec<TokenView> {
        let kept = self.0.lock().unwrap();
        let own = kept.0.iter().filter(|(user, ..)| user == name);
        let told = own.map(|(_, token, role, _)| TokenView {
            name: token.clone(),
            role: *role,
            until: None,
            is_over: false,
        });
        told.collect()
    }

    pub(super) fn find(&self, wanted: &[u8; 32]) -> Option<(String, String, Role)> {
        let kept = self.0.lock().unwrap();
        let (user, token, role, _) = kept.0.iter().find(|(.., key)| key == wanted)?;
        Some((user.clone(), token.clone(), *role))
    }

    pub(super) fn refuse(&self) -> Refusal {
        let mut kept = self.0.lock().unwrap();
        kept.1 += 1;
        if kept.1 > 2 {
            Refusal::TooOften
        } else {
            Refusal::Wrong
        }
    }

    pub(super) fn add(&self, user: &str, token: &str, role: Role) -> String {
        let text = format!("fg_{user}_{token}");
        let one = (user.to_owned(), token.to_owned(), role, key(&text));
        self.0.lock().unwrap().0.push(one);
        text
    }

    pub(super) fn remove(&self, user: &str, token: &str) -> bool {
        let mut kept = self.0.lock().unwrap();
        let before = kept.0.len();
        kept.0
            .retain(|(own, name, ..)| (own.as_str(), name.as_str()) != (user, token));
        kept.0.len() < before
    }
}

async fn show(
    bench: &Bench,
    method: &str,
    path: &str,
    secret: &str,
    cookie: &str,
    body: &str,
) -> Answer {
    let bearer = format!("Bearer {secret}");
    // As a script asks: without a word about pages.
    let headers = [
        ("host", "192.168.1.2"),
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("cookie", cookie),
    ];
    bench.send(method, path, &headers, body.to_owned()).await
}

#[tokio::test(start_paused = true)]
async fn a_token_needs_no_page_and_no_cookie_and_may_what_its_role_may() {
    let bench = bench(PEOPLE, false);
    let mut queue = device(&bench.plant, "plc", 2);
    let ada = bench.login("ada").await;
    let path = "/api/v1/users/otto/tokens";
    let mut secrets = Vec::new();
    for (token, console) in [("reader", "view"), ("writer", "operate")] {
        let wanted = json!({"token": token, "console": console, "until": "2999-12-31"});
        let made = bench.ask("POST", path, &ada, Some(wanted)).await;
        assert_eq!(made.status, 200, "{}", made.text);
        secrets.push(made.json()["secret"].as_str().unwrap().to_owned());
    }
    let (reader, writer) = (secrets[0].as_str(), secrets[1].as_str());
    let listed = bench.ask("GET", "/api/v1/users", &ada, None).await.json();
    assert_eq!(
        listed["items"][1]["tokens"][0]["token"], "reader",
        "{listed}"
    );
    assert!(!listed.to_string().contains(reader));

    let overview = "/api/v1/overview";
    let seen = show(&bench, "GET", overview, reader, "", "").await;
    assert_eq!(seen.status, 200);
    assert!(!seen.headers.contains_key("set-cookie"));
    let who = show(&bench, "GET", "/api/v1/session", writer, "", "")
        .await
        .json();
    assert_eq!(
        (&who["user"], &who["role"]),
        (&json!("otto"), &json!("operate"))
    );
    let write = "/api/v1/devices/plc/points/p0/write";
    let refused = show(&bench, "POST", write, reader, "", r#"{"value": 1}"#).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (403, "wrong_role")
    );
    // The cookie of someone who may more does not help.
    let refused = show(&bench, "POST", write, reader, &ada, r#"{"value": 1}"#).await;
    assert_eq!(refused.status, 403);
    let answer = tokio::spawn(async move { queue.recv().await.map(drop) });
    let written = show(&bench, "POST", write, writer, "", r#"{"value": 1}"#).await;
    assert_eq!(
        written.code(),
        "not_written",
        "it came to the device, which was removed: {}",
        written.text
    );
    answer.await.unwrap();
    // It opens no session, and what it changes still has to be JSON.
    let login = r#"{"user": "ada", "password": "ada's password!!!"}"#;
    let session = show(&bench, "POST", "/api/v1/session", writer, "", login).await;
    assert_eq!(session.status, 400);
    assert!(!session.headers.contains_key("set-cookie"));
}

#[tokio::test(start_paused = true)]
async fn a_token_ends_when_it_is_removed_and_wrong_ones_count() {
    let bench = bench(PEOPLE, false);
    let ada = bench.login("ada").await;
    let wanted = json!({"token": "x", "console": "view"});
    let made = bench
        .ask("POST", "/api/v1/users/vera/tokens", &ada, Some(wanted))
        .await;
    let secret = made.json()["secret"].as_str().unwrap().to_owned();
    let (token, session) = bench.app.session(&header_of(&secret), bench.peer).unwrap();
    assert_eq!(
        (session.holder.user(), session.holder.name()),
        ("vera", "vera/x")
    );
    assert!(bench.app.is_in(&token));
    // What the users file has of a token is no cookie.
    let digits: String = token.iter().map(|byte| format!("{byte:02x}")).collect();
    let cookie = format!("fieldgate={digits}");
    assert_eq!(
        bench
            .ask("GET", "/api/v1/overview", &cookie, None)
            .await
            .status,
        401
    );
    let path = "/api/v1/users/vera/tokens/x";
    assert_eq!(bench.ask("DELETE", path, &ada, None).await.status, 204);
    assert!(!bench.app.is_in(&token), "an open stream ends");
    assert_eq!(bench.ask("DELETE", path, &ada, None).await.status, 404);
    for want in [
        (401, "wrong_token"),
        (401, "wrong_token"),
        (429, "too_often"),
    ] {
        // Though a cookie would do.
        let refused = show(&bench, "GET", "/api/v1/overview", &secret, &ada, "").await;
        assert_eq!((refused.status, refused.code().as_str()), want);
    }
    let unknown = json!({"token": "x", "console": "boss"});
    assert_eq!(
        bench
            .ask("POST", "/api/v1/users/vera/tokens", &ada, Some(unknown))
            .await
            .status,
        400
    );
}

fn header_of(secret: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let value = format!("Bearer {secret}").parse().unwrap();
    headers.insert(header::AUTHORIZATION, value);
    headers
}

//! Who may ask for what.

use std::collections::BTreeSet;

use super::*;

#[tokio::test(start_paused = true)]
async fn every_route_is_in_the_document_with_its_role_and_no_other_is() {
    let bench = bench(PEOPLE, false);
    let document: Json = serde_json::from_str(system::OPENAPI).unwrap();
    let mut told = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let role = operation["x-role"].as_str().unwrap();
            told.insert((method.to_uppercase(), path.clone(), role.to_owned()));
        }
    }
    let routes = all(Arc::clone(&bench.app)).list.into_iter();
    let routes = routes.map(|(method, path, needs)| {
        let role = match needs {
            Needs::Nothing => "none",
            Needs::Role(role) => role.name(),
            Needs::Figures => "figures",
        };
        let path = path.replace("{*", "{");
        (method.to_string(), path, role.to_owned())
    });
    assert_eq!(routes.collect::<BTreeSet<_>>(), told);
}

#[tokio::test(start_paused = true)]
async fn a_route_is_closed_to_strangers_and_to_lesser_roles() {
    let bench = bench(PEOPLE, false);
    for (method, path, needs) in all(Arc::clone(&bench.app)).list {
        // One of the routes logs out.
        let (vera, otto) = (bench.login("vera").await, bench.login("otto").await);
        let path = path.replace("{*file}", "x").replace(['{', '}'], "");
        let body = (method != Method::GET).then(|| "{}".to_owned());
        let ask = async |cookie: &str| {
            let kind = match method == Method::PUT && path == guard::UPLOAD {
                true => "application/octet-stream",
                false => "application/json",
            };
            let headers = [
                ("host", "192.168.1.2"),
                ("sec-fetch-site", "same-origin"),
                ("content-type", kind),
                ("cookie", cookie),
            ];
            let body = body.clone().unwrap_or_default();
            let answer = bench.send(method.as_str(), &path, &headers, body);
            answer.await.status
        };
        // A stream has no end.
        if path.ends_with("/stream") {
            assert_eq!(ask("").await, 401);
            continue;
        }
        let (stranger, viewer, operator) = (ask("").await, ask(&vera).await, ask(&otto).await);
        match needs {
            Needs::Nothing => assert_ne!(stranger, 401, "{method} {path}"),
            _ => assert_eq!(stranger, 401, "{method} {path}"),
        }
        if needs == Needs::Role(Role::Admin) {
            assert_eq!((viewer, operator), (403, 403), "{method} {path}");
            continue;
        }
        if needs == Needs::Role(Role::Operate) {
            assert_eq!(viewer, 403, "{method} {path}");
        } else if needs != Needs::Nothing {
            assert!(![401, 403].contains(&viewer), "{method} {path}: {viewer}");
        }
        if needs != Needs::Nothing {
            assert!(![401, 403].contains(&operator), "{method} {path}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn figures_are_free_on_this_machine_only() {
    let mut bench = bench(PEOPLE, false);
    assert_eq!(bench.ask("GET", "/metrics", "", None).await.status, 401);
    bench.peer.address = Some(Ipv4Addr::LOCALHOST.into());
    let headers = [("host", "127.0.0.1")];
    let answer = bench.send("GET", "/metrics", &headers, String::new()).await;
    assert_eq!(answer.status, 200);
    bench.peer.address = None;
    let answer = bench.send("GET", "/metrics", &[], String::new()).await;
    assert_eq!(answer.status, 200, "over the Unix socket");
}

#[tokio::test(start_paused = true)]
async fn other_pages_names_and_bodies_are_refused_before_anything_is_looked_at() {
    let bench = bench(PEOPLE, false);
    let own = ("host", "192.168.1.2");
    let json = ("content-type", "application/json");
    let same = ("sec-fetch-site", "same-origin");
    let login = r#"{"user": "ada", "password": "ada's password!!!"}"#;
    let long = format!("{login}{}", " ".repeat(70_000));
    for (headers, body, status) in [
        (vec![own, same, json], login, 200),
        (
            vec![own, ("origin", "http://192.168.1.2"), json],
            login,
            200,
        ),
        (
            vec![own, ("origin", "http://evil.example"), json],
            login,
            403,
        ),
        (vec![own, json], login, 403),
        (
            vec![own, ("sec-fetch-site", "cross-site"), json],
            login,
            403,
        ),
        (vec![own, ("sec-fetch-site", "same-site"), json], login, 403),
        (vec![own, same, ("content-type", "text/plain")], login, 415),
        (vec![own, same], login, 415),
        (vec![("host", "evil.example"), same, json], login, 421),
        (vec![same, json], login, 421),
        (vec![own, same, json], &long, 413),
        (vec![own, same, json], "", 400),
        (vec![own, same, json], "[1]", 400),
        (vec![own, same, json], "{\"user\": 1}", 400),
        (vec![own, same, json], "{\"usr\": \"ada\"}", 400),
    ] {
        let answer = bench.send("POST", "/api/v1/session", &headers, body.to_owned());
        let answer = answer.await;
        assert_eq!(answer.status, status, "{headers:?} {}", answer.text);
        assert_eq!(answer.headers.contains_key("set-cookie"), status == 200);
        assert!(answer.headers.contains_key("content-security-policy"));
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
    }
    for path in ["/", "/api/v1/session", "/health", "/nothing"] {
        let headers = [("host", "evil.example")];
        let answer = bench.send("GET", path, &headers, String::new()).await;
        assert_eq!(answer.status, 421, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_with_logout_another_password_and_another_role() {
    let bench = bench(PEOPLE, false);
    let is_in = async |cookie: &str| {
        let answer = bench.ask("GET", "/api/v1/overview", cookie, None).await;
        answer.status == 200
    };
    let cookie = bench.login("ada").await;
    assert!(is_in(&cookie).await);
    let answer = bench.ask("DELETE", "/api/v1/session", &cookie, None).await;
    assert_eq!(answer.status, 204);
    assert!(!is_in(&cookie).await, "logged out");
    type Change = fn(&mut (String, String, Role));
    let changes: [(&str, Change); 3] = [
        ("another password", |(_, password, _)| password.push('x')),
        ("a lesser role", |(.., role)| *role = Role::View),
        ("gone", |(name, ..)| name.push('x')),
    ];
    for (what, change) in changes {
        let cookie = bench.login("ada").await;
        assert!(is_in(&cookie).await);
        {
            let mut people = bench.people.0.lock().unwrap();
            change(people.iter_mut().find(|(name, ..)| name == "ada").unwrap());
        }
        assert!(!is_in(&cookie).await, "{what}");
        *bench.people.0.lock().unwrap() = PEOPLE
            .iter()
            .map(|(name, password, role)| ((*name).into(), (*password).into(), *role))
            .collect();
        assert!(!is_in(&cookie).await, "{what}: it stays ended");
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_makes_a_new_session_and_ends_the_one_before() {
    let bench = bench(PEOPLE, false);
    let planted = format!("fieldgate={}", "ab".repeat(32));
    let body = json!({"user": "ada", "password": "ada's password!!!"});
    let answer = bench
        .ask("POST", "/api/v1/session", &planted, Some(body.clone()))
        .await;
    let first = cookie(&answer);
    assert_ne!(first, planted);
    let answer = bench
        .ask("POST", "/api/v1/session", &first, Some(body))
        .await;
    let second = cookie(&answer);
    for (cookie, want) in [(&planted, 401), (&first, 401), (&second, 200)] {
        let answer = bench.ask("GET", "/api/v1/overview", cookie, None).await;
        assert_eq!(answer.status, want);
    }
    let set = answer.headers["set-cookie"].to_str().unwrap();
    assert!(
        set.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"),
        "{set}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_takes_a_second_and_says_not_what_is_wrong() {
    let bench = bench(PEOPLE, false);
    let mut texts = BTreeSet::new();
    for (user, password) in [("ada", "x"), ("nobody", "x"), ("", "")] {
        let begin = tokio::time::Instant::now();
        let body = json!({"user": user, "password": password});
        let answer = bench.ask("POST", "/api/v1/session", "", Some(body)).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (403, "wrong_login")
        );
        assert_eq!(begin.elapsed(), session::THINK, "{user}");
        texts.insert(answer.text);
    }
    assert_eq!(texts.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_first_user_is_made_once_with_the_code_and_a_good_password() {
    let bench = bench(&[], false);
    let code = bench.app.code_now().unwrap();
    let setup = async |code: &str, user: &str, password: &str| {
        let body = json!({"code": code, "user": user, "password": password});
        bench.ask("POST", "/api/v1/setup", "", Some(body)).await
    };
    let who = bench.ask("GET", "/api/v1/session", "", None).await.json();
    assert_eq!(who["way"], "setup");
    assert_eq!(who["version"], "", "strangers are not told the version");
    let login = json!({"user": "ada", "password": "x"});
    let answer = bench.ask("POST", "/api/v1/session", "", Some(login)).await;
    assert_eq!(answer.status, 409);
    for (code, user, password, want) in [
        (code.as_str(), "ada", "short", (422, "weak_password")),
        (&code, "ada", "password123", (422, "weak_password")),
        ("WRONG-CODE", "ada", "correct horse", (403, "wrong_code")),
    ] {
        let answer = setup(code, user, password).await;
        assert_eq!((answer.status, answer.code().as_str()), want);
    }
    let answer = setup(&code, "ada", "correct horse").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json()["role"], "admin");
    let cookie = cookie(&answer);
    let overview = bench.ask("GET", "/api/v1/overview", &cookie, None).await;
    assert_eq!(overview.status, 200);
    let again = setup(&code, "eve", "correct horse").await;
    assert_eq!((again.status, again.code().as_str()), (409, "has_user"));
}

#[tokio::test(start_paused = true)]
async fn the_code_of_a_start_lets_in_and_five_wrong_ones_close_the_door() {
    let mut bench = bench(&[], true);
    let code = bench.app.code_now().unwrap();
    let body = json!({"code": code});
    let answer = bench.ask("POST", "/api/v1/session", "", Some(body)).await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "not_local"));
    bench.peer.address = Some(Ipv4Addr::LOCALHOST.into());
    let login = async |code: &str| {
        let body = json!({"code": code});
        bench.ask("POST", "/api/v1/session", "", Some(body)).await
    };
    let answer = login(&code.to_lowercase()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["user"], "local");
    for _ in 0..5 {
        assert_eq!(login("WRONG").await.status, 403);
    }
    let answer = login(&code).await;
    assert_eq!((answer.status, answer.code().as_str()), (429, "too_often"));
    assert!(answer.headers.contains_key("retry-after"));
    // Who is in stays in.
    let cookie = cookie(&login_before(&bench).await);
    assert!(cookie.starts_with("fieldgate="));
}

/// A session that the code began, made without it.
async fn login_before(bench: &Bench) -> Answer {
    let token = bench
        .app
        .open_session(crate::session::Holder::Code, crate::app::CODE_ACCOUNT);
    let cookie = crate::cookie::set(&token.unwrap(), false);
    let pair = cookie.split(';').next().unwrap().to_owned();
    let mut answer = bench.ask("GET", "/api/v1/overview", &pair, None).await;
    assert_eq!(answer.status, 200);
    answer
        .headers
        .insert(header::SET_COOKIE, cookie.parse().unwrap());
    answer
}

#[tokio::test(start_paused = true)]
async fn users_are_listed_made_changed_and_removed_and_their_sessions_end() {
    let bench = bench(PEOPLE, false);
    let ada = bench.login("ada").await;
    let otto = bench.login("otto").await;
    let put = async |user: &str, body: Json| {
        let path = format!("/api/v1/users/{user}");
        bench.ask("PUT", &path, &ada, Some(body)).await
    };
    for (body, want) in [
        (json!({"password": "short"}), (422, "weak_password")),
        (json!({"console": "root"}), (400, "bad_request")),
        (json!({"rules": [{"topic": "a"}]}), (400, "bad_request")),
        (json!({"roles": 1}), (400, "bad_request")),
    ] {
        let answer = put("eve", body).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            want,
            "{}",
            answer.text
        );
    }
    assert_eq!(
        put(
            "eve",
            json!({"password": "correct horse", "console": "view"})
        )
        .await
        .status,
        204
    );
    assert_eq!(
        put(
            "otto",
            json!({"password": "correct horse", "console": null})
        )
        .await
        .status,
        204
    );
    let answer = bench.ask("GET", "/api/v1/overview", &otto, None).await;
    assert_eq!(answer.status, 401, "the session of another password ends");
    let list = bench.ask("GET", "/api/v1/users", &ada, None).await.json();
    assert_eq!(list["items"].as_array().unwrap().len(), 4);
    assert!(!list.to_string().contains("correct horse"));
    for (user, want) in [("eve", 204), ("eve", 404)] {
        let path = format!("/api/v1/users/{user}");
        assert_eq!(bench.ask("DELETE", &path, &ada, None).await.status, want);
    }
}

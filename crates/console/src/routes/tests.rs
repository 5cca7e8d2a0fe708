//! The whole service without sockets: who may ask for what, and what comes back.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request as HttpRequest, header};
use fieldgate_history::History;
use fieldgate_model::{Decimal, Labels, Point, Sample, Value};
use fieldgate_plant::{About, Plant, State as DeviceState};
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use tower_service::Service;

use super::*;
use crate::accounts::{Account, Accounts, Bearer, Refusal, TokenView, UserChange, UserView, Way};
use crate::files::NotDone;
use crate::house::{Figure, FigureKind, House};
use crate::later::Later;
use crate::logs::Logs;
use crate::{Around, Settings};

mod access;
mod appliance;
mod certificates;
mod files;
mod history;
mod mqtt;
mod network;
mod reading;
mod tokens;
mod tools;

/// Users of a test: name, password, role; and whether a code does instead.
#[derive(Default)]
struct People(Mutex<Vec<(String, String, Role)>>, bool, tokens::Kept);

impl Accounts for People {
    fn way(&self) -> Way {
        match (self.1, self.0.lock().unwrap().is_empty()) {
            (true, _) => Way::Code,
            (false, true) => Way::Setup,
            (false, false) => Way::Password,
        }
    }

    fn account(&self, user: &str) -> Option<Account> {
        let people = self.0.lock().unwrap();
        let (_, password, role) = people.iter().find(|(name, ..)| name == user)?;
        Some(Account {
            role: *role,
            stamp: password.len() as u64,
        })
    }

    fn authenticate<'a>(
        &'a self,
        user: &'a str,
        password: &'a [u8],
        _: IpAddr,
    ) -> Later<'a, Result<Account, Refusal>> {
        let known = self.0.lock().unwrap().clone();
        let found = known
            .iter()
            .any(|(name, right, _)| name == user && right.as_bytes() == password);
        Box::pin(async move {
            let account = self.account(user).filter(|_| found);
            account.ok_or(Refusal::Wrong)
        })
    }

    fn found<'a>(&'a self, user: &'a str, password: &'a [u8]) -> Later<'a, Result<(), String>> {
        let password = String::from_utf8_lossy(password).into_owned();
        let mut people = self.0.lock().unwrap();
        people.push((user.to_owned(), password, Role::Admin));
        Box::pin(async { Ok(()) })
    }

    fn users(&self) -> Vec<UserView> {
        let people = self.0.lock().unwrap();
        let told = people.iter().map(|(name, _, role)| UserView {
            name: name.clone(),
            role: Some(*role),
            rules: None,
            has_password: true,
            tokens: self.2.of(name),
        });
        told.collect()
    }

    fn set<'a>(&'a self, user: &'a str, change: UserChange) -> Later<'a, Result<(), NotDone>> {
        let mut people = self.0.lock().unwrap();
        people.retain(|(name, ..)| name != user);
        let role = change.role.flatten().unwrap_or(Role::View);
        people.push((user.into(), change.password.unwrap_or_default(), role));
        Box::pin(async { Ok(()) })
    }

    fn remove<'a>(&'a self, user: &'a str) -> Later<'a, Result<(), NotDone>> {
        let mut people = self.0.lock().unwrap();
        let before = people.len();
        people.retain(|(name, ..)| name != user);
        let done = if people.len() < before {
            Ok(())
        } else {
            Err(NotDone::Missing)
        };
        Box::pin(std::future::ready(done))
    }

    fn bearer(&self, text: &str) -> Option<Bearer> {
        self.bearer_of(&tokens::key(text))
    }

    fn bearer_of(&self, key: &[u8; 32]) -> Option<Bearer> {
        let (user, token, role) = self.2.find(key)?;
        let account = self.account(&user)?;
        let role = account.role.min(role);
        let account = Account { role, ..account };
        Some(Bearer {
            key: *key,
            user,
            token,
            account,
        })
    }

    fn refuse(&self, _: IpAddr) -> Refusal {
        self.2.refuse()
    }

    fn add_token<'a>(
        &'a self,
        user: &'a str,
        token: &'a str,
        role: Role,
        _: Option<&'a str>,
    ) -> Later<'a, Result<String, NotDone>> {
        let made = self.account(user).ok_or(NotDone::Missing);
        Box::pin(std::future::ready(
            made.map(|_| self.2.add(user, token, role)),
        ))
    }

    fn remove_token<'a>(&'a self, user: &'a str, token: &'a str) -> Later<'a, Result<(), NotDone>> {
        let done = self.2.remove(user, token);
        Box::pin(std::future::ready(
            done.then_some(()).ok_or(NotDone::Missing),
        ))
    }

    fn may_write(&self, _: &str, _: &str, point: &str) -> bool {
        point != "boiler"
    }
}

struct Home;

impl House for Home {
    fn figures(&self) -> Vec<Figure> {
        let figure = |direction, value| Figure {
            name: "broker_messages",
            help: "Messages.",
            kind: FigureKind::Counter,
            label: Some(("direction", direction)),
            value,
        };
        vec![figure("received", 7.0), figure("sent", 9.0)]
    }

    fn clock_is_set(&self) -> bool {
        true
    }

    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A service with a plant.
struct Bench {
    app: Arc<App>,
    router: Router,
    plant: Plant,
    people: Arc<People>,
    peer: Peer,
}

fn bench(people: &[(&str, &str, Role)], by_code: bool) -> Bench {
    bench_with(people, by_code, None)
}

fn bench_with(people: &[(&str, &str, Role)], by_code: bool, history: Option<&History>) -> Bench {
    let people = people.iter();
    let people = people.map(|(name, password, role)| ((*name).into(), (*password).into(), *role));
    let people = Arc::new(People(
        Mutex::new(people.collect()),
        by_code,
        tokens::Kept::default(),
    ));
    let plant = Plant::default();
    let around = Around {
        plant: plant.clone(),
        accounts: Arc::clone(&people) as Arc<dyn Accounts>,
        logs: Logs::default(),
        messages: Arc::new(mqtt::Post),
        tools: Arc::new(tools::Bag),
        files: Arc::new(files::Shelf::default()),
        certificates: Arc::new(certificates::Drawer::default()),
        network: Arc::new(network::Plug::default()),
        appliance: Arc::new(appliance::Board::default()),
        house: Arc::new(Home),
        history: history.map(History::reader),
        events: history.map(History::tap),
    };
    let settings = Settings {
        gateway: "plant7".into(),
        version: "1.2.3".into(),
        names: vec!["plant7.local".into()],
        open_metrics: false,
    };
    let app = Arc::new(App::new(settings, around).unwrap());
    Bench {
        router: router(Arc::clone(&app)),
        app,
        plant,
        people,
        peer: Peer {
            address: Some(Ipv4Addr::new(192, 168, 1, 5).into()),
            is_secure: false,
        },
    }
}

const PEOPLE: &[(&str, &str, Role)] = &[
    ("vera", "vera's password", Role::View),
    ("otto", "otto's password!", Role::Operate),
    ("ada", "ada's password!!!", Role::Admin),
];

struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Json {
        serde_json::from_str(&self.text).unwrap_or(Json::Null)
    }

    fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Bench {
    /// Asks as a page of this host would.
    async fn ask(&self, method: &str, path: &str, cookie: &str, body: Option<Json>) -> Answer {
        let body = body.map(|body| body.to_string());
        let headers = [
            ("host", "192.168.1.2"),
            ("sec-fetch-site", "same-origin"),
            ("content-type", "application/json"),
            ("cookie", cookie),
        ];
        self.send(method, path, &headers, body.unwrap_or_default())
            .await
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> Answer {
        let mut request = HttpRequest::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_empty() {
            request = request.header(header::CONTENT_LENGTH, body.len());
        }
        let request = request.extension(self.peer).body(Body::from(body));
        let response = self.router.clone().call(request.unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 10 << 20).await.unwrap();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            text: String::from_utf8(bytes.into()).unwrap(),
        }
    }

    /// Logs in; returns the cookie.
    async fn login(&self, user: &str) -> String {
        let people = self.people.0.lock().unwrap().clone();
        let (_, password, _) = people.iter().find(|(name, ..)| name == user).unwrap();
        let body = json!({"user": user, "password": password});
        let answer = self.ask("POST", "/api/v1/session", "", Some(body)).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        cookie(&answer)
    }
}

fn cookie(answer: &Answer) -> String {
    let cookie = answer.headers["set-cookie"].to_str().unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

/// A device with points `p0`, `p1`, ..., of which those with an even number can be written.
fn device(plant: &Plant, name: &str, points: usize) -> fieldgate_bridge::Receiver<Request_> {
    let labels = serde_json::from_str::<Labels>(r#"{"0": "off", "1": "day"}"#).unwrap();
    let points = (0..points).map(|number| Point {
        name: format!("p{number}"),
        unit: (number == 1).then(|| "°C".to_owned()),
        writable: number % 2 == 0,
        labels: (number == 2).then(|| labels.clone()),
    });
    let (requests, queue) = fieldgate_bridge::channel(4);
    let device = plant.new_device(About {
        name: name.into(),
        bridge: "modbus".into(),
        bus: Some("line".into()),
        points: points.collect(),
        requests,
        raw: None,
    });
    plant.change(|layout| {
        layout.devices.insert(name.into(), device);
    });
    queue
}

type Request_ = Box<fieldgate_bridge::Request>;

fn tell(plant: &Plant, device: &str, point: usize, value: f32) {
    let at = Timestamp::from_millisecond(1_700_000_000_123).unwrap();
    let sample = Sample::good(point, Value::F32(value), at);
    plant.device(device).unwrap().take(&[sample]);
}

fn whole(number: i64) -> Value {
    Value::Decimal(Decimal::from(number))
}

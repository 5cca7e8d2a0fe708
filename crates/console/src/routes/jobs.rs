//! Tests, scans and raw reads.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::devices;
use crate::answer::Json;
use crate::app::App;
use crate::jobs::{JOBS_MAX, Job};
use crate::peer::Peer;
use crate::problem::Problem;
use crate::query::{self, Names};
use crate::session::Session;
use crate::tools::{NewDevice, RawRead, Scan, Unable};

/// Bytes of a body with a text of the configuration.
const BODY_MAX: usize = 4 << 20;
/// How long a unit may take to answer a scan, in milliseconds: the bounds and what is usual.
const TIMEOUT_MS: std::ops::RangeInclusive<u32> = 10..=10_000;
const TIMEOUT_USUAL: u32 = 300;

impl From<Unable> for Problem {
    fn from(unable: Unable) -> Self {
        match unable {
            Unable::Missing(text) => Self::missing(text),
            Unable::Refused(text) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "refused", text),
            Unable::Device(text) => Self::new(StatusCode::BAD_GATEWAY, "device", text),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Serialize)]
struct Begun {
    job: u64,
}

fn begun(number: Option<u64>) -> Result<Response, Problem> {
    let job = number.ok_or_else(|| {
        let text = format!("{JOBS_MAX} jobs are running; wait for one, or end it");
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_jobs", text).after(5)
    })?;
    let mut response = Json(Begun { job }).into_response();
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}

/// Asks a device once for everything.
pub(crate) async fn test(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    Extension(peer): Extension<Peer>,
    names: Names,
    request: Request,
) -> Result<Response, Problem> {
    let Nothing {} = query::json(request.into_body()).await?;
    let device = names.get("device").to_owned();
    devices::find(&app, &device)?;
    let (user, address) = (session.holder.name(), peer.to_string());
    log::info!(
        DEVICE = device.as_str(), USER = user, REMOTE = address.as_str();
        "{user} at {address} tests {device}"
    );
    let tools = Arc::clone(&app.around.tools);
    let subject = device.clone();
    begun(
        app.jobs
            .begin("test", &subject, user, move |job: Arc<Job>| {
                Box::pin(async move { tools.test(&device, job).await })
            }),
    )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    units: Option<String>,
    #[serde(default)]
    timeout_ms: Option<u32>,
}

/// Asks which units of a bus answer.
pub(crate) async fn scan(
    State(app): State<Arc<App>>,
    Extension(session): Extension<Session>,
    Extension(peer): Extension<Peer>,
    names: Names,
    request: Request,
) -> Result<Response, Problem> {
    let wanted: Wanted = query::json(request.into_body()).await?;
    let timeout_ms = wanted.timeout_ms.unwrap_or(TIMEOUT_USUAL);
    if !TIMEOUT_MS.contains(&timeout_ms) {
        let (least, most) = TIMEOUT_MS.into_inner();
        return Err(Problem::bad(format!(
            "timeout_ms: expected a number {least}..={most}"
        )));
    }
    let bus = names.get("bus").to_owned();
    if !app.plant().layout().buses.contains_key(&bus) {
        return Err(Problem::missing(format!("there is no bus \"{bus}\"")));
    }
    let scan = Scan {
        bus: bus.clone(),
        units: wanted.units.unwrap_or_else(|| "1-247".to_owned()),
        timeout_ms,
    };
    let (user, address) = (session.holder.name(), peer.to_string());
    log::info!(
        BUS = bus.as_str(), USER = user, REMOTE = address.as_str();
        "{user} at {address} scans {bus} for units {}", scan.units
    );
    let tools = Arc::clone(&app.around.tools);
    begun(app.jobs.begin("scan", &bus, user, move |job: Arc<Job>| {
        Box::pin(async move { tools.scan(&scan, job).await })
    }))
}

fn find(app: &App, names: &Names) -> Result<Arc<Job>, Problem> {
    let number = names.get("job").parse().ok();
    let found = number.and_then(|number| app.jobs.find(number));
    found.ok_or_else(|| Problem::missing("there is no such job (any more)"))
}

/// How far a job is.
pub(crate) async fn one(State(app): State<Arc<App>>, names: Names) -> Result<Response, Problem> {
    Ok(Json(find(&app, &names)?.shown()).into_response())
}

/// Ends a job.
pub(crate) async fn end(State(app): State<Arc<App>>, names: Names) -> Result<Response, Problem> {
    find(&app, &names)?.cancel();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// Reads registers or bits.
pub(crate) async fn read(
    State(app): State<Arc<App>>,
    names: Names,
    request: Request,
) -> Result<Response, Problem> {
    let wanted: RawRead = query::json(request.into_body()).await?;
    let raw = app.around.tools.read(names.get("bus"), &wanted).await?;
    Ok(Json(raw).into_response())
}

#[derive(Serialize)]
struct Types {
    items: Vec<String>,
}

/// The device types.
pub(crate) async fn types(State(app): State<Arc<App>>) -> Response {
    let items = app.around.tools.types().await;
    Json(Types { items }).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Add {
    text: String,
    devices: Vec<NewDevice>,
}

#[derive(Serialize)]
struct Added {
    text: String,
}

/// A text of the configuration with devices added; nothing is saved.
pub(crate) async fn add(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Problem> {
    let _large = app.large().await?;
    let given: Add = query::large_json(request.into_body(), BODY_MAX).await?;
    let text = app.around.tools.add(given.text, given.devices).await?;
    Ok(Json(Added { text }).into_response())
}

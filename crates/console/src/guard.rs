//! What every request passes: which host was asked for, which page asks, how much may come; and what every answer says
//! to browsers.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::app::{self, App};
use crate::peer::Peer;
use crate::problem::Problem;
use crate::query::LARGE_MAX;

/// Everything that a page may do: ask this host, and show what came from it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// Where an update is sent, the only body that is no JSON. It is bounded by the room on the card.
pub(crate) const UPLOAD: &str = "/api/v1/system/update/bundle";

/// What every answer says.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// Lets requests through that may be answered, and puts on the answer what browsers must know.
pub(crate) async fn pass(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let mut response = match check(&app, &request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let never = HeaderValue::from_static("no-store");
    headers.entry(header::CACHE_CONTROL).or_insert(never);
    response
}

/// The address that a visitor has asked for, if it is one and no name.
pub(crate) fn address(headers: &HeaderMap) -> Option<std::net::IpAddr> {
    let host = host(headers);
    let whole = host.parse::<std::net::SocketAddr>().map(|place| place.ip());
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    whole.ok().or_else(|| bare.parse().ok())
}

fn check(app: &App, request: &Request) -> Result<(), Problem> {
    let peer = request.extensions().get::<Peer>();
    let peer = peer.ok_or_else(|| Problem::bad("no peer"))?;
    let headers = request.headers();
    // No page of a browser gets to a Unix socket, and who stands in front of it has names of its own.
    if peer.address.is_some() && !is_own(host(headers), &app.settings.names) {
        return Err(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "wrong_host",
            "unknown host name; use the address of the gateway, or add the name to console.names",
        ));
    }
    if is_safe(request.method()) {
        return Ok(());
    }
    if app::bearer(headers).is_none() && !is_same_origin(headers) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "foreign_page",
            "only pages of this gateway may change something: a request has \
             `Sec-Fetch-Site: same-origin`, or an `Origin` that is the `Host`",
        ));
    }
    if request.method() == Method::PUT && request.uri().path() == UPLOAD {
        return match is_kind(
            text(headers, header::CONTENT_TYPE),
            "application/octet-stream",
        ) {
            true => Ok(()),
            false => Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not_bytes",
                "an update says that it is one: `Content-Type: application/octet-stream`",
            )),
        };
    }
    let length = text(headers, header::CONTENT_LENGTH).parse().unwrap_or(0);
    if length > LARGE_MAX as u64 {
        return Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            format!("a body has at most {LARGE_MAX} bytes"),
        ));
    }
    let has_body = length > 0 || headers.contains_key(header::TRANSFER_ENCODING);
    let needs_body = request.method() != Method::DELETE;
    if (has_body || needs_body) && !is_kind(text(headers, header::CONTENT_TYPE), "application/json")
    {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "not_json",
            "a body is JSON, and says so: `Content-Type: application/json`",
        ));
    }
    Ok(())
}

fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn text(headers: &HeaderMap, name: HeaderName) -> &str {
    let value = headers.get(name);
    value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

fn host(headers: &HeaderMap) -> &str {
    text(headers, header::HOST)
}

/// Whether a `Content-Type` is of that kind. Forms of foreign pages have others.
fn is_kind(kind: &str, wanted: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case(wanted)
}

/// Whether a `Host` is this machine. An address is always: a page that reaches it by its address came from it. A name
/// may have been made to point here by the page that asks.
fn is_own(host: &str, names: &[String]) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => {
            let Some((address, rest)) = rest.split_once(']') else {
                return false;
            };
            return address.parse::<IpAddr>().is_ok() && (rest.is_empty() || is_port(rest));
        }
        None => match host.split_once(':') {
            Some((name, port)) if port.parse::<u16>().is_ok() => name,
            Some(_) => return false,
            None => host,
        },
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    name.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || names.iter().any(|own| own.eq_ignore_ascii_case(name))
}

fn is_port(rest: &str) -> bool {
    rest.strip_prefix(':')
        .is_some_and(|port| port.parse::<u16>().is_ok())
}

/// Whether a page of this host asks. Browsers say so by themselves, and pages cannot make them lie.
fn is_same_origin(headers: &HeaderMap) -> bool {
    match headers.get("sec-fetch-site") {
        Some(site) => site == "same-origin",
        None => {
            let origin = text(headers, header::ORIGIN);
            let origin = origin.split_once("://").map(|(_, host)| host);
            origin.is_some_and(|origin| origin.eq_ignore_ascii_case(host(headers)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_own_names_are_asked_for() {
        let names = ["plant7".to_owned(), "plant7.local".to_owned()];
        for (host, want) in [
            ("127.0.0.1", true),
            ("127.0.0.1:8080", true),
            ("192.168.1.20:443", true),
            ("[::1]", true),
            ("[fe80::1]:8080", true),
            ("localhost:1", true),
            ("LocalHost", true),
            ("plant7.local", true),
            ("PLANT7.LOCAL.:443", true),
            ("plant7", true),
            ("evil.example", false),
            ("plant7.local.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("localhost.evil.example", false),
            ("", false),
            ("[::1", false),
            ("[evil]", false),
            ("[::1]evil", false),
            ("127.0.0.1:http", false),
            ("plant7:99999", false),
            ("::1", false),
        ] {
            assert_eq!(is_own(host, &names), want, "{host}");
        }
    }

    #[test]
    fn only_own_pages_change_something() {
        for (site, origin, want) in [
            (Some("same-origin"), None, true),
            (Some("same-origin"), Some("http://evil.example"), true),
            (None, Some("http://box:80"), true),
            (None, Some("https://BOX:80"), true),
            (Some("same-site"), Some("http://box:80"), false),
            (Some("cross-site"), Some("http://box:80"), false),
            (Some("none"), Some("http://box:80"), false),
            (None, Some("http://box"), false),
            (None, Some("http://evil.example"), false),
            (None, Some("null"), false),
            (None, Some("box:80"), false),
            (None, None, false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("box:80"));
            for (name, value) in [("sec-fetch-site", site), ("origin", origin)] {
                if let Some(value) = value {
                    headers.insert(name, HeaderValue::from_static(value));
                }
            }
            assert_eq!(is_same_origin(&headers), want, "{site:?} {origin:?}");
        }
    }

    #[test]
    fn a_body_of_another_kind_is_none() {
        for (kind, want) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("text/plain", false),
            ("application/x-www-form-urlencoded", false),
            ("text/plain; application/json", false),
            ("", false),
        ] {
            assert_eq!(is_kind(kind, "application/json"), want, "{kind}");
        }
    }
}

//! The files of the pages, as the program carries them.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;

/// One file.
struct Asset {
    name: &'static str,
    kind: &'static str,
    /// Another one whenever the file is another, in quotes.
    tag: &'static str,
    packed: &'static [u8],
    plain: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// The page itself, which is asked for again each time: it names the others.
const PAGE: &str = "index.html";
const ALWAYS: HeaderValue = HeaderValue::from_static("no-cache");
/// What is asked for below the name of a build never changes.
const NEVER: HeaderValue = HeaderValue::from_static("max-age=31536000, immutable");

/// The page.
pub(crate) fn page(headers: &HeaderMap) -> Response {
    send(PAGE, headers, ALWAYS)
}

/// Another file.
pub(crate) fn file(build: &str, name: &str, headers: &HeaderMap) -> Response {
    // A page of another build gets what there is, and does not keep it.
    let keep = if build == BUILD { NEVER } else { ALWAYS };
    send(name, headers, keep)
}

fn send(name: &str, headers: &HeaderMap, keep: HeaderValue) -> Response {
    let found = FILES.binary_search_by(|asset| asset.name.cmp(name));
    let Some(asset) = found.ok().and_then(|index| FILES.get(index)) else {
        return Problem::missing("there is no such file").into_response();
    };
    let has = |name, wanted: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.is_some_and(|value| value.split(',').any(|one| is_it(one, wanted)))
    };
    let is_known = has(header::IF_NONE_MATCH, asset.tag);
    let is_packed = has(header::ACCEPT_ENCODING, "gzip");
    let bytes = match (is_known, is_packed) {
        (true, _) => &[],
        (false, true) => asset.packed,
        (false, false) => asset.plain,
    };
    let mut response = Response::new(Body::from(bytes));
    let headers = response.headers_mut();
    headers.insert(header::ETAG, HeaderValue::from_static(asset.tag));
    headers.insert(header::CACHE_CONTROL, keep);
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    if is_packed {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// Whether an item of a list is this one, its weight or weakness aside.
fn is_it(item: &str, wanted: &str) -> bool {
    let item = item.trim();
    let item = item.strip_prefix("W/").unwrap_or(item);
    let (name, rest) = item.split_once(';').unwrap_or((item, ""));
    name.trim() == wanted && !rest.trim().eq_ignore_ascii_case("q=0")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::io::Read;

    use super::*;

    /// What a browser loads for its first page, in bytes as they are sent.
    const FIRST_PAGE_MAX: usize = 60 * 1024;
    /// All that the program carries.
    const ALL_MAX: usize = 300 * 1024;

    /// The files that a page names by itself, and those that they name.
    fn first_page() -> BTreeSet<String> {
        let mut found =
            BTreeSet::from([PAGE, "icon.svg", "style.css", "lang/de.json"].map(str::to_owned));
        let mut open = vec!["app/main.js".to_owned()];
        while let Some(name) = open.pop() {
            let asset = FILES.iter().find(|asset| asset.name == name).unwrap();
            let script = std::str::from_utf8(asset.plain).unwrap();
            let imports = script.lines().filter(|line| line.starts_with("import "));
            for import in imports.flat_map(|line| quoted(line, "from \"")) {
                open.push(match import.strip_prefix("../") {
                    Some(other) => other.to_owned(),
                    None => import.replace("./", "app/"),
                });
            }
            found.insert(name);
        }
        found
    }

    #[test]
    fn every_file_is_packed_rightly_and_the_first_page_is_small() {
        let first = first_page();
        assert!(
            first.len() > 10 && !first.contains("vendor/editor.js"),
            "{first:?}"
        );
        let (mut page, mut total) = (0, 0);
        for asset in FILES {
            let mut plain = Vec::new();
            let mut unpacked = flate2::read::GzDecoder::new(asset.packed);
            unpacked.read_to_end(&mut plain).unwrap();
            assert_eq!(plain, asset.plain, "{}", asset.name);
            total += asset.packed.len();
            if first.contains(asset.name) {
                page += asset.packed.len();
            }
        }
        assert!(FILES.is_sorted_by_key(|asset| asset.name));
        assert!(FILES.iter().any(|asset| asset.name == PAGE));
        println!("{page} of {total} bytes");
        assert!(page <= FIRST_PAGE_MAX, "{page} bytes");
        assert!(total <= ALL_MAX, "{total} bytes");
    }

    #[test]
    fn a_file_is_sent_packed_kept_by_its_build_and_not_sent_twice() {
        let ask = |name: &str, build: &str, pairs: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, HeaderValue::from_str(value).unwrap());
            }
            file(build, name, &headers)
        };
        let gzip = ("accept-encoding", "deflate, gzip;q=1.0, *;q=0.5");
        let response = ask("app/main.js", BUILD, &[gzip]);
        assert_eq!(response.headers()["content-encoding"], "gzip");
        assert_eq!(response.headers()["cache-control"], NEVER);
        let tag = response.headers()["etag"].to_str().unwrap().to_owned();
        for (build, pairs, status, is_packed) in [
            ("old", vec![gzip], 200, true),
            (BUILD, vec![], 200, false),
            (BUILD, vec![("accept-encoding", "gzip;q=0")], 200, false),
            (BUILD, vec![("if-none-match", tag.as_str())], 304, false),
            (BUILD, vec![("if-none-match", "\"x\"")], 200, false),
        ] {
            let response = ask("app/main.js", build, &pairs);
            assert_eq!(response.status(), status, "{pairs:?}");
            let encoded = response.headers().contains_key("content-encoding");
            assert_eq!(encoded, is_packed, "{pairs:?}");
            let keep = if build == BUILD { NEVER } else { ALWAYS };
            assert_eq!(response.headers()["cache-control"], keep);
        }
        for name in ["", "../Cargo.toml", "app", "app/none.js", "/index.html"] {
            assert_eq!(ask(name, BUILD, &[]).status(), 404, "{name}");
        }
    }

    fn texts(name: &str) -> BTreeMap<String, String> {
        let asset = FILES.iter().find(|asset| asset.name == name).unwrap();
        serde_json::from_slice(asset.plain).unwrap()
    }

    /// The texts between `begin` and the next `"`.
    fn quoted<'t>(text: &'t str, begin: &'t str) -> impl Iterator<Item = &'t str> {
        let all = text.split(begin).skip(1);
        all.filter_map(|rest| rest.split('"').next())
    }

    #[test]
    fn every_text_is_there_in_every_language() {
        let [english, german] = ["lang/en.json", "lang/de.json"].map(texts);
        let keys = |texts: &BTreeMap<String, String>| texts.keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&english), keys(&german));
        let holes = |text: &str| {
            let holes = text.split('{').skip(1);
            holes
                .map(|hole| hole.split('}').next().unwrap_or_default().to_owned())
                .collect::<BTreeSet<_>>()
        };
        for (key, text) in &english {
            assert_eq!(holes(text), holes(&german[key]), "{key}");
        }
        let mut used = 0;
        for asset in FILES.iter().filter(|asset| asset.name.starts_with("app/")) {
            let script = std::str::from_utf8(asset.plain).unwrap();
            for key in quoted(script, "t(\"").filter(|key| !key.is_empty()) {
                // `t(` ends other names too, whose arguments are no keys.
                if key.chars().all(|c| c.is_ascii_lowercase() || c == '.') && key.contains('.') {
                    assert!(english.contains_key(key), "{}: {key}", asset.name);
                    used += 1;
                }
            }
        }
        assert!(used > 50, "{used}");
    }
}

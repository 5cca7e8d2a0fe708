//! Which web pages may connect, by what their browser says of them (RFC 6454). Pure.

use crate::endpoint::Origins;

/// Whether a page from `origin` may connect to `host`, the value of the request's `Host`.
pub(super) fn may_connect(origins: &Origins, origin: &str, host: Option<&str>) -> bool {
    match origins {
        Origins::Any => true,
        Origins::These(list) => list.iter().any(|known| known.eq_ignore_ascii_case(origin)),
        Origins::SameHost => {
            let page = origin.split_once("://").map(|(_, page)| without_port(page));
            let here = host.map(without_port);
            page.zip(here)
                .is_some_and(|(page, here)| page.eq_ignore_ascii_case(here))
        }
    }
}

/// The host of `host:port`. An IPv6 address stands in brackets.
fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_may_connect_to_its_own_host_or_as_the_list_says() {
        let these = |list: &[&str]| Origins::These(list.iter().map(|&one| one.into()).collect());
        let list = these(&["https://plant.example", "http://panel:8080", "null"]);
        for (origins, origin, host, want) in [
            (&Origins::SameHost, "http://board", Some("board:8083"), true),
            (&Origins::SameHost, "http://board:80", Some("board"), true),
            (
                &Origins::SameHost,
                "https://Board",
                Some("bOARD:8084"),
                true,
            ),
            (
                &Origins::SameHost,
                "http://[fe80::1]",
                Some("[fe80::1]:8083"),
                true,
            ),
            (
                &Origins::SameHost,
                "http://[fe80::1]:1",
                Some("[fe80::1]"),
                true,
            ),
            (
                &Origins::SameHost,
                "http://[fe80::1]",
                Some("[fe80::2]"),
                false,
            ),
            (
                &Origins::SameHost,
                "http://10.0.0.5",
                Some("10.0.0.5:8083"),
                true,
            ),
            (
                &Origins::SameHost,
                "http://10.0.0.50",
                Some("10.0.0.5:8083"),
                false,
            ),
            (
                &Origins::SameHost,
                "http://evil.example",
                Some("board:8083"),
                false,
            ),
            (
                &Origins::SameHost,
                "http://board.evil.example",
                Some("board"),
                false,
            ),
            (
                &Origins::SameHost,
                "http://evil.example/board",
                Some("board"),
                false,
            ),
            (&Origins::SameHost, "null", Some("null"), false),
            (&Origins::SameHost, "", Some(""), false),
            (&Origins::SameHost, "http://board", None, false),
            (&list, "https://plant.example", Some("board"), true),
            (&list, "HTTPS://Plant.Example", None, true),
            (&list, "http://plant.example", Some("board"), false),
            (&list, "https://plant.example:8443", Some("board"), false),
            (&list, "http://panel:8080", Some("board"), true),
            (&list, "http://panel", Some("board"), false),
            (&list, "null", Some("board"), true),
            // The list stands in the place of the host's own pages.
            (&list, "http://board", Some("board"), false),
            (&Origins::Any, "http://evil.example", Some("board"), true),
        ] {
            let may = may_connect(origins, origin, host);
            assert_eq!(may, want, "{origins:?}: {origin} to {host:?}");
        }
    }
}

//! The cookie of a session.

use crate::session::{TOTAL, Token};

/// Over HTTPS. The prefix makes browsers refuse it from anywhere but this host over HTTPS.
const SECURE: &str = "__Host-fieldgate";
/// Over plain HTTP, where no browser takes the other.
const PLAIN: &str = "fieldgate";

fn name(is_secure: bool) -> &'static str {
    if is_secure { SECURE } else { PLAIN }
}

/// What makes a browser keep a token.
pub(crate) fn set(token: &Token, is_secure: bool) -> String {
    let mut value = String::new();
    for byte in token {
        value.push(digit(byte >> 4));
        value.push(digit(byte & 15));
    }
    written(&value, TOTAL.as_secs(), is_secure)
}

/// What makes a browser forget it.
pub(crate) fn clear(is_secure: bool) -> String {
    written("", 0, is_secure)
}

fn written(value: &str, seconds: u64, is_secure: bool) -> String {
    let name = name(is_secure);
    let secure = if is_secure { "; Secure" } else { "" };
    format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

/// The token in the `Cookie` headers of a request.
pub(crate) fn find<'h>(headers: impl Iterator<Item = &'h str>, is_secure: bool) -> Option<Token> {
    let pairs = headers.flat_map(|header| header.split(';'));
    let mut pairs = pairs.filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(found, _)| *found == name(is_secure))?;
    let mut token = Token::default();
    if value.len() != 2 * token.len() {
        return None;
    }
    for (byte, pair) in token.iter_mut().zip(value.as_bytes().chunks_exact(2)) {
        *byte = match pair {
            [high, low] => digit_value(*high)? << 4 | digit_value(*low)?,
            _ => return None,
        };
    }
    Some(token)
}

fn digit(value: u8) -> char {
    char::from_digit(value.into(), 16).unwrap_or('0')
}

fn digit_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_found_again_and_nothing_else() {
        let token: Token = std::array::from_fn(|index| (index * 9) as u8);
        for is_secure in [true, false] {
            let set = set(&token, is_secure);
            let (pair, rest) = set.split_once("; ").unwrap();
            assert_eq!(rest.contains("Secure"), is_secure);
            assert!(rest.contains("HttpOnly; SameSite=Strict"), "{rest}");
            let header = format!("other=1; {pair}");
            for (headers, want) in [
                (vec![header.as_str()], Some(token)),
                (vec!["a=b", pair], Some(token)),
                (vec![&pair[..pair.len() - 1]], None),
                (vec![""], None),
                (vec!["fieldgate"], None),
                (vec!["fieldgate=é", "__Host-fieldgate=é"], None),
            ] {
                assert_eq!(
                    find(headers.iter().copied(), is_secure),
                    want,
                    "{headers:?}"
                );
            }
            assert_eq!(find([pair].into_iter(), !is_secure), None);
        }
        let upper = format!("fieldgate={}", "A".repeat(64));
        assert_eq!(find([upper.as_str()].into_iter(), false), None);
    }
}

//! An answer, read within bounds of size and time. Never follows a redirect, never trusts a length that the server names.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::auth::without_secrets;
use super::error::{Call, Error, clean, error_object_fault, refusal_fault};
use crate::clock::{Clock, UtcMillis};

/// A server may ask for patience within these bounds; what it asks beyond them is not obeyed.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));

/// A complete answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    headers: HeaderMap,
    /// What the request was signed with: an answer may quote it.
    sign_in: HeaderMap,
    /// `None`: larger than `max_response`.
    body: Option<Vec<u8>>,
}

/// What a body of a successful answer is.
#[derive(Debug)]
pub(super) enum Body {
    /// Nothing, or only blanks.
    Empty,
    /// A JSON object without an error.
    Object(Object),
    /// Something else: what.
    Other(String),
}

/// The members of an answer that anything is decided by; of whatever type the server makes them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Object {
    #[serde(rename = "EjMessageId")]
    pub(super) ej_message_id: Value,
    #[serde(rename = "Ticket")]
    pub(super) ticket: Value,
    #[serde(rename = "Error")]
    error: Value,
    #[serde(rename = "ErrorType")]
    error_type: Value,
    #[serde(rename = "ErrorMessage")]
    error_message: Value,
    #[serde(rename = "Message")]
    message: Value,
}

impl Answer {
    /// Reads the rest of a response, at most `max` bytes of it.
    pub(super) async fn read(mut response: Response, sign_in: HeaderMap, max: u64) -> reqwest::Result<Self> {
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let mut body = Vec::new();
        let body = loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len().saturating_add(chunk.len()) <= max => body.extend_from_slice(&chunk),
                Ok(Some(_)) => break None,
                Ok(None) => break Some(body),
                // The status alone refuses; only a success needs its body.
                Err(_) if !status.is_success() => break Some(body),
                Err(error) => return Err(error),
            }
        };
        Ok(Self { status, headers, sign_in, body })
    }

    /// The error of an answer whose status is not a success, or that holds an error object.
    pub(super) fn refusal(&self, call: Call) -> Option<Error> {
        let bytes = self.body.as_deref().unwrap_or_default();
        let object = object(bytes).unwrap_or_default();
        let error_type = object.error_type.as_str().unwrap_or_default();
        let fault = match self.status.is_success() {
            true if object.error != Value::Bool(true) => return None,
            true => error_object_fault(call, error_type),
            false => refusal_fault(call, self.status, retry_after(&self.headers, Clock::system().now())),
        };
        Some(Error::Refused { call, status: self.status, fault, text: self.text(bytes, &object) })
    }

    /// What the body of a success is.
    pub(super) fn body(&self) -> Body {
        let Some(bytes) = self.body.as_deref() else {
            return Body::Other("the answer is larger than max_response".to_owned());
        };
        let bytes = without_mark(bytes).trim_ascii();
        match bytes {
            [] => Body::Empty,
            b"null" => Body::Other("the answer is null".to_owned()),
            _ => match object(bytes) {
                Some(object) => Body::Object(object),
                None => Body::Other(format!("the answer is not a JSON object ({})", self.content_type())),
            },
        }
    }

    /// The body's bytes, when they were within the bound.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        self.body.as_deref().map(without_mark)
    }

    fn content_type(&self) -> String {
        let named = self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        clean(named.unwrap_or("no Content-Type"))
    }

    /// What a refusal said for people, with `: ` in front of each part; pages of HTML say nothing.
    fn text(&self, bytes: &[u8], object: &Object) -> String {
        let parts = [&object.error_type, &object.error_message, &object.message];
        let said = parts.iter().filter_map(|part| part.as_str()).filter(|part| !part.is_empty());
        let told = |text: &str| clean(&without_secrets(text.to_owned(), &self.sign_in));
        let mut text: String = said.map(|part| format!(": {}", told(part))).collect();
        let plain = bytes.trim_ascii();
        if text.is_empty() && !plain.is_empty() && !matches!(plain.first(), Some(b'<' | b'{' | b'[')) {
            let start = plain.get(..plain.len().min(1000)).unwrap_or_default();
            text = format!(": {}", told(&String::from_utf8_lossy(start)));
        }
        match self.status.is_redirection() {
            true => format!("{text}: the address has moved: redirects are not followed, correct base_url"),
            false => text,
        }
    }
}

/// The body without a byte order mark.
fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// A JSON object; serde would take an array for one too.
fn object(bytes: &[u8]) -> Option<Object> {
    let bytes = without_mark(bytes).trim_ascii();
    bytes.starts_with(b"{").then(|| serde_json::from_slice(bytes).ok()).flatten()
}

/// Retry-After (RFC 9110 §10.2.3): seconds, or a date, which is read against the server's own `Date` where it sends one.
fn retry_after(headers: &HeaderMap, now: UtcMillis) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let asked = text(RETRY_AFTER)?;
    let delay = match asked.bytes().all(|b| b.is_ascii_digit()) && !asked.is_empty() {
        true => Duration::from_secs(asked.parse().unwrap_or(u64::MAX)),
        false => http_date(asked)?.since(text(DATE).and_then(http_date).unwrap_or(now)),
    };
    Some(delay.clamp(PATIENCE.0, PATIENCE.1))
}

fn http_date(text: &str) -> Option<UtcMillis> {
    let parser = jiff::fmt::rfc2822::DateTimeParser::new();
    parser.parse_timestamp(text).ok().map(|time| UtcMillis(time.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;

    fn answer(status: u16, body: &str) -> Answer {
        let status = StatusCode::from_u16(status).expect("a status");
        Answer { status, headers: HeaderMap::new(), sign_in: HeaderMap::new(), body: Some(body.as_bytes().to_vec()) }
    }

    #[track_caller]
    fn check_patience(headers: &[(&str, &str)], seconds: Option<u64>) {
        let name = |text: &str| reqwest::header::HeaderName::from_bytes(text.as_bytes()).expect("a name");
        let map = headers.iter().map(|(n, v)| (name(n), v.parse().expect("a value"))).collect();
        assert_eq!(retry_after(&map, UtcMillis(1_795_341_731_000)), seconds.map(Duration::from_secs));
    }

    #[test]
    fn patience_has_bounds() {
        check_patience(&[], None);
        check_patience(&[("retry-after", "7")], Some(7));
        check_patience(&[("retry-after", "0")], Some(1));
        check_patience(&[("retry-after", "315360000")], Some(3600));
        check_patience(&[("retry-after", "99999999999999999999999")], Some(3600));
        check_patience(&[("retry-after", "soon")], None);
        check_patience(&[("retry-after", "")], None);
        check_patience(&[("retry-after", "-5")], None);
        check_patience(&[("retry-after", "Sun, 22 Nov 2026 10:02:41 GMT")], Some(30));
        check_patience(&[("retry-after", "Sun, 22 Nov 2020 10:02:41 GMT")], Some(1));
        check_patience(
            &[("retry-after", "Sun, 22 Nov 2026 10:02:41 GMT"), ("date", "Sun, 22 Nov 2026 10:02:31 GMT")],
            Some(10),
        );
    }

    #[test]
    fn only_an_error_that_is_true_refuses_within_a_success() {
        assert!(answer(200, r#"{"Error":false,"EjMessageId":5}"#).refusal(Call::Post).is_none());
        assert!(answer(200, "").refusal(Call::Post).is_none());
        let error = answer(200, r#"{"Error":true,"ErrorType":"SoSessionException"}"#).refusal(Call::Post);
        assert_eq!(error.expect("a refusal").fault(), Fault::Unauthorized);
    }

    #[test]
    fn a_refusal_says_what_the_server_said_but_no_addresses() {
        let body = r#"{"Error":true,"ErrorType":"SoNotFoundException","ErrorMessage":"No jo@example.com\nhere"}"#;
        let text = answer(400, body).refusal(Call::Post).expect("a refusal").to_string();
        assert_eq!(text, "posting the ticket message: status 400 Bad Request: SoNotFoundException: No (address) here");
        let page = answer(502, "<html>nginx</html>").refusal(Call::Post).expect("a refusal").to_string();
        assert_eq!(page, "posting the ticket message: status 502 Bad Gateway");
        let moved = answer(421, "Wrong subdomain used").refusal(Call::Post).expect("a refusal").to_string();
        assert!(moved.ends_with(": Wrong subdomain used"), "{moved}");
    }

    #[test]
    fn bodies_are_told_apart() {
        for empty in ["", " \r\n", "\u{feff}"] {
            assert!(matches!(answer(200, empty).body(), Body::Empty), "{empty:?}");
        }
        for object in ["{}", " {\"EjMessageId\": 4} ", "\u{feff}{}"] {
            assert!(matches!(answer(200, object).body(), Body::Object(_)), "{object:?}");
        }
        let deep = format!("{{\"a\":{}", "[".repeat(100_000));
        for other in ["null", "[]", "[1,2,3,4,5,6]", "<html></html>", "{\"a\":", "5", "\"x\"", deep.as_str()] {
            assert!(matches!(answer(200, other).body(), Body::Other(_)));
        }
    }
}

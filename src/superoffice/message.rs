//! The one call of the API page: `POST /api/v1/TicketMessage`.

use bytes::Bytes;
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;

use super::answer::{Body, Object};
use super::auth::JSON;
use super::error::{Call, Error};
use super::{Client, outgoing};
use crate::entity::TicketMessageEntity;
use crate::ids::{EjMessageId, TicketId};

/// A message that the API says it has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Posted {
    /// Its key, when the answer names it.
    pub ej_message_id: Option<EjMessageId>,
    /// The ticket that the server connected it to, when the answer names it.
    pub ticket_id: Option<TicketId>,
}

impl Client {
    /// Posts the message. With `notify` the server tells its users.
    ///
    /// A status of success counts with an empty body or a JSON object without `Error`; with anything else (`null`, a
    /// page of HTML, half an object) nothing is proven, and the outcome is unknown.
    ///
    /// # Errors
    /// See [`Error`]. [`crate::fault::Fault::Unknown`]: it may have been carried out.
    pub async fn post(&self, entity: &TicketMessageEntity, notify: bool) -> Result<Posted, Error> {
        let body = Bytes::from(serde_json::to_vec(entity)?);
        let (size, max) = (u64::try_from(body.len()).unwrap_or(u64::MAX), self.inner.options.max_request.0);
        if size > max {
            return Err(Error::TooBig { size, max });
        }
        let url = self.inner.base.post(notify);
        let request =
            |http: &reqwest::Client| outgoing::with_body(http.post(url.clone()).header(CONTENT_TYPE, JSON), &body);
        let answer = self.send(Call::Post, self.inner.options.max_response.0.max(echo(size)), request).await?;
        if let Some(refusal) = answer.refusal(Call::Post) {
            return Err(refusal);
        }
        match answer.body() {
            Body::Empty => Ok(Posted::default()),
            Body::Object(object) => Ok(posted(&object)),
            Body::Other(reason) => Err(Error::Unclear { call: Call::Post, status: answer.status, reason }),
        }
    }
}

/// The API answers with the entity that it was sent. Another way to write its texts as JSON makes them six times as large
/// at the most (`\u003c`).
const fn echo(size: u64) -> u64 {
    size.saturating_mul(6)
}

fn posted(object: &Object) -> Posted {
    Posted {
        ej_message_id: key(&object.ej_message_id).map(EjMessageId),
        ticket_id: object.ticket.get("TicketId").and_then(key).map(TicketId),
    }
}

/// A primary key as a number or as text; 0 and below are none.
pub(super) fn key(value: &Value) -> Option<i64> {
    let number = value.as_i64().or_else(|| value.as_str()?.trim().parse().ok());
    number.filter(|key| *key > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::units::{Period, Size};
    use crate::config::{Secret, Tenant};
    use crate::fault::Fault;
    use crate::superoffice::scripted::{Act, Script, client_of, options};

    fn ids(ej_message: i64, ticket: i64) -> Posted {
        let known = |id: i64| Some(id).filter(|id| *id != 0);
        Posted { ej_message_id: known(ej_message).map(EjMessageId), ticket_id: known(ticket).map(TicketId) }
    }

    async fn post(acts: Vec<Act>) -> Result<Posted, Error> {
        let script = Script::start(acts).await;
        let client = client_of(&options(&script.url()));
        script.serve(client.post(&TicketMessageEntity::default(), false)).await.0
    }

    #[track_caller]
    fn check(result: &Result<Posted, Error>, fault: Fault, class: &str) {
        let error = result.as_ref().expect_err("a failure");
        assert_eq!((error.fault(), error.class()), (fault, class), "{error}");
    }

    #[tokio::test]
    async fn successes_are_read_leniently() {
        for (body, expected) in [
            (r#"{"EjMessageId":640,"Ticket":null,"Error":null}"#, ids(640, 0)),
            (r#"{"EjMessageId":640,"Ticket":{"TicketId":7}}"#, ids(640, 7)),
            (r#"{"EjMessageId":"640","Ticket":{"TicketId":"7"}}"#, ids(640, 7)),
            (r#"{"EjMessageId":0,"Ticket":[]}"#, ids(0, 0)),
            ("{}", ids(0, 0)),
            ("", ids(0, 0)),
        ] {
            assert_eq!(post(vec![Act::answer(200, body)]).await.expect(body), expected, "{body}");
        }
        assert_eq!(post(vec![Act::answer(204, "")]).await.expect("no content"), ids(0, 0));
    }

    #[tokio::test]
    async fn a_success_that_says_something_else_proves_nothing() {
        for body in ["null", "<html>Sign in</html>", "[]", "{\"EjMessageId\":6"] {
            check(&post(vec![Act::answer(200, body)]).await, Fault::Unknown, "unknown_outcome");
        }
        let huge = format!("{{\"Body\":\"{}\"}}", "x".repeat(100_000));
        assert!(huge.len() > 64 << 10, "more than max_response here");
        check(&post(vec![Act::answer(200, &huge)]).await, Fault::Unknown, "unknown_outcome");
    }

    #[tokio::test]
    async fn refusals_keep_their_meaning() {
        check(&post(vec![Act::answer(400, "{}")]).await, Fault::Permanent, "api_4xx");
        check(&post(vec![Act::answer(500, "")]).await, Fault::Unknown, "api_5xx");
        check(&post(vec![Act::answer(302, "").with("Location: /else")]).await, Fault::Unauthorized, "api_3xx");
        let patience = Fault::Throttled { retry_after: Some(std::time::Duration::from_secs(9)) };
        check(&post(vec![Act::answer(429, "").with("Retry-After: 9")]).await, patience, "throttled");
        let huge = "x".repeat(100_000);
        check(&post(vec![Act::answer(400, &huge)]).await, Fault::Permanent, "api_4xx");
    }

    #[tokio::test]
    async fn a_broken_connection_leaves_the_outcome_unknown() {
        check(&post(vec![Act::CutBefore]).await, Fault::Unknown, "unknown_outcome");
        check(&post(vec![Act::CutWithin]).await, Fault::Unknown, "unknown_outcome");
        check(&post(vec![Act::Garbage]).await, Fault::Unknown, "unknown_outcome");
    }

    #[tokio::test]
    async fn an_answer_that_never_ends_is_cut_off_in_time() {
        let script = Script::start(vec![Act::Drip]).await;
        let options =
            Tenant { request_timeout: Period(std::time::Duration::from_millis(200)), ..options(&script.url()) };
        let client = client_of(&options);
        let result = script.serve(client.post(&TicketMessageEntity::default(), false)).await.0;
        check(&result, Fault::Unknown, "unknown_outcome");
    }

    #[tokio::test]
    async fn without_a_connection_nothing_was_sent() {
        let script = Script::start(vec![]).await;
        let client = client_of(&options(&script.url()));
        drop(script);
        check(&client.post(&TicketMessageEntity::default(), false).await, Fault::Transient, "network");
    }

    #[tokio::test]
    async fn a_request_beyond_the_bound_is_not_sent() {
        let client = client_of(&Tenant { max_request: Size(10), ..options("http://127.0.0.1:1") });
        check(&client.post(&TicketMessageEntity::default(), false).await, Fault::Permanent, "too_big");
    }

    #[tokio::test]
    async fn the_request_is_that_of_the_page() {
        let script = Script::start(vec![Act::answer(200, "{}")]).await;
        let client = client_of(&Tenant { token: Some(Secret::Plain("8A:x".into())), ..options(&script.url()) });
        let entity = TicketMessageEntity { author: Some("a".into()), ..Default::default() };
        let (result, requests) = script.serve(client.post(&entity, true)).await;
        result.expect("posted");
        let request = requests.first().expect("a request");
        assert!(request.starts_with("POST /Cust1/api/v1/TicketMessage?notify=true HTTP/1.1\r\n"), "{request}");
        for line in [
            "accept: application/json; charset=utf-8",
            "content-type: application/json; charset=utf-8",
            "authorization: Bearer 8A:x",
            "so-language: en",
            "so-culture: en-GB",
            "so-timezone: UTC, includeTZOffset",
            concat!("user-agent: mailbridge/", env!("CARGO_PKG_VERSION")),
        ] {
            assert!(request.contains(&format!("\r\n{line}\r\n")), "{line} in {request}");
        }
        let body = request.split_once("\r\n\r\n").expect("a body").1;
        assert_eq!(serde_json::from_str::<TicketMessageEntity>(body).expect("an entity"), entity);
    }

    #[tokio::test]
    async fn a_refused_sign_in_is_read_again_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("token");
        write_secret(&file, "old");
        let acts = vec![Act::answer(401, ""), Act::answer(401, ""), Act::answer(200, "{}")];
        let script = Script::start(acts).await;
        let token = Some(Secret::File { file: file.display().to_string() });
        let client = client_of(&Tenant { token, ..options(&script.url()) });
        let entity = TicketMessageEntity::default();
        let calls = async {
            check(&client.post(&entity, false).await, Fault::Unauthorized, "auth");
            write_secret(&file, "new");
            client.post(&entity, false).await.expect("the new secret is taken");
        };
        let ((), requests) = script.serve(calls).await;
        let signed: Vec<bool> = requests.iter().map(|request| request.contains("Bearer new")).collect();
        assert_eq!(signed, [false, false, true]);
    }

    fn write_secret(file: &std::path::Path, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::write(file, text).expect("written");
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).expect("private");
    }
}

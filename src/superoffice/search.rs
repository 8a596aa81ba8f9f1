//! The look-up of a message by its Message-Id: `GET /api/v1/TicketMessage` as an OData list. Reads all pages, since a row
//! that was not read could be ours.

use reqwest::{StatusCode, Url};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Client;
use super::base::bare_id;
use super::error::{Call, Error};
use super::message::key;
use super::outgoing::LastPiece;
use crate::ids::{EjMessageId, TicketId};

/// Pages of a look-up; more than this of one Message-Id is no list but a loop.
const PAGES: usize = 20;

/// One message that the API has under the Message-Id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Row {
    /// Its key.
    pub ej_message_id: Option<EjMessageId>,
    /// Its ticket's key.
    pub ticket_id: Option<TicketId>,
    /// Its `debugInfo`: ours begins with our queue id.
    pub debug_info: String,
    /// Its author.
    pub author: String,
    /// Its date as the server writes it.
    pub created_at: String,
}

#[derive(Deserialize)]
struct Page {
    #[serde(rename = "odata.nextLink", default)]
    next: Option<String>,
    value: Vec<Map<String, Value>>,
}

impl Client {
    /// All messages that the API has under this Message-Id (as it was posted), the newest first.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::NotSearchable`] where the API knows no such call.
    pub async fn search(&self, message_id: &str) -> Result<Vec<Row>, Error> {
        let mut rows = Vec::new();
        let mut url = self.inner.base.search(message_id);
        for _ in 0..PAGES {
            let page = self.page(&url).await?;
            rows.extend(page.value.iter().filter(|row| is_of(row, message_id)).map(row));
            let next = page.next.filter(|link| !link.is_empty());
            match next.and_then(|link| self.inner.base.next_page(&link)).filter(|next| *next != url) {
                Some(next) => url = next,
                None => return Ok(rows),
            }
        }
        let reason = format!("the list has more than {PAGES} pages");
        Err(Error::Unclear { call: Call::Search, status: StatusCode::OK, reason })
    }

    async fn page(&self, url: &Url) -> Result<Page, Error> {
        let answer = self
            .send(Call::Search, self.inner.options.max_response.0, |http| (http.get(url.clone()), LastPiece::gone()))
            .await?;
        let status = answer.status;
        if matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED) {
            return Err(Error::NotSearchable(status));
        }
        if let Some(refusal) = answer.refusal(Call::Search) {
            return Err(refusal);
        }
        let unclear = |reason: &str| Error::Unclear { call: Call::Search, status, reason: reason.to_owned() };
        let bytes = answer.bytes().ok_or_else(|| unclear("the answer is larger than max_response"))?;
        serde_json::from_slice(bytes).map_err(|_| unclear("the answer is not an OData list"))
    }
}

/// Whether the row is of this Message-Id: a server that ignores the filter would make every message ours to judge. A row
/// that does not say is believed.
fn is_of(row: &Map<String, Value>, message_id: &str) -> bool {
    let stored = row.get("messageId").and_then(Value::as_str);
    stored.is_none_or(|stored| bare_id(stored).eq_ignore_ascii_case(bare_id(message_id)))
}

fn row(row: &Map<String, Value>) -> Row {
    let text = |name| row.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let id = |name| row.get(name).and_then(key);
    Row {
        ej_message_id: id("ticketMessageId").or_else(|| id("PrimaryKey")).map(EjMessageId),
        ticket_id: id("ticketId").map(TicketId),
        debug_info: text("debugInfo"),
        author: text("author"),
        created_at: text("createdAt"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;
    use crate::superoffice::scripted::{Act, Script, client_of, options};

    async fn search(acts: Vec<Act>) -> (Result<Vec<Row>, Error>, Vec<String>) {
        let script = Script::start(acts).await;
        let client = client_of(&options(&script.url()));
        script.serve(client.search("<a@x>")).await
    }

    #[tokio::test]
    async fn all_pages_are_read_and_foreign_rows_left_out() {
        let first = r#"{"odata.metadata":"","odata.nextLink":"https://inside.example/x?$skip=1","value":[
            {"PrimaryKey":"9","ticketMessageId":9,"ticketId":4,"messageId":"<A@X>","debugInfo":"mailbridge qid=1"},
            {"PrimaryKey":"8","messageId":"other@x","debugInfo":"z"}]}"#;
        let second =
            r#"{"odata.nextLink":null,"value":[{"PrimaryKey":"7","author":"a","createdAt":"d","debugInfo":null}]}"#;
        let (rows, requests) = search(vec![Act::answer(200, first), Act::answer(200, second)]).await;
        let ours = Row {
            ej_message_id: Some(EjMessageId(9)),
            ticket_id: Some(TicketId(4)),
            debug_info: "mailbridge qid=1".into(),
            ..Row::default()
        };
        let silent =
            Row { ej_message_id: Some(EjMessageId(7)), author: "a".into(), created_at: "d".into(), ..Row::default() };
        assert_eq!(rows.expect("rows"), [ours, silent]);
        assert!(requests[0].starts_with("GET /Cust1/api/v1/TicketMessage?$select="), "{}", requests[0]);
        assert!(requests[1].starts_with("GET /Cust1/api/v1/TicketMessage?$skip=1 "), "{}", requests[1]);
    }

    #[tokio::test]
    async fn an_api_without_search_says_so() {
        for status in [404, 405, 501] {
            let (result, _) = search(vec![Act::answer(status, "")]).await;
            assert!(matches!(result, Err(Error::NotSearchable(_))), "{status}");
        }
    }

    #[tokio::test]
    async fn a_failed_look_up_is_never_an_empty_list() {
        for (status, body, fault) in [
            (500, "", Fault::Transient),
            (401, "", Fault::Unauthorized),
            (403, "", Fault::Unauthorized),
            (200, "", Fault::Transient),
            (200, "<html></html>", Fault::Transient),
            (200, "{}", Fault::Transient),
            (200, r#"{"Error":true,"ErrorType":"SoSqlException"}"#, Fault::Transient),
        ] {
            let (result, _) = search(vec![Act::answer(status, body)]).await;
            assert_eq!(result.expect_err("a failure").fault(), fault, "{status} {body}");
        }
        let (result, _) = search(vec![Act::CutBefore]).await;
        assert_eq!(result.expect_err("a failure").fault(), Fault::Transient);
    }

    #[tokio::test]
    async fn a_list_without_end_is_given_up() {
        let page = |n: usize| Act::answer(200, &format!(r#"{{"odata.nextLink":"http://x/?$skip={n}","value":[]}}"#));
        let (result, requests) = search((0..PAGES).map(page).collect()).await;
        assert_eq!(result.expect_err("given up").fault(), Fault::Transient);
        assert_eq!(requests.len(), PAGES);
    }
}

//! The address of a tenant: checked once, and the two URLs made from it. Percent-encoding is RFC 3986 §2.

use std::fmt::Write as _;
use std::net::IpAddr;

use reqwest::Url;

/// Columns that the look-up reads.
const COLUMNS: &str = "ticketMessageId,ticketId,messageId,debugInfo,author,createdAt";
/// Rows of one page of a look-up.
const PAGE_ROWS: u32 = 100;

/// What stands before `/api/v1`, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Base {
    messages: Url,
}

impl Base {
    /// Reads `base_url`. Plain `http` is for loopback, and for other hosts only where the administrator says so.
    ///
    /// # Errors
    /// The reason, as the end of a sentence about the option.
    pub(super) fn parse(text: &str, allow_http: bool) -> Result<Self, String> {
        let trimmed = trimmed(text);
        let url = Url::parse(trimmed).map_err(|error| format!("base_url is not a URL: {error}"))?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or("base_url names no host")?;
        match url.scheme() {
            "https" => {}
            "http" if allow_http || is_loopback(host) => {}
            "http" => return Err("base_url is http: use https, or say allow_http = true".to_owned()),
            scheme => return Err(format!("base_url begins with {scheme}: use https")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("base_url holds a sign-in: use username and password".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("base_url has a ? or a #: leave out what follows".to_owned());
        }
        let messages = format!("{}/api/v1/TicketMessage", url.as_str().trim_end_matches('/'));
        Ok(Self { messages: Url::parse(&messages).map_err(|error| format!("base_url is not a URL: {error}"))? })
    }

    /// Where a message is posted. The parameter is only sent when it is true, since its absence means false.
    pub(super) fn post(&self, notify: bool) -> Url {
        let mut url = self.messages.clone();
        url.set_query(notify.then_some("notify=true"));
        url
    }

    /// Where a message is looked up: both forms of the id, since no page says in which of them ids are stored.
    pub(super) fn search(&self, message_id: &str) -> Url {
        let bare = bare_id(message_id).replace('\'', "''");
        let filter = format!("messageId in ('<{bare}>','{bare}')");
        let mut url = self.messages.clone();
        url.set_query(Some(&format!(
            "$select={COLUMNS}&$filter={}&$orderBy={}&$top={PAGE_ROWS}",
            encoded(&filter),
            encoded("ticketMessageId desc"),
        )));
        url
    }

    /// The next page of a look-up. Only the query of the server's link is used: behind a proxy its host is wrong, and the
    /// sign-in never goes to another origin.
    pub(super) fn next_page(&self, link: &str) -> Option<Url> {
        let (_, query) = link.split_once('?')?;
        let mut url = self.messages.clone();
        url.set_query(Some(query.split('#').next().unwrap_or_default()));
        Some(url)
    }
}

/// A Message-Id without angle brackets and blanks.
pub(super) fn bare_id(message_id: &str) -> &str {
    message_id.trim().trim_start_matches('<').trim_end_matches('>').trim()
}

/// The text without the endings that people copy along.
fn trimmed(text: &str) -> &str {
    let text = text.trim().trim_end_matches('/');
    let text = text.strip_suffix("/api/v1").unwrap_or(text);
    text.strip_suffix("/api").unwrap_or(text).trim_end_matches('/')
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            // Writing to a string cannot fail.
            _ => write!(out, "%{byte:02X}").unwrap_or_default(),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let base = Base::parse(text, false).expect(text);
        assert_eq!(base.post(false).as_str(), expected);
    }

    #[test]
    fn endings_are_taken_off() {
        let expected = "https://online.example.com/Cust12345/api/v1/TicketMessage";
        for ending in ["", "/", "/api", "/api/", "/api/v1", "/api/v1/"] {
            check(&format!("https://online.example.com/Cust12345{ending}"), expected);
        }
        check("http://127.0.0.1:8080", "http://127.0.0.1:8080/api/v1/TicketMessage");
        check("http://[::1]:8080/", "http://[::1]:8080/api/v1/TicketMessage");
        check("http://localhost/SuperOffice", "http://localhost/SuperOffice/api/v1/TicketMessage");
    }

    #[test]
    fn other_addresses_are_refused() {
        for text in [
            "",
            "online.example.com",
            "ftp://online.example.com",
            "http://online.example.com",
            "http://127.0.0.1.example.com",
            "https://user:pw@online.example.com",
            "https://online.example.com/?a=b",
            "https://online.example.com/#a",
        ] {
            assert!(Base::parse(text, false).is_err(), "{text}");
        }
        assert!(Base::parse("http://crm.example.com", true).is_ok());
    }

    #[test]
    fn notify_is_only_sent_when_it_is_true() {
        let base = Base::parse("https://a.example/b", false).expect("an address");
        assert_eq!(base.post(true).as_str(), "https://a.example/b/api/v1/TicketMessage?notify=true");
    }

    #[test]
    fn a_look_up_asks_for_both_forms_and_encodes_everything() {
        let base = Base::parse("https://a.example", false).expect("an address");
        let url = base.search("<o'n+e&2#@x>");
        let wanted = "%28%27%3Co%27%27n%2Be%262%23%40x%3E%27%2C%27o%27%27n%2Be%262%23%40x%27%29";
        let query = url.query().expect("a query");
        assert!(
            query.contains(&format!("$filter=messageId%20in%20{wanted}&$orderBy=ticketMessageId%20desc")),
            "{query}"
        );
        assert_eq!(base.search("o'n+e&2#@x"), url);
    }

    #[test]
    fn a_next_page_stays_at_our_origin() {
        let base = Base::parse("https://a.example/c", false).expect("an address");
        let next = base.next_page("http://evil.example/x?$skip=100&$top=100").expect("a page");
        assert_eq!(next.as_str(), "https://a.example/c/api/v1/TicketMessage?$skip=100&$top=100");
        assert_eq!(base.next_page("https://a.example/c"), None);
    }
}

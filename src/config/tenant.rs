//! `[tenant.NAME]`: one SuperOffice installation, with its own sign-in, limits and breaker.

use serde::{Deserialize, Serialize};

use super::secret::Secret;
use super::units::{Period, Size};

/// `[tenant.NAME]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tenant {
    /// What stands before `/api/v1`; a trailing `/`, `/api` or `/api/v1` is taken off (live).
    pub base_url: String,
    /// The scheme of the sign-in. Inferred when left out: `username` and `password` → basic, `token` → bearer (live).
    pub auth: Auth,
    /// Allow `http://` to other hosts than loopback: onsite servers without TLS; say so on purpose (live).
    pub allow_http: bool,
    /// The token of bearer and soticket (live).
    pub token: Option<Secret>,
    /// The user of basic (live).
    pub username: String,
    /// The password of basic (live).
    pub password: Option<Secret>,
    /// Sent as `SO-AppToken` (live).
    pub app_token: Option<Secret>,
    /// Sent as `X-XSRF-TOKEN`, for sites that demand it (live).
    pub xsrf_token: Option<Secret>,
    /// The `?notify=` of the save: never, human (only mail of kind human that may be answered) or always. The server
    /// decides whom it tells: treat it as able to reach outsiders (live).
    pub notify: Notify,
    /// `Accept-Language`; "" = not sent (live).
    pub accept_language: String,
    /// `SO-Language`; "" = not sent (live).
    pub language: String,
    /// `SO-Culture`; "" = not sent (live).
    pub culture: String,
    /// `SO-TimeZone`; "" = not sent. Dates are always sent with `Z` (live).
    pub timezone: String,
    /// Time to a connection (live).
    pub connect_timeout: Period,
    /// Time to a complete answer (live).
    pub request_timeout: Period,
    /// A larger request is not sent (live).
    pub max_request: Size,
    /// A larger answer is not read. The API echoes what was posted: an answer may also be six times as large as its
    /// request (live).
    pub max_response: Size,
    /// After a request that got no answer: look the message up before posting again and hold where that cannot be
    /// done, hold at once, or post again (a double is better than a wait; each such post is logged) (live).
    pub after_unknown: AfterUnknown,
    /// The look-up comes no earlier than this after the break: the server may still be at work (live).
    pub verify_after: Period,
    /// A message with this Message-Id, author and date is there already, but not by this queue item: skip it as a
    /// duplicate, post it all the same, or hold it (live).
    pub foreign_copy: ForeignCopy,
    /// The way of delivery. message-only: nothing but the one call of the API page (live).
    pub tickets: Tickets,
    /// API calls at the same time (live).
    pub concurrency: u16,
    /// Failures in a row that open the breaker; then there is only one probe call at a time. A refused sign-in (401) opens
    /// it at once, a 429 only pauses (live).
    pub breaker_failures: u32,
    /// Time between probe calls; after a refused sign-in it doubles each time, up to 15 minutes (live).
    pub breaker_probe: Period,
}

impl Default for Tenant {
    fn default() -> Self {
        Self {
            base_url: String::new(),
            auth: Auth::Inferred,
            allow_http: false,
            token: None,
            username: String::new(),
            password: None,
            app_token: None,
            xsrf_token: None,
            notify: Notify::Never,
            accept_language: String::new(),
            language: "en".to_owned(),
            culture: "en-GB".to_owned(),
            timezone: "UTC, includeTZOffset".to_owned(),
            connect_timeout: Period::secs(10),
            request_timeout: Period::secs(120),
            max_request: Size::mib(50),
            max_response: Size::mib(4),
            after_unknown: AfterUnknown::Search,
            verify_after: Period::secs(30),
            foreign_copy: ForeignCopy::Skip,
            tickets: Tickets::MessageOnly,
            concurrency: 4,
            breaker_failures: 5,
            breaker_probe: Period::secs(30),
        }
    }
}

/// The scheme of the sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// By what is given: `username` → basic, `token` → bearer, neither → none.
    #[serde(rename = "")]
    Inferred,
    /// `Authorization: Basic`, onsite only.
    Basic,
    /// `Authorization: SOTicket`, online together with `app_token`.
    SoTicket,
    /// `Authorization: Bearer`, online only.
    Bearer,
}

/// When the save asks the server to tell its users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Notify {
    /// Never: the parameter is not sent.
    Never,
    /// Only for mail of kind human that may be answered.
    Human,
    /// Always.
    Always,
}

/// What follows a request that got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AfterUnknown {
    /// Look it up; hold where the API cannot be searched.
    Search,
    /// Hold at once.
    Hold,
    /// Post again.
    Post,
}

/// What happens when somebody else has posted the same mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForeignCopy {
    /// The mail is a duplicate.
    Skip,
    /// Post it all the same.
    Post,
    /// Hold it.
    Hold,
}

/// The way of delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tickets {
    /// Nothing but `POST /api/v1/TicketMessage`, with `Ticket` null: the server connects by `MessageId`.
    MessageOnly,
}

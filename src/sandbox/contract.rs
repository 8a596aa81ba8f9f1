//! What the API takes, in our own words: paths, query parameters, headers, and the fields of the bodies with their types,
//! enums, lengths and nullability. Written from the page of `POST /api/v1/TicketMessage` and the database's tables; shares
//! nothing with the code that makes the requests. Pure.
//!
//! What is not in these tables is a violation: the real API may well ignore a misspelt member, and then the mail would
//! arrive without it.

use serde_json::{Map, Value};

/// One call of the API.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// `GET`, `POST`.
    pub method: &'static str,
    /// The path below the base URL.
    pub path: &'static str,
    /// The names of the query parameters and what their values are.
    pub query: &'static [(&'static str, Kind)],
    /// What the body is.
    pub body: Option<&'static Record>,
}

/// An object with known members.
#[derive(Debug, Clone, Copy)]
pub struct Record {
    /// Its name in the API.
    pub name: &'static str,
    /// Its members.
    pub fields: &'static [Field],
    /// All of the API's members are here. Where not, these are the ones that a request of ours may have.
    pub complete: bool,
}

/// One member of a [`Record`].
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// It may be `null`.
    pub nullable: bool,
}

/// What a value is.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A 32-bit integer.
    Int,
    /// `true` or `false`.
    Bool,
    /// ISO 8601, with or without an offset.
    Date,
    /// Text of at most so many UTF-16 code units (the database counts these); 0 = unbounded.
    Text(usize),
    /// One of these names.
    Word(&'static [&'static str]),
    /// An object.
    Object(&'static Record),
    /// An array of objects.
    Array(&'static Record),
    /// An object of texts under any name.
    Texts,
    /// Part of answers only: a request that has it is wrong.
    AnswerOnly,
}

/// The calls.
pub const ROUTES: &[Route] = &[
    Route {
        method: "POST",
        path: "/api/v1/TicketMessage",
        query: &[("notify", Kind::Bool)],
        body: Some(&TICKET_MESSAGE),
    },
    Route {
        method: "GET",
        path: "/api/v1/TicketMessage",
        query: &[
            ("$select", Kind::Text(0)),
            ("$filter", Kind::Text(0)),
            ("$orderBy", Kind::Text(0)),
            ("$entities", Kind::Text(0)),
            ("$top", Kind::Int),
            ("$skip", Kind::Int),
            ("$mode", Kind::Text(0)),
            ("$options", Kind::Text(0)),
            ("$context", Kind::Text(0)),
            ("$format", Kind::Text(0)),
            ("$jsonSafe", Kind::Bool),
            ("$output", Kind::Text(0)),
        ],
        body: None,
    },
];

/// The columns of the archive behind `GET /api/v1/TicketMessage`; those of the ticket begin with `ticket/`.
pub const COLUMNS: &[&str] = &[
    "ticketMessageId",
    "ticketId",
    "messageId",
    "searchTitle",
    "header",
    "author",
    "body",
    "htmlBody",
    "debugInfo",
    "timeSpent",
    "createdAt",
    "important",
    "slevel",
];

/// Headers of the API's own, beside those of HTTP.
pub const HEADERS: &[&str] = &["SO-Language", "SO-Culture", "SO-TimeZone", "SO-AppToken"];

const SLEVEL: Kind = Kind::Word(&["Unknown", "Internal", "External"]);

/// `TicketMessageEntity`
pub const TICKET_MESSAGE: Record = Record {
    name: "TicketMessageEntity",
    complete: true,
    fields: &[
        value("EjMessageId", Kind::Int),
        nullable("Ticket", Kind::Object(&TICKET)),
        value("CreatedAt", Kind::Date),
        nullable("CreatedBy", Kind::Object(&ASSOCIATE)),
        nullable("Author", Kind::Text(255)),
        value("Slevel", SLEVEL),
        value("Type", Kind::Word(&["Unknown", "Plain", "Html"])),
        nullable("MessageId", Kind::Text(850)),
        value("TimeSpent", Kind::Int),
        nullable("Body", Kind::Text(0)),
        nullable("HtmlBody", Kind::Text(0)),
        nullable("EmailHeader", Kind::Text(0)),
        nullable("DebugInfo", Kind::Text(0)),
        nullable("MailSorter", Kind::Text(255)),
        value("MessageCategory", Kind::Word(&["Message", "Bounce", "OutboxFailed"])),
        nullable("Person", Kind::Object(&PERSON)),
        nullable("SearchTitle", Kind::Text(255)),
        nullable("MessageHeaders", Kind::Array(&HEADER)),
        value("Important", Kind::Bool),
        nullable("Language", Kind::Text(10)),
        value("Sentiment", Kind::Int),
        value("SentimentConfidence", Kind::Int),
        value("Badge", Kind::Word(&["Unknown", "Reply", "Forward", "Comment", "Incoming", "Outgoing"])),
        nullable("AttachmentsInfo", Kind::Array(&ATTACHMENT)),
        nullable("ExtraFields", Kind::Texts),
        nullable("CustomFields", Kind::Texts),
        value("TableRight", Kind::AnswerOnly),
        value("FieldProperties", Kind::AnswerOnly),
    ],
};

/// `TicketMessageHeader`
pub const HEADER: Record = Record {
    name: "TicketMessageHeader",
    complete: true,
    fields: &[
        value("Id", Kind::Int),
        nullable("Name", Kind::Text(64)),
        nullable("Value", Kind::Text(0)),
        value(
            "StdItem",
            Kind::Word(&[
                "None",
                "Forward",
                "UnnamedAttachmentBlocked",
                "NoAutoReply",
                "SentAutoReplyToCustomersA",
                "SentAutoReplyToCustomersB",
                "CustomerReadFAQ",
                "ReplyTemplate",
            ]),
        ),
        value("StdItemCol", Kind::Word(&["None", "Name", "Value"])),
        value("TableRight", Kind::AnswerOnly),
        value("FieldProperties", Kind::AnswerOnly),
    ],
};

/// `AttachmentEntity`
pub const ATTACHMENT: Record = Record {
    name: "AttachmentEntity",
    complete: true,
    fields: &[
        value("AttachmentId", Kind::Int),
        nullable("Name", Kind::Text(255)),
        nullable("ContentType", Kind::Text(255)),
        value("AttSize", Kind::Int),
        value("InlineImage", Kind::Bool),
        nullable("ContentId", Kind::Text(255)),
        nullable("AuthKey", Kind::Text(255)),
        value("IsSafeFileExtension", Kind::Bool),
        value("TableRight", Kind::AnswerOnly),
        value("FieldProperties", Kind::AnswerOnly),
    ],
};

/// `Ticket`: a link.
pub const TICKET: Record = Record { name: "Ticket", complete: false, fields: &[value("TicketId", Kind::Int)] };
/// `Associate`: a link.
pub const ASSOCIATE: Record = Record { name: "Associate", complete: false, fields: &[value("AssociateId", Kind::Int)] };
/// `Person`: a link.
pub const PERSON: Record = Record { name: "Person", complete: false, fields: &[value("PersonId", Kind::Int)] };

/// All records.
pub const RECORDS: &[&Record] = &[&TICKET_MESSAGE, &HEADER, &ATTACHMENT, &TICKET, &ASSOCIATE, &PERSON];

const fn value(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, nullable: false }
}

const fn nullable(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, nullable: true }
}

/// What is wrong with the query parameters (already decoded).
#[must_use]
pub fn check_query(route: &Route, query: &[(String, String)]) -> Vec<String> {
    let wrong = |(name, text): &(String, String)| match route.query.iter().find(|(known, _)| known == name) {
        None => Some(format!("query: unknown parameter `{name}`")),
        Some((_, Kind::Bool)) if !matches!(text.to_ascii_lowercase().as_str(), "true" | "false") => {
            Some(format!("query: `{name}` is not a boolean"))
        }
        Some((_, Kind::Int)) if text.parse::<u32>().is_err() => Some(format!("query: `{name}` is not a number")),
        Some(_) => None,
    };
    query.iter().filter_map(wrong).collect()
}

/// What is wrong with the headers (names in any case). `has_body`: a body needs its type.
#[must_use]
pub fn check_headers(headers: &[(String, String)], has_body: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, text) in headers {
        let ours = name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("SO-"));
        if ours && !HEADERS.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            wrong.push(format!("header: unknown `{name}`"));
        }
        if name.eq_ignore_ascii_case("Authorization") && !known_scheme(text) {
            wrong.push("header: `Authorization` is none of Basic, SoTicket, Bearer".to_owned());
        }
        if name.eq_ignore_ascii_case("Accept") && !accepts_json(text) {
            wrong.push(format!("header: `Accept: {text}` does not take JSON"));
        }
    }
    let content_type = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("Content-Type"));
    if has_body && !content_type.is_some_and(|(_, text)| is_json(text)) {
        wrong.push("header: `Content-Type` is not JSON in UTF-8".to_owned());
    }
    wrong
}

/// What is wrong with a body.
#[must_use]
pub fn check_body(record: &Record, body: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    match body {
        Value::Object(members) => check_members(record, record.name, members, &mut wrong),
        _ => wrong.push(format!("body: not an object but {}", described(body))),
    }
    wrong
}

fn check_members(record: &Record, place: &str, members: &Map<String, Value>, wrong: &mut Vec<String>) {
    for (name, value) in members {
        let place = format!("{place}.{name}");
        match record.fields.iter().find(|field| field.name == name) {
            None => wrong.push(format!("{place}: unknown member")),
            Some(field) if value.is_null() && !matches!(field.kind, Kind::AnswerOnly) => {
                if !field.nullable {
                    wrong.push(format!("{place}: may not be null"));
                }
            }
            Some(field) => check_value(field.kind, &place, value, wrong),
        }
    }
}

fn check_value(kind: Kind, place: &str, value: &Value, wrong: &mut Vec<String>) {
    let expected = match (kind, value) {
        (Kind::Int, Value::Number(number)) if number.as_i64().is_some_and(|n| i32::try_from(n).is_ok()) => return,
        (Kind::Bool, Value::Bool(_)) => return,
        (Kind::Date, Value::String(text)) if is_date(text) => return,
        (Kind::Text(max), Value::String(text)) if fits(text, max) => return,
        (Kind::Word(words), Value::String(text)) if words.contains(&text.as_str()) => return,
        (Kind::Texts, Value::Object(members)) if members.values().all(Value::is_string) => return,
        (Kind::Object(record), Value::Object(members)) => return check_members(record, place, members, wrong),
        (Kind::Array(record), Value::Array(items)) => {
            for (n, item) in items.iter().enumerate() {
                check_value(Kind::Object(record), &format!("{place}[{n}]"), item, wrong);
            }
            return;
        }
        (Kind::Int, _) => "a 32-bit integer".to_owned(),
        (Kind::Bool, _) => "a boolean".to_owned(),
        (Kind::Date, _) => "an ISO 8601 date and time".to_owned(),
        (Kind::Text(0), _) => "text".to_owned(),
        (Kind::Text(max), _) => format!("text of at most {max} characters"),
        (Kind::Word(words), _) => format!("one of {}", words.join(", ")),
        (Kind::Texts, _) => "an object of texts".to_owned(),
        (Kind::Object(record), _) => format!("an object {}", record.name),
        (Kind::Array(record), _) => format!("an array of {}", record.name),
        (Kind::AnswerOnly, _) => "absent: it is part of answers only".to_owned(),
    };
    wrong.push(format!("{place}: should be {expected}, is {}", described(value)));
}

/// The value without its text: that may be personal.
fn described(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => format!("text of {} characters", text.encode_utf16().count()),
        Value::Array(items) => format!("an array of {}", items.len()),
        Value::Object(members) => format!("an object of {}", members.len()),
    }
}

fn fits(text: &str, max: usize) -> bool {
    max == 0 || text.encode_utf16().count() <= max
}

/// `2026-11-22T10:02:11`, then perhaps a fraction of 1 to 7 digits, then nothing, `Z` or an offset.
fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    let Some((start, rest)) = bytes.split_at_checked(19) else { return false };
    let civil = std::str::from_utf8(start)
        .is_ok_and(|start| start.as_bytes().get(10) == Some(&b'T') && start.parse::<jiff::civil::DateTime>().is_ok());
    let rest = rest.strip_prefix(b".").map_or(Some(rest), |fraction| {
        let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        fraction.get(digits..).filter(|_| (1..=7).contains(&digits))
    });
    let zone = |zone: &[u8]| match zone {
        b"" | b"Z" => true,
        [b'+' | b'-', a, b, b':', c, d] | [b'+' | b'-', a, b, c, d] => {
            [a, b, c, d].iter().all(|byte| byte.is_ascii_digit())
        }
        _ => false,
    };
    civil && rest.is_some_and(zone)
}

fn known_scheme(authorization: &str) -> bool {
    let Some((scheme, credentials)) = authorization.split_once(' ') else { return false };
    ["Basic", "SoTicket", "Bearer"].iter().any(|known| known.eq_ignore_ascii_case(scheme)) && !credentials.is_empty()
}

fn accepts_json(accept: &str) -> bool {
    let media = |part: &str| part.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    accept.split(',').any(|part| matches!(media(part).as_str(), "application/json" | "text/json" | "*/*"))
}

fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(|part| part.trim().to_ascii_lowercase());
    let media = parts.next().unwrap_or_default();
    let utf8 = parts.all(|parameter| !parameter.starts_with("charset=") || parameter.ends_with("utf-8"));
    matches!(media.as_str(), "application/json" | "text/json") && utf8
}

//! What a mail server's answers mean to us: `imap-proto`'s types made into our own, so that nothing above knows them.

use async_imap::imap_proto::{
    AttributeValue, Capability, MailboxDatum, Outcome, Response, ResponseCode, Status as ProtoStatus,
};
use bytes::Bytes;

use super::error::excerpt;
use super::frame::Literal;
use super::guard::Guard;
use crate::clock::UtcMillis;

/// One response.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    /// `* CAPABILITY`.
    Capabilities(Vec<String>),
    /// `* n EXISTS`.
    Exists(u32),
    /// `* SEARCH`, or a piece of it.
    Search(Vec<u32>),
    /// `* n FETCH`.
    Fetch(Fetched),
    /// `* OK`, `* NO` or `* BAD`: news, never the answer to a command.
    News(Completion),
    /// `* BYE`.
    Bye(String),
    /// `+`.
    Continue(String),
    /// The tagged answer.
    Done(Status, Completion),
    /// Something else.
    Other,
}

/// The status of a tagged answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// `OK`.
    Ok,
    /// `NO`.
    No,
    /// `BAD`.
    Bad,
}

/// Code and text of a status response.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Completion {
    /// What stands in brackets.
    pub(super) code: Option<Code>,
    /// The text, cut and escaped.
    pub(super) text: String,
}

/// A response code (RFC 9051 §7.1, RFC 5530).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Code {
    /// `UIDVALIDITY`.
    UidValidity(u32),
    /// `UIDNEXT`.
    UidNext(u32),
    /// `PERMANENTFLAGS`.
    PermanentFlags(Vec<String>),
    /// `READ-ONLY`.
    ReadOnly,
    /// `CAPABILITY`.
    Capabilities(Vec<String>),
    /// Another one: its word in upper case.
    Word(String),
}

impl Completion {
    /// The word of the code in upper case; empty without one.
    pub(super) fn word(&self) -> &str {
        match &self.code {
            None => "",
            Some(Code::UidValidity(_)) => "UIDVALIDITY",
            Some(Code::UidNext(_)) => "UIDNEXT",
            Some(Code::PermanentFlags(_)) => "PERMANENTFLAGS",
            Some(Code::ReadOnly) => "READ-ONLY",
            Some(Code::Capabilities(_)) => "CAPABILITY",
            Some(Code::Word(word)) => word,
        }
    }
}

/// What one FETCH response told of a mail.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Fetched {
    /// UID.
    pub(super) uid: Option<u32>,
    /// RFC822.SIZE.
    pub(super) size: Option<u32>,
    /// INTERNALDATE.
    pub(super) internal_date: Option<UtcMillis>,
    /// The section that was asked for, when it is there and not NIL.
    pub(super) body: Option<Literal>,
}

/// Translates one response; the guard has its literals.
pub(super) fn translate(response: &Response<'_>, guard: &mut Guard) -> Answer {
    match response {
        Response::Capabilities(list) => Answer::Capabilities(capabilities(list)),
        Response::Continue(outcome) => Answer::Continue(outcome.information.as_deref().unwrap_or_default().to_owned()),
        Response::Done { status, outcome, .. } => done(status, outcome),
        Response::Data { status: ProtoStatus::Bye, outcome } => Answer::Bye(completion(outcome).text),
        Response::Data { outcome, .. } => Answer::News(completion(outcome)),
        Response::MailboxData(MailboxDatum::Exists(count)) => Answer::Exists(*count),
        Response::MailboxData(MailboxDatum::Search(ids)) => Answer::Search(ids.clone()),
        Response::Fetch(_, attributes) => Answer::Fetch(fetched(attributes, guard)),
        _ => Answer::Other,
    }
}

fn done(status: &ProtoStatus, outcome: &Outcome<'_>) -> Answer {
    let status = match status {
        ProtoStatus::Ok => Status::Ok,
        ProtoStatus::No => Status::No,
        ProtoStatus::Bad | ProtoStatus::PreAuth | ProtoStatus::Bye => Status::Bad,
    };
    Answer::Done(status, completion(outcome))
}

fn completion(outcome: &Outcome<'_>) -> Completion {
    let text = outcome.information.as_deref().unwrap_or_default();
    let known = match &outcome.code {
        Some(ResponseCode::UidValidity(value)) => Some(Code::UidValidity(*value)),
        Some(ResponseCode::UidNext(value)) => Some(Code::UidNext(*value)),
        Some(ResponseCode::PermanentFlags(flags)) => {
            Some(Code::PermanentFlags(flags.iter().map(ToString::to_string).collect()))
        }
        Some(ResponseCode::ReadOnly) => Some(Code::ReadOnly),
        Some(ResponseCode::Capabilities(list)) => Some(Code::Capabilities(capabilities(list))),
        Some(ResponseCode::TryCreate) => Some(Code::Word("TRYCREATE".to_owned())),
        _ => None,
    };
    match known.or_else(|| word_of(text)) {
        Some(Code::Word(word)) if word != "TRYCREATE" => {
            let rest = text.split_once(']').map_or(text, |(_, rest)| rest.trim_start());
            Completion { code: Some(Code::Word(word)), text: excerpt(rest) }
        }
        code => Completion { code, text: excerpt(text) },
    }
}

/// imap-proto leaves codes that it does not know in the text.
fn word_of(text: &str) -> Option<Code> {
    let (inside, _) = text.trim_start().strip_prefix('[')?.split_once(']')?;
    let word = inside.split_ascii_whitespace().next()?;
    Some(Code::Word(excerpt(&word.to_ascii_uppercase())))
}

fn capabilities(list: &[Capability<'_>]) -> Vec<String> {
    let word = |capability: &Capability<'_>| match capability {
        Capability::Imap4rev1 => "IMAP4REV1".to_owned(),
        Capability::Auth(mechanism) => format!("AUTH={}", mechanism.to_ascii_uppercase()),
        Capability::Atom(atom) => atom.to_ascii_uppercase(),
    };
    list.iter().map(word).collect()
}

fn fetched(attributes: &[AttributeValue<'_>], guard: &mut Guard) -> Fetched {
    let mut item = Fetched::default();
    for attribute in attributes {
        match attribute {
            AttributeValue::Uid(uid) => item.uid = Some(*uid),
            AttributeValue::Rfc822Size(size) => item.size = Some(*size),
            AttributeValue::InternalDate(text) => item.internal_date = date_of(text, guard),
            AttributeValue::BodySection { index: None | Some(0), data: Some(data), .. } => {
                item.body = Some(body(data, guard))
            }
            _ => {}
        }
    }
    item
}

/// A mark becomes the literal that it stands for; anything else is a quoted string.
fn body(data: &[u8], guard: &mut Guard) -> Literal {
    guard.take_literal(data).unwrap_or_else(|| Literal::Bytes(Bytes::copy_from_slice(data)))
}

fn date_of(text: &str, guard: &mut Guard) -> Option<UtcMillis> {
    match guard.take_literal(text.as_bytes()) {
        Some(Literal::Bytes(bytes)) => internal_date(&String::from_utf8_lossy(&bytes)),
        Some(Literal::Diverted(_)) => None,
        None => internal_date(text),
    }
}

/// `" 2-Nov-2026 10:02:11 +0100"` (RFC 9051 §9 date-time); without a zone it is taken for UTC.
fn internal_date(text: &str) -> Option<UtcMillis> {
    let mut words = text.split_ascii_whitespace();
    let mut date = words.next()?.splitn(3, '-');
    let day: i8 = date.next()?.parse().ok()?;
    let month = month_number(date.next()?)?;
    let year: i16 = date.next()?.parse().ok()?;
    let mut time = words.next()?.splitn(3, ':').map(str::parse::<i8>);
    let (hour, minute, second) = (time.next()?.ok()?, time.next()?.ok()?, time.next()?.ok()?);
    let civil = jiff::civil::DateTime::new(year, month, day, hour, minute, second.min(59), 0).ok()?;
    let utc = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond();
    let offset = words.next().map_or(Some(0), zone_minutes)?;
    Some(UtcMillis(utc.saturating_sub(offset.saturating_mul(60_000))))
}

fn month_number(name: &str) -> Option<i8> {
    const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let at = MONTHS.iter().position(|month| name.eq_ignore_ascii_case(month))?;
    i8::try_from(at).ok()?.checked_add(1)
}

/// `+0130` in minutes.
fn zone_minutes(zone: &str) -> Option<i64> {
    let (sign, digits) = match zone.split_at_checked(1)? {
        ("-", digits) => (-1, digits),
        ("+", digits) => (1, digits),
        _ => return Some(0),
    };
    let number: i64 = digits.parse().ok()?;
    let minutes = number.checked_div(100)?.checked_mul(60)?.checked_add(number.checked_rem(100)?)?;
    minutes.checked_mul(sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(internal_date(text).map(|time| time.to_string()).as_deref(), expected, "{text}");
    }

    #[test]
    fn internal_dates_are_read_with_tolerance() {
        check(" 2-Nov-2026 10:02:11 +0100", Some("2026-11-02T09:02:11.000Z"));
        check("22-NOV-2026 23:59:60 -0230", Some("2026-11-23T02:29:59.000Z"));
        check("01-Jan-1970 00:00:00 +0000", Some("1970-01-01T00:00:00.000Z"));
        check("01-Jan-1970 00:00:00", Some("1970-01-01T00:00:00.000Z"));
        for text in ["", "NIL", "32-Nov-2026 10:02:11 +0100", "2-Foo-2026 10:02:11 +0100", "2-Nov-2026", "-- ::"] {
            check(text, None);
        }
    }

    #[test]
    fn unknown_codes_are_found_in_the_text() {
        let outcome = Outcome { code: None, information: Some("[overquota] Account exceeded".into()) };
        let completion = completion(&outcome);
        assert_eq!((completion.word(), completion.text.as_str()), ("OVERQUOTA", "Account exceeded"));
    }
}

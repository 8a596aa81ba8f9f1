//! Dates of mail headers (RFC 5322 §3.3, §4.3) and the many ways to write them wrongly: words in any order, no zone, a
//! month before the day, twelve hours, ISO 8601, months in other languages. A date that no calendar has is refused.
//!
//! Which date of a mail counts: Date; where it cannot be read, the newest Received that can be trusted; else none, and the
//! mail server's INTERNALDATE takes its place. Trust needs no list of own hosts: a server writes its Received on top of
//! what it got, so the first one comes from whoever put the mail into the mailbox and no sender can write above it. It is
//! believed unless its clock is a day behind most of the others, for a mail does not arrive before it has left.

use jiff::ToSpan;
use jiff::civil;
use jiff::tz::Offset;

use crate::clock::UtcMillis;
use crate::message::header::{Headers, unfold};
use crate::message::model::Defect;

/// No longer beginning of a date is looked at.
const MAX_WORDS: usize = 32;

/// So many Received fields are compared.
const MAX_HOPS: usize = 50;

/// Clocks of servers may differ by a day, in milliseconds.
const DAY: i64 = 86_400_000;

/// 1982-01-01: there was no mail of this format before RFC 822.
const FIRST_MAIL: UtcMillis = UtcMillis(378_691_200_000);

/// The date that counts, and where it stood: `date`, `received` or nothing.
pub(crate) fn of(headers: &Headers<'_>, defects: &mut Vec<Defect>) -> (Option<UtcMillis>, &'static str) {
    let date = headers.all("Date").find_map(|field| parse(&unfold(field.value)));
    let code = match date {
        // A clock that was never set: what the servers say is better, if they say anything.
        Some(date) if date < FIRST_MAIL => "date-too-old",
        Some(date) => return (Some(date), "date"),
        None if headers.has("Date") => "date-unreadable",
        None => "date-missing",
    };
    defects.push(Defect::new(code, ""));
    match (received(headers), date) {
        (Some(received), _) => (Some(received), "received"),
        (None, Some(date)) => (Some(date), "date"),
        (None, None) => (None, ""),
    }
}

/// The newest hop that most others do not speak against.
fn received(headers: &Headers<'_>) -> Option<UtcMillis> {
    let hop = |value: String| {
        let value = without_comments(&value);
        parse_plain(value.rsplit_once(';').map(|(_, date)| date)?)
    };
    let fields = headers.all("Received").take(MAX_HOPS);
    let hops: Vec<_> = fields.filter_map(|field| hop(unfold(field.value))).filter(|date| *date >= FIRST_MAIL).collect();
    let later = |date: UtcMillis| hops.iter().filter(|other| other.0.saturating_sub(date.0) > DAY).count();
    hops.iter().copied().find(|date| later(*date).saturating_mul(2) < hops.len())
}

/// Reads one date.
pub(crate) fn parse(value: &str) -> Option<UtcMillis> {
    parse_plain(&without_comments(value))
}

/// Reads one date without comments.
fn parse_plain(value: &str) -> Option<UtcMillis> {
    let mut parts = Parts::default();
    let words = value.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty());
    for word in words.take(MAX_WORDS) {
        if !(parts.is_empty() && parts.take_iso(word)) {
            parts.take(word);
        }
    }
    parts.resolve()
}

/// Without comments (RFC 5322 §3.2.2). One that nothing closes is the end of what can be read.
fn without_comments(value: &str) -> String {
    let mut depth: usize = 0;
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '(' => depth = depth.saturating_add(1),
            ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 => text.push(c),
            _ => {}
        }
    }
    text
}

/// What the words of a date have said so far.
#[derive(Default)]
struct Parts {
    day: Option<i8>,
    month: Option<i8>,
    year: Option<i16>,
    time: Option<(i8, i8, i8)>,
    offset: Option<i32>,
    afternoon: Option<bool>,
}

impl Parts {
    const fn is_empty(&self) -> bool {
        self.day.is_none() && self.month.is_none() && self.year.is_none() && self.time.is_none()
    }

    /// `2017-05-09T16:54:30Z` and `20170509T165430Z` (ISO 8601).
    fn take_iso(&mut self, word: &str) -> bool {
        let Some((date, time)) = word.split_once(['T', 't']).filter(|(date, _)| date.len() >= 8) else {
            return false;
        };
        let compact = date.len() == 8 && date.bytes().all(|b| b.is_ascii_digit());
        let dashed = compact.then(|| [date.get(..4), date.get(4..6), date.get(6..)].map(Option::unwrap_or_default));
        if !self.take_dashed(&dashed.map_or_else(|| date.to_owned(), |fields| fields.join("-"))) {
            return false;
        }
        let digits = time.bytes().take_while(u8::is_ascii_digit).count();
        if let (4 | 6, Some((clock, zone))) = (digits, time.split_at_checked(digits)) {
            let field = |at: usize| clock.get(at..at.saturating_add(2)).unwrap_or("00");
            self.take_time(&format!("{}:{}:{}{zone}", field(0), field(2), field(4)));
        } else {
            self.take(time);
        }
        true
    }

    fn take(&mut self, word: &str) {
        if word.contains(':') && self.time.is_none() {
            self.take_time(word);
        } else if self.take_dashed(word) {
            // All of day, month and year in one word.
        } else if let Some(month) = month(word).filter(|_| self.month.is_none() || self.year.is_none()) {
            // A later word wins until the year is known: the first may be a weekday that is called like a month.
            self.month = Some(month);
        } else if word.starts_with(['+', '-']) {
            self.offset = self.offset.or_else(|| numeric_zone(word));
        } else if word.starts_with(|c: char| c.is_ascii_digit()) {
            self.take_number(word);
        } else if self.time.is_some() {
            self.take_zone_name(word);
        }
    }

    fn take_time(&mut self, word: &str) {
        let split = word.find(|c: char| !c.is_ascii_digit() && !matches!(c, ':' | '.')).unwrap_or(word.len());
        let (clock, rest) = word.split_at_checked(split).unwrap_or((word, ""));
        let mut fields = clock.split(':').map(|field| field.split('.').next().unwrap_or_default().parse::<i8>());
        let (Some(Ok(hour)), Some(Ok(minute))) = (fields.next(), fields.next()) else {
            return;
        };
        let second = fields.next().and_then(Result::ok).unwrap_or(0);
        self.time = Some((hour, minute, second));
        if !rest.is_empty() {
            self.take(rest);
        }
    }

    /// `21-Nov-1997`, `1997-11-21`, `1997/11/21`, `21.11.1997`; `11/21/1997` where no month has that number.
    fn take_dashed(&mut self, word: &str) -> bool {
        let mut fields = word.splitn(4, ['-', '/', '.']);
        let (Some(first), Some(middle), Some(last), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return false;
        };
        let middle = month(middle).or_else(|| middle.parse().ok());
        let (year, day) = if first.len() == 4 { (first, last) } else { (last, first) };
        let (Some(mut month), Ok(mut day)) = (middle, day.parse::<i8>()) else {
            return false;
        };
        if month > 12 {
            std::mem::swap(&mut month, &mut day);
        }
        (self.month, self.day, self.year) = (Some(month), Some(day), full_year(year));
        true
    }

    fn take_number(&mut self, word: &str) {
        let length = word.bytes().take_while(u8::is_ascii_digit).count();
        let digits = word.get(..length).unwrap_or_default();
        let day = digits.parse::<i8>().ok().filter(|day| (1..=31).contains(day));
        if self.day.is_none() && day.is_some() && length != 4 {
            self.day = day;
        } else if self.year.is_none() {
            self.year = full_year(digits);
        } else if self.time.is_some() && length == 4 {
            // A zone that has lost its sign.
            self.offset = self.offset.or_else(|| numeric_zone(&format!("+{digits}")));
        }
    }

    fn take_zone_name(&mut self, word: &str) {
        match word.to_ascii_uppercase().as_str() {
            "AM" | "A.M." => self.afternoon = Some(false),
            "PM" | "P.M." => self.afternoon = Some(true),
            name => {
                let Some(minutes) = named_zone(name) else {
                    return self.take_glued_zone(word);
                };
                self.offset = self.offset.or_else(|| Some(i32::saturating_mul(minutes, 60)));
            }
        }
    }

    /// `GMT+0200`.
    fn take_glued_zone(&mut self, word: &str) {
        if let Some(at) = word.find(['+', '-']) {
            let (_, zone) = word.split_at_checked(at).unwrap_or_default();
            self.offset = self.offset.or_else(|| numeric_zone(zone));
        }
    }

    fn resolve(self) -> Option<UtcMillis> {
        let (hour, minute, second) = self.time.unwrap_or((0, 0, 0));
        let hour = match (self.afternoon, hour) {
            (Some(true), 1..=11) => hour.saturating_add(12),
            (Some(false), 12) => 0,
            _ => hour,
        };
        // The end of a day is the beginning of the next; a leap second is the first second of the next minute (POSIX).
        let (hour, days) = if (hour, minute, second) == (24, 0, 0) { (0, 1) } else { (hour, 0) };
        let (second, leap) = if second == 60 { (59, 1) } else { (second, 0) };
        let local = civil::DateTime::new(self.year?, self.month?, self.day?, hour, minute, second, 0).ok()?;
        let local = local.checked_add(days.days().seconds(leap)).ok()?;
        let offset = Offset::from_seconds(self.offset.unwrap_or(0)).ok()?;
        offset.to_timestamp(local).ok().map(|time| UtcMillis(time.as_millisecond()))
    }
}

/// `+hhmm`, and what is left of it in the wild: `-600` and `-6` mean six hours.
fn numeric_zone(word: &str) -> Option<i32> {
    let (sign, digits) = word.split_at_checked(1)?;
    let digits: String = digits.chars().filter(|c| *c != ':').take_while(char::is_ascii_digit).take(7).collect();
    let number: i32 = if digits.len() > 6 { return None } else { digits.parse().ok()? };
    let number = if digits.len() <= 2 { number.saturating_mul(100) } else { number };
    let (hours, minutes) = (number.checked_div(100)?, number.checked_rem(100)?);
    if hours > 24 || minutes > 59 {
        return None;
    }
    let seconds = hours.saturating_mul(3600).saturating_add(minutes.saturating_mul(60));
    Some(if sign == "-" { seconds.saturating_neg() } else { seconds })
}

/// Minutes east of Greenwich. RFC 5322 §4.3: a name that means nothing sure, as single letters and `IST`, counts as UTC.
fn named_zone(name: &str) -> Option<i32> {
    let minutes = match name {
        "UT" | "UTC" | "GMT" | "Z" | "WET" => 0,
        "NST" => -210,
        "NDT" => -150,
        "ADT" | "BRT" | "ART" => -180,
        "AST" | "EDT" => -240,
        "EST" | "CDT" => -300,
        "CST" | "MDT" => -360,
        "MST" | "PDT" => -420,
        "PST" | "AKDT" => -480,
        "AKST" => -540,
        "HST" => -600,
        "CET" | "MET" | "MEZ" | "BST" | "WEST" => 60,
        "CEST" | "MEST" | "MESZ" | "EET" | "SAST" => 120,
        "EEST" | "MSK" => 180,
        "MSD" => 240,
        "WIB" => 420,
        "HKT" | "SGT" | "PHT" | "AWST" => 480,
        "JST" | "KST" => 540,
        "ACST" => 570,
        "AEST" => 600,
        "ACDT" => 630,
        "AEDT" => 660,
        "NZST" => 720,
        "NZDT" => 780,
        _ => return None,
    };
    Some(minutes)
}

/// RFC 5322 §4.3, but two digits up to 68 are of this century, as everybody reads them.
fn full_year(digits: &str) -> Option<i16> {
    let year: i16 = digits.parse().ok()?;
    let year = match (digits.len(), year) {
        (1 | 2, 0..=68) => year.saturating_add(2000),
        (1 | 2, _) | (3, _) => year.saturating_add(1900),
        _ => year,
    };
    (1900..=9000).contains(&year).then_some(year)
}

/// A month by the beginning of its name, in English or a language of western Europe.
fn month(word: &str) -> Option<i8> {
    const NAMES: [&[&str]; 12] = [
        &["jan", "gen", "ene", "jän"],
        &["feb", "fév", "fev"],
        &["mar", "mär", "mrz", "mrt", "maa"],
        &["apr", "avr", "abr"],
        &["may", "mai", "maj", "mei", "mag"],
        &["jun", "juin", "giu"],
        &["jul", "juil", "lug"],
        &["aug", "aoû", "aou", "ago"],
        &["sep", "set"],
        &["oct", "okt", "ott", "out"],
        &["nov"],
        &["dec", "dez", "déc", "dic", "des"],
    ];
    let head: String = word.chars().take(4).flat_map(char::to_lowercase).collect();
    let is_name = |names: &&[&str]| names.iter().any(|name| head.starts_with(name));
    NAMES.iter().zip(1..).find(|(names, _)| is_name(names)).map(|(_, number)| number)
}

#[cfg(test)]
mod tests;

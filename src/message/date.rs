//! Dates of mail headers (RFC 5322 §3.3, §4.3) and the many ways to write them wrongly: words in any order, no zone, a
//! month before the day, twelve hours, ISO 8601. A date that no calendar has is refused.

use jiff::civil;
use jiff::tz::Offset;

use crate::clock::UtcMillis;
use crate::message::header::{Headers, unfold};
use crate::message::model::Defect;

/// The Date field, else the newest Received field that can be read (the first one).
pub(crate) fn of(headers: &Headers<'_>, defects: &mut Vec<Defect>) -> Option<UtcMillis> {
    if let Some(date) = headers.all("Date").find_map(|field| parse(&unfold(field.value))) {
        return Some(date);
    }
    let code = if headers.has("Date") { "date-unreadable" } else { "date-missing" };
    defects.push(Defect::new(code, ""));
    headers.all("Received").find_map(|field| {
        let value = unfold(field.value);
        parse(value.rsplit_once(';').map(|(_, date)| date)?)
    })
}

/// Reads one date.
pub(crate) fn parse(value: &str) -> Option<UtcMillis> {
    let mut parts = Parts::default();
    let value = without_comments(value);
    let iso = value.replace('T', " ").replace('Z', " +0000");
    let looks_iso = value.trim_start().chars().take(5).collect::<String>().ends_with('-')
        && value.trim_start().chars().take(4).all(|c| c.is_ascii_digit());
    let text = if looks_iso { iso } else { value };
    for token in text.split(|c: char| c.is_whitespace() || c == ',').filter(|token| !token.is_empty()) {
        parts.take(token);
    }
    parts.resolve()
}

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
    fn take(&mut self, token: &str) {
        if token.contains(':') && self.time.is_none() {
            self.take_time(token);
        } else if self.take_dashed(token) {
            // All of day, month and year in one word.
        } else if let Some(month) = month(token).filter(|_| self.month.is_none()) {
            self.month = Some(month);
        } else if token.starts_with(['+', '-']) {
            self.offset = self.offset.or_else(|| numeric_zone(token));
        } else if token.starts_with(|c: char| c.is_ascii_digit()) {
            self.take_number(token);
        } else if self.time.is_some() {
            self.take_zone_name(token);
        }
    }

    fn take_time(&mut self, token: &str) {
        let split = token.find(|c: char| !c.is_ascii_digit() && !matches!(c, ':' | '.')).unwrap_or(token.len());
        let (clock, rest) = token.split_at_checked(split).unwrap_or((token, ""));
        let mut fields = clock.split(':').map(|field| field.split('.').next().unwrap_or_default().parse::<i8>());
        let (Some(Ok(hour)), Some(Ok(minute))) = (fields.next(), fields.next()) else {
            return;
        };
        let second = fields.next().and_then(Result::ok).unwrap_or(0).min(59);
        self.time = Some((hour, minute, second));
        if !rest.is_empty() {
            self.take(rest);
        }
    }

    /// `21-Nov-1997`, `1997-11-21` and `1997/11/21`.
    fn take_dashed(&mut self, token: &str) -> bool {
        let fields: Vec<&str> = token.split(['-', '/']).collect();
        let [first, middle, last] = fields.as_slice() else {
            return false;
        };
        let month = month(middle).or_else(|| middle.parse().ok());
        let (year, day) = if first.len() == 4 { (first, last) } else { (last, first) };
        let (Some(month), Ok(day)) = (month, day.parse()) else {
            return false;
        };
        (self.month, self.day, self.year) = (Some(month), Some(day), full_year(year));
        true
    }

    fn take_number(&mut self, token: &str) {
        let digits: String = token.chars().take_while(char::is_ascii_digit).collect();
        let day = digits.parse::<i8>().ok().filter(|day| (1..=31).contains(day));
        if self.day.is_none() && day.is_some() && digits.len() != 4 {
            self.day = day;
        } else if self.year.is_none() {
            self.year = full_year(&digits);
        }
    }

    fn take_zone_name(&mut self, token: &str) {
        match token.to_ascii_uppercase().as_str() {
            "AM" | "A.M." => self.afternoon = Some(false),
            "PM" | "P.M." => self.afternoon = Some(true),
            name => {
                let hours = match name {
                    "UT" | "UTC" | "GMT" | "Z" | "WET" => 0,
                    "EST" | "CDT" => -5,
                    "EDT" => -4,
                    "CST" | "MDT" => -6,
                    "MST" | "PDT" => -7,
                    "PST" => -8,
                    "CET" | "MET" | "BST" => 1,
                    "CEST" | "MEST" | "EET" => 2,
                    "JST" => 9,
                    _ => return self.take_glued_zone(token),
                };
                self.offset = self.offset.or_else(|| Some(i32::saturating_mul(hours, 3600)));
            }
        }
    }

    /// `GMT+0200`.
    fn take_glued_zone(&mut self, token: &str) {
        if let Some(at) = token.find(['+', '-']) {
            let (_, zone) = token.split_at_checked(at).unwrap_or_default();
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
        let local = civil::DateTime::new(self.year?, self.month?, self.day?, hour, minute, second, 0).ok()?;
        let offset = Offset::from_seconds(self.offset.unwrap_or(0)).ok()?;
        offset.to_timestamp(local).ok().map(|time| UtcMillis(time.as_millisecond()))
    }
}

/// `+hhmm`, and what is left of it in the wild: `-600` means six hours.
fn numeric_zone(token: &str) -> Option<i32> {
    let (sign, digits) = token.split_at_checked(1)?;
    let digits: String = digits.chars().filter(|c| *c != ':').take_while(char::is_ascii_digit).collect();
    let number: i32 = if digits.len() > 6 { return None } else { digits.parse().ok()? };
    let (hours, minutes) = (number.checked_div(100)?, number.checked_rem(100)?);
    if hours > 24 || minutes > 59 {
        return None;
    }
    let seconds = hours.saturating_mul(3600).saturating_add(minutes.saturating_mul(60));
    Some(if sign == "-" { seconds.saturating_neg() } else { seconds })
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

fn month(token: &str) -> Option<i8> {
    let head: String = token.chars().take(3).collect::<String>().to_ascii_lowercase();
    let names = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    names.iter().zip(1..).find(|(name, _)| **name == head).map(|(_, number)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, expected: Option<&str>) {
        assert_eq!(parse(value).map(|time| time.to_string()).as_deref(), expected, "{value}");
    }

    #[test]
    fn dates_are_read_however_they_are_written() {
        check("Fri, 21 Nov 1997 09:55:06 -0600", Some("1997-11-21T15:55:06.000Z"));
        check("21 Nov 97 09:55 GMT", Some("1997-11-21T09:55:00.000Z"));
        check("Wednesday, April 03, 2002 5:56 AM", Some("2002-04-03T05:56:00.000Z"));
        check("Fri, May 09 2017 16:54:30 -0800", Some("2017-05-10T00:54:30.000Z"));
        check("Wed Jun  9 04:16:07 2004", Some("2004-06-09T04:16:07.000Z"));
        check("Mon, 029 Sep 2008 10:00:00 -600", Some("2008-09-29T16:00:00.000Z"));
        check("2017-05-09T16:54:30Z", Some("2017-05-09T16:54:30.000Z"));
        check("2017-05-09 16:54:30 +02:00", Some("2017-05-09T14:54:30.000Z"));
        check("Thu, 1 Jan 2026 12:30:00 +0100 (CET) trailing", Some("2026-01-01T11:30:00.000Z"));
        check("Tue, 01 Jul 2003 23:59:60 GMT+0200", Some("2003-07-01T21:59:59.000Z"));
    }

    #[test]
    fn what_no_calendar_has_is_refused() {
        for value in
            ["", "yesterday", "31 Feb 2020 10:00:00 +0000", "1 Jan 2020 59:00:00 +0000", "1 Jan 20200 10:00 GMT", "99"]
        {
            check(value, None);
        }
    }
}

//! Status codes in lines of any language: enhanced ones (RFC 3463 §2) and the replies of SMTP (RFC 5321 §4.2.1).

/// The best code that a line tells: an enhanced one, else the class of an SMTP reply as `5.0.0`; empty when it tells none.
pub(crate) fn of(line: &str) -> String {
    let mut best = "";
    let mut rest = line;
    while let Some((code, behind)) = next(rest) {
        if is_better(code, best) {
            best = code;
        }
        rest = behind;
    }
    match (best, reply(line)) {
        ("", Some(class)) => format!("{class}.0.0"),
        _ => best.to_owned(),
    }
}

/// Whether a code says no more than its class.
pub(crate) fn is_vague(code: &str) -> bool {
    code.is_empty() || code.ends_with(".0.0")
}

/// Whether `one` says more than `other`, in the same class.
pub(crate) fn is_better(one: &str, other: &str) -> bool {
    let same_class = other.is_empty() || one.bytes().next() == other.bytes().next();
    same_class && weight(one) > weight(other)
}

/// How much a code says: nothing, its class, its subject, all.
fn weight(code: &str) -> u8 {
    match code {
        "" => 0,
        _ if code.ends_with(".0.0") => 1,
        _ if code.ends_with(".0") => 2,
        _ => 3,
    }
}

/// The first enhanced code and what stands behind it: `5.1.1`, but no part of an IP address or of a version.
fn next(text: &str) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(found) = text.get(at..)?.find(['2', '4', '5']) {
        let begin = at.saturating_add(found);
        let before = begin.checked_sub(1).and_then(|before| bytes.get(before));
        let alone = !before.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/' | b'['));
        if let Some(length) = length(text.get(begin..)?).filter(|_| alone) {
            let end = begin.saturating_add(length);
            return Some((text.get(begin..end)?, text.get(end..)?));
        }
        at = begin.saturating_add(1);
    }
    None
}

/// The length of the code that a text begins with.
fn length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let dot = |at: usize| bytes.get(at) == Some(&b'.');
    // Subjects are numbered up to seven (RFC 3463 §3); a larger number is a version.
    let subject = bytes.get(2).is_some_and(|byte| matches!(byte, b'0'..=b'7'));
    let detail = bytes.get(4..).unwrap_or_default();
    let digits = detail.iter().take(4).take_while(|byte| byte.is_ascii_digit()).count();
    let end = digits.saturating_add(4);
    let shaped = dot(1) && subject && dot(3) && (1..=3).contains(&digits);
    let goes_on = dot(end) && bytes.get(end.saturating_add(1)).is_some_and(u8::is_ascii_digit)
        || bytes.get(end).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'/');
    (shaped && !goes_on).then_some(end)
}

/// The class of the SMTP reply that a line tells: three digits where replies stand, with a blank or a hyphen behind them.
pub(crate) fn reply(line: &str) -> Option<char> {
    const WORDS: &[&str] = &[
        "said", "error", "code", "smtp", "status", "reply", "response", "reason", "answer", "replied", "message",
        "with", "server",
    ];
    let line = line.trim_start_matches(|c: char| !c.is_alphanumeric());
    let mut before = "";
    for word in line.split([' ', '\t']).take(200) {
        let token = word.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        let stands = before.is_empty()
            || before.ends_with([':', ';', '<', '"', '\'', '(', '>', ',', '=', '-'])
            || token.len() < word.len()
            || WORDS.iter().any(|known| ends_with(before.trim_end_matches([':', '.']), known));
        let is_reply = |token: &str| {
            let mut bytes = token.bytes();
            let class = bytes.next().filter(|byte| matches!(byte, b'4' | b'5'))?;
            let second = bytes.next().filter(|byte| matches!(byte, b'0'..=b'7'));
            let third = bytes.next().filter(u8::is_ascii_digit);
            let ends = bytes.next().is_none_or(|byte| matches!(byte, b'-' | b':' | b',' | b';' | b')' | b'"' | b'\''));
            (second.is_some() && third.is_some() && ends).then(|| char::from(class))
        };
        if let Some(class) = is_reply(token).filter(|_| stands) {
            return Some(class);
        }
        if !word.is_empty() {
            before = word;
        }
    }
    None
}

fn ends_with(word: &str, end: &str) -> bool {
    let begin = word.len().saturating_sub(end.len());
    word.get(begin..).is_some_and(|tail| tail.eq_ignore_ascii_case(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &str) {
        assert_eq!(of(line), expected, "{line}");
    }

    #[test]
    fn codes_are_found_where_mail_systems_write_them() {
        check("550 5.1.1 <a@b>: user unknown", "5.1.1");
        check("host mx[192.0.2.5] said: 550-5.7.26 This mail", "5.7.26");
        check("#< #5.1.10 smtp;550 5.1.10 RESOLVER.ADR>", "5.1.10");
        check("(reason: 452 4.2.2 over quota)", "4.2.2");
        check("smtp; 550 5.0.0 554 5.7.1 spam", "5.7.1");
        check("<<< 550 no such user", "5.0.0");
        check("SMTP error from remote mail server: 451 try later", "4.0.0");
        check("550-no", "5.0.0");
    }

    #[test]
    fn other_numbers_are_no_codes() {
        for line in
            ["by 4.3.2.1 with SMTP", "version 5.5.2653.19", "exim/4.92.3", "we have 500 of them", "in 5.1.1a", ""]
        {
            check(line, "");
        }
    }
}

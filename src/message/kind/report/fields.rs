//! The fields of delivery reports (RFC 3464 §2.2, §2.3, RFC 6533 §3), of read receipts (RFC 8098 §3) and of feedback
//! reports (RFC 5965 §3): groups of fields with an empty line between them, folded like headers.

use crate::message::kind::report::{MAX_RECIPIENTS, code, original};
use crate::message::model::{Recipient, Report};

/// Reads the groups of a part into `report`.
pub(crate) fn read(text: &str, report: &mut Report) {
    let mut group = Group::default();
    for (name, value) in lines(text) {
        if name.is_empty() {
            group.end(report);
            continue;
        }
        group.take(&name, &value, report);
    }
    group.end(report);
}

/// Names in lower case with their unfolded values; an empty name is an empty line.
fn lines(text: &str) -> impl Iterator<Item = (String, String)> + '_ {
    let mut lines = text.lines().peekable();
    std::iter::from_fn(move || {
        let line = lines.next()?;
        if line.trim().is_empty() {
            return Some((String::new(), String::new()));
        }
        let (name, value) = line.split_once(':').unwrap_or(("?", ""));
        let mut value = value.trim().to_owned();
        while let Some(more) = lines.next_if(|next| next.starts_with([' ', '\t']) && !next.trim().is_empty()) {
            value.push(' ');
            value.push_str(more.trim());
        }
        Some((name.trim().to_ascii_lowercase(), value))
    })
}

/// What one group says of one recipient.
#[derive(Default)]
struct Group {
    first: String,
    last: String,
    action: String,
    status: String,
    diagnosis: String,
}

impl Group {
    fn take(&mut self, name: &str, value: &str, report: &mut Report) {
        match name {
            "final-recipient" | "original-rcpt-to" | "removal-recipient" if self.last.is_empty() => {
                self.last = address(value);
            }
            "original-recipient" if self.first.is_empty() => self.first = address(value),
            "action" => self.action = action(value),
            "status" => self.status = code::of(value),
            "diagnostic-code" => self.diagnosis = code::of(value),
            // The last one stands in reports whose parts are not separated.
            "original-message-id" | "x-original-message-id" | "message-id" => {
                report.original_message_id = report.original_message_id.take().or_else(|| original::id(value));
            }
            _ => {}
        }
    }

    /// Takes the group over; one that names nobody and no fate is about the whole mail.
    fn end(&mut self, report: &mut Report) {
        let group = std::mem::take(self);
        // The code of the other side is the cause; the status is only what the reporter made of it (RFC 3464 §2.3.6).
        let better = !code::is_vague(&group.diagnosis) || code::is_better(&group.diagnosis, &group.status);
        let status = if better { group.diagnosis } else { group.status };
        // The first address is the one that the sender knows (RFC 3464 §2.3.1).
        let address = if group.first.contains('@') || group.last.is_empty() { group.first } else { group.last };
        let recipient = Recipient { address, action: group.action, status };
        if recipient != Recipient::default() && report.recipients.len() < MAX_RECIPIENTS {
            report.recipients.push(recipient);
        }
    }
}

/// `failed` of `Failed (bounced)`.
pub(crate) fn action(value: &str) -> String {
    let word: String = value.trim().chars().take_while(char::is_ascii_alphabetic).take(20).collect();
    match word.to_ascii_lowercase().as_str() {
        "failed" | "failure" | "fail" => "failed",
        "delayed" | "delay" => "delayed",
        "delivered" | "deliverable" => "delivered",
        "relayed" => "relayed",
        "expanded" => "expanded",
        _ => "",
    }
    .to_owned()
}

/// The address of `rfc822; <a@b>`; the letters that RFC 3461 §4 and RFC 6533 §3 write as codes are letters again.
pub(crate) fn address(value: &str) -> String {
    let (kind, address) = value.split_once(';').unwrap_or(("", value));
    let address = address.trim();
    let address = match address.rsplit_once('<') {
        Some((_, inside)) => inside.split('>').next().unwrap_or_default(),
        None => address.split_whitespace().next().unwrap_or_default(),
    };
    let plain = address.trim_matches(['"', '\'', '<', '>', ',', ';']);
    let decoded = if kind.trim().eq_ignore_ascii_case("utf-8") { decoded(plain) } else { xtext(plain) };
    decoded.chars().filter(|c| !c.is_control() && !c.is_whitespace()).take(320).collect()
}

/// Undoes `\x{20AC}` (RFC 6533 §3, utf-8-addr-xtext).
fn decoded(address: &str) -> String {
    let mut pieces = address.split("\\x{");
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let letter = piece.split_once('}').and_then(|(hex, rest)| {
            let letter = hex.get(..hex.len().min(6)).and_then(|hex| u32::from_str_radix(hex, 16).ok());
            Some((letter.and_then(char::from_u32)?, rest))
        });
        match letter {
            Some((letter, rest)) => {
                plain.push(letter);
                plain.push_str(rest);
            }
            None => plain.extend(["\\x{", piece]),
        }
    }
    plain
}

/// Undoes `+2B` where that can be nothing else (RFC 3461 §4, xtext): `a+20@b` may be the address itself.
fn xtext(address: &str) -> String {
    ["+40", "+2B", "+2b", "+3D", "+3d"]
        .iter()
        .zip(["@", "+", "+", "=", "="])
        .filter(|_| !address.contains('@') || address.contains("+2B") || address.contains("+3D"))
        .fold(address.to_owned(), |address, (code, letter)| address.replace(code, letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str, &str)]) {
        let mut report = Report::default();
        read(text, &mut report);
        let found: Vec<_> = report
            .recipients
            .iter()
            .map(|recipient| (recipient.address.as_str(), recipient.action.as_str(), recipient.status.as_str()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn every_recipient_has_a_fate_of_its_own() {
        let text = "Reporting-MTA: dns; mx.example\n\nFinal-Recipient: rfc822; a@x.example\nAction: failed\n\
                    Status: 5.0.0\nDiagnostic-Code: smtp; 550\n 5.1.1 no such user\n\n\
                    Final-Recipient: rfc822;<b@x.example>\nAction: Delayed (warning)\nStatus: 4.4.1 (no answer)\n";
        check(text, &[("a@x.example", "failed", "5.1.1"), ("b@x.example", "delayed", "4.4.1")]);
        check("\n\n\nstatus:5.2.2\n", &[("", "", "5.2.2")]);
        check("Reporting-MTA: dns; x\n", &[]);
        check(
            "Original-Recipient: rfc822;a@b\nFinal-Recipient: x400; /C=DE\nAction: relayed",
            &[("a@b", "relayed", "")],
        );
    }

    #[test]
    fn addresses_lose_their_disguise() {
        for (value, expected) in [
            ("rfc822; a@b.example", "a@b.example"),
            ("rfc822;Ann <a@b.example>", "a@b.example"),
            ("utf-8; \\x{FC}ber@b.example", "über@b.example"),
            ("rfc822; a+2Bc@b.example", "a+c@b.example"),
            ("rfc822; a+40b.example", "a@b.example"),
            ("rfc822; a+20@b.example", "a+20@b.example"),
            ("a@b", "a@b"),
            ("", ""),
        ] {
            assert_eq!(address(value), expected, "{value}");
        }
    }
}

//! Recipients and fates in the text of a delivery report, by the shapes of lines that mail systems write: an address alone
//! on its line, an address beside a status code, a field of RFC 3464 in the text, the dialogue of SMTP. Sentences are not
//! understood, so the language does not matter.
//!
//! The quoted mail is not searched: reading ends at its first header or at the line that announces it.

use crate::message::kind::report::{MAX_RECIPIENTS, code, fields};
use crate::message::model::Recipient;

/// Lines behind which the quoted mail begins, lower case.
const MARKS: &[&str] = &[
    "original message",
    "message header",
    "message headers",
    "copy of the message",
    "copy of your message",
    "copy of this message",
    "below this line",
    "unsent message",
    "undelivered message",
    "returned message",
    "message follows",
    "message is as follows",
    "mail follows",
    "mail as follows",
    "received is as follows",
    "bounced e-mail",
    "bounced email",
    "ursprüngliche nachricht",
    "message d'origine",
    "mensaje original",
    "mensagem original",
    "messaggio originale",
];

/// Labels in front of a recipient, lower case.
const LABELS: &[&str] = &[
    "recipient",
    "recipients",
    "recipient address",
    "failed recipient",
    "failed recipients",
    "rcpt to",
    "rcpt",
    "to",
    "user",
    "mailbox",
    "address",
    "email address",
    "e-mail address",
    "mail address",
    "target mail address",
    "sent to",
    "intended recipient",
    "original recipient",
    "envelope recipient",
    "empfänger",
    "destinataire",
    "destinatario",
    "destinatário",
];

/// How sure a recipient must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Only as mail systems write: it is asked whether this is a report.
    Strict,
    /// Whoever is named first, when nobody is named in a mail system's way: it is a report.
    Lenient,
}

/// The recipients that a text names, each with what its lines tell; `own` addresses count only where a line is nothing else.
pub(crate) fn read(text: &str, own: &[String], manner: Manner) -> Vec<Recipient> {
    let mut reader = Reader::new(own, manner);
    for line in text.lines() {
        let line = line.trim().trim_start_matches(['|', '>']).trim();
        if line.is_empty() {
            continue;
        }
        if is_end(line, !reader.found.is_empty()) {
            break;
        }
        reader.take(line);
        if reader.found.len() >= MAX_RECIPIENTS {
            break;
        }
    }
    reader.end()
}

/// Whether the quoted mail begins here.
fn is_end(line: &str, found: bool) -> bool {
    let begin: String = line.chars().take(80).collect::<String>().to_lowercase();
    let header = ["received:", "return-path:", "message-id:", "mime-version:", "content-type:"];
    if header.iter().any(|name| begin.starts_with(name)) {
        // Parts that are not separated stand in the text with their headers.
        return !begin.contains("delivery-status") && !begin.contains("text/plain");
    }
    let announces = begin.starts_with("---") || begin.starts_with("***") || begin.ends_with([':', '-', '=']);
    found && announces && MARKS.iter().any(|mark| begin.contains(mark))
}

struct Reader<'a> {
    own: &'a [String],
    manner: Manner,
    found: Vec<Recipient>,
    /// The recipient that was named last.
    current: usize,
    /// Addresses that lines begin with, and others that are named, without a fate.
    leading: Vec<String>,
    named: Option<String>,
    /// Addresses behind a label, without a fate.
    labelled: Vec<String>,
    /// The first code on a line without an address.
    code: String,
    /// An action told for all.
    action: String,
}

impl<'a> Reader<'a> {
    fn new(own: &'a [String], manner: Manner) -> Self {
        Self {
            own,
            manner,
            found: Vec::new(),
            current: 0,
            leading: Vec::new(),
            named: None,
            labelled: Vec::new(),
            code: String::new(),
            action: String::new(),
        }
    }

    fn take(&mut self, line: &str) {
        let lower: String = line.chars().take(24).collect::<String>().to_ascii_lowercase();
        if let Some(name) = ["final-recipient:", "original-recipient:", "action:", "status:", "diagnostic-code:"]
            .iter()
            .find(|name| lower.starts_with(**name))
        {
            return self.field(name, line.get(name.len()..).unwrap_or_default());
        }
        if lower.contains("mail from") || lower.starts_with("from:") || lower.starts_with("reporting-mta") {
            return;
        }
        let told = code::of(line);
        let told = if told.starts_with('2') { String::new() } else { told };
        if let Some((address, behind)) = leading(line) {
            // `<a@b>:` and `a@b` are as mail systems list recipients; anything else behind it must tell a fate.
            if behind.is_empty() || !told.is_empty() || behind.starts_with(':') && line.starts_with('<') {
                return self.add(address, told);
            }
            if self.leading.len() < MAX_RECIPIENTS && !self.is_own(address) {
                self.leading.push(address.to_owned());
            }
        }
        match address(line, self.own) {
            Some(address) if !told.is_empty() => self.add(address, told),
            Some(address) => {
                if self.labelled.len() < MAX_RECIPIENTS && is_labelled(line) {
                    self.labelled.push(address.to_owned());
                }
                self.named.get_or_insert_with(|| address.to_owned());
            }
            None => self.tell(told),
        }
    }

    fn is_own(&self, address: &str) -> bool {
        self.own.iter().any(|own| own.eq_ignore_ascii_case(address))
    }

    /// A field of RFC 3464 in a text.
    fn field(&mut self, name: &str, value: &str) {
        match name {
            "final-recipient:" | "original-recipient:" => {
                let address = fields::address(value);
                if !address.is_empty() {
                    self.add(&address, String::new());
                }
            }
            "action:" => match self.found.get_mut(self.current) {
                Some(last) => last.action = fields::action(value),
                None => self.action = fields::action(value),
            },
            _ => self.tell(code::of(value)),
        }
    }

    fn add(&mut self, address: &str, told: String) {
        let same = |other: &Recipient| other.address.eq_ignore_ascii_case(address);
        self.current = self.found.iter().position(same).unwrap_or(self.found.len());
        match self.found.get_mut(self.current) {
            Some(known) if code::is_better(&told, &known.status) => known.status = told,
            Some(_) => {}
            None => self.found.push(Recipient { address: address.to_owned(), action: String::new(), status: told }),
        }
    }

    /// A code without an address is about the last recipient, or about all when none is named yet.
    fn tell(&mut self, told: String) {
        let status = self.found.get_mut(self.current).map_or(&mut self.code, |last| &mut last.status);
        if code::is_better(&told, status) {
            *status = told;
        }
    }

    /// Nobody is named in a mail system's way: the beginning of a line, a label, or any address must do.
    fn guess(&mut self) {
        let fate = !self.code.is_empty() || !self.action.is_empty();
        let lenient = self.manner == Manner::Lenient;
        let mut addresses = Vec::new();
        if lenient {
            addresses = std::mem::take(&mut self.leading);
        }
        if addresses.is_empty() && (fate || lenient) {
            addresses = std::mem::take(&mut self.labelled);
        }
        if addresses.is_empty() && lenient {
            addresses.extend(self.named.take());
        }
        for address in addresses {
            self.add(&address, String::new());
        }
        if self.found.is_empty() && fate {
            self.found.push(Recipient::default());
        }
    }

    fn end(mut self) -> Vec<Recipient> {
        if self.found.is_empty() {
            self.guess();
        }
        // A list of recipients may share the reason that stands behind or in front of it.
        let last = self.found.iter().rev().map(|recipient| &recipient.status).find(|status| !status.is_empty());
        let shared = last.filter(|_| self.code.is_empty()).unwrap_or(&self.code).clone();
        for recipient in self.found.iter_mut().filter(|recipient| recipient.status.is_empty()) {
            recipient.status.clone_from(&shared);
        }
        for recipient in self.found.iter_mut().filter(|recipient| recipient.action.is_empty()) {
            recipient.action.clone_from(&self.action);
        }
        self.found
    }
}

/// The address that a line begins with, perhaps in brackets or behind a bullet, and what stands behind it.
fn leading(line: &str) -> Option<(&str, &str)> {
    let inner = line.trim_start_matches(|c: char| "<[(\"'*-•·:".contains(c) || c.is_whitespace());
    let end = inner.find(|c: char| c.is_whitespace() || "<>[]()\"',;:".contains(c)).unwrap_or(inner.len());
    let (address, behind) = inner.split_at_checked(end)?;
    let address = address.trim_end_matches(['.', '-', '!', '?']);
    is_address(address).then(|| (address, behind.trim_start_matches(['>', ']', ')', '"', '\'', '.', ',', ';']).trim()))
}

/// The first address of a line that is not one of ours.
fn address<'a>(line: &'a str, own: &[String]) -> Option<&'a str> {
    let words = line.split(|c: char| c.is_whitespace() || "<>[]()\"',;:=".contains(c));
    words
        .map(|word| word.trim_matches(['.', '-', '!', '?', '*', '{', '}']))
        .take(400)
        .find(|word| is_address(word) && !own.iter().any(|own| own.eq_ignore_ascii_case(word)) && !is_system(word))
}

fn is_system(address: &str) -> bool {
    let begin: String = address.chars().take(16).collect::<String>().to_ascii_lowercase();
    ["postmaster@", "mailer-daemon@"].iter().any(|system| begin.starts_with(system))
}

fn is_address(word: &str) -> bool {
    let Some((local, domain)) = word.rsplit_once('@') else {
        return false;
    };
    let name = |c: char| c.is_alphanumeric() || ".-_".contains(c);
    (1..=128).contains(&local.len())
        && (1..=255).contains(&domain.len())
        && !local.contains(['@', '/', '\\'])
        && domain.starts_with(char::is_alphanumeric)
        && domain.chars().all(name)
}

fn is_labelled(line: &str) -> bool {
    let Some((label, _)) = line.split_once(':') else {
        return false;
    };
    let label: String = label.trim_start_matches(['*', '-', ' ']).chars().take(30).collect::<String>().to_lowercase();
    LABELS.contains(&label.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str)]) {
        let found = read(text, &["us@example.org".to_owned()], Manner::Strict);
        let found: Vec<_> = found.iter().map(|one| (one.address.as_str(), one.status.as_str())).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn mail_systems_have_their_ways_to_name_a_recipient() {
        check(
            "I'm afraid.\n\n<a@b.example>:\nhost said: 550 5.1.1 no\n\n--- Below this line is a copy of the message.\n<x@y>:",
            &[("a@b.example", "5.1.1")],
        );
        check(
            "The following address(es) failed:\n\n  a@b.example\n    SMTP error: 550 5.7.1 spam\n  c@b.example\n    452 full",
            &[("a@b.example", "5.7.1"), ("c@b.example", "4.0.0")],
        );
        check("<a@b.example> (reason: 554 5.4.4 gone)", &[("a@b.example", "5.4.4")]);
        check(
            ">>> MAIL From:<us@example.org>\n>>> RCPT To:<a@b.example>\n<<< 550 5.1.1 <a@b.example>... User unknown",
            &[("a@b.example", "5.1.1")],
        );
        check("   Status: 5.2.2\n   Final-Recipient: rfc822; a@b.example\n", &[("a@b.example", "5.2.2")]);
        check("550 - no such user\n  MAIL FROM: us@example.org\n  RCPT TO: a@b.example", &[("a@b.example", "5.0.0")]);
        check("Remote server returned '550 5.1.10 RESOLVER'", &[("", "5.1.10")]);
    }

    #[test]
    fn in_a_report_anybody_may_be_meant() {
        for text in [
            "a@b.example: Domain does not exist",
            "a@b.example [User unknown]",
            "There was an error delivering your mail to <a@b.example>.",
            "Message could not be delivered.\n\nOriginal Message:\nFrom: us@example.org\nTo: a@b.example",
            "Address: <a@b.example>, host not reachable",
            "Your message\n  To: c@d.example\ndid not reach:\na@b.example on Fri, 20 Jul 2001",
        ] {
            let found = read(text, &["us@example.org".to_owned()], Manner::Lenient);
            assert_eq!(found.first().map(|one| one.address.as_str()), Some("a@b.example"), "{text}");
        }
    }

    #[test]
    fn people_s_texts_name_nobody() {
        check("Hello,\n\nplease write to a@b.example or call 550 5555.\n", &[]);
        check("a@b.example is right, is it not?", &[]);
        check("", &[]);
    }

    #[test]
    fn the_quoted_mail_is_not_searched() {
        check(
            "<a@b.example>:\nno\n\nReceived: from x\nTo: c@d.example\n<c@d.example>: 550 5.1.1",
            &[("a@b.example", "")],
        );
    }
}

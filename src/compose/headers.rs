//! `MessageHeaders`: the headers that are shown with the message, people first, then the configured ones, then the verdict
//! about automatic mail for whoever works on the ticket.

use crate::compose::lengths::Fitting;
use crate::entity::message::{StdItem, TicketMessageHeader};
use crate::message::{Address, Kind, Message, Recipient};

/// The name under which the kind of an automatic mail is shown: `auto_reply; oof`.
const KIND: &str = "X-MailBridge-Kind";
/// The name under which the recipients of a report are shown: `ann@example.org (failed 5.1.1)`.
const BOUNCED: &str = "X-MailBridge-Bounced";
/// The name under which the Message-Id of the mail that a report is about is shown.
const ORIGINAL: &str = "X-MailBridge-Original-Message-Id";
/// So many recipients of a report are shown.
const MAX_BOUNCED: usize = 20;

/// Makes the list.
pub(crate) fn of(message: &Message, fitting: &mut Fitting) -> Vec<TicketMessageHeader> {
    let people = [("To", &message.to), ("Cc", &message.cc), ("Bcc", &message.bcc), ("Reply-To", &message.reply_to)];
    let mut list: Vec<TicketMessageHeader> = people
        .into_iter()
        .filter(|(_, addresses)| !addresses.is_empty())
        .map(|(name, addresses)| shown(name, joined(addresses), fitting))
        .collect();
    let listed = message.headers.iter().map(|header| {
        // The sender too is shown as it was understood; one without an address as it stands.
        let is_sender = header.name.eq_ignore_ascii_case("From") && !message.from.is_empty();
        let value = if is_sender { joined(&message.from) } else { header.value.clone() };
        shown(&header.name, value, fitting)
    });
    list.extend(listed);
    if !message.may_answer {
        let kind = shown(KIND, kind(message), fitting);
        list.push(TicketMessageHeader { std_item: StdItem::NoAutoReply, ..kind });
    }
    if let Some(report) = &message.report {
        if message.kind == Kind::Bounce && !report.recipients.is_empty() {
            list.push(shown(BOUNCED, fates(&report.recipients), fitting));
        }
        list.extend(report.original_message_id.iter().map(|id| shown(ORIGINAL, format!("<{id}>"), fitting)));
    }
    list
}

/// The kind, and what more is known of it.
fn kind(message: &Message) -> String {
    match message.variety {
        Some(variety) => format!("{}; {}", message.kind.as_str(), variety.as_str()),
        None => message.kind.as_str().to_owned(),
    }
}

/// The recipients with their fates; how many more there are.
fn fates(recipients: &[Recipient]) -> String {
    let mut told: Vec<String> = recipients.iter().take(MAX_BOUNCED).map(fate).collect();
    let more = recipients.len().saturating_sub(MAX_BOUNCED);
    if more > 0 {
        told.push(format!("and {more} more"));
    }
    told.join(", ")
}

fn fate(recipient: &Recipient) -> String {
    let words = [recipient.action.as_str(), recipient.status.as_str()];
    let fate = words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    match (recipient.address.is_empty(), fate.is_empty()) {
        (_, true) => recipient.address.clone(),
        (true, false) => format!("({fate})"),
        (false, false) => format!("{} ({fate})", recipient.address),
    }
}

fn shown(name: &str, value: String, fitting: &mut Fitting) -> TicketMessageHeader {
    let name = fitting.fit("MessageHeaders.Name", name, 64);
    TicketMessageHeader { name: Some(name), value: Some(value), ..TicketMessageHeader::default() }
}

/// `Ann <ann@example.org>, "Doe, John" <john@example.org>`
fn joined(addresses: &[Address]) -> String {
    addresses.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// A name with characters that would end it is quoted (RFC 5322 §3.2.4). The other form of an international domain stands
/// behind the address in a comment, so that the address itself stays the one that mail goes to.
fn one(address: &Address) -> String {
    let other = address.other_domain().map(|domain| format!(" ({domain})")).unwrap_or_default();
    let (name, address) = (&address.name, &address.address);
    if name.is_empty() {
        return format!("{address}{other}");
    }
    if name.contains(|c| "()<>[]:;@\\,.\"".contains(c)) {
        let name = name.replace('\\', "\\\\").replace('"', "\\\"");
        return format!("\"{name}\" <{address}>{other}");
    }
    format!("{name} <{address}>{other}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Depth, Rules, parse};

    #[test]
    fn a_fate_is_told_as_far_as_it_is_known() {
        for (address, action, status, expected) in [
            ("a@b", "failed", "5.1.1", "a@b (failed 5.1.1)"),
            ("a@b", "", "4.2.2", "a@b (4.2.2)"),
            ("", "delayed", "", "(delayed)"),
            ("a@b", "", "", "a@b"),
        ] {
            let [address, action, status] = [address, action, status].map(str::to_owned);
            assert_eq!(fate(&Recipient { address, action, status }), expected);
        }
        let many = vec![Recipient { address: "a@b".to_owned(), ..Recipient::default() }; MAX_BOUNCED + 2];
        assert!(fates(&many).ends_with("a@b, and 2 more"));
    }

    #[test]
    fn names_are_quoted_where_they_must_be() {
        for (name, expected) in
            [("", "a@b"), ("Ann", "Ann <a@b>"), ("Doe, John", "\"Doe, John\" <a@b>"), ("a\"b", "\"a\\\"b\" <a@b>")]
        {
            assert_eq!(one(&Address { name: name.to_owned(), address: "a@b".to_owned() }), expected);
        }
    }

    #[test]
    fn an_international_domain_is_shown_in_both_forms() {
        for (name, address, expected) in [
            ("Ann", "ann@xn--bcher-kva.example", "Ann <ann@xn--bcher-kva.example> (bücher.example)"),
            ("", "ann@bücher.example", "ann@bücher.example (xn--bcher-kva.example)"),
            // It looks like another one.
            ("", "ann@xn--80ak6aa92e.com", "ann@xn--80ak6aa92e.com"),
        ] {
            assert_eq!(one(&Address { name: name.to_owned(), address: address.to_owned() }), expected);
        }
    }

    #[track_caller]
    fn from(value: &str, expected: &str) {
        let message = parse(format!("From: {value}\n\nx").as_bytes(), &Rules::default(), Depth::Full);
        let list = of(&message, &mut Fitting::default());
        let found = list.into_iter().find(|header| header.name.as_deref() == Some("From"));
        assert_eq!(found.and_then(|header| header.value).as_deref(), Some(expected));
    }

    #[test]
    fn a_sender_is_shown_as_it_was_understood() {
        from("=?utf-8?q?x=0D=0ATo:_c@d?= <a@b>", "\"x To: c@d\" <a@b>");
        from("Ann <a\u{200b}b@c>", "Ann <a\u{fffd}b@c>");
        from("MAILER-DAEMON (Mail System)", "MAILER-DAEMON (Mail System)");
    }
}

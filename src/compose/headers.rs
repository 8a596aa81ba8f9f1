//! `MessageHeaders`: the headers that are shown with the message, people first, then the configured ones, then the verdict
//! about automatic mail for whoever works on the ticket.

use crate::compose::lengths::Fitting;
use crate::entity::message::{StdItem, TicketMessageHeader};
use crate::message::{Address, Message};

/// The name under which the kind of an automatic mail is shown.
const KIND: &str = "X-MailBridge-Kind";

/// Makes the list.
pub(crate) fn of(message: &Message, fitting: &mut Fitting) -> Vec<TicketMessageHeader> {
    let people = [("To", &message.to), ("Cc", &message.cc), ("Bcc", &message.bcc), ("Reply-To", &message.reply_to)];
    let mut list: Vec<TicketMessageHeader> = people
        .into_iter()
        .filter(|(_, addresses)| !addresses.is_empty())
        .map(|(name, addresses)| shown(name, joined(addresses), fitting))
        .collect();
    list.extend(message.headers.iter().map(|header| shown(&header.name, header.value.clone(), fitting)));
    if !message.may_answer {
        let kind = shown(KIND, message.kind.as_str().to_owned(), fitting);
        list.push(TicketMessageHeader { std_item: StdItem::NoAutoReply, ..kind });
    }
    list
}

fn shown(name: &str, value: String, fitting: &mut Fitting) -> TicketMessageHeader {
    let name = fitting.fit("MessageHeaders.Name", name, 64);
    TicketMessageHeader { name: Some(name), value: Some(value), ..TicketMessageHeader::default() }
}

/// `Ann <ann@example.org>, "Doe, John" <john@example.org>`
fn joined(addresses: &[Address]) -> String {
    addresses.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// A name with characters that would end it is quoted (RFC 5322 §3.2.4).
fn one(address: &Address) -> String {
    if address.name.is_empty() {
        return address.address.clone();
    }
    if address.name.contains(|c| "()<>[]:;@\\,.\"".contains(c)) {
        let name = address.name.replace('\\', "\\\\").replace('"', "\\\"");
        return format!("\"{name}\" <{}>", address.address);
    }
    format!("{} <{}>", address.name, address.address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_where_they_must_be() {
        for (name, expected) in
            [("", "a@b"), ("Ann", "Ann <a@b>"), ("Doe, John", "\"Doe, John\" <a@b>"), ("a\"b", "\"a\\\"b\" <a@b>")]
        {
            assert_eq!(one(&Address { name: name.to_owned(), address: "a@b".to_owned() }), expected);
        }
    }
}

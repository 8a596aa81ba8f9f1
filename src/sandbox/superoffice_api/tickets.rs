//! What the API holds: ticket messages and their tickets, how a message is saved, and how messages are searched.

use std::time::Instant;

use serde_json::{Map, Value, json};

/// One saved message.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its key.
    pub ej_message_id: u32,
    /// The ticket that it was put on.
    pub ticket_id: u32,
    /// When.
    pub at: Instant,
    /// The entity as it was answered: what was posted, with `EjMessageId` and `Ticket`.
    pub entity: Value,
}

/// All messages.
#[derive(Debug, Default)]
pub(super) struct Tickets {
    pub(super) messages: Vec<Stored>,
    tickets: u32,
}

impl Tickets {
    /// Saves a message: a known `EjMessageId` is replaced, everything else is new. A message without a ticket joins the
    /// one of the message that its header names in `In-Reply-To` or `References`, or begins one.
    pub(super) fn save(&mut self, entity: Map<String, Value>) -> Value {
        let named = entity.get("EjMessageId").and_then(Value::as_u64);
        let known = self.messages.iter().position(|stored| Some(u64::from(stored.ej_message_id)) == named);
        let given = entity.get("Ticket").and_then(|ticket| ticket.get("TicketId")).and_then(Value::as_u64);
        let given = given.and_then(|id| u32::try_from(id).ok()).filter(|id| *id > 0);
        let ticket_id = given.or_else(|| self.referenced(&entity)).unwrap_or_else(|| self.new_ticket());
        let next = u32::try_from(self.messages.len()).unwrap_or(u32::MAX).saturating_add(1001);
        let kept = known.and_then(|index| self.messages.get(index)).map(|stored| stored.ej_message_id);
        let ej_message_id = kept.unwrap_or(next);
        let entity = echoed(entity, ej_message_id, ticket_id);
        let stored = Stored { ej_message_id, ticket_id, at: Instant::now(), entity: entity.clone() };
        match known.and_then(|index| self.messages.get_mut(index)) {
            Some(old) => *old = stored,
            None => self.messages.push(stored),
        }
        entity
    }

    fn new_ticket(&mut self) -> u32 {
        self.tickets = self.tickets.saturating_add(1);
        self.tickets.saturating_add(5000)
    }

    /// The ticket of the newest message that the header block refers to.
    fn referenced(&self, entity: &Map<String, Value>) -> Option<u32> {
        let header =
            entity.get("EmailHeader")?.as_str()?.replace("\r\n", "\n").replace("\n ", " ").replace("\n\t", " ");
        let of_thread = |line: &&str| {
            let name = line.split(':').next().unwrap_or_default();
            name.eq_ignore_ascii_case("In-Reply-To") || name.eq_ignore_ascii_case("References")
        };
        let references: Vec<&str> = header.lines().filter(of_thread).collect();
        let names = |stored: &&Stored| {
            let id = text(&stored.entity, "MessageId").trim().trim_matches(['<', '>']).to_owned();
            !id.is_empty() && references.iter().any(|line| line.contains(&id))
        };
        self.messages.iter().rev().find(names).map(|stored| stored.ticket_id)
    }

    /// The rows of an archive query, newest or oldest first, or what is wrong with the query.
    pub(super) fn search(&self, query: &[(String, String)]) -> Result<Vec<Value>, String> {
        let parameter = |name: &str| query.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str());
        let ids = filter_ids(parameter("$filter").ok_or("$filter is missing")?)?;
        let columns: Vec<&str> = parameter("$select").unwrap_or("ticketMessageId").split(',').map(str::trim).collect();
        let found = self.messages.iter().filter(|stored| ids.contains(&text(&stored.entity, "MessageId").to_owned()));
        let mut rows = found.map(|stored| row(stored, &columns)).collect::<Result<Vec<_>, _>>()?;
        match parameter("$orderBy") {
            None | Some("ticketMessageId" | "ticketMessageId asc") => {}
            Some("ticketMessageId desc") => rows.reverse(),
            Some(other) => return Err(format!("$orderBy `{other}` is not known here")),
        }
        Ok(rows)
    }
}

/// What is answered: the entity, its keys, and what only answers have.
fn echoed(mut entity: Map<String, Value>, ej_message_id: u32, ticket_id: u32) -> Value {
    entity.insert("EjMessageId".to_owned(), ej_message_id.into());
    entity.insert("Ticket".to_owned(), json!({ "TicketId": ticket_id }));
    entity.insert("TableRight".to_owned(), Value::Null);
    let right = json!({ "FieldRight": null, "FieldType": "System.Int32", "FieldLength": 0 });
    entity.insert("FieldProperties".to_owned(), json!({ "EjMessageId": right }));
    Value::Object(entity)
}

fn row(stored: &Stored, columns: &[&str]) -> Result<Value, String> {
    let mut row = Map::new();
    row.insert("PrimaryKey".to_owned(), stored.ej_message_id.to_string().into());
    row.insert("EntityName".to_owned(), "ticketMessage".into());
    for column in columns {
        row.insert((*column).to_owned(), cell(stored, column)?);
    }
    Ok(Value::Object(row))
}

fn cell(stored: &Stored, column: &str) -> Result<Value, String> {
    let member = |name: &str| stored.entity.get(name).cloned().unwrap_or(Value::Null);
    Ok(match column {
        "ticketMessageId" => stored.ej_message_id.into(),
        "ticketId" | "ticket/ticketId" => stored.ticket_id.into(),
        "ticket/status" => "Active".into(),
        "ticket/connectId" => Value::from(-1),
        "messageId" => member("MessageId"),
        "searchTitle" => member("SearchTitle"),
        "header" => member("EmailHeader"),
        "author" => member("Author"),
        "body" => member("Body"),
        "htmlBody" => member("HtmlBody"),
        "debugInfo" => member("DebugInfo"),
        "timeSpent" => member("TimeSpent"),
        "createdAt" => member("CreatedAt"),
        "important" => member("Important"),
        "slevel" => member("Slevel"),
        _ => return Err(format!("$select: there is no column `{column}`")),
    })
}

/// The ids of `messageId in ('a','b')` and `messageId eq 'a'`; a quote within an id is doubled.
fn filter_ids(filter: &str) -> Result<Vec<String>, String> {
    let unknown = || format!("$filter: only `messageId in (…)` and `messageId eq '…'` are known here, not `{filter}`");
    let rest = filter.trim().strip_prefix("messageId ").ok_or_else(unknown)?.trim();
    let list = match rest.strip_prefix("eq ") {
        Some(one) => one.trim(),
        None => {
            let list = rest.strip_prefix("in").ok_or_else(unknown)?.trim();
            list.strip_prefix('(').and_then(|list| list.strip_suffix(')')).ok_or_else(unknown)?
        }
    };
    quoted_list(list).ok_or_else(unknown)
}

fn quoted_list(list: &str) -> Option<Vec<String>> {
    let mut ids = Vec::new();
    let mut characters = list.trim().chars().peekable();
    loop {
        (characters.next()? == '\'').then_some(())?;
        let mut id = String::new();
        loop {
            match characters.next()? {
                '\'' if characters.next_if_eq(&'\'').is_none() => break,
                other => id.push(other),
            }
        }
        ids.push(id);
        while characters.next_if_eq(&' ').is_some() {}
        match characters.next() {
            None => return Some(ids),
            Some(',') => while characters.next_if_eq(&' ').is_some() {},
            Some(_) => return None,
        }
    }
}

fn text<'a>(entity: &'a Value, name: &str) -> &'a str {
    entity.get(name).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn save(tickets: &mut Tickets, entity: Value) -> (u64, u64) {
        let Value::Object(entity) = entity else { panic!("not an object") };
        let answer = tickets.save(entity);
        (answer["EjMessageId"].as_u64().unwrap(), answer["Ticket"]["TicketId"].as_u64().unwrap())
    }

    #[test]
    fn a_reply_joins_the_ticket_that_its_header_names() {
        let mut tickets = Tickets::default();
        assert_eq!(save(&mut tickets, json!({"MessageId": "<a@x>"})), (1001, 5001));
        assert_eq!(save(&mut tickets, json!({"MessageId": "<b@x>"})), (1002, 5002));
        let header = "Subject: re\r\nReferences: <z@x>\r\n <a@x>\r\n";
        assert_eq!(save(&mut tickets, json!({"MessageId": "<c@x>", "EmailHeader": header})), (1003, 5001));
        assert_eq!(save(&mut tickets, json!({"MessageId": "", "Ticket": {"TicketId": 7}})), (1004, 7));
        assert_eq!(save(&mut tickets, json!({"EjMessageId": 1002, "Ticket": {"TicketId": 7}})), (1002, 7));
    }

    #[track_caller]
    fn check(filter: &str, expected: Option<&[&str]>) {
        let expected = expected.map(|ids| ids.iter().map(|id| (*id).to_owned()).collect());
        assert_eq!(filter_ids(filter).ok(), expected, "{filter}");
    }

    #[test]
    fn filters_are_read() {
        check("messageId in ('<a@x>','a@x')", Some(&["<a@x>", "a@x"]));
        check("messageId in ( 'a' , 'it''s' )", Some(&["a", "it's"]));
        check("messageId eq 'a'", Some(&["a"]));
        check("messageId in ('a'", None);
        check("messageid eq 'a'", None);
        check("messageId eq a", None);
    }
}

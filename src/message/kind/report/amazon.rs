//! The notifications of Amazon's mail service: JSON in the text of a mail, perhaps as a string inside other JSON, perhaps
//! with a text behind it. What is no such JSON says nothing.

use serde_json::{Deserializer, Value};

use crate::message::kind::report::{MAX_RECIPIENTS, code, fields, original, window};
use crate::message::model::{Recipient, Report};

/// What is told: `bounce`, `complaint`, `delivery`. Also of a notification that was cut.
pub(crate) fn kind(text: &str) -> Option<String> {
    let begin = window(text).replace('\\', "");
    let (_, behind) = begin.split_once("\"notificationType\"").or_else(|| begin.split_once("\"eventType\""))?;
    let (_, word) = behind.split_once('"').filter(|(between, _)| between.trim() == ":")?;
    let word: String = word.chars().take_while(char::is_ascii_alphabetic).take(20).collect();
    Some(word.to_ascii_lowercase())
}

/// Whom it is about.
pub(crate) fn read(text: &str) -> Report {
    let Some(json) = json(text) else {
        return Report::default();
    };
    let lists = ["/bounce/bouncedRecipients", "/complaint/complainedRecipients"];
    let all = lists.iter().filter_map(|path| json.pointer(path)).filter_map(Value::as_array).flatten();
    let word = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let recipient = |value: &Value| {
        let (status, diagnosis) = (code::of(&word(value, "status")), code::of(&word(value, "diagnosticCode")));
        Recipient {
            address: fields::address(&word(value, "emailAddress")),
            action: fields::action(&word(value, "action")),
            status: if code::is_better(&diagnosis, &status) { diagnosis } else { status },
        }
    };
    let recipients = all.take(MAX_RECIPIENTS).map(recipient).collect();
    Report { recipients, original_message_id: id_of(&json) }
}

/// The id of the mail that it is about.
pub(crate) fn message_id(text: &str) -> Option<String> {
    id_of(&json(text)?)
}

/// The service's own id is no Message-Id: only the headers tell that.
fn id_of(json: &Value) -> Option<String> {
    let common = json.pointer("/mail/commonHeaders/messageId").and_then(Value::as_str).and_then(original::id);
    let named = |header: &&Value| {
        header.get("name").and_then(Value::as_str).is_some_and(|name| name.eq_ignore_ascii_case("message-id"))
    };
    common.or_else(|| {
        let header = json.pointer("/mail/headers")?.as_array()?.iter().find(named)?;
        original::id(header.get("value")?.as_str()?)
    })
}

/// The notification, out of its envelope.
fn json(text: &str) -> Option<Value> {
    let first = |text: &str| Deserializer::from_str(text).into_iter::<Value>().next()?.ok();
    let outer = first(text.get(text.find('{')?..)?)?;
    match outer.get("Message").and_then(Value::as_str).and_then(first) {
        Some(inner) => Some(inner),
        None => Some(outer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "{\"notificationType\":\"Bounce\",\"bounce\":{\"bouncedRecipients\":[{\"emailAddress\":\"a@b.example\",\
        \"action\":\"failed\",\"status\":\"5.1.1\"}]},\"mail\":{\"headers\":[{\"name\":\"Message-Id\",\"value\":\"<x@y>\"}]}}";

    #[test]
    fn a_notification_may_be_wrapped() {
        let wrapped = serde_json::json!({ "Message": TEXT }).to_string();
        for text in [TEXT.to_owned(), wrapped, format!("{TEXT}\n\n--\nIf you wish to stop")] {
            let report = read(&text);
            assert_eq!(report.recipients.first().map(|one| one.address.as_str()), Some("a@b.example"), "{text}");
            assert_eq!((report.original_message_id.as_deref(), kind(&text).as_deref()), (Some("x@y"), Some("bounce")));
        }
    }

    #[test]
    fn what_is_no_notification_says_nothing() {
        for text in ["", "{", "the \"notificationType\" is \"Bounce\"", "[]", "{\"bounce\":{\"bouncedRecipients\":7}}"]
        {
            assert_eq!((read(text), kind(text)), (Report::default(), None), "{text}");
        }
    }
}

//! `TicketMessageEntity`, field by field as on the page of `POST /api/v1/TicketMessage`.
//!
//! One struct serves request and response. What the server sends beyond the page's fields is ignored on reading; the
//! carriers of other resources ([`Carrier`]) pass through as they are. A field that is `None` is not sent, except those
//! that the page's request sample shows as `null`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// An object of another resource (`Ticket`, `Associate`, `Person`), passed through key by key.
pub type Carrier = Map<String, Value>;

/// The ticket message (`superoffice: ej_message`).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TicketMessageEntity {
    /// The primary key; 0 creates a message.
    pub ej_message_id: i64,
    /// The connected ticket; `null` leaves the connection to the server.
    pub ticket: Option<Carrier>,
    /// When the message was posted (ISO 8601; we send UTC with `Z`).
    pub created_at: String,
    /// The associate who created the message; `null` for mail.
    pub created_by: Option<Carrier>,
    /// Who wrote the message: a name or an address (255 characters).
    pub author: Option<String>,
    /// Who may see the message.
    pub slevel: Slevel,
    /// Plain or HTML.
    #[serde(rename = "Type")]
    pub message_type: MessageType,
    /// The Message-Id header (850 characters).
    pub message_id: Option<String>,
    /// Minutes spent.
    pub time_spent: i32,
    /// The plain text.
    pub body: Option<String>,
    /// The HTML, if any.
    pub html_body: Option<String>,
    /// The raw header block.
    pub email_header: Option<String>,
    /// For people who look for mistakes; begins with our queue id.
    pub debug_info: Option<String>,
    /// The name of the mail sorter (255 characters).
    pub mail_sorter: Option<String>,
    /// What kind of message this is.
    pub message_category: MessageCategory,
    /// The sender as a person of the CRM.
    pub person: Option<Carrier>,
    /// A copy of the ticket's title (255 characters).
    pub search_title: Option<String>,
    /// Headers shown with the message: To, Cc, Bcc, and others.
    pub message_headers: Option<Vec<TicketMessageHeader>>,
    /// The message is important.
    pub important: bool,
    /// The language as ISO 639-1 (10 characters); empty when it is not known.
    pub language: Option<String>,
    /// -100 to 100; 0 = no idea.
    pub sentiment: i32,
    /// 0 to 100; 0 = no idea.
    pub sentiment_confidence: i32,
    /// How the message was made.
    pub badge: Badge,
    /// What is attached.
    pub attachments_info: Option<Vec<AttachmentEntity>>,
    /// Deprecated twin of `custom_fields`.
    pub extra_fields: Option<BTreeMap<String, String>>,
    /// Fields that the customer has added.
    pub custom_fields: Option<BTreeMap<String, String>>,
    /// Answers only: the rights on the table.
    #[serde(skip_serializing_if = "Maybe::is_absent")]
    pub table_right: Maybe<Value>,
    /// Answers only: the rights on the fields.
    #[serde(skip_serializing_if = "Maybe::is_absent")]
    pub field_properties: Maybe<Value>,
}

/// A member that may be absent, which is another thing than `null`.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Maybe<T> {
    /// The member is not there.
    #[default]
    Absent,
    /// The member is there, with this value (which may be `null`).
    Present(T),
}

impl<T> Maybe<T> {
    /// Whether the member is not there.
    pub const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

impl<T: Serialize> Serialize for Maybe<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Absent => serializer.serialize_none(),
            Self::Present(value) => value.serialize(serializer),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Maybe<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::Present)
    }
}

/// Makes an enum whose names are the API's.
macro_rules! api_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }
    };
}

api_enum! {
    /// The security level.
    Slevel {
        /// Not said.
        #[default]
        Unknown,
        /// Hidden from the Customer Centre.
        Internal,
        /// Visible to the customer.
        External,
    }
}
api_enum! {
    /// The kind of text.
    MessageType {
        /// Not said.
        #[default]
        Unknown,
        /// Plain text.
        Plain,
        /// HTML.
        Html,
    }
}
api_enum! {
    /// The category of a message.
    MessageCategory {
        /// An ordinary message.
        #[default]
        Message,
        /// A delivery report.
        Bounce,
        /// A message that could not be sent.
        OutboxFailed,
    }
}
api_enum! {
    /// How a message came about.
    Badge {
        /// Not said.
        #[default]
        Unknown,
        /// An answer by an agent.
        Reply,
        /// A forward by an agent.
        Forward,
        /// A comment.
        Comment,
        /// Came in from outside.
        Incoming,
        /// The first message that went out.
        Outgoing,
    }
}
api_enum! {
    /// A header that SuperOffice itself gives a meaning.
    StdItem {
        /// An ordinary header.
        #[default]
        None,
        /// The message was forwarded.
        Forward,
        /// An attachment without a name was blocked.
        UnnamedAttachmentBlocked,
        /// No automatic answer was sent.
        NoAutoReply,
        /// An automatic answer was sent.
        SentAutoReplyToCustomersA,
        /// An automatic answer was sent.
        SentAutoReplyToCustomersB,
        /// The customer has read an FAQ entry.
        CustomerReadFAQ,
        /// A reply template was used.
        ReplyTemplate,
    }
}
api_enum! {
    /// Which column of a header the meaning belongs to.
    StdItemCol {
        /// None.
        #[default]
        None,
        /// The name.
        Name,
        /// The value.
        Value,
    }
}

/// One header shown with the message.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TicketMessageHeader {
    /// The primary key; 0 for a new one.
    pub id: i64,
    /// The name (64 characters).
    pub name: Option<String>,
    /// The value.
    pub value: Option<String>,
    /// SuperOffice's own meaning.
    pub std_item: StdItem,
    /// The column that the meaning belongs to.
    pub std_item_col: StdItemCol,
    /// Answers only.
    #[serde(skip_serializing_if = "Maybe::is_absent")]
    pub table_right: Maybe<Value>,
    /// Answers only.
    #[serde(skip_serializing_if = "Maybe::is_absent")]
    pub field_properties: Maybe<Value>,
}

/// One attachment, described.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AttachmentEntity {
    /// The primary key; 0 while nothing is uploaded.
    pub attachment_id: i64,
    /// The file name (255 characters).
    pub name: Option<String>,
    /// The media type (255 characters).
    pub content_type: Option<String>,
    /// Decoded size in bytes.
    pub att_size: i64,
    /// Shown within the HTML.
    pub inline_image: bool,
    /// The Content-ID without angle brackets (255 characters).
    pub content_id: Option<String>,
    /// The server's key for downloads.
    pub auth_key: Option<String>,
    /// The server's judgement of the file name; never claimed by us.
    pub is_safe_file_extension: bool,
    /// Answers only.
    #[serde(skip_serializing_if = "Maybe::is_absent")]
    pub table_right: Maybe<Value>,
    /// Answers only.
    #[serde(skip_serializing_if = "Maybe::is_absent")]
    pub field_properties: Maybe<Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The samples of the API page, typed off.
    const REQUEST: &str = include_str!("../../tests/data/seed/request.json");
    const RESPONSE: &str = include_str!("../../tests/data/seed/response.json");

    #[test]
    fn the_samples_of_the_page_pass_without_losing_a_key() {
        for sample in [REQUEST, RESPONSE] {
            let entity: TicketMessageEntity = serde_json::from_str(sample).expect("the page's sample");
            let expected: Value = serde_json::from_str(sample).expect("the page's sample");
            assert_eq!(serde_json::to_value(&entity).expect("an entity is JSON"), expected);
        }
    }

    #[test]
    fn what_the_page_does_not_name_is_ignored_on_reading() {
        let entity: TicketMessageEntity = serde_json::from_str(r#"{"EjMessageId":7,"New":{"x":1}}"#).expect("read");
        assert_eq!(entity, TicketMessageEntity { ej_message_id: 7, ..TicketMessageEntity::default() });
    }

    #[test]
    fn a_new_message_has_the_keys_of_the_request_sample_and_no_other() {
        let mine = serde_json::to_value(TicketMessageEntity::default()).expect("an entity is JSON");
        let page: Value = serde_json::from_str(REQUEST).expect("the page's sample");
        let keys = |value: &Value| value.as_object().map(|map| map.keys().cloned().collect::<Vec<_>>());
        assert_eq!(keys(&mine), keys(&page));
    }
}

//! The names of things: newtypes, so that no bare integer or string is mistaken for another.
//!
//! Nothing here knows where an id comes from or what it leads to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// The alphabet of Crockford's base 32: no I, L, O or U, so that no two characters look alike.
const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const QUEUE_ID_CHARS: usize = 26;

/// A text that is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} `{text}` is not valid: {rule}")]
pub struct InvalidId {
    what: &'static str,
    text: String,
    rule: &'static str,
}

/// The id of one mail in the queue: a UUIDv7 written as 26 characters of Crockford base 32.
///
/// Unique over all installations and for ever, since `DebugInfo` carries it as our idempotency key; ordered by time of
/// creation, so that "oldest first" is the order of the ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId(Uuid);

impl QueueId {
    /// The id of what is in no queue.
    pub const NIL: Self = Self(Uuid::nil());

    /// A fresh id. Ids made by one process are strictly increasing.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_u128();
        let mut text = [b'0'; QUEUE_ID_CHARS];
        for place in text.iter_mut().rev() {
            let digit = usize::try_from(rest & 31).unwrap_or(0);
            *place = CROCKFORD.get(digit).copied().unwrap_or(b'0');
            rest >>= 5;
        }
        f.pad(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl FromStr for QueueId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId {
            what: "queue id",
            text: text.chars().take(40).collect(),
            rule: "it has 26 characters of 0-9 and A-Z without I, L, O and U",
        };
        if text.len() != QUEUE_ID_CHARS {
            return Err(invalid());
        }
        let mut value: u128 = 0;
        for byte in text.bytes() {
            let digit = CROCKFORD.iter().position(|c| *c == byte.to_ascii_uppercase()).ok_or_else(invalid)?;
            if value >> 123 != 0 {
                return Err(invalid());
            }
            value = (value << 5) | u128::try_from(digit).map_err(|_| invalid())?;
        }
        Ok(Self(Uuid::from_u128(value)))
    }
}

impl Serialize for QueueId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for QueueId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Makes a newtype for the name of a table in the configuration: `a-z`, `0-9` and `-`.
macro_rules! table_name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as it stands in the configuration.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
                if (1..=64).contains(&text.len()) && text.bytes().all(legal) {
                    return Ok(Self(text.to_owned()));
                }
                let text = text.chars().take(80).collect();
                Err(InvalidId { what: $what, text, rule: "1 to 64 characters of a-z, 0-9 and \"-\"" })
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

table_name! {
    /// The `NAME` of a `[mailbox.NAME]`.
    MailboxName, "mailbox name"
}
table_name! {
    /// The `NAME` of a `[tenant.NAME]`: one SuperOffice installation.
    TenantName, "tenant name"
}

/// Makes a newtype for a number.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number! {
    /// The unique identifier of a mail within one folder and UIDVALIDITY (RFC 9051 §2.3.1.1).
    Uid(u32)
}
number! {
    /// The validity value of a folder's UIDs (RFC 9051 §2.3.1.1). 0 stands for a server that named none.
    UidValidity(u32)
}
number! {
    /// SuperOffice's primary key of a ticket message (`EjMessageId`).
    EjMessageId(i64)
}
number! {
    /// SuperOffice's primary key of a ticket (a "request" in its user interface).
    TicketId(i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_id_survives_its_text() {
        for id in [QueueId(Uuid::nil()), QueueId(Uuid::max()), QueueId::generate()] {
            let text = id.to_string();
            assert_eq!(text.len(), QUEUE_ID_CHARS);
            assert_eq!(text.parse(), Ok(id));
            assert_eq!(text.to_lowercase().parse(), Ok(id));
        }
    }

    #[test]
    fn queue_ids_increase_and_their_texts_too() {
        let ids: Vec<QueueId> = (0..1000).map(|_| QueueId::generate()).collect();
        assert!(ids.is_sorted());
        assert!(ids.iter().map(ToString::to_string).is_sorted());
    }

    #[test]
    fn other_texts_are_no_queue_ids() {
        for text in [
            "",
            "01KAPX2Q7M5T",
            "0000000000000000000000000U",
            "ZZZZZZZZZZZZZZZZZZZZZZZZZZ",
            "é0000000000000000000000000",
        ] {
            assert!(text.parse::<QueueId>().is_err(), "{text}");
        }
    }

    #[test]
    fn table_names_are_lower_case() {
        assert!("support-2".parse::<MailboxName>().is_ok());
        for text in ["", "Support", "a_b", "a.b", "ä"] {
            assert!(text.parse::<MailboxName>().is_err(), "{text}");
        }
    }
}

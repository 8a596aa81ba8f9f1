//! How our words stand in the database: names, ids and sets as text, times and numbers as integers. So a person can read
//! the store with any SQLite shell.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

use super::state::State;
use crate::clock::UtcMillis;
use crate::ids::{EjMessageId, MailboxName, QueueId, TenantName, TicketId, Uid, UidValidity};
use crate::message::Depth;
use crate::uids::UidSet;

/// For types whose text is the one of `Display` and `FromStr`.
macro_rules! as_text {
    ($($name:ty),+) => {$(
        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(ToSqlOutput::from(self.to_string()))
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                value.as_str()?.parse().map_err(|error| FromSqlError::Other(Box::new(error)))
            }
        }
    )+};
}

/// For newtypes of numbers.
macro_rules! as_number {
    ($($name:ident($inner:ty)),+) => {$(
        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(ToSqlOutput::from(self.0))
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                <$inner>::column_result(value).map(Self)
            }
        }
    )+};
}

as_text!(QueueId, MailboxName, TenantName, UidSet);
as_number!(Uid(u32), UidValidity(u32), EjMessageId(i64), TicketId(i64), UtcMillis(i64));

impl ToSql for State {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.as_str()))
    }
}

impl FromSql for State {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map_err(|error: String| FromSqlError::Other(error.into()))
    }
}

impl ToSql for Depth {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.as_str()))
    }
}

impl FromSql for Depth {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let text = value.as_str()?;
        let known = [Self::Full, Self::Text, Self::Headers];
        let depth = known.into_iter().find(|depth| depth.as_str() == text);
        depth.ok_or_else(|| FromSqlError::Other(format!("`{text}` is not a depth").into()))
    }
}

/// A number of bytes as an integer of the database.
pub(super) fn integer(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// An integer of the database as a number of bytes or rows.
pub(super) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// A list of ids for `json_each`.
pub(super) fn json_ids(ids: &[QueueId]) -> String {
    serde_json::to_string(ids).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[track_caller]
    fn check<T: ToSql + FromSql + PartialEq + std::fmt::Debug>(value: &T) {
        let conn = Connection::open_in_memory().expect("memory");
        let back: T = conn.query_row("SELECT ?1", [value], |row| row.get(0)).expect("a value");
        assert_eq!(&back, value);
    }

    #[test]
    fn our_words_survive_the_database() {
        check(&QueueId::generate());
        check(&"support".parse::<MailboxName>().expect("a name"));
        check(&"1:4,9".parse::<UidSet>().expect("a set"));
        check(&Uid(u32::MAX));
        check(&UtcMillis(i64::MIN));
        State::ALL.iter().for_each(check);
        [Depth::Full, Depth::Text, Depth::Headers].iter().for_each(check);
    }

    #[test]
    fn a_foreign_word_is_an_error() {
        let conn = Connection::open_in_memory().expect("memory");
        assert!(conn.query_row("SELECT 'sunny'", [], |row| row.get::<_, State>(0)).is_err());
        assert!(conn.query_row("SELECT 'sunny'", [], |row| row.get::<_, Depth>(0)).is_err());
    }
}

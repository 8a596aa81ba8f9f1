//! Rows as people see them: lists, numbers, room.

use std::collections::BTreeMap;

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params, params_from_iter};

use super::claim::DUPLICATE;
use super::item::{Entry, Filter, StateNumbers};
use super::sql::{json_ids, unsigned};
use super::state::State;
use super::writer::Tx;
use crate::clock::UtcMillis;
use crate::ids::TenantName;

const COLUMNS: &str =
    "id, state, mailbox, tenant, folder, uidvalidity, uid, internal_date, accepted_at, size, attempts,
    strikes + crashes, depth, next_attempt_at, verify_since IS NOT NULL, sender, rfc_message_id, error_class, error,
    held_reason, ej_message_id, ticket_id, finished_at, disposed_at, raw_size IS NOT NULL";
/// What a filter without states shows.
const UNFINISHED_AND_DEAD: [State; 5] = [State::Queued, State::Delivering, State::Deferred, State::Held, State::Failed];
const DEFAULT_LIMIT: u32 = 10_000;
/// Reports of delayed mails at one time.
const DELAYED_LIMIT: u32 = 100;

/// The rows that a filter means, oldest first.
pub(super) fn list(conn: &Connection, filter: &Filter) -> rusqlite::Result<Vec<Entry>> {
    let mut conditions = Vec::new();
    let mut values = Vec::new();
    let mut add = |condition: &'static str, value: Value| {
        conditions.push(condition);
        values.push(value);
    };
    if !filter.ids.is_empty() {
        add("id IN (SELECT value FROM json_each(?))", json_ids(&filter.ids).into());
    }
    if let Some(mailbox) = &filter.mailbox {
        add("mailbox = ?", mailbox.to_string().into());
    }
    if let Some(states) = states(filter) {
        add("state IN (SELECT value FROM json_each(?))", states.into());
    }
    if let Some(class) = &filter.error_class {
        add("error_class = ?", class.clone().into());
    }
    if let Some(before) = filter.accepted_before {
        add("accepted_at < ?", before.0.into());
    }
    let wanted = if conditions.is_empty() { "1".to_owned() } else { conditions.join(" AND ") };
    let limit = if filter.limit == 0 { DEFAULT_LIMIT } else { filter.limit };
    let sql = format!("SELECT {COLUMNS} FROM mail WHERE {wanted} ORDER BY seq LIMIT {limit}");
    conn.prepare(&sql)?.query_map(params_from_iter(values), entry)?.collect()
}

/// Numbers for every state that has mails.
pub(super) fn stats(conn: &Connection) -> rusqlite::Result<BTreeMap<State, StateNumbers>> {
    let mut statement = conn.prepare_cached(
        "SELECT state, COUNT(*), COALESCE(SUM(raw_size), 0), MIN(accepted_at) FROM mail GROUP BY state",
    )?;
    let read = |row: &Row<'_>| {
        let numbers =
            StateNumbers { messages: row.get(1).map(unsigned)?, bytes: row.get(2).map(unsigned)?, oldest: row.get(3)? };
        Ok((row.get(0)?, numbers))
    };
    statement.query_map([], read)?.collect()
}

/// The bytes of all raw mail.
pub(super) fn raw_bytes(conn: &Connection) -> rusqlite::Result<i64> {
    conn.query_row("SELECT COALESCE(SUM(raw_size), 0) FROM mail WHERE raw_size IS NOT NULL", [], |row| row.get(0))
}

/// Unfinished mails accepted before `before` that were not reported yet: they are now.
pub(super) fn take_delayed(tx: &Tx<'_>, tenant: &TenantName, before: UtcMillis) -> rusqlite::Result<Vec<Entry>> {
    let mut entries = tx.all(
        &format!(
            "UPDATE mail SET delayed = 1 WHERE seq IN (
                 SELECT seq FROM mail WHERE finished_at IS NULL AND tenant = ?1 AND delayed = 0 AND accepted_at < ?2
                     AND state <> 'held' ORDER BY accepted_at LIMIT ?3)
             RETURNING {COLUMNS}"
        ),
        params![tenant, before, DELAYED_LIMIT],
        entry,
    )?;
    entries.sort_unstable_by_key(|entry| entry.qid);
    Ok(entries)
}

/// The states a filter means, as a JSON array; `None` = any: whoever names ids wants to see them.
fn states(filter: &Filter) -> Option<String> {
    let states = match filter.states.as_slice() {
        [] if !filter.ids.is_empty() => return None,
        [] => &UNFINISHED_AND_DEAD,
        named => named,
    };
    let words: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
    Some(serde_json::to_string(&words).unwrap_or_default())
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let state: State = row.get(1)?;
    let error_class: Option<String> = row.get(17)?;
    let duplicate = state == State::Delivered && error_class.as_deref() == Some(DUPLICATE);
    Ok(Entry {
        qid: row.get(0)?,
        state,
        word: if duplicate { DUPLICATE } else { state.word() }.to_owned(),
        mailbox: row.get(2)?,
        tenant: row.get(3)?,
        folder: row.get(4)?,
        uidvalidity: row.get(5)?,
        uid: row.get(6)?,
        internal_date: row.get(7)?,
        accepted_at: row.get(8)?,
        size_bytes: row.get(9).map(unsigned)?,
        attempts: row.get(10)?,
        strikes: row.get(11)?,
        depth: row.get(12)?,
        next_attempt_at: row.get(13)?,
        verify: row.get(14)?,
        from: row.get(15)?,
        rfc_message_id: row.get(16)?,
        error_class,
        error: row.get(18)?,
        held_reason: row.get(19)?,
        ej_message_id: row.get(20)?,
        ticket_id: row.get(21)?,
        finished_at: row.get(22)?,
        disposed_at: row.get(23)?,
        has_raw: row.get(24)?,
    })
}

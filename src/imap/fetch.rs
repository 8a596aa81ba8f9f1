//! Fetching: sizes first, then bodies (RFC 9051 §6.4.5). Takes only what was asked for, once, and tells what came also
//! when the command failed: the caller compares it with what it asked for.
//!
//! Never sets `\Seen` (`BODY.PEEK`), and never asks for BODYSTRUCTURE or ENVELOPE.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use tokio::io::AsyncWrite;

use super::answer::{Answer, Fetched};
use super::command::Command;
use super::error::Error;
use super::frame::{Bounds, Literal};
use super::session::Session;
use crate::clock::UtcMillis;
use crate::ids::Uid;
use crate::uids::UidSet;

/// UIDs of one metadata command.
const METADATA_BATCH: usize = 1000;
/// Bytes of a set of UIDs in one command; servers must take lines of 8192 bytes.
const SET_BYTES: usize = 4000;
/// A body may be twice as long as RFC822.SIZE said, which some servers estimate, and by this much more.
const SIZE_SLACK: u64 = 64 << 10;

/// What is known of a mail before its body is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// Its UID.
    pub uid: Uid,
    /// RFC822.SIZE: an estimate on some servers.
    pub size: u64,
    /// INTERNALDATE, when the server told one that can be read.
    pub internal_date: Option<UtcMillis>,
}

/// Which part of a mail is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// All of it.
    Whole,
    /// The header block, as far as `header_bytes`.
    Header,
}

/// Where the bytes of a large body go as they come. It keeps its own failures to itself: they say nothing of the server.
pub trait Sink: AsyncWrite + Unpin + Send + std::fmt::Debug {}

impl<T: AsyncWrite + Unpin + Send + std::fmt::Debug> Sink for T {}

/// A body that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Its bytes.
    Bytes(Bytes),
    /// It went into the sink; how many bytes it had.
    Diverted(u64),
}

/// What came of a fetch: the items that are whole and were asked for, and the failure that ended it, if one did.
#[derive(Debug)]
pub struct Haul<T> {
    /// The items, each UID once.
    pub items: Vec<T>,
    /// Why it ended early.
    pub failure: Option<Error>,
}

impl Session {
    /// Size and date of mails of the selected folder. UIDs without an item are gone, or the server does not tell.
    pub async fn metadata(&mut self, uids: &UidSet) -> Haul<Metadata> {
        let mut haul = Haul { items: Vec::new(), failure: None };
        for batch in batches(uids) {
            let command = Command::new("UID FETCH", format!("UID FETCH {batch} (UID RFC822.SIZE INTERNALDATE)"));
            let mut found = BTreeMap::new();
            let failure = self.fetch(command, &batch, |uid, item| {
                if let Some(size) = item.size {
                    let size = u64::from(size);
                    found.entry(uid).or_insert(Metadata { uid, size, internal_date: item.internal_date });
                }
            });
            haul.failure = failure.await.err();
            haul.items.extend(found.into_values());
            if haul.failure.is_some() {
                break;
            }
        }
        haul
    }

    /// The bodies of mails of the selected folder. UIDs without an item are open still.
    pub async fn bodies(&mut self, wanted: &[Metadata], section: Section) -> Haul<(Uid, Body)> {
        self.take(wanted, section, u64::MAX).await
    }

    /// The body of one mail. One of more than `above` bytes goes into the sink as it comes, and is never held whole.
    pub async fn body_into(&mut self, mail: Metadata, above: u64, sink: Box<dyn Sink>) -> Haul<(Uid, Body)> {
        self.wire.divert(Some(sink));
        let haul = self.take(&[mail], Section::Whole, above).await;
        self.wire.divert(None);
        haul
    }

    async fn take(&mut self, wanted: &[Metadata], section: Section, divert_above: u64) -> Haul<(Uid, Body)> {
        let uids: UidSet = wanted.iter().map(|mail| mail.uid).collect();
        if uids.is_empty() {
            return Haul { items: Vec::new(), failure: None };
        }
        let item = match section {
            Section::Whole => "BODY.PEEK[]".to_owned(),
            Section::Header => format!("BODY.PEEK[HEADER]<0.{}>", self.limits.header_bytes.0),
        };
        let command = Command::new("UID FETCH", format!("UID FETCH {uids} (UID {item})"));
        let command = command.bounded(Bounds { divert_above, ..self.bounds(wanted) });
        let empty: BTreeSet<Uid> = wanted.iter().filter(|mail| mail.size == 0).map(|mail| mail.uid).collect();
        let mut found = BTreeMap::new();
        let failure = self.fetch(command, &uids, |uid, item| {
            let body = match item.body {
                // An empty body of a mail that is not empty is a server's way to say that it cannot.
                Some(Literal::Bytes(bytes)) if bytes.is_empty() && !empty.contains(&uid) => return,
                Some(Literal::Bytes(bytes)) => Body::Bytes(bytes),
                Some(Literal::Diverted(size)) => Body::Diverted(size),
                None => return,
            };
            found.entry(uid).or_insert(body);
        });
        let failure = failure.await.err();
        Haul { items: found.into_iter().collect(), failure }
    }

    /// What the answer may cost: about what RFC822.SIZE promised, and never much more than `message_size`.
    fn bounds(&self, wanted: &[Metadata]) -> Bounds {
        let most = self.limits.message_size.0.saturating_add(self.limits.message_size.0.checked_div(10).unwrap_or(0));
        let each = |mail: &Metadata| mail.size.saturating_mul(2).min(most).saturating_add(SIZE_SLACK);
        let literal = wanted.iter().map(each).max().unwrap_or(SIZE_SLACK);
        let literals = wanted.iter().map(each).fold(0_u64, u64::saturating_add);
        Bounds { literal, literals, ..Bounds::default() }
    }

    async fn fetch(
        &mut self,
        command: Command,
        asked: &UidSet,
        mut take: impl FnMut(Uid, Fetched),
    ) -> Result<(), Error> {
        let note = |answer| {
            if let Answer::Fetch(item) = answer
                && let Some(uid) = item.uid.map(Uid).filter(|uid| asked.contains(*uid))
            {
                take(uid, item);
            }
        };
        self.wire.run(command, note).await?.accepted().map(|_| ())
    }
}

/// The set in pieces that a command may name.
fn batches(uids: &UidSet) -> Vec<UidSet> {
    let mut pieces = Vec::new();
    let mut piece: Vec<Uid> = Vec::new();
    // Eleven bytes are the longest UID and its comma.
    let most = METADATA_BATCH.min(SET_BYTES.checked_div(11).unwrap_or(1));
    let mut last = None;
    let mut runs = 0_usize;
    for uid in uids.iter() {
        let follows = last.is_some_and(|last: Uid| last.0.checked_add(1) == Some(uid.0));
        runs = runs.saturating_add(usize::from(!follows).saturating_mul(2));
        if runs > most || piece.len() >= METADATA_BATCH {
            pieces.push(piece.drain(..).collect());
            runs = 2;
        }
        piece.push(uid);
        last = Some(uid);
    }
    if !piece.is_empty() {
        pieces.push(piece.into_iter().collect());
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(set: &str) {
        let uids: UidSet = set.parse().expect("a set");
        let pieces = batches(&uids);
        assert!(pieces.iter().all(|piece| piece.to_string().len() <= SET_BYTES && piece.len() <= 1000));
        assert!(pieces.iter().flat_map(UidSet::iter).eq(uids.iter()));
    }

    #[test]
    fn sets_are_cut_into_pieces_that_a_line_can_hold() {
        check("");
        check("7");
        check("1:5000");
        let scattered: Vec<String> = (0..4000_u32).map(|i| (4_000_000_000 + i * 2).to_string()).collect();
        check(&scattered.join(","));
    }
}

//! Intake: from "the server has these UIDs" to "these mails are durable here". Sizes first, then bodies in batches bounded
//! by count and bytes; the next batch is fetched while the last one is committed. Never parses a mail, never sets a flag.
//!
//! What was asked for is compared with what came. What did not come is asked for alone; if it still does not come though
//! the folder has it, that is a strike in the queue (ruling 9), and the others go on.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};

use super::folder::{Folder, takes};
use super::load::{Load, plan, section_of};
use super::stand_in::is_stand_in;
use super::told::{tell, tell_gone, tell_missing, tell_unfetchable};
use super::{Context, Trouble, beat_name};
use crate::fault::Fault;
use crate::ids::{QueueId, Uid};
use crate::imap::fetch::{Body, Haul, Metadata, Section};
use crate::imap::{self, Session};
use crate::queue::{Accepted, Arrival, Batch, Incoming, Unfetched};
use crate::stop::{Phase, Stop};
use crate::telemetry::event;
use crate::uids::UidSet;

/// UIDs whose sizes are asked at once; between two such groups finished mails are acted on.
const GROUP: usize = 500;
/// The first group of a search is small: many servers open each mail to tell its size, and delivery has nothing to do yet.
const FIRST_GROUP: usize = 50;
/// Who waits for memory says so each time after this.
const STILL_HERE: Duration = Duration::from_secs(30);
/// Bytes in memory of a mail that comes in pieces.
const IN_PIECES: u64 = 1 << 20;
/// A UID that fails so often gets a row without raw mail.
const STRIKES: u32 = 5;

/// One search of a folder and what it found.
#[derive(Debug)]
pub(super) struct Intake<'a> {
    context: &'a Context,
    wanted: VecDeque<Uid>,
    /// Those of the wanted that failed before; they come last, one by one.
    suspects: VecDeque<Uid>,
    /// The mails that were to be fetched again when the search began.
    reordered: Vec<Unfetched>,
    highest: Option<Uid>,
    full: bool,
    found: usize,
    stored: usize,
    begun: Instant,
}

/// Fetched, not yet durable; holds its share of the memory.
type Pending = (Catch, OwnedSemaphorePermit);

/// What came of a load.
struct Catch {
    batch: Batch,
    /// Where the bytes of the batch's only mail are, when it came in pieces.
    incoming: Option<Incoming>,
}

impl<'a> Intake<'a> {
    /// Searches the folder: all of it, or what lies behind the last search.
    pub(super) async fn begin(
        context: &'a Context,
        session: &mut Session,
        folder: &mut Folder,
    ) -> Result<Self, Trouble> {
        let begun = Instant::now();
        let full = folder.full_search_is_due();
        let mut reordered = Vec::new();
        if full {
            reordered = context.queue.unfetched(&folder.key).await?;
            folder.accounted = context.queue.accounted(&folder.key, folder.uidvalidity()).await?;
        }
        let (Some(record), Some(view)) = (&folder.record, &folder.view) else {
            return Ok(Self::nothing(context, begun));
        };
        let oldest = record.start_uids.iter().next().filter(|_| !record.start_waits);
        let from = match full {
            true => oldest.map_or(record.first_new, |oldest| oldest.min(record.first_new)),
            false => Uid(record.cursor.0.saturating_add(1)).max(record.first_new),
        };
        let there = session.uids(from, view).await?;
        let open = there.iter().filter(|uid| takes(record, *uid) && !folder.accounted.contains(*uid));
        let (mut suspects, wanted): (VecDeque<Uid>, VecDeque<Uid>) =
            open.partition(|uid| folder.suspects.contains(*uid));
        suspects.make_contiguous().sort_by_key(|uid| folder.deadly.contains(*uid));
        let found = wanted.len().saturating_add(suspects.len());
        Ok(Self { context, wanted, suspects, reordered, highest: there.max(), full, found, stored: 0, begun })
    }

    fn nothing(context: &'a Context, begun: Instant) -> Self {
        let (wanted, suspects) = (VecDeque::new(), VecDeque::new());
        let reordered = Vec::new();
        Self { context, wanted, suspects, reordered, highest: None, full: false, found: 0, stored: 0, begun }
    }

    /// How many mails are still to be taken.
    pub(super) fn backlog(&self) -> usize {
        self.wanted.len().saturating_add(self.suspects.len())
    }

    /// Takes the next group. Whether there is more.
    pub(super) async fn take_some(
        &mut self,
        session: &mut Session,
        folder: &mut Folder,
        stop: &Stop,
    ) -> Result<bool, Trouble> {
        if self.backlog() == 0 {
            return Ok(false);
        }
        let room = self.context.queue.room().await?;
        if !room.enough {
            return Err(Trouble::Full(room));
        }
        if self.wanted.is_empty() {
            if let Some(uid) = self.suspects.pop_front() {
                self.take_alone(session, folder, uid).await?;
            }
            return Ok(self.backlog() > 0 && !session.wants_less());
        }
        let most = if self.stored == 0 { FIRST_GROUP } else { GROUP };
        let group: UidSet = self.wanted.drain(..most.min(self.wanted.len())).collect();
        let haul = session.metadata(&group).await;
        let told: UidSet = haul.items.iter().map(|mail| mail.uid).collect();
        self.suspect(folder, group.minus(&told).iter(), haul.failure.as_ref());
        ends_visit(haul.failure)?;
        let config = &self.context.config;
        let bytes = self.context.limits.in_flight_bytes.0.checked_div(16).unwrap_or(0);
        let first_new = folder.record.as_ref().map_or(Uid(0), |record| record.first_new);
        // A batch is compared with what older UIDVALIDITYs gave, or it is not.
        let (old, new): (Vec<Metadata>, Vec<Metadata>) = haul.items.iter().partition(|mail| mail.uid < first_new);
        let (largest, above) = (self.context.limits.message_size.0, self.context.queue.spool_above());
        let plan = |mails: &[Metadata]| plan(mails, usize::from(config.batch), bytes, largest, above);
        let loads = plan(&old).into_iter().chain(plan(&new)).collect();
        self.take_loads(session, folder, loads, stop).await?;
        Ok(self.backlog() > 0 && !session.wants_less())
    }

    /// What was to be fetched again and neither came nor failed is no longer there.
    pub(super) async fn give_up_vanished(&self, folder: &Folder) -> Result<(), Trouble> {
        if self.backlog() > 0 {
            return Ok(());
        }
        let gone: Vec<QueueId> =
            self.reordered.iter().filter(|mail| !folder.is_suspect(mail)).map(|mail| mail.id).collect();
        if gone.is_empty() {
            return Ok(());
        }
        let vanished = self.context.queue.vanished(&gone).await?;
        for mail in self.reordered.iter().filter(|mail| vanished.contains(&mail.id)) {
            tell_unfetchable(folder, mail.uid, mail.id, "the mail server does not have it any longer");
        }
        Ok(())
    }

    /// The search is over. Whether the whole folder is taken.
    pub(super) fn end(&self, session: &Session, folder: &mut Folder) -> bool {
        let complete = self.backlog() == 0;
        if let (Some(record), Some(highest), true) = (&mut folder.record, self.highest, complete) {
            record.cursor = record.cursor.max(highest);
        }
        folder.searched(self.context.config.poll_interval.0, self.full && complete);
        let took_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (mailbox, name) = (folder.key.mailbox.as_str(), folder.key.folder.as_str());
        let (new, stored, backlog) = (self.found, self.stored, self.backlog());
        if new > 0 {
            tracing::info!(
                event = event::MAILBOX_POLL,
                mailbox,
                folder = name,
                new,
                stored,
                backlog,
                took_ms,
                "The folder was searched.",
            );
        } else {
            let dropped_lines = session.dropped_lines();
            tracing::debug!(
                event = event::MAILBOX_POLL,
                mailbox,
                folder = name,
                new,
                took_ms,
                dropped_lines,
                "The folder was searched.",
            );
        }
        let throttled = session.wants_less() && !complete;
        if throttled && !folder.told_throttled {
            tracing::warn!(
                event = event::MAILBOX_THROTTLED,
                mailbox,
                folder = name,
                backlog,
                retry_in_ms = u64::try_from(self.context.config.poll_interval.0.as_millis()).unwrap_or(u64::MAX),
                "The mail server wants to be asked for less; the rest is fetched later.",
            );
        }
        folder.told_throttled = throttled;
        self.full && complete && folder.suspects.is_empty()
    }

    async fn take_loads(
        &mut self,
        session: &mut Session,
        folder: &mut Folder,
        loads: Vec<Load>,
        stop: &Stop,
    ) -> Result<(), Trouble> {
        let mut pending: Option<Pending> = None;
        let mut loads = loads.into_iter();
        let mut begun = false;
        while let Some(load) = loads.next() {
            // A server that wants to be asked for less is asked once in each visit, or nothing would ever come.
            if stop.phase() > Phase::Run || (std::mem::replace(&mut begun, true) && session.wants_less()) {
                let left = load.mails.iter().chain(loads.as_slice().iter().flat_map(|load| load.mails.iter()));
                self.wanted.extend(left.map(|mail| mail.uid));
                break;
            }
            let permit = match self.try_permit(&load) {
                Some(permit) => permit,
                None => {
                    // Nobody waits for memory while holding some.
                    self.store(folder, pending.take()).await?;
                    self.permit(&load).await
                }
            };
            let fetching = self.fetch(session, &load);
            let (haul, stored) = futures_util::future::join(fetching, self.commit(pending.take())).await;
            self.note_stored(folder, stored?);
            let (haul, incoming) = haul?;
            let items: Vec<(Uid, Body)> = haul.items.into_iter().filter(|(_, body)| !stands_in(body)).collect();
            let came: UidSet = items.iter().map(|(uid, _)| *uid).collect();
            let missing = load.mails.iter().map(|mail| mail.uid).filter(|uid| !came.contains(*uid));
            self.suspect(folder, missing, haul.failure.as_ref());
            pending = permit.map(|permit| (self.caught(folder, &load, items, incoming), permit));
            if let Err(trouble) = ends_visit(haul.failure) {
                self.store(folder, pending.take()).await?;
                return Err(trouble);
            }
        }
        self.store(folder, pending.take()).await
    }

    /// These did not come, and are asked for alone: in this visit, or in the next if this one ends here. Not when the server
    /// wants to be left alone: that has nothing to do with them.
    fn suspect(&mut self, folder: &mut Folder, missing: impl Iterator<Item = Uid>, failure: Option<&imap::Error>) {
        let innocent = failure.is_some_and(|error| !matches!(error.fault(), Fault::Transient | Fault::Permanent));
        for uid in missing {
            self.suspects.push_back(uid);
            if !innocent {
                folder.suspects.insert(uid);
            }
        }
    }

    /// One mail by itself: whatever fails now is its own doing.
    async fn take_alone(&mut self, session: &mut Session, folder: &mut Folder, uid: Uid) -> Result<(), Trouble> {
        let mut alone = UidSet::new();
        alone.insert(uid);
        let haul = session.metadata(&alone).await;
        let Some(mut mail) = haul.items.first().copied().filter(|_| haul.failure.is_none()) else {
            return self.missed(session, folder, uid, haul.failure, "the server does not tell its size").await;
        };
        let largest = self.context.limits.message_size.0;
        let section = section_of(&mail, largest);
        if folder.understated.contains(uid) && section == Section::Whole {
            mail.size = largest;
        }
        let load = Load { mails: vec![mail], section };
        let permit = self.permit(&load).await;
        let (haul, incoming) = self.fetch(session, &load).await?;
        let why = match haul.items.first() {
            None => "the server does not hand it out",
            Some((_, body)) if stands_in(body) => "the server puts a note of its own in its place",
            Some(_) => {
                let caught = self.caught(folder, &load, haul.items, incoming);
                return self.store(folder, permit.map(|permit| (caught, permit))).await;
            }
        };
        self.missed(session, folder, uid, haul.failure, why).await
    }

    /// A mail did not come: it is gone, or that is a strike.
    async fn missed(
        &mut self,
        session: &mut Session,
        folder: &mut Folder,
        uid: Uid,
        failure: Option<imap::Error>,
        why: &str,
    ) -> Result<(), Trouble> {
        if failure.as_ref().is_some_and(|error| matches!(error.fault(), Fault::Throttled { .. })) {
            return ends_visit(failure);
        }
        let ends = failure.as_ref().is_some_and(imap::Error::ends_session);
        if !ends && !session.has(uid).await? {
            folder.accounted.insert(uid);
            forget(&mut folder.suspects, uid);
            tell_gone(folder, uid);
            return Ok(());
        }
        if ends {
            folder.deadly.insert(uid);
        }
        if matches!(&failure, Some(imap::Error::Violation { violation, .. }) if violation.rule == "literal_too_big") {
            folder.understated.insert(uid);
        }
        let reason = failure.as_ref().map_or_else(|| why.to_owned(), ToString::to_string);
        let queue = &self.context.queue;
        let row =
            queue.unfetchable(&folder.key, folder.uidvalidity(), uid, &self.context.tenant, &reason, STRIKES).await?;
        folder.suspects.insert(uid);
        let Some(id) = row else {
            tell_missing(folder, uid, &reason);
            return ends_visit(failure);
        };
        folder.accounted.insert(uid);
        forget(&mut folder.suspects, uid);
        tell_unfetchable(folder, uid, id, &reason);
        ends_visit(failure)
    }

    /// Fetches a load; a large mail goes into the spool as it comes.
    async fn fetch(
        &self,
        session: &mut Session,
        load: &Load,
    ) -> Result<(Haul<(Uid, Body)>, Option<Incoming>), Trouble> {
        let above = self.context.queue.spool_above();
        match load.mails.as_slice() {
            [mail] if load.section == Section::Whole && mail.size > above => {
                let incoming = self.context.queue.incoming().await?;
                let haul = session.body_into(*mail, above, Box::new(incoming.inlet())).await;
                Ok((haul, Some(incoming)))
            }
            mails => Ok((session.bodies(mails, load.section).await, None)),
        }
    }

    fn caught(&self, folder: &Folder, load: &Load, items: Vec<(Uid, Body)>, incoming: Option<Incoming>) -> Catch {
        let diverted = items.iter().any(|(_, body)| matches!(body, Body::Diverted(_)));
        Catch { batch: self.batch(folder, load, items), incoming: incoming.filter(|_| diverted) }
    }

    fn batch(&self, folder: &Folder, load: &Load, items: Vec<(Uid, Body)>) -> Batch {
        let first_new = folder.record.as_ref().map_or(Uid(0), |record| record.first_new);
        let arrivals: Vec<Arrival> =
            items.into_iter().filter_map(|(uid, body)| self.arrival(load, uid, body)).collect();
        Batch {
            key: folder.key.clone(),
            uidvalidity: folder.uidvalidity(),
            tenant: self.context.tenant.clone(),
            // Loads come in the order of their UIDs: below the last of these all are taken, unless some are suspects.
            cursor: arrivals.last().map(|arrival| arrival.uid).filter(|_| self.suspects.is_empty()),
            // What lies below was there when this UIDVALIDITY was first seen. In the first one nothing older is known.
            rebind: arrivals.first().is_some_and(|arrival| arrival.uid < first_new),
            arrivals,
        }
    }

    fn arrival(&self, load: &Load, uid: Uid, body: Body) -> Option<Arrival> {
        let mail = load.mails.iter().find(|mail| mail.uid == uid)?;
        let stub = load.section == Section::Header;
        let (raw, came) = match body {
            Body::Bytes(raw) => (raw.clone(), u64::try_from(raw.len()).unwrap_or(u64::MAX)),
            Body::Diverted(came) => (Bytes::new(), came),
        };
        let size = if stub { mail.size } else { came };
        let internal_date = mail.internal_date.unwrap_or_else(|| self.context.clock.now());
        Some(Arrival { uid, internal_date, size, stub, raw })
    }

    fn kib(&self, load: &Load) -> u32 {
        let kib = |bytes: u64| bytes.div_ceil(1024);
        let held = |mail: &Metadata| mail.size.min(self.context.queue.spool_above().max(IN_PIECES));
        let sum = load.mails.iter().map(held).fold(0_u64, u64::saturating_add);
        u32::try_from(kib(sum).clamp(1, kib(self.context.limits.in_flight_bytes.0).max(1))).unwrap_or(u32::MAX)
    }

    fn try_permit(&self, load: &Load) -> Option<Option<OwnedSemaphorePermit>> {
        Arc::clone(&self.context.in_flight).try_acquire_many_owned(self.kib(load)).ok().map(Some)
    }

    /// Waits for memory. Those who have it are watched themselves, so waiting is no standstill. `None` only when the
    /// daemon has closed it.
    async fn permit(&self, load: &Load) -> Option<OwnedSemaphorePermit> {
        let mut permit = pin!(Arc::clone(&self.context.in_flight).acquire_many_owned(self.kib(load)));
        loop {
            match timeout(STILL_HERE, &mut permit).await {
                Ok(permit) => return permit.ok(),
                Err(_) => self.context.progress.pulse(&beat_name(&self.context.name)),
            }
        }
    }

    async fn store(&mut self, folder: &mut Folder, pending: Option<Pending>) -> Result<(), Trouble> {
        let stored = self.commit(pending).await?;
        self.note_stored(folder, stored);
        Ok(())
    }

    async fn commit(&self, pending: Option<Pending>) -> Result<Vec<(Accepted, Arrival)>, Trouble> {
        let Some((Catch { batch, incoming }, _permit)) =
            pending.filter(|(caught, _)| !caught.batch.arrivals.is_empty())
        else {
            return Ok(Vec::new());
        };
        // For the log only; the bytes are not held beyond the commit.
        let brief = |arrival: &Arrival| Arrival { raw: Bytes::new(), ..arrival.clone() };
        let arrivals: Vec<Arrival> = batch.arrivals.iter().map(brief).collect();
        let accepted = match incoming {
            Some(incoming) => self.context.queue.accept_incoming(batch, incoming).await?,
            None => self.context.queue.accept(batch).await?,
        };
        let of = |accepted: Accepted| {
            let arrival = arrivals.iter().find(|arrival| arrival.uid == accepted.uid)?.clone();
            Some((accepted, arrival))
        };
        Ok(accepted.into_iter().filter_map(of).collect())
    }

    fn note_stored(&mut self, folder: &mut Folder, stored: Vec<(Accepted, Arrival)>) {
        self.stored = self.stored.saturating_add(stored.len());
        for (accepted, arrival) in stored {
            folder.accounted.insert(accepted.uid);
            forget(&mut folder.suspects, accepted.uid);
            tell(folder, &accepted, &arrival, self.context.limits.message_size.0);
        }
    }
}

fn stands_in(body: &Body) -> bool {
    matches!(body, Body::Bytes(raw) if is_stand_in(raw))
}

fn forget(set: &mut UidSet, uid: Uid) {
    if set.contains(uid) {
        *set = set.iter().filter(|known| *known != uid).collect();
    }
}

/// Whether a failed command ends the visit: when the session is gone, and when the server asks for patience.
fn ends_visit(failure: Option<imap::Error>) -> Result<(), Trouble> {
    match failure {
        Some(error) if error.ends_session() || !matches!(error.fault(), Fault::Transient | Fault::Permanent) => {
            Err(error.into())
        }
        _ => Ok(()),
    }
}

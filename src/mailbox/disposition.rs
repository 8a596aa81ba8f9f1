//! Disposition: what becomes of a finished mail on the server (D4). The outcome is durable before anything is touched, the
//! wish is a row that stays until it is done, and everything here may be done again.
//!
//! Never removes a mail unless the options say so, and rests no state on a flag: a folder that refuses is told of once,
//! and its mails count as disposed of.

use tokio::time::Instant;

use super::folder::Folder;
use super::{Context, Trouble};
use crate::config;
use crate::config::mailbox::AfterPost;
use crate::fault::Fault;
use crate::ids::QueueId;
use crate::imap::{self, Session};
use crate::queue::{Copied, Disposal, State};
use crate::telemetry::event;
use crate::uids::UidSet;

/// Mails that are acted on by one command.
const BATCH: usize = 500;

/// What is done to a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    /// Flags and keywords are set.
    Flag(Vec<String>),
    /// Keywords are set, then it is moved.
    Move(Vec<String>, String),
    /// It is removed.
    Delete,
    /// It stays as it is.
    Nothing,
}

impl Action {
    const fn word(&self) -> &'static str {
        match self {
            Self::Flag(_) => "flagged",
            Self::Move(..) => "moved",
            Self::Delete => "deleted",
            Self::Nothing => "none",
        }
    }
}

/// Acts on all finished mails of the selected folder.
pub(super) async fn run(context: &Context, session: &mut Session, folder: &mut Folder) -> Result<(), Trouble> {
    folder.act = false;
    while folder.act_after <= Instant::now() {
        let due = context.queue.undisposed(&folder.key, folder.uidvalidity(), BATCH).await?;
        if due.is_empty() {
            break;
        }
        for (action, mails) in grouped(&context.config, &due) {
            match carry_out(context, session, folder, &action, &mails).await {
                Ok(how) => done(context, folder, &mails, how).await?,
                Err(Trouble::Mail(error)) if !error.ends_session() && session.is_selected(&folder.key.folder) => {
                    let left = settle_gone(context, session, folder, mails).await?;
                    if left.is_empty() {
                        continue;
                    }
                    let Some(how) = refused(context, folder, &action, &error) else { return Ok(()) };
                    done(context, folder, &left, how).await?;
                }
                Err(trouble) => return Err(trouble),
            }
        }
    }
    Ok(())
}

async fn done(context: &Context, folder: &Folder, mails: &[Disposal], how: &'static str) -> Result<(), Trouble> {
    let ids: Vec<QueueId> = mails.iter().map(|mail| mail.id).collect();
    context.queue.disposed(&ids, how).await?;
    tracing::debug!(
        event = event::MAILBOX_DISPOSITION,
        mailbox = %folder.key.mailbox,
        folder = folder.key.folder,
        action = how,
        count = ids.len(),
        "Finished mails were acted on.",
    );
    Ok(())
}

/// What a server refuses may be no longer there: moved before its answer was lost, or by somebody else. What is left.
async fn settle_gone(
    context: &Context,
    session: &mut Session,
    folder: &Folder,
    mails: Vec<Disposal>,
) -> Result<Vec<Disposal>, Trouble> {
    let present = session.present(&uids_of(&mails)).await?;
    let (left, gone): (Vec<Disposal>, Vec<Disposal>) = mails.into_iter().partition(|mail| present.contains(mail.uid));
    if !gone.is_empty() {
        done(context, folder, &gone, "gone").await?;
    }
    Ok(left)
}

/// What was finished under another UIDVALIDITY and was not found again under the present one is no longer there.
pub(super) async fn settle_previous(context: &Context, folder: &Folder) -> Result<(), Trouble> {
    loop {
        let left = context.queue.left_behind(&folder.key, folder.uidvalidity(), BATCH).await?;
        if left.is_empty() {
            return Ok(());
        }
        context.queue.disposed(&left, "gone").await?;
    }
}

fn grouped(config: &config::Mailbox, due: &[Disposal]) -> Vec<(Action, Vec<Disposal>)> {
    let mut groups: Vec<(Action, Vec<Disposal>)> = Vec::new();
    for mail in due {
        let action = action(config, mail.state);
        match groups.iter_mut().find(|(known, _)| *known == action) {
            Some((_, mails)) => mails.push(mail.clone()),
            None => groups.push((action, vec![mail.clone()])),
        }
    }
    groups
}

fn action(config: &config::Mailbox, state: State) -> Action {
    let keyword = || Some(config.keyword.clone()).filter(|word| !word.is_empty());
    let seen_and_keyword = || std::iter::once("\\Seen".to_owned()).chain(keyword()).collect();
    match (state, config.after_post) {
        (State::Delivered, AfterPost::Seen) => Action::Flag(seen_and_keyword()),
        (State::Delivered, AfterPost::Move) => Action::Move(seen_and_keyword(), config.move_to.clone()),
        (State::Delivered, AfterPost::Delete) => Action::Delete,
        (State::Failed, _) if !config.failed_to.is_empty() => Action::Move(Vec::new(), config.failed_to.clone()),
        (State::Discarded, AfterPost::Seen | AfterPost::Move | AfterPost::Delete) => {
            Action::Flag(keyword().into_iter().collect())
        }
        _ => Action::Nothing,
    }
}

/// Does it. A word for the history.
async fn carry_out(
    context: &Context,
    session: &mut Session,
    folder: &mut Folder,
    action: &Action,
    mails: &[Disposal],
) -> Result<&'static str, Trouble> {
    let uids = uids_of(mails);
    let read_only = folder.view.as_ref().is_some_and(|view| view.read_only);
    match action {
        Action::Nothing => {}
        _ if read_only => return Ok(unsupported(folder, "the folder is read-only")),
        Action::Flag(flags) => return flag(session, folder, &uids, flags).await,
        Action::Move(flags, target) => {
            flag(session, folder, &uids, flags).await?;
            relocate(context, session, folder, mails, target).await?;
        }
        Action::Delete => session.delete(&uids).await?,
    }
    Ok(action.word())
}

fn uids_of(mails: &[Disposal]) -> UidSet {
    mails.iter().map(|mail| mail.uid).collect()
}

async fn flag(
    session: &mut Session,
    folder: &mut Folder,
    uids: &UidSet,
    flags: &[String],
) -> Result<&'static str, Trouble> {
    let may_set = |flag: &&str| folder.view.as_ref().is_none_or(|view| view.may_set(flag));
    let allowed: Vec<&str> = flags.iter().map(String::as_str).filter(may_set).collect();
    if allowed.is_empty() {
        return Ok(if flags.is_empty() { "none" } else { unsupported(folder, "the folder keeps no such flags") });
    }
    let shown = session.set_flags(uids, &allowed).await?;
    // Mails that are gone show nothing either, so this is no reason to complain.
    Ok(if shown.is_empty() { "not_shown" } else { "flagged" })
}

/// MOVE, or COPY and then removal. A mail that was copied before is not copied again.
async fn relocate(
    context: &Context,
    session: &mut Session,
    folder: &mut Folder,
    mails: &[Disposal],
    target: &str,
) -> Result<(), Trouble> {
    let uids = uids_of(mails);
    let untouched = mails.iter().all(|mail| mail.copied == Copied::No);
    if session.can_move() && untouched {
        return Ok(session.move_to(&uids, target).await?);
    }
    let mut open: Vec<&Disposal> = mails.iter().filter(|mail| mail.copied != Copied::Yes).collect();
    let doubtful: UidSet = mails.iter().filter(|mail| mail.copied == Copied::Perhaps).map(|mail| mail.uid).collect();
    if !doubtful.is_empty() {
        let found = match session.copies_in(target, &doubtful).await {
            Err(error) if error.ends_session() => return Err(error.into()),
            found => found,
        };
        folder.reenter(session.select(&folder.key.folder).await?)?;
        let found = found?;
        let (copied, missing): (Vec<_>, Vec<_>) = open.into_iter().partition(|mail| found.contains(mail.uid));
        context.queue.copied(&ids_of(&copied)).await?;
        open = missing;
    }
    if !open.is_empty() {
        let ids = ids_of(&open);
        context.queue.copying(&ids).await?;
        session.copy_to(&open.iter().map(|mail| mail.uid).collect(), target).await?;
        context.queue.copied(&ids).await?;
    }
    Ok(session.delete(&uids).await?)
}

fn ids_of(mails: &[&Disposal]) -> Vec<QueueId> {
    mails.iter().map(|mail| mail.id).collect()
}

/// The server has refused. `None`: it may want to later.
fn refused(context: &Context, folder: &mut Folder, action: &Action, error: &imap::Error) -> Option<&'static str> {
    let patience = matches!(error.fault(), Fault::Throttled { .. });
    if !patience && matches!(action, Action::Flag(_)) {
        return Some(unsupported(folder, &error.to_string()));
    }
    let (now, later) = (Instant::now(), context.config.reconnect_max.0);
    folder.act_after = now.checked_add(later).unwrap_or(now);
    tracing::warn!(
        event = event::MAILBOX_DISPOSITION,
        mailbox = %folder.key.mailbox,
        folder = folder.key.folder,
        action = action.word(),
        error_class = error.class(),
        error = %error,
        retry_in_ms = u64::try_from(later.as_millis()).unwrap_or(u64::MAX),
        "The mail server refuses an action on finished mails; it is tried again later.",
    );
    None
}

fn unsupported(folder: &mut Folder, reason: &str) -> &'static str {
    if !folder.told_unsupported {
        folder.told_unsupported = true;
        tracing::warn!(
            event = event::MAILBOX_DISPOSITION,
            mailbox = %folder.key.mailbox,
            folder = folder.key.folder,
            action = "unsupported",
            error = reason,
            "Finished mails cannot be marked in this folder; they count as done.",
        );
    }
    "unsupported"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(change: impl FnOnce(&mut config::Mailbox), state: State, expected: &Action) {
        let mut config = config::Mailbox::default();
        change(&mut config);
        assert_eq!(action(&config, state), *expected);
    }

    #[test]
    fn each_end_state_has_its_action() {
        let flags = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<String>>();
        let both = || flags(&["\\Seen", "$MailBridge"]);
        check(|_| {}, State::Delivered, &Action::Flag(both()));
        check(|c| c.keyword.clear(), State::Delivered, &Action::Flag(flags(&["\\Seen"])));
        let to_done = Action::Move(both(), "Processed".to_owned());
        check(|c| c.after_post = AfterPost::Move, State::Delivered, &to_done);
        check(|c| c.after_post = AfterPost::Delete, State::Delivered, &Action::Delete);
        check(|c| c.after_post = AfterPost::None, State::Delivered, &Action::Nothing);
        check(|c| c.after_post = AfterPost::Delete, State::Failed, &Action::Nothing);
        let to_failed = Action::Move(Vec::new(), "Failed".to_owned());
        check(|c| c.failed_to = "Failed".to_owned(), State::Failed, &to_failed);
        check(|c| c.after_post = AfterPost::Delete, State::Discarded, &Action::Flag(flags(&["$MailBridge"])));
        check(|c| c.after_post = AfterPost::None, State::Discarded, &Action::Nothing);
    }
}

//! What is done to mails on the server: flags, moving, deleting (RFC 9051 §6.4.6, §6.4.8; RFC 4315). Every command here
//! but COPY may be given again; some servers then refuse UIDs that are gone (`copies` looks).
//!
//! Never gives a plain EXPUNGE: it would remove what others have marked.

use super::answer::Answer;
use super::command::Command;
use super::error::Error;
use super::session::{Session, folder_argument};
use crate::ids::Uid;
use crate::uids::UidSet;

impl Session {
    /// Sets flags. The UIDs whose flags the server shows afterwards: a folder that keeps none shows none.
    ///
    /// # Errors
    /// [`Error::Refused`] when the server does not want to; see [`Error`].
    pub async fn set_flags(&mut self, uids: &UidSet, flags: &[&str]) -> Result<UidSet, Error> {
        let mut shown = Vec::new();
        let note = |answer| {
            if let Answer::Fetch(item) = answer {
                shown.extend(item.uid.map(Uid).filter(|uid| uids.contains(*uid)));
            }
        };
        let line = format!("UID STORE {uids} +FLAGS ({})", flags.join(" "));
        let outcome = self.wire.run(Command::new("UID STORE", line), note).await?;
        outcome.accepted().map(|_| shown.into_iter().collect())
    }

    /// Whether the server can MOVE (RFC 6851).
    #[must_use]
    pub fn can_move(&self) -> bool {
        self.capabilities.has("MOVE") || self.capabilities.has("IMAP4REV2")
    }

    /// Moves mails; the folder is made when it is missing.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn move_to(&mut self, uids: &UidSet, folder: &str) -> Result<(), Error> {
        self.transfer("UID MOVE", uids, folder).await
    }

    /// Copies mails; the folder is made when it is missing.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn copy_to(&mut self, uids: &UidSet, folder: &str) -> Result<(), Error> {
        self.transfer("UID COPY", uids, folder).await
    }

    /// Marks mails as deleted and, where the server can remove just these (UIDPLUS), removes them. Otherwise they stay,
    /// marked.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete(&mut self, uids: &UidSet) -> Result<(), Error> {
        self.set_flags(uids, &["\\Deleted"]).await?;
        if !self.capabilities.has("UIDPLUS") && !self.capabilities.has("IMAP4REV2") {
            return Ok(());
        }
        let command = Command::new("UID EXPUNGE", format!("UID EXPUNGE {uids}"));
        self.wire.run(command, |_| {}).await?.accepted().map(|_| ())
    }

    async fn transfer(&mut self, name: &'static str, uids: &UidSet, folder: &str) -> Result<(), Error> {
        let target = folder_argument(folder)?;
        let line = format!("{name} {uids} {target}");
        let first = self.wire.run(Command::new(name, line.clone()), |_| {}).await?;
        let Err(refused) = first.accepted() else { return Ok(()) };
        // Not every server says TRYCREATE: making a folder that is there does no harm.
        let create = Command::new("CREATE", format!("CREATE {target}"));
        if self.wire.run(create, |_| {}).await?.accepted().is_err() {
            return Err(refused);
        }
        self.wire.run(Command::new(name, line), |_| {}).await?.accepted().map(|_| ())
    }
}

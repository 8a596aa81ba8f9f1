//! What changes mails: UID STORE, COPY, MOVE, EXPUNGE (RFC 9051 §6.4.6, RFC 6851, RFC 4315).

use std::fmt::Write as _;

use super::fetch::flags_item;
use super::mailbox::{Mail, World, canonical_flag};
use super::session::{Answer, Session};
use super::token::{Args, UidSet};

impl Session {
    pub(super) fn store(&self, args: &mut Args) -> Option<Answer> {
        let set = UidSet::parse(&args.word()?)?;
        let operation = args.keyword()?;
        let (operation, silent) =
            operation.strip_suffix(".SILENT").map_or((operation.as_str(), false), |operation| (operation, true));
        let flags: Vec<String> = args.list()?.iter().map(|flag| canonical_flag(flag)).collect();
        let (user, selected) = (self.user.as_ref()?, self.selected.as_ref()?);
        if selected.read_only {
            return Some(Answer::no("[READ-ONLY] the folder cannot be changed"));
        }
        // A keyword that the folder does not keep is ignored, as PERMANENTFLAGS has said (RFC 9051 §7.1).
        let kept = |flag: &&String| self.options.keywords || flag.starts_with('\\');
        let mut lines = String::new();
        let done = self.shared.change(|world| {
            let folder = world.find_mut(user, &selected.folder)?;
            let last = folder.messages.keys().next_back().copied().unwrap_or(0);
            for (index, uid) in selected.view.iter().enumerate().filter(|(_, uid)| set.contains(**uid, last)) {
                let Some(mail) = folder.messages.get_mut(uid) else { continue };
                match operation {
                    "+FLAGS" => mail.flags.extend(flags.iter().filter(kept).cloned()),
                    "-FLAGS" => mail.flags.retain(|flag| !flags.contains(flag)),
                    "FLAGS" => mail.flags = flags.iter().filter(kept).cloned().collect(),
                    _ => return None,
                }
                if !silent {
                    let (sequence, item) = (index.saturating_add(1), flags_item(&mail.flags));
                    write!(lines, "* {sequence} FETCH (UID {uid} {item})\r\n").ok();
                }
            }
            Some(())
        });
        done.map(|()| Answer::ok("done").with(lines))
    }

    /// UID COPY, and UID MOVE when `remove`.
    pub(super) fn copy(&self, args: &mut Args, remove: bool) -> Option<Answer> {
        let (set, target) = (UidSet::parse(&args.word()?)?, args.text()?);
        let (user, selected) = (self.user.as_ref()?, self.selected.as_ref()?);
        if remove && selected.read_only {
            return Some(Answer::no("[READ-ONLY] the folder cannot be changed"));
        }
        let copied = self.shared.change(|world| {
            let mails = meant(world, user, &selected.folder, &selected.view, &set)?;
            let folder = world.find_mut(user, &target)?;
            let (from, to): (Vec<String>, Vec<String>) = mails
                .iter()
                .map(|mail| {
                    let new = folder.append(mail.raw.clone(), mail.internal_date, mail.flags.clone());
                    (mail.uid.to_string(), new.to_string())
                })
                .unzip();
            let code = format!("[COPYUID {} {} {}] ", folder.uidvalidity, from.join(","), to.join(","));
            if remove && let Some(source) = world.find_mut(user, &selected.folder) {
                source.messages.retain(|uid, _| !mails.iter().any(|mail| mail.uid == *uid));
            }
            Some(if mails.is_empty() || !self.options.offers("UIDPLUS") { String::new() } else { code })
        });
        let Some(code) = copied else { return Some(Answer::no("[TRYCREATE] no such folder")) };
        // MOVE tells COPYUID before the EXPUNGEs (RFC 6851 §4.3); those come with the updates.
        Some(if remove && !code.is_empty() {
            Answer::ok("done").with(format!("* OK {code}moved\r\n"))
        } else {
            Answer::ok(format!("{code}done"))
        })
    }

    pub(super) fn uid_expunge(&self, args: &mut Args) -> Option<Answer> {
        let set = UidSet::parse(&args.word()?)?;
        Some(self.expunge(Some(&set)))
    }

    /// Removes what has `\Deleted`, all of it or those among `only`. The EXPUNGEs come with the updates.
    pub(super) fn expunge(&self, only: Option<&UidSet>) -> Answer {
        let (Some(user), Some(selected)) = (&self.user, &self.selected) else { return Answer::bad("no folder") };
        if selected.read_only {
            return Answer::no("[READ-ONLY] the folder cannot be changed");
        }
        self.shared.change(|world| {
            let Some(folder) = world.find_mut(user, &selected.folder) else { return };
            let last = folder.messages.keys().next_back().copied().unwrap_or(0);
            folder.messages.retain(|uid, mail| {
                !mail.flags.contains(r"\Deleted") || only.is_some_and(|set| !set.contains(*uid, last))
            });
        });
        Answer::ok("done")
    }
}

/// The mails of the set that the session knows and that are still there.
fn meant(world: &World, user: &str, folder: &str, view: &[u32], set: &UidSet) -> Option<Vec<Mail>> {
    let folder = world.find(user, folder)?;
    let last = folder.messages.keys().next_back().copied().unwrap_or(0);
    let known = view.iter().filter(|uid| set.contains(**uid, last));
    Some(known.filter_map(|uid| folder.messages.get(uid).cloned()).collect())
}

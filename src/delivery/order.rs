//! What a mail is known by in the queue: the keys that keep mails of a conversation in order, and what tells that two are
//! the same mail. Pure.

use sha2::{Digest as _, Sha256};

use crate::config::Mailbox;
use crate::config::mailbox::SameMail;
use crate::config::queue::Ordering;
use crate::ids::MailboxName;
use crate::message::Message;
use crate::queue::Identity;

/// The identity of a mail that was read.
pub(super) fn identity(message: &Message, name: &MailboxName, mailbox: &Mailbox, ordering: Ordering) -> Identity {
    let same_mail = match mailbox.same_mail {
        SameMail::Each => None,
        SameMail::First => Some(format!("{} {}", message.canonical_hash, message.message_id)),
    };
    let (names, refers) = keys(message, name, ordering);
    Identity {
        names,
        refers,
        same_mail,
        distinct: message.distinct,
        rfc_message_id: message.message_id.clone(),
        from: message.from.first().map(|from| from.address.clone()).unwrap_or_default(),
    }
}

/// The hashes of what a mail is called, and of what it refers to. A reply waits for the mail that it answers, and a second
/// mail of one id for the first; two replies to one mail do not wait for each other, since each is connected by what it
/// answers (ruling 1). Hashes, since ids are long and somebody else's words.
fn keys(message: &Message, name: &MailboxName, ordering: Ordering) -> (Vec<[u8; 16]>, Vec<[u8; 16]>) {
    match ordering {
        Ordering::None => (Vec::new(), Vec::new()),
        Ordering::Mailbox => (vec![hash("mailbox", name.as_str())], Vec::new()),
        Ordering::Conversation => {
            let mut refers: Vec<[u8; 16]> =
                message.in_reply_to.iter().chain(&message.references).map(|id| hash("id", id)).collect();
            refers.sort_unstable();
            refers.dedup();
            (vec![hash("id", &message.message_id)], refers)
        }
    }
}

fn hash(kind: &str, text: &str) -> [u8; 16] {
    let digest = Sha256::new().chain_update(kind).chain_update([0]).chain_update(text).finalize();
    digest.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Depth, Rules, parse};

    fn message(id: &str, in_reply_to: &[&str], references: &[&str]) -> Message {
        let owned = |ids: &[&str]| ids.iter().map(ToString::to_string).collect();
        let mail = parse(b"From: a@x\n\n", &Rules::default(), Depth::Full);
        Message {
            message_id: id.to_owned(),
            synthetic_id: false,
            canonical_hash: "c0ffee".to_owned(),
            in_reply_to: owned(in_reply_to),
            references: owned(references),
            ..mail
        }
    }

    /// Whether `younger` waits for `older`.
    #[track_caller]
    fn check(ordering: Ordering, older: &Message, younger: &Message, waits: bool) {
        let name = "support".parse().expect("a name");
        let ((called, _), (names, refers)) = (keys(older, &name, ordering), keys(younger, &name, ordering));
        assert_eq!(names.iter().chain(&refers).any(|key| called.contains(key)), waits);
    }

    #[test]
    fn a_reply_waits_for_what_it_answers() {
        let (first, reply) = (message("1@x", &[], &[]), message("2@x", &["1@x"], &[]));
        check(Ordering::Conversation, &first, &reply, true);
        check(Ordering::Conversation, &first, &message("3@x", &[], &["1@x", "2@x"]), true);
        check(Ordering::Conversation, &first, &message("1@x", &[], &[]), true);
        check(Ordering::Conversation, &first, &message("4@x", &["5@x"], &[]), false);
        check(Ordering::Mailbox, &first, &message("4@x", &[], &[]), true);
        check(Ordering::None, &first, &first, false);
    }

    #[test]
    fn two_replies_to_one_mail_do_not_wait_for_each_other() {
        check(Ordering::Conversation, &message("2@x", &["1@x"], &["1@x"]), &message("3@x", &["1@x"], &["1@x"]), false);
    }

    #[test]
    fn the_same_id_twice_is_one_key() {
        let name = "support".parse().expect("a name");
        let mail = message("2@x", &["1@x"], &["1@x", "1@x"]);
        let (names, refers) = keys(&mail, &name, Ordering::Conversation);
        assert_eq!((names.len(), refers.len()), (1, 1));
    }

    #[test]
    fn same_mail_is_only_named_where_it_matters() {
        let name = "support".parse().expect("a name");
        let each = identity(&message("1@x", &[], &[]), &name, &Mailbox::default(), Ordering::None);
        assert_eq!(each.same_mail, None);
        assert_eq!(each.from, "a@x");
        let mailbox = Mailbox { same_mail: SameMail::First, ..Mailbox::default() };
        let first = identity(&message("1@x", &[], &[]), &name, &mailbox, Ordering::None);
        assert_eq!(first.same_mail.as_deref(), Some("c0ffee 1@x"));
    }
}

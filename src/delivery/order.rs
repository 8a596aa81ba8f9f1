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
    Identity {
        keys: keys(message, name, ordering),
        same_mail,
        distinct: message.distinct,
        rfc_message_id: message.message_id.clone(),
        from: message.from.first().map(|from| from.address.clone()).unwrap_or_default(),
    }
}

/// The hashes of what binds it to other mails (ruling 1). Hashes, since ids are long and somebody else's words.
fn keys(message: &Message, name: &MailboxName, ordering: Ordering) -> Vec<[u8; 16]> {
    let mut keys: Vec<[u8; 16]> = match ordering {
        Ordering::None => Vec::new(),
        Ordering::Mailbox => vec![hash("mailbox", name.as_str())],
        Ordering::Conversation => {
            let own = std::iter::once(&message.message_id);
            let ids = own.chain(&message.in_reply_to).chain(&message.references);
            ids.filter(|id| !id.is_empty()).map(|id| hash("id", id)).collect()
        }
    };
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn hash(kind: &str, text: &str) -> [u8; 16] {
    let digest = Sha256::new().chain_update(kind).chain_update([0]).chain_update(text).finalize();
    digest.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Address, Depth, Kind};

    fn message(id: &str, in_reply_to: &[&str], references: &[&str]) -> Message {
        let owned = |ids: &[&str]| ids.iter().map(ToString::to_string).collect();
        Message {
            depth: Depth::Full,
            message_id: id.to_owned(),
            synthetic_id: false,
            distinct: true,
            canonical_hash: "c0ffee".into(),
            in_reply_to: owned(in_reply_to),
            references: owned(references),
            subject: String::new(),
            from: vec![Address { name: String::new(), address: "a@x".into() }],
            from_text: String::new(),
            reply_to: vec![],
            to: vec![],
            cc: vec![],
            bcc: vec![],
            date: None,
            header_block: String::new(),
            headers: vec![],
            text: String::new(),
            html: None,
            attachments: vec![],
            kind: Kind::Human,
            may_answer: true,
            evidence: vec![],
            important: false,
            defects: vec![],
        }
    }

    #[track_caller]
    fn check(ordering: Ordering, one: &Message, other: &Message, shared: bool) {
        let name = "support".parse().expect("a name");
        let (one, other) = (keys(one, &name, ordering), keys(other, &name, ordering));
        assert_eq!(one.iter().any(|key| other.contains(key)), shared);
    }

    #[test]
    fn mails_of_a_conversation_share_a_key() {
        let first = message("1@x", &[], &[]);
        check(Ordering::Conversation, &first, &message("2@x", &["1@x"], &[]), true);
        check(Ordering::Conversation, &first, &message("3@x", &[], &["1@x", "2@x"]), true);
        check(Ordering::Conversation, &first, &message("1@x", &[], &[]), true);
        check(Ordering::Conversation, &first, &message("4@x", &["5@x"], &[]), false);
        check(Ordering::Mailbox, &first, &message("4@x", &[], &[]), true);
        check(Ordering::None, &first, &first, false);
    }

    #[test]
    fn the_same_id_twice_is_one_key() {
        let name = "support".parse().expect("a name");
        let mail = message("2@x", &["1@x"], &["1@x", "", "1@x"]);
        assert_eq!(keys(&mail, &name, Ordering::Conversation).len(), 2);
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

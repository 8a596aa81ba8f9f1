//! `[mailbox.NAME]` and `[mailbox_defaults]`: one mailbox, its server and what becomes of its mail.

use serde::{Deserialize, Serialize};

use super::secret::Secret;
use super::units::Period;
use crate::entity::message::Slevel;
use crate::ids::TenantName;

/// `[mailbox.NAME]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mailbox {
    /// The tenant its mail goes to; may be left out when there is one (reconnect).
    pub tenant: Option<TenantName>,
    /// The address of the mailbox; "" = `user` (live).
    pub address: String,
    /// Whether it is read at all (live).
    pub enabled: bool,
    /// The mail server (reconnect).
    pub host: String,
    /// Its port; 0 = 993 with `tls = "implicit"`, else 143 (reconnect).
    pub port: u16,
    /// The user of the sign-in (reconnect).
    pub user: String,
    /// The password of the sign-in (reconnect).
    pub password: Option<Secret>,
    /// The sign-in: auto (AUTHENTICATE PLAIN where the server offers it, else LOGIN), plain or login (reconnect).
    pub auth: ImapAuth,
    /// implicit, starttls (never opportunistic), none (loopback only) or insecure-plaintext (other hosts: the word says
    /// what it is) (reconnect).
    pub tls: ImapTls,
    /// The name to verify when it differs from `host` (reconnect).
    pub tls_name: String,
    /// Time to a connection, TLS and the greeting included (reconnect).
    pub connect_timeout: Period,
    /// Time without any progress in an answer (reconnect).
    pub io_timeout: Period,
    /// auto: IDLE when offered, else poll, also for an hour after a server has refused IDLE or ended three sessions in a row
    /// in it; poll (reconnect).
    pub mode: Mode,
    /// Time between polls where IDLE is not used, and for the folders beside the first (reconnect).
    pub poll_interval: Period,
    /// IDLE ends, the folder is searched, IDLE starts anew: the safety poll too (reconnect).
    pub idle_refresh: Period,
    /// The delay before the first reconnect; it doubles, with jitter (live).
    pub reconnect_first: Period,
    /// No reconnect waits longer; after it a refused move is tried again (live).
    pub reconnect_max: Period,
    /// The folders that are read (reconnect).
    pub folders: Vec<String>,
    /// What the first run takes: new, unseen or all. Fixed at the first select; afterwards `\Seen` means nothing
    /// (reconnect).
    pub start: Start,
    /// More old mails than this wait, counted, until `mailbridge mailbox start NAME` says so; new mail flows meanwhile;
    /// 0 = no limit (reconnect).
    pub start_limit: u32,
    /// each: a mail that another mailbox of the tenant has taken too is posted for each; first: only once (live).
    pub same_mail: SameMail,
    /// Mails fetched by one command (live).
    pub batch: u16,
    /// What becomes of a posted mail on the server: seen, move, delete or none. delete is refused with
    /// `tickets = "message-only"`, which does not carry attachments (live).
    pub after_post: AfterPost,
    /// The keyword set on posted mail where the folder allows keywords; "" = none (live).
    pub keyword: String,
    /// The folder that posted mail is moved to; made when missing (live).
    pub move_to: String,
    /// The folder that dead letters are moved to; "" = they stay (live).
    pub failed_to: String,
    /// Send `ID` (RFC 2971) after the sign-in where the server offers it (reconnect).
    pub send_id: bool,
    /// The name written to `MailSorter`; "" = the mailbox's name (live).
    pub mail_sorter: String,
    /// `Slevel` of the messages (live).
    pub security_level: Slevel,
    /// `Language` of the messages; "" = not set (live).
    pub language: String,
}

impl Default for Mailbox {
    fn default() -> Self {
        Self {
            tenant: None,
            address: String::new(),
            enabled: true,
            host: String::new(),
            port: 0,
            user: String::new(),
            password: None,
            auth: ImapAuth::Auto,
            tls: ImapTls::Implicit,
            tls_name: String::new(),
            connect_timeout: Period::secs(20),
            io_timeout: Period::secs(60),
            mode: Mode::Auto,
            poll_interval: Period::secs(60),
            idle_refresh: Period::secs(300),
            reconnect_first: Period::secs(2),
            reconnect_max: Period::secs(300),
            folders: vec!["INBOX".to_owned()],
            start: Start::Unseen,
            start_limit: 100,
            same_mail: SameMail::Each,
            batch: 50,
            after_post: AfterPost::Seen,
            keyword: "$MailBridge".to_owned(),
            move_to: "Processed".to_owned(),
            failed_to: String::new(),
            send_id: true,
            mail_sorter: String::new(),
            security_level: Slevel::External,
            language: String::new(),
        }
    }
}

impl Mailbox {
    /// The port that is meant.
    #[must_use]
    pub const fn effective_port(&self) -> u16 {
        match (self.port, self.tls) {
            (0, ImapTls::Implicit) => 993,
            (0, _) => 143,
            (port, _) => port,
        }
    }
}

/// Makes an enum of option words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }
    };
}

words! {
    /// The sign-in.
    ImapAuth {
        /// The strongest that both sides know.
        Auto,
        /// AUTHENTICATE PLAIN (RFC 4616).
        Plain,
        /// LOGIN (RFC 9051 §6.2.3).
        Login,
    }
}
words! {
    /// How the connection is protected.
    ImapTls {
        /// TLS from the first byte (RFC 8314).
        Implicit,
        /// STARTTLS, or no connection.
        Starttls,
        /// Plain text, to loopback only.
        None,
        /// Plain text to any host.
        InsecurePlaintext,
    }
}
words! {
    /// How new mail is noticed.
    Mode {
        /// IDLE when offered, else poll.
        Auto,
        /// Poll.
        Poll,
    }
}
words! {
    /// What the first run takes.
    Start {
        /// Only mail that arrives from now on.
        New,
        /// What is unseen at the first select, and what arrives from then on.
        Unseen,
        /// Everything.
        All,
    }
}
words! {
    /// What happens with a mail that another mailbox of the tenant has taken too.
    SameMail {
        /// It is posted for each.
        Each,
        /// It is posted once.
        First,
    }
}
words! {
    /// What becomes of a posted mail on the server.
    AfterPost {
        /// `\Seen` and the keyword.
        Seen,
        /// Moved to `move_to`.
        Move,
        /// Deleted.
        Delete,
        /// Nothing.
        None,
    }
}

//! A loopback IMAP4rev1 server (RFC 3501, and of the later ones what its capabilities name), with mailboxes in memory.
//!
//! It knows what mailbridge uses and a little more: CAPABILITY, NOOP, LOGOUT, ID, STARTTLS, LOGIN, AUTHENTICATE PLAIN,
//! SELECT, EXAMINE, LIST, CREATE, STATUS, APPEND, EXPUNGE, IDLE, and UID SEARCH, FETCH, STORE, COPY, MOVE, EXPUNGE. Commands
//! that take sequence numbers are answered with BAD. A command exists only if [`Options::capabilities`] announces it, so a
//! poorer server is an option away, and a broken one a [`Rule`].

mod act;
mod connection;
mod fetch;
mod mailbox;
mod script;
mod search;
mod session;
mod token;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpListener;

use crate::clock::{Clock, UtcMillis};
use crate::sandbox::loopback::{self, Shared};
use crate::sandbox::script::When;
use mailbox::World;

pub use mailbox::{Logged, Mail};
pub use script::{Edit, Rule, Step, Tagged};

/// What kind of server it is.
#[derive(Debug, Clone)]
pub struct Options {
    /// The port; 0 = a free one.
    pub port: u16,
    /// Certificate and key. Without [`Self::implicit_tls`] the server offers STARTTLS and refuses to sign in before it.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// TLS from the first byte.
    pub implicit_tls: bool,
    /// What is announced, STARTTLS and LOGINDISABLED aside, which come by themselves. A command whose extension is not
    /// here is unknown.
    pub capabilities: Vec<String>,
    /// Keywords are kept, and `\*` stands among the PERMANENTFLAGS.
    pub keywords: bool,
    /// SELECT and STATUS tell UIDNEXT.
    pub uidnext: bool,
    /// SELECT is refused to clients that have not sent ID.
    pub requires_id: bool,
    /// IDLE tells of new mail; without, it is accepted and stays silent.
    pub idle_pushes: bool,
    /// Where INTERNALDATE comes from.
    pub clock: Clock,
}

impl Default for Options {
    /// A server that can do everything this one can.
    fn default() -> Self {
        let all = ["IMAP4rev1", "AUTH=PLAIN", "SASL-IR", "LITERAL+", "ID", "IDLE", "MOVE", "UIDPLUS"];
        Self {
            port: 0,
            tls: None,
            implicit_tls: false,
            capabilities: all.map(str::to_owned).to_vec(),
            keywords: true,
            uidnext: true,
            requires_id: false,
            idle_pushes: true,
            clock: Clock::system(),
        }
    }
}

impl Options {
    /// A server that can do nothing but the base commands: LOGIN, no IDLE, no MOVE, no UIDPLUS, no keywords, no UIDNEXT.
    #[must_use]
    pub fn poor() -> Self {
        Self { capabilities: vec!["IMAP4rev1".to_owned()], keywords: false, uidnext: false, ..Self::default() }
    }

    /// Takes one capability away, and with it the command.
    #[must_use]
    pub fn without(mut self, capability: &str) -> Self {
        self.capabilities.retain(|known| !known.eq_ignore_ascii_case(capability));
        self
    }

    fn offers(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|known| known.eq_ignore_ascii_case(capability))
    }
}

/// The server, bound but not yet served.
#[derive(Debug)]
pub struct ImapServer {
    listener: TcpListener,
    address: SocketAddr,
    options: Arc<Options>,
    shared: Arc<Shared<World>>,
}

impl ImapServer {
    /// Listens on 127.0.0.1. Connections are accepted from now on and served once [`Self::serve`] runs.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub async fn bind(options: Options) -> std::io::Result<Self> {
        let (listener, address) = loopback::listen(options.port).await?;
        Ok(Self { listener, address, options: Arc::new(options), shared: Arc::new(Shared::new(World::default())) })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The view from behind.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle { shared: Arc::clone(&self.shared), clock: self.options.clock.clone() }
    }

    /// Runs the server for as long as the future is polled; it never ends by itself.
    pub async fn serve(self) {
        let connect = |socket| connection::run(socket, Arc::clone(&self.shared), Arc::clone(&self.options));
        loopback::serve(self.listener, &self.shared, connect).await;
    }
}

/// The view from behind: what the mailboxes hold, what clients did, and what is to go wrong. Clones are the same server.
///
/// A user or folder that is named but does not exist is made; a user made in passing cannot sign in.
#[derive(Debug, Clone)]
pub struct Handle {
    shared: Arc<Shared<World>>,
    clock: Clock,
}

impl Handle {
    /// Adds a user with an empty INBOX, or changes the password of one.
    pub fn add_user(&self, user: &str, password: &str) {
        self.shared.change(|world| {
            world.user(user).password = Some(password.to_owned());
            world.folder(user, "INBOX");
        });
    }

    /// Makes a folder; one that is there stays as it is.
    pub fn create(&self, user: &str, folder: &str) {
        self.shared.change(|world| {
            world.folder(user, folder);
        });
    }

    /// A mail arrives now, unseen. Its UID.
    pub fn append(&self, user: &str, folder: &str, raw: impl Into<Bytes>) -> u32 {
        self.append_as(user, folder, raw, self.clock.now(), &[])
    }

    /// A mail arrives with this INTERNALDATE and these flags. Its UID.
    pub fn append_as(
        &self,
        user: &str,
        folder: &str,
        raw: impl Into<Bytes>,
        internal_date: UtcMillis,
        flags: &[&str],
    ) -> u32 {
        let flags = flags.iter().map(|flag| mailbox::canonical_flag(flag)).collect();
        self.shared.change(|world| world.folder(user, folder).append(raw.into(), internal_date, flags))
    }

    /// The flags of a mail; `None` when there is no such mail.
    #[must_use]
    pub fn flags(&self, user: &str, folder: &str, uid: u32) -> Option<BTreeSet<String>> {
        let mail = |world: &World| Some(world.find(user, folder)?.messages.get(&uid)?.flags.clone());
        self.shared.read(mail)
    }

    /// The mails of a folder by UID; none when there is no such folder.
    #[must_use]
    pub fn messages(&self, user: &str, folder: &str) -> Vec<Mail> {
        let all = |world: &World| Some(world.find(user, folder)?.messages.values().cloned().collect());
        self.shared.read(all).unwrap_or_default()
    }

    /// The folders of a user.
    #[must_use]
    pub fn folders(&self, user: &str) -> Vec<String> {
        self.shared.change(|world| world.user(user).folders.keys().cloned().collect())
    }

    /// The folder gets another UIDVALIDITY and its mails new UIDs in the same order, the first of them `first_uid`.
    pub fn set_uidvalidity(&self, user: &str, folder: &str, uidvalidity: u32, first_uid: u32) {
        self.shared.change(|world| world.folder(user, folder).renumber(uidvalidity, first_uid));
    }

    /// The folder's UIDNEXT, and with it the UID of the next mail, leaps to this; a UID that is taken is replaced.
    pub fn set_uidnext(&self, user: &str, folder: &str, uidnext: u32) {
        self.shared.change(|world| world.folder(user, folder).uidnext = uidnext);
    }

    /// SELECT of the folder says READ-ONLY from now on, or not.
    pub fn set_read_only(&self, user: &str, folder: &str, read_only: bool) {
        self.shared.change(|world| world.folder(user, folder).read_only = read_only);
    }

    /// Somebody else removes a mail. False when it is not there.
    pub fn expunge(&self, user: &str, folder: &str, uid: u32) -> bool {
        self.shared.change(|world| world.folder(user, folder).messages.remove(&uid).is_some())
    }

    /// How many connections were accepted so far.
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.shared.read(|world| world.connections)
    }

    /// The commands seen so far, literals as `{n}`, passwords as `***`.
    #[must_use]
    pub fn log(&self) -> Vec<Logged> {
        self.shared.read(|world| world.log.clone())
    }

    /// How many commands of this verb (`UID FETCH`) were seen so far.
    #[must_use]
    pub fn seen(&self, verb: &str) -> usize {
        self.shared.read(|world| world.log.iter().filter(|logged| logged.verb == verb).count())
    }

    /// From now on these rules hold, in this order, counted from 1 again. No rules: the server behaves.
    pub fn script(&self, rules: impl IntoIterator<Item = Rule>) {
        self.shared.change(|world| world.rules = rules.into_iter().collect());
    }

    /// Takes the server away (connections break, new ones are refused) or brings it back on the same port.
    pub fn set_down(&self, down: bool) {
        self.shared.set_down(down);
    }

    /// Waits until `holds` is true, looking again after every change. False when that does not happen `within`.
    pub async fn wait(&self, within: Duration, mut holds: impl FnMut(&Self) -> bool) -> bool {
        self.shared.wait(within, || holds(self)).await
    }
}

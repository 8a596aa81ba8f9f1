//! A mailbox whose server misbehaves, and beside it one whose server does not: what harms the first must not reach the
//! second.

use mailbridge::sandbox::imap_server::Rule;
use serde_json::Value;

use crate::support::daemon::Daemon;
use crate::support::world::USER;
use crate::support::{PATIENCE, World};

/// Mail 0 is in the mailbox that is tried, mail 1 in the other.
pub(crate) struct Tried {
    pub(crate) world: World,
    pub(crate) daemon: Daemon,
    beside: World,
}

impl Tried {
    /// With these rules at the mail server, and these further options of the mailbox.
    #[track_caller]
    pub(crate) fn new(rules: impl IntoIterator<Item = Rule>, options: &str) -> Self {
        Self::at(World::new(), rules, options, "")
    }

    /// In a world as given, with further tables of the configuration.
    #[track_caller]
    pub(crate) fn at(world: World, rules: impl IntoIterator<Item = Rule>, options: &str, tables: &str) -> Self {
        let beside = World::new();
        world.append(0..1);
        beside.append(1..2);
        world.imap.script(rules);
        let config = format!(
            "{}{options}\n[mailbox.beside]\nuser = \"{USER}\"\nport = {}\n{tables}",
            world.config(),
            beside.imap_port()
        );
        let daemon = world.daemon_with(&config);
        Self { world, daemon, beside }
    }

    /// Waits for the line that tells the fault, with these parts in its fields, and sees that the other mailbox is not
    /// harmed by it.
    #[track_caller]
    pub(crate) fn shows(&self, event: &str, fields: &[(&str, &str)]) -> Value {
        let line = self.daemon.wait_event(event, |line| line["mailbox"] == USER && has(line, fields));
        let of_other = |message: &Value| message["MessageId"] == "<story-1@example.com>";
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let came = runtime.block_on(self.world.api.wait(PATIENCE, |api| api.messages().iter().any(of_other)));
        assert!(came, "the mail of the other mailbox does not come");
        line
    }

    /// Nothing that signs in was said to the server.
    #[track_caller]
    pub(crate) fn no_secret_was_said(&self) {
        let log = self.world.imap.log();
        assert!(!log.iter().any(|logged| ["LOGIN", "AUTHENTICATE"].contains(&logged.verb.as_str())), "{log:#?}");
    }

    /// Waits for the line that tells that the mailbox works again.
    #[track_caller]
    pub(crate) fn shows_recovery(&self) {
        let recovered = [("reason", "recovered"), ("level", "info")];
        self.daemon.wait_event("mailbox.state", |line| line["mailbox"] == USER && has(line, &recovered));
    }

    /// The fault ends: what it held up goes through by itself, each mail once.
    #[track_caller]
    pub(crate) fn heals(self) {
        self.world.imap.script([]);
        self.world.end(self.daemon, 0..2);
        assert_eq!(self.beside.imap.connections(), 1, "the other mailbox has lost its connection");
    }
}

/// Whether each of these fields of the line has this in it.
pub(crate) fn has(line: &Value, fields: &[(&str, &str)]) -> bool {
    fields.iter().all(|(name, part)| match &line[*name] {
        Value::String(text) => text.contains(part),
        other => part.parse::<Value>().is_ok_and(|part| part == *other),
    })
}

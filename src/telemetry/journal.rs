//! Log entries for the systemd journal, by its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): one datagram an
//! event, its fields in upper case behind `MAILBRIDGE_`.
//!
//! `MESSAGE` is the text line, so that `journalctl` without options says what happened to which mailbox or mail. Never
//! sets `MESSAGE_ID`: that is a number of systemd's catalogue.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use crate::telemetry::line::Entry;
use crate::telemetry::personal::harmless;
use crate::telemetry::sink;

/// Where the journal listens.
pub const SOCKET: &str = "/run/systemd/journal/socket";

/// A journal that takes nothing in loses the entry after this: mail does not wait for its log.
const SEND_DEADLINE: Duration = Duration::from_secs(1);

/// Sends events to the journal.
#[derive(Debug)]
pub struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
    instance: String,
    /// The last entry was not taken.
    blocked: AtomicBool,
}

impl Journal {
    /// The journal that listens at `path`, for the daemon `instance`.
    ///
    /// # Errors
    /// When nothing listens there.
    pub fn new(path: &Path, instance: &str) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(SEND_DEADLINE))?;
        // An empty entry, which the journal drops.
        socket.send_to(&[], path)?;
        Ok(Self { socket, path: path.to_owned(), instance: harmless(instance), blocked: AtomicBool::new(false) })
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let entry = Entry::of(event);
        let mut fields = Fields::default();
        fields.put("MESSAGE", &entry.line());
        fields.put("PRIORITY", priority(*event.metadata().level()));
        fields.put("SYSLOG_IDENTIFIER", "mailbridge");
        fields.put("MAILBRIDGE_INSTANCE", &self.instance);
        for (name, value) in entry.fields() {
            fields.put(&format!("MAILBRIDGE_{}", name.to_ascii_uppercase().replace('.', "_")), value);
        }
        // Addressed anew each time: the journal may have been started again. Once it has kept an entry waiting, the next
        // ones do not wait until it takes one.
        let taken = self.socket.send_to(&fields.0, &self.path).is_ok();
        if !taken {
            sink::lose();
        }
        if self.blocked.swap(!taken, Ordering::Relaxed) == taken {
            // It can only fail for a descriptor that is none.
            drop(self.socket.set_nonblocking(!taken));
        }
    }
}

/// The fields of an entry as they are sent.
#[derive(Debug, Default)]
struct Fields(Vec<u8>);

impl Fields {
    /// In the form with a length, in which no value can end its field.
    fn put(&mut self, name: &str, value: &str) {
        let length = u64::try_from(value.len()).unwrap_or_default().to_le_bytes();
        for bytes in [name.as_bytes(), b"\n", &length, value.as_bytes(), b"\n"] {
            self.0.extend_from_slice(bytes);
        }
    }
}

/// syslog(3)'s number of a level.
const fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// The fields of the entry that `log` sends, in order.
    fn sent(log: impl FnOnce()) -> Vec<(String, String)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixDatagram::bind(&path).unwrap();
        let journal = Journal::new(&path, "default").unwrap();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(journal), log);
        let mut datagram = [0; 4096];
        assert_eq!(listener.recv(&mut datagram).unwrap(), 0, "the first datagram asks whether anyone listens");
        let length = listener.recv(&mut datagram).unwrap();
        fields(&datagram[..length])
    }

    fn fields(mut rest: &[u8]) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (name, tail) = rest.split_at(end);
            let tail = tail.strip_prefix(b"\n").unwrap();
            let (length, tail) = tail.split_first_chunk().unwrap();
            let (value, tail) = tail.split_at(usize::try_from(u64::from_le_bytes(*length)).unwrap());
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            fields.push((text(name), text(value)));
            rest = tail.strip_prefix(b"\n").unwrap();
        }
        fields
    }

    #[track_caller]
    fn check(log: impl FnOnce(), expected: &[(&str, &str)]) {
        let fields = sent(log);
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(fields, expected);
    }

    #[test]
    fn the_message_says_what_happened_to_whom() {
        check(
            || {
                tracing::warn!(
                    event = "mailbox.connect_failed",
                    mailbox = "support",
                    attempt = 2_u32,
                    "Will try again."
                )
            },
            &[
                ("MESSAGE", "mailbox.connect_failed mailbox=support attempt=2 Will try again."),
                ("PRIORITY", "4"),
                ("SYSLOG_IDENTIFIER", "mailbridge"),
                ("MAILBRIDGE_INSTANCE", "default"),
                ("MAILBRIDGE_EVENT", "mailbox.connect_failed"),
                ("MAILBRIDGE_MAILBOX", "support"),
                ("MAILBRIDGE_ATTEMPT", "2"),
            ],
        );
    }

    #[test]
    fn foreign_text_makes_no_field_and_no_colour() {
        let fields = sent(|| tracing::error!(event = "x", error = "a\nMESSAGE_ID=1\u{202e}\x1b[31m", "Failed."));
        let names: Vec<_> = fields.iter().map(|(name, _)| name.as_str()).collect();
        let expected =
            ["MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "MAILBRIDGE_INSTANCE", "MAILBRIDGE_EVENT", "MAILBRIDGE_ERROR"];
        assert_eq!(names, expected);
        assert_eq!(fields.last().unwrap().1, "a\\nMESSAGE_ID=1\\u{202e}\\u{1b}[31m");
    }

    #[test]
    fn a_journal_that_is_not_there_is_an_error_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Journal::new(&folder.path().join("socket"), "default").is_err());
    }
}

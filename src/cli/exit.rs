//! How a command ends: the exit codes (sysexits) and the failure that carries one.

use std::io;
use std::process::ExitCode;

use crate::admin::client;
use crate::admin::protocol::Reason;
use crate::config::Problems;
use crate::daemon;
use crate::queue;

/// The exit codes (sysexits.h); `docs/operations.md` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// A check said no.
    No = 1,
    /// Wrong arguments.
    Usage = 64,
    /// A mail that no parse worker could read.
    Data = 65,
    /// No such file, queue id or mailbox; or a file that cannot be read.
    NoInput = 66,
    /// The daemon is not running; its journal is not there.
    Unavailable = 69,
    /// A bug.
    Software = 70,
    /// The store cannot be opened.
    CantCreate = 73,
    /// The store or the output failed.
    Io = 74,
    /// The daemon answers in a way that this version does not understand.
    Protocol = 76,
    /// Rights, file modes.
    NoPerm = 77,
    /// The configuration; a store of a newer version.
    Config = 78,
}

impl Exit {
    /// Every code.
    pub const ALL: [Self; 12] = [
        Self::Ok,
        Self::No,
        Self::Usage,
        Self::Data,
        Self::NoInput,
        Self::Unavailable,
        Self::Software,
        Self::CantCreate,
        Self::Io,
        Self::Protocol,
        Self::NoPerm,
        Self::Config,
    ];
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A command that did not do what was asked. The text says what was tried, on what, and what to do next; it may be
/// empty when everything was said already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What is printed on stderr.
    pub text: String,
}

impl Failure {
    /// With a text.
    #[must_use]
    pub fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into() }
    }

    /// Everything was said already.
    #[must_use]
    pub const fn silent(exit: Exit) -> Self {
        Self { exit, text: String::new() }
    }
}

impl From<io::Error> for Failure {
    /// Writing the output failed. A reader that has seen enough (`| head`) is no fault.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::silent(Exit::Ok),
            _ => Self::new(Exit::Io, format!("writing the output: {error}")),
        }
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::new(Exit::Config, problems.to_string())
    }
}

impl From<queue::Error> for Failure {
    fn from(error: queue::Error) -> Self {
        let exit = match &error {
            queue::Error::Locked { .. } => Exit::CantCreate,
            queue::Error::Newer { .. } => Exit::Config,
            queue::Error::NoRaw(_) | queue::Error::DamagedRaw(_) => Exit::NoInput,
            queue::Error::File { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => Exit::NoPerm,
            queue::Error::Damaged { .. }
            | queue::Error::File { .. }
            | queue::Error::Database { .. }
            | queue::Error::ReadOnly
            | queue::Error::Closed => Exit::Io,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<daemon::Error> for Failure {
    fn from(error: daemon::Error) -> Self {
        match error {
            daemon::Error::Store(error) => error.into(),
            daemon::Error::Control(_) => Self::new(Exit::CantCreate, error.to_string()),
            daemon::Error::System { .. } => Self::new(Exit::Software, error.to_string()),
            daemon::Error::Broken(_) => Self::new(Exit::Software, format!("{error}; this is a bug, please report it")),
        }
    }
}

impl From<client::Error> for Failure {
    fn from(error: client::Error) -> Self {
        let exit = match &error {
            client::Error::Unreachable { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Exit::NoPerm
            }
            client::Error::Unreachable { .. } | client::Error::Broken { .. } => Exit::Unavailable,
            client::Error::Protocol { .. } => Exit::Protocol,
            client::Error::Refused(refusal) => refused(refusal.reason),
        };
        Self::new(exit, error.to_string())
    }
}

const fn refused(reason: Reason) -> Exit {
    match reason {
        Reason::Request => Exit::Usage,
        Reason::NotFound => Exit::NoInput,
        Reason::Config => Exit::Config,
        Reason::Store => Exit::Io,
        Reason::Unavailable => Exit::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::protocol::Refusal;

    #[track_caller]
    fn check(failure: impl Into<Failure>, expected: Exit) {
        assert_eq!(failure.into().exit, expected);
    }

    #[test]
    fn each_failure_has_its_code() {
        let locked = queue::Error::Locked { path: "/s".into(), holder: "7".into() };
        check(locked, Exit::CantCreate);
        check(queue::Error::Newer { path: "/s".into(), found: 9, known: 1 }, Exit::Config);
        check(io::Error::from(io::ErrorKind::BrokenPipe), Exit::Ok);
        check(io::Error::from(io::ErrorKind::StorageFull), Exit::Io);
        let unreachable = |kind: io::ErrorKind| client::Error::Unreachable { path: "/c".into(), source: kind.into() };
        check(unreachable(io::ErrorKind::NotFound), Exit::Unavailable);
        check(unreachable(io::ErrorKind::ConnectionRefused), Exit::Unavailable);
        check(unreachable(io::ErrorKind::PermissionDenied), Exit::NoPerm);
        let refusal = |reason| client::Error::Refused(Refusal { reason, text: String::new() });
        check(refusal(Reason::Config), Exit::Config);
        check(refusal(Reason::NotFound), Exit::NoInput);
    }
}

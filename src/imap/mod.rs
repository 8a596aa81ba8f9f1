//! IMAP (RFC 9051, RFC 3501): the only module that opens connections to mail servers. A [`Session`] is signed in; what it
//! is asked either comes back complete or as an [`Error`], within the time the options allow.
//!
//! async-imap is the transport, not the client: between it and the network stands a guard (`guard`, `frame`), above it our
//! own command layer (`command`, `answer`). Nothing outside this folder knows it. Knows no queue and no mail.

mod act;
mod answer;
mod auth;
mod capability;
mod command;
mod connect;
mod copies;
pub mod error;
pub mod fetch;
mod frame;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod guard;
mod heard;
#[cfg(test)]
mod hostile;
pub mod idle;
mod line;
pub mod session;
#[cfg(test)]
mod tests;

pub use error::Error;
pub use session::Session;

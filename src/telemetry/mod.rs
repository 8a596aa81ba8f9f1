//! What the outside sees of the daemon: the names of log events, the log itself, and how far each task has come.
//!
//! Importable from everywhere; knows nothing of mail, queue or API.

pub mod event;
pub mod journal;
pub mod line;
pub mod logging;
pub mod personal;
pub mod progress;
pub(crate) mod sink;

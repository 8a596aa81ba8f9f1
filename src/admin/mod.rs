//! How a person or a program looks at a running daemon and acts on it: the control socket and the status.

pub mod client;
pub mod control;
pub mod protocol;
pub mod status;

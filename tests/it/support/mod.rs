//! What the stories stand on: a world (mail server, API, folder) and the real daemon in it, as a process.

pub(crate) mod browser;
pub(crate) mod canary;
pub(crate) mod daemon;
pub(crate) mod disk;
pub(crate) mod dovecot;
pub(crate) mod steps;
pub(crate) mod tried;
pub(crate) mod world;

pub(crate) use world::World;

use std::time::Duration;

/// No story waits longer than this for anything. Generous: machines are slow, and a story that waits has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

//! Faults done to the daemon on purpose, one story each. `docs/faults.md` lists them; the numbers are explained there.

mod answers;
mod connection;
mod crash;
mod fetch;
mod hostile;
mod identity;
mod idle;
mod limits;
mod local;
mod moves;
mod process;
mod protocol;
mod refusals;
mod reload;
mod secrets;
mod transport;
mod trust;

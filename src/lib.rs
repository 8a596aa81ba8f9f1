//! **mailbridge** takes mail out of IMAP mailboxes, turns each mail into a SuperOffice `TicketMessageEntity` and posts it
//! to `POST /api/v1/TicketMessage`, through a durable queue.
//!
//! The promise: no mail lost, none posted twice, none on the wrong ticket, and the administrator can prove it.
//!
//! The modules stand in reading order. A module imports only modules of a lower rank (`docs/ARCHITECTURE.md` draws the
//! ranks, a test holds them); the two task loops, [`mailbox`] and [`delivery`], meet only in the [`queue`].

// rank 0: words
pub mod backoff;
pub mod clock;
pub mod fault;
pub mod ids;
pub mod stop;
pub mod uids;
// rank 1: vocabulary
pub mod entity;
pub mod telemetry;
// rank 2: options
pub mod config;
// rank 3: the pure core
pub mod compose;
pub mod message;
// rank 4: adapters, one outside world each
pub mod imap;
pub mod parser;
pub mod queue;
pub mod superoffice;
// rank 5: the two loops
pub mod delivery;
pub mod mailbox;
// ranks 6 to 8: assembly
pub mod admin;
pub mod cli;
pub mod daemon;
pub mod sandbox;

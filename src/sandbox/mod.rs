//! The outside world in a box: a loopback IMAP server and a loopback SuperOffice API, both with state, both scriptable to
//! misbehave, and sample mails. `mailbridge demo` and the integration tests stand on them.
//!
//! Both servers listen on loopback only. They are futures that run their own connections: the caller bounds and runs
//! [`imap_server::ImapServer::serve`] and [`superoffice_api::SuperofficeApi::serve`] beside its own work (`select!`,
//! `join!`) and dropping that future is the end of the server. What is inside is seen and changed through a `Handle`.
//!
//! This module shares no type with the code that talks to the real servers. It has its own words for everything on the
//! wire, so that a wrong field name cannot pass on both sides.
//!
//! ```no_run
//! use std::time::Duration;
//! use mailbridge::sandbox::{imap_server, imap_server::ImapServer, superoffice_api, superoffice_api::SuperofficeApi};
//!
//! # async fn story() -> std::io::Result<()> {
//! let imap = ImapServer::bind(imap_server::Options::default()).await?;
//! let api = SuperofficeApi::bind(superoffice_api::Options::default()).await?;
//! let (mailbox, tickets) = (imap.handle(), api.handle());
//! mailbox.add_user("support", "pw");
//! mailbox.append("support", "INBOX", &b"Subject: hello\r\n\r\nhello\r\n"[..]);
//! let story = async {
//!     // … start what is to be tested on `imap.address()` and `api.url()` …
//!     assert!(tickets.wait(Duration::from_secs(10), |api| api.count() == 1).await);
//!     assert_eq!(tickets.violations(), Vec::<String>::new());
//! };
//! tokio::select! { () = imap.serve() => {}, () = api.serve() => {}, () = story => {} }
//! # Ok(())
//! # }
//! ```

pub mod contract;
pub mod imap_server;
mod loopback;
pub mod samples;
pub mod script;
pub mod superoffice_api;

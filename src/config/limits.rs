//! `[limits]`: every bound on mails, on what a mail server may answer, and on the parse worker.

use serde::{Deserialize, Serialize};

use super::units::{Period, Size};

/// `[limits]`. Plain data: it crosses to the parse worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// A larger raw mail (by RFC822.SIZE, before the body is asked for) becomes a ticket message made from its headers
    /// and a note; the mail stays in the mailbox (live).
    pub message_size: Size,
    /// Bytes of the header block that are read; the rest is left out (live).
    pub header_bytes: Size,
    /// Header lines that are read (live).
    pub header_count: u32,
    /// Bytes of one header line that are read (live).
    pub header_line: Size,
    /// Addresses that are read, all address headers together (live).
    pub address_count: u32,
    /// References that are kept, the newest (live).
    pub reference_count: u32,
    /// Levels of multipart and message/* that a mail may have before it is read one step down (live).
    pub nesting: u32,
    /// Parts that a mail may have before it is read one step down (live).
    pub parts: u32,
    /// Attachments that are described (live).
    pub attachments: u32,
    /// Characters of each body that are posted (live).
    pub body_chars: u32,
    /// Bytes of a file name (live).
    pub filename_bytes: u32,
    /// Time of the parse worker for one attempt at one mail; then it is stopped: one strike, one step down (live).
    pub parse_time: Period,
    /// Address space of the parse worker; at the limit it dies: one strike, one step down (restart).
    pub parse_memory: Size,
    /// One line of a mail server's answer outside a literal (reconnect).
    pub imap_line: Size,
    /// Raw mail in memory at one time, all mailboxes together (restart).
    pub in_flight_bytes: Size,
    /// A mail that was in work in this many crashes of the daemon itself is tried again only after a delay that grows;
    /// after ten more, the last with no other mail beside it, it is parked as a dead letter (restart).
    pub crash_strikes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_size: Size::mib(50),
            header_bytes: Size::kib(256),
            header_count: 1000,
            header_line: Size::kib(64),
            address_count: 1000,
            reference_count: 200,
            nesting: 50,
            parts: 1000,
            attachments: 200,
            body_chars: 2_000_000,
            filename_bytes: 200,
            parse_time: Period::secs(10),
            parse_memory: Size::mib(256),
            imap_line: Size::kib(64),
            in_flight_bytes: Size::mib(32),
            crash_strikes: 2,
        }
    }
}

//! `[parse]`: how a mail is read.

use serde::{Deserialize, Serialize};

/// `[parse]`. Plain data: it crosses to the parse worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parse {
    /// What `HtmlBody` holds: a sanitised copy, the HTML as it came, or nothing (live).
    pub html: Html,
    /// Whether `winmail.dat` is opened and what it holds is listed, or listed itself (live).
    pub tnef: Tnef,
    /// The body of a mail that has no text (live).
    pub empty_body_text: String,
    /// For text with no or a false charset (live).
    pub default_charset: String,
    /// The headers that are shown with the message beside To, Cc, Bcc and Reply-To, in this order (live).
    pub headers: Vec<String>,
    /// What `EmailHeader` holds: the full header block, the listed headers, or nothing (live).
    pub email_header: EmailHeader,
    /// Parse workers that run at the same time; 0 = one for each processor, at most 4 (restart).
    pub workers: u16,
}

impl Default for Parse {
    fn default() -> Self {
        let headers = ["From", "Date", "Subject", "In-Reply-To", "References", "Auto-Submitted", "List-Id"];
        Self {
            html: Html::Sanitize,
            tnef: Tnef::Unpack,
            empty_body_text: "(no text)".to_owned(),
            default_charset: "windows-1252".to_owned(),
            headers: headers.map(str::to_owned).to_vec(),
            email_header: EmailHeader::Full,
            workers: 0,
        }
    }
}

/// What `HtmlBody` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Html {
    /// A copy with nothing active in it.
    Sanitize,
    /// The HTML as it came.
    AsIs,
    /// Nothing; the text is made from the HTML.
    TextOnly,
}

/// What becomes of the containers of Outlook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tnef {
    /// What they hold is listed.
    Unpack,
    /// They are listed as they are.
    Attach,
}

/// What `EmailHeader` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EmailHeader {
    /// The whole header block.
    Full,
    /// The headers named by `headers`.
    Listed,
    /// Nothing.
    None,
}

//! `[log]`: what is written, and how.

use serde::{Deserialize, Serialize};

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// The least level that is written: error, warn, info, debug or trace (restart).
    pub level: Level,
    /// auto: journal when stderr is the journal, text on a terminal, else json (restart).
    pub format: Format,
    /// How addresses and Message-Ids are written: full, mask (`j***@example.com`) or none (restart).
    pub personal_data: PersonalData,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: Level::Info, format: Format::Auto, personal_data: PersonalData::Mask }
    }
}

/// The levels of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// A person must act.
    Error,
    /// It heals by itself, or a limit was met.
    Warn,
    /// One line per mail and per change of state.
    Info,
    /// Per step.
    Debug,
    /// Everything.
    Trace,
}

/// The forms of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Journal, text or JSON, by what stderr is.
    Auto,
    /// `time level event key=value … message`
    Text,
    /// One JSON object a line.
    Json,
    /// Native journal entries with fields.
    Journal,
}

/// How personal data is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PersonalData {
    /// As it is.
    Full,
    /// `j***@example.com`
    Mask,
    /// Not at all.
    None,
}

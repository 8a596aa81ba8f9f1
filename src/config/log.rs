//! `[log]`: what is written, and how.

use serde::{Deserialize, Serialize};
use tracing_subscriber::filter::LevelFilter;

use crate::telemetry::{logging, personal};

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

impl Level {
    /// The word for the log's filter.
    #[must_use]
    pub const fn filter(self) -> LevelFilter {
        match self {
            Self::Error => LevelFilter::ERROR,
            Self::Warn => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
            Self::Trace => LevelFilter::TRACE,
        }
    }
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

impl From<Format> for logging::Format {
    fn from(format: Format) -> Self {
        match format {
            Format::Auto => Self::Auto,
            Format::Text => Self::Text,
            Format::Json => Self::Json,
            Format::Journal => Self::Journal,
        }
    }
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

impl PersonalData {
    /// An address or Message-Id as it may be written.
    #[must_use]
    pub fn shown(self, text: &str) -> String {
        match self {
            Self::Full => text.to_owned(),
            Self::Mask => personal::masked(text),
            Self::None => String::new(),
        }
    }
}

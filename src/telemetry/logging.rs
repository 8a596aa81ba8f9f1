//! The log of the process: which lines are written, in which form, and where to.
//!
//! Only this crate is heard. Lines of libraries have no event name, and some print passwords and whole mails (`async_imap`
//! at TRACE); what matters in them comes back to us as an error and is logged as one. Records of the `log` crate are not
//! collected either: no bridge is installed.

use std::io::{self, IsTerminal as _};
use std::panic::PanicHookInfo;
use std::path::Path;

use tracing_subscriber::Registry;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt as _};

use crate::telemetry::event;
use crate::telemetry::journal::{self, Journal};
use crate::telemetry::line::{Form, Lines};
use crate::telemetry::sink::Stderr;

/// Where lines go, and how they look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// [`Format::Journal`] when stderr is the journal, [`Format::Text`] on a terminal, else [`Format::Json`].
    Auto,
    /// Text lines on stderr.
    Text,
    /// JSON lines on stderr.
    Json,
    /// Native journal entries, see [`Journal`].
    Journal,
}

/// What is written.
#[derive(Debug, Clone)]
pub struct Options {
    /// The least level that is written of this crate's events.
    pub level: LevelFilter,
    /// The form.
    pub format: Format,
    /// The name of this daemon.
    pub instance: String,
}

/// The log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal cannot be reached.
    #[error("opening the journal at {socket}: {0}; `[log] format` may also be auto, text or json", socket = journal::SOCKET)]
    Journal(io::Error),
    /// The process has a log already.
    #[error("setting up the log: {0}")]
    Twice(#[from] tracing::subscriber::SetGlobalDefaultError),
}

/// Sets up the log of this process, once. Panics are logged from then on, instead of being printed.
///
/// # Errors
/// When the journal was asked for and cannot be reached, or the process has a log already.
pub fn install(options: &Options) -> Result<(), Error> {
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match settled(options.format) {
        Format::Journal => match Journal::new(Path::new(journal::SOCKET), &options.instance) {
            Ok(journal) => Box::new(journal),
            // Nobody asked for it: lines on stderr arrive there too.
            Err(_) if options.format == Format::Auto => Box::new(lines(Form::Json, &options.instance)),
            Err(error) => return Err(Error::Journal(error)),
        },
        Format::Text => Box::new(lines(Form::Text, &options.instance)),
        Format::Json | Format::Auto => Box::new(lines(Form::Json, &options.instance)),
    };
    let layer = layer.with_filter(targets(options.level));
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer))?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Which targets are heard, and from which level on.
fn targets(level: LevelFilter) -> Targets {
    Targets::new().with_default(LevelFilter::OFF).with_target("mailbridge", level)
}

fn lines(form: Form, instance: &str) -> impl Layer<Registry> + Send + Sync + use<> {
    tracing_subscriber::fmt::layer().event_format(Lines::new(form, instance)).with_writer(Stderr::default())
}

/// What `auto` means here and now.
fn settled(format: Format) -> Format {
    if format != Format::Auto {
        return format;
    }
    let stream = std::env::var("JOURNAL_STREAM").ok();
    let stderr = rustix::fs::fstat(io::stderr()).ok().map(|stat| (stat.st_dev, stat.st_ino));
    automatic(stream.as_deref(), stderr, io::stderr().is_terminal())
}

/// `$JOURNAL_STREAM` names the device and inode of the journal's end of stderr (systemd.exec(5)); it is inherited by
/// processes whose stderr leads elsewhere, so both are compared.
fn automatic(journal_stream: Option<&str>, stderr: Option<(u64, u64)>, terminal: bool) -> Format {
    let named = journal_stream.and_then(|text| text.split_once(':'));
    let named = named.and_then(|(device, inode)| Some((device.parse().ok()?, inode.parse().ok()?)));
    match (named, stderr) {
        (Some(journal), Some(stderr)) if journal == stderr => Format::Journal,
        _ if terminal => Format::Text,
        _ => Format::Json,
    }
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    let error = info.payload_as_str().unwrap_or("unknown");
    tracing::error!(event = event::TASK_PANICKED, location, error, "A task panicked: this is a bug, please report it.");
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[track_caller]
    fn check_auto(stream: Option<&str>, stderr: Option<(u64, u64)>, terminal: bool, expected: Format) {
        assert_eq!(automatic(stream, stderr, terminal), expected);
    }

    #[test]
    fn auto_is_what_stderr_is() {
        check_auto(Some("9:12345"), Some((9, 12345)), false, Format::Journal);
        check_auto(Some("9:12345"), Some((9, 12346)), false, Format::Json);
        check_auto(Some("9:12345"), Some((9, 12346)), true, Format::Text);
        check_auto(Some("nonsense"), Some((9, 12345)), false, Format::Json);
        check_auto(Some("9:12345"), None, false, Format::Json);
        check_auto(None, Some((9, 12345)), true, Format::Text);
        check_auto(None, Some((9, 12345)), false, Format::Json);
    }

    #[track_caller]
    fn check_target(level: LevelFilter, target: &str, of: Level, expected: bool) {
        assert_eq!(targets(level).would_enable(target, &of), expected, "{target} {of} at {level}");
    }

    #[test]
    fn only_our_own_crate_is_heard() {
        check_target(LevelFilter::TRACE, "mailbridge::imap::guard", Level::TRACE, true);
        check_target(LevelFilter::INFO, "mailbridge::delivery", Level::DEBUG, false);
        check_target(LevelFilter::TRACE, "hyper_util::client", Level::DEBUG, false);
        check_target(LevelFilter::TRACE, "rustls_platform_verifier::verification", Level::ERROR, false);
    }

    #[test]
    fn the_transport_that_prints_passwords_is_never_heard() {
        for target in ["async_imap", "async_imap::imap_stream", "imap_proto::parser"] {
            check_target(LevelFilter::TRACE, target, Level::TRACE, false);
            check_target(LevelFilter::TRACE, target, Level::ERROR, false);
        }
    }
}

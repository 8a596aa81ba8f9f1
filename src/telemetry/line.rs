//! Log lines as text and as JSON: one line an event, foreign text escaped and bounded (operations §6, L6).
//!
//! ```text
//! 2026-11-22T10:02:11.480Z info message.done mailbox=support qid=… state=posted Message is done.
//! {"ts":"2026-11-22T10:02:11.480Z","level":"info","event":"message.done","instance":"default","msg":"…","mailbox":"support"}
//! ```

use std::fmt::{self, Debug};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::clock::{Clock, UtcMillis};
use crate::telemetry::personal::harmless;

/// The two forms of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text,
    /// For programs: one flat object.
    Json,
}

/// Writes events as lines.
#[derive(Debug)]
pub struct Lines {
    form: Form,
    instance: String,
    clock: Clock,
}

impl Lines {
    /// Lines of one form, by the system's clock.
    #[must_use]
    pub fn new(form: Form, instance: &str) -> Self {
        Self { form, instance: harmless(instance), clock: Clock::system() }
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let entry = Entry::of(event);
        let now = self.clock.now();
        match self.form {
            Form::Text => writeln!(writer, "{}", entry.text(now)),
            Form::Json => writeln!(writer, "{}", entry.json(now, &self.instance)),
        }
    }
}

/// A value of a field, already harmless.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Text(String),
    Bare(String),
}

impl Value {
    const fn as_str(&self) -> &str {
        match self {
            Self::Text(text) | Self::Bare(text) => text.as_str(),
        }
    }
}

/// One event, taken apart and made harmless.
#[derive(Debug)]
pub(super) struct Entry {
    level: Level,
    event: String,
    message: String,
    fields: Vec<(&'static str, Value)>,
}

impl Entry {
    pub(super) fn of(event: &Event<'_>) -> Self {
        let level = *event.metadata().level();
        let mut entry = Self { level, event: String::new(), message: String::new(), fields: Vec::new() };
        event.record(&mut entry);
        entry
    }

    /// The fields that are not the sentence, the event's name first.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        let event = Some(("event", self.event.as_str())).filter(|(_, name)| !name.is_empty());
        event.into_iter().chain(self.fields.iter().map(|(name, value)| (*name, value.as_str())))
    }

    /// The text line without time and level.
    pub(super) fn line(&self) -> String {
        let mut line = if self.event.is_empty() { "-".to_owned() } else { self.event.clone() };
        for (name, value) in &self.fields {
            line.push_str(&format!(" {name}={}", text_value(value)));
        }
        if !self.message.is_empty() {
            line.push(' ');
            line.push_str(&self.message);
        }
        line
    }

    fn put(&mut self, field: &Field, value: &str) {
        let value = harmless(value);
        match field.name() {
            "event" => self.event = value,
            "message" => self.message = value,
            name => self.fields.push((name, Value::Text(value))),
        }
    }

    fn put_bare(&mut self, field: &Field, value: String) {
        self.fields.push((field.name(), Value::Bare(value)));
    }

    fn text(&self, now: UtcMillis) -> String {
        format!("{now} {} {}", level_word(self.level), self.line())
    }

    fn json(&self, now: UtcMillis, instance: &str) -> String {
        let now = now.to_string();
        let head = [
            ("ts", now.as_str()),
            ("level", level_word(self.level)),
            ("event", &self.event),
            ("instance", instance),
            ("msg", &self.message),
        ];
        let head = head.iter().map(|(name, value)| format!("\"{name}\":{}", quoted(value)));
        let fields = self.fields.iter().map(|(name, value)| match value {
            Value::Text(text) => format!("\"{name}\":{}", quoted(text)),
            Value::Bare(bare) => format!("\"{name}\":{bare}"),
        });
        format!("{{{}}}", head.chain(fields).collect::<Vec<_>>().join(","))
    }
}

impl Visit for Entry {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put_bare(field, value.to_string());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put_bare(field, value.to_string());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put_bare(field, value.to_string());
    }
}

const fn level_word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// A JSON string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A value that stays one word; quoted where it would not.
fn text_value(value: &Value) -> String {
    match value {
        Value::Bare(bare) => bare.clone(),
        Value::Text(text) if text.is_empty() || text.contains([' ', '"', '=']) => quoted(text),
        Value::Text(text) => text.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Sink {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    /// What `log` writes in `form`.
    fn written(form: Form, log: impl FnOnce()) -> String {
        let sink = Sink::default();
        let lines = Lines { form, instance: "default".into(), clock: Clock::fixed(UtcMillis(1_795_341_731_480)) };
        let layer = tracing_subscriber::fmt::layer().event_format(lines).with_writer(sink.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        String::from_utf8(sink.0.lock().unwrap().clone()).unwrap()
    }

    #[track_caller]
    fn check(log: impl Fn(), text: &str, json: &str) {
        assert_eq!(written(Form::Text, &log), format!("2026-11-22T10:02:11.480Z {text}\n"));
        assert_eq!(written(Form::Json, &log), format!("{{\"ts\":\"2026-11-22T10:02:11.480Z\",{json}}}\n"));
    }

    #[test]
    fn fields_come_before_the_sentence() {
        check(
            || tracing::info!(event = "message.done", mailbox = %"support", uid = 7_u32, ok = true, "Message is done."),
            "info message.done mailbox=support uid=7 ok=true Message is done.",
            r#""level":"info","event":"message.done","instance":"default","msg":"Message is done.","mailbox":"support","uid":7,"ok":true"#,
        );
    }

    #[test]
    fn a_value_of_several_words_is_quoted() {
        check(
            || tracing::error!(event = "store.error", error = "no \"room\"", reason = "", "Store failed."),
            r#"error store.error error="no \"room\"" reason="" Store failed."#,
            r#""level":"error","event":"store.error","instance":"default","msg":"Store failed.","error":"no \"room\"","reason":"""#,
        );
    }

    #[test]
    fn foreign_text_cannot_make_a_second_line() {
        check(
            || tracing::warn!(event = "mailbox.auth_denied", server_text = "NO\r\n\u{202e}x", "Sign-in was refused."),
            r"warn mailbox.auth_denied server_text=NO\r\n\u{202e}x Sign-in was refused.",
            r#""level":"warn","event":"mailbox.auth_denied","instance":"default","msg":"Sign-in was refused.","server_text":"NO\\r\\n\\u{202e}x""#,
        );
    }

    #[test]
    fn json_lines_can_be_read_back() {
        let line = written(Form::Json, || tracing::info!(event = "x", n = -1_i64, f = 0.5_f64, "A \u{1} b."));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["n"], -1);
        assert_eq!(value["msg"], "A \\u{1} b.");
    }
}

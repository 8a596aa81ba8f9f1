//! Words by which programs are known: senders, subjects and sentences of delivery reports and absence notes. Phrases alone
//! decide nothing, they only back up what headers say.
//!
//! Every list is searched in one pass over a bounded beginning, so a search costs the same whatever a sender writes.

mod away;
mod bounce;
mod senders;

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, Anchored, Input, StartKind};

use crate::message::text::visible::FORWARDS;

/// How much of a header is searched.
const HEADER_WINDOW: usize = 1024;
/// How much of a text is searched.
const TEXT_WINDOW: usize = 4096;

/// What stands in front of the subject of an answer, in the languages of mail programs.
const ANSWERS: &[&str] =
    &["re:", "re[", "aw:", "sv:", "ynt:", "odp:", "antw:", "antw.:", "rif:", "r:", "res:", "回复:", "回复：", "答复:"];

/// What the texts of programs that watch machines cannot do without, as they write it: every mail is searched for it.
const ALARM_TEXTS: &[&str] = &[
    "Notification Type:",
    "***** Icinga",
    "Monitoring on",
    "Problem name:",
    "alertname = ",
    "Event:",
    "Your faithful employee,",
    "## Logwatch",
    "smartd daemon",
    "from mdadm",
];

/// Phrases that are looked for together.
type Phrases = LazyLock<Option<AhoCorasick>>;

static MACHINES: Phrases = LazyLock::new(|| anywhere(senders::MACHINES));
static POSTMASTERS: Phrases = LazyLock::new(|| anywhere(senders::POSTMASTERS));
static NO_REPLY: Phrases = LazyLock::new(|| anywhere(senders::NO_REPLY));
static BOUNCE_SUBJECTS: Phrases = LazyLock::new(|| anywhere(bounce::SUBJECTS));
static BOUNCE_TEXTS: Phrases = LazyLock::new(|| anywhere(bounce::TEXTS));
static TECHNICAL_TEXTS: Phrases = LazyLock::new(|| anywhere(bounce::TECHNICAL));
static DELAYED_TEXTS: Phrases = LazyLock::new(|| anywhere(bounce::DELAYED));
static VOICES: Phrases = LazyLock::new(|| anywhere(bounce::VOICES));
static AUTOMATIC_SUBJECTS: Phrases = LazyLock::new(|| at_begin(away::AUTOMATIC));
static ABSENT_SUBJECTS: Phrases = LazyLock::new(|| at_begin(away::ABSENT));
static ALARMS: Phrases = LazyLock::new(|| anywhere(ALARM_TEXTS));
static ABSENT_TEXTS: Phrases = LazyLock::new(|| anywhere(away::ABSENT_TEXTS));

/// So few short phrases never exceed what the automaton can hold; if they did, none would be found.
fn anywhere(phrases: &[&str]) -> Option<AhoCorasick> {
    AhoCorasick::new(phrases).ok()
}

fn at_begin(phrases: &[&str]) -> Option<AhoCorasick> {
    AhoCorasick::builder().start_kind(StartKind::Anchored).build(phrases).ok()
}

fn holds(lower: &str, phrases: &Phrases) -> bool {
    phrases.as_ref().is_some_and(|phrases| phrases.is_match(lower))
}

fn begins(lower: &str, phrases: &Phrases) -> bool {
    let input = Input::new(lower).anchored(Anchored::Yes);
    phrases.as_ref().is_some_and(|phrases| matches!(phrases.try_find(input), Ok(Some(_))))
}

/// The beginning of a text in lower case.
fn lower(text: &str, window: usize) -> String {
    text.get(..text.floor_char_boundary(window)).unwrap_or(text).to_lowercase()
}

/// Who a From says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Daemon {
    /// A name that only mail systems have.
    Machine,
    /// A name that a person may have too.
    Postmaster,
}

/// Whether a From is that of a mail system.
pub(crate) fn daemon(from: &str) -> Option<Daemon> {
    let from = lower(from, HEADER_WINDOW);
    if holds(&from, &MACHINES) {
        return Some(Daemon::Machine);
    }
    holds(&from, &POSTMASTERS).then_some(Daemon::Postmaster)
}

/// Whether a subject says that it is an answer or forwarded.
pub(crate) fn is_answer_subject(subject: &str) -> bool {
    let lower = lower(subject.trim_start(), 16);
    ANSWERS.iter().chain(FORWARDS).any(|prefix| lower.starts_with(prefix))
}

/// Whether a subject is that of a delivery report; an answer to one is none, nor is an absence note.
pub(crate) fn is_bounce_subject(subject: &str) -> bool {
    holds(&lower(subject, HEADER_WINDOW), &BOUNCE_SUBJECTS)
        && !is_answer_subject(subject)
        && away_subject(subject).is_none()
}

/// How a text that begins like a delivery report speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BounceText {
    /// As people write too.
    Plain,
    /// As only mail systems do.
    Technical,
}

/// Whether a text begins like a delivery report.
pub(crate) fn bounce_text(text: &str) -> Option<BounceText> {
    let begin = lower(text, TEXT_WINDOW);
    if holds(&begin, &TECHNICAL_TEXTS) {
        return Some(BounceText::Technical);
    }
    holds(&begin, &BOUNCE_TEXTS).then_some(BounceText::Plain)
}

/// Whether a text or a subject says that delivery is still being tried.
pub(crate) fn is_delayed(text: &str) -> bool {
    holds(&lower(text, TEXT_WINDOW), &DELAYED_TEXTS)
}

/// Whether a text begins as people write.
pub(crate) fn is_voice(text: &str) -> bool {
    let begin = lower(text, TEXT_WINDOW);
    // The lines are joined by what every greeting is looked for behind.
    holds(&format!("\n{}", begin.trim_start()), &VOICES)
}

/// Whether a subject is that of the complaints that Microsoft's junk mail reporting programme sends without RFC 5965.
pub(crate) fn is_complaint_subject(subject: &str) -> bool {
    lower(subject.trim_start(), HEADER_WINDOW).starts_with("complaint about message from ")
}

/// What the subject of an automatic answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Away {
    /// Only that it is automatic.
    Automatic,
    /// That somebody is away.
    Absent,
}

/// Whether a subject begins like that of an automatic answer.
pub(crate) fn away_subject(subject: &str) -> Option<Away> {
    let lower = lower(subject.trim_start_matches(|c: char| !c.is_alphanumeric()), HEADER_WINDOW);
    if begins(&lower, &ABSENT_SUBJECTS) {
        return Some(Away::Absent);
    }
    begins(&lower, &AUTOMATIC_SUBJECTS).then_some(Away::Automatic)
}

/// Whether a text begins with somebody's absence.
pub(crate) fn is_absent_text(text: &str) -> bool {
    holds(&lower(text, HEADER_WINDOW), &ABSENT_TEXTS)
}

/// Whether a subject speaks of an absence somewhere, behind `Automatic reply: ` for instance.
pub(crate) fn is_absent_subject(subject: &str) -> bool {
    away_subject(subject) == Some(Away::Absent) || is_absent_text(subject)
}

/// Whether a text may be that of a program that watches machines.
pub(crate) fn is_alarm(text: &str) -> bool {
    holds(text, &ALARMS)
}

/// Whether nobody reads what is sent to this From: its local part says so, however that is written.
pub(crate) fn is_no_reply(from: &str) -> bool {
    let from = lower(from, HEADER_WINDOW);
    let Some((before, _)) = from.rsplit_once('@') else {
        return false;
    };
    let begin = |c: char| c.is_whitespace() || "<>\"',;:()".contains(c);
    let local: String =
        before.rsplit(begin).next().unwrap_or_default().chars().filter(|c| !"._-".contains(*c)).collect();
    holds(&local, &NO_REPLY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_can_be_searched() {
        let lists = [&MACHINES, &POSTMASTERS, &NO_REPLY, &BOUNCE_SUBJECTS, &BOUNCE_TEXTS, &TECHNICAL_TEXTS, &VOICES];
        for list in lists.into_iter().chain([&DELAYED_TEXTS, &AUTOMATIC_SUBJECTS, &ABSENT_SUBJECTS, &ABSENT_TEXTS]) {
            assert!(list.is_some());
        }
        let all = [senders::MACHINES, senders::POSTMASTERS, senders::NO_REPLY, bounce::SUBJECTS, bounce::TEXTS];
        let more = [bounce::TECHNICAL, bounce::DELAYED, bounce::VOICES, away::AUTOMATIC, away::ABSENT];
        for phrase in all.into_iter().chain(more).flatten() {
            assert_eq!(phrase.to_lowercase(), **phrase, "the lists are lower case");
        }
    }

    #[test]
    fn an_answer_to_a_report_is_no_report() {
        assert!(is_bounce_subject("Undeliverable: your order"));
        assert!(is_bounce_subject("НЕ ДОСТАВЛЕНО: x"));
        assert!(!is_bounce_subject("Re: Undeliverable: your order"));
        assert!(!is_bounce_subject("Automatic reply: Undeliverable: your order"));
        assert_eq!(away_subject("\"Out of office\": x"), Some(Away::Absent));
        assert_eq!(away_subject("AUTO: Ann is out of the office"), Some(Away::Automatic));
        assert_eq!(away_subject("Re: Out of office"), None);
    }

    #[test]
    fn who_reads_nothing_says_so_in_its_address() {
        for from in ["no-reply@a.example", "Shop <do_not.reply@a.example>", "noreply+7@a", "keine-antwort@a"] {
            assert!(is_no_reply(from), "{from}");
        }
        for from in ["Ann <ann@noreply.example>", "\"No reply\" <ann@a.example>", "noreply", ""] {
            assert!(!is_no_reply(from), "{from}");
        }
    }

    #[test]
    fn people_too_write_of_deliveries() {
        assert_eq!(bounce_text("My parcel could not be delivered."), Some(BounceText::Plain));
        assert_eq!(bounce_text("host mx said: 550 5.1.1 no"), Some(BounceText::Technical));
        assert_eq!(bounce_text("hello"), None);
        assert!(is_voice("Hello,\nwhat is this?"));
        assert!(is_voice("Since Monday we get this:\n550 5.1.1 no such user"));
        assert!(!is_voice("This is the mail system at host mx.example."));
    }
}

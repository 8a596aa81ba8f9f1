//! Words by which programs are known: senders, subjects and sentences of delivery reports and absence notes. Phrases alone
//! decide nothing, they only back up what headers say.

/// Names of daemons in From.
const DAEMONS: &[&str] = &[
    "mailer-daemon",
    "mailer daemon",
    "mailerdaemon",
    "postmaster",
    "post-master",
    "post_master",
    "mail delivery system",
    "mail delivery subsystem",
    "mail delivery service",
    "mail administrator",
    "internet mail delivery",
    "delivery subsystem",
    "ndr administrator",
    "mail-daemon",
    "maildelivery",
    "postoffice@",
    "mdaemon@",
    "mailsweeper",
    "bounce-notification",
    "mail system",
    "system administrator",
    "<>",
    "mail deliver",
    "double-bounce",
];

/// Beginnings or pieces of the subjects of delivery reports.
const BOUNCE_SUBJECTS: &[&str] = &[
    "undeliverable",
    "undelivered mail",
    "undeliverd",
    "undelivered message",
    "delivery status notification",
    "delivery failure",
    "delivery failed",
    "delivery has failed",
    "delivery error",
    "delivery problem",
    "delivery report",
    "delivery notification",
    "failure notice",
    "failure delivery",
    "mail failure",
    "mail failed",
    "mail delivery fail",
    "mail system error",
    "mail delivery error",
    "mail delivery problem",
    "returned mail",
    "returned to sender",
    "return to sender",
    "returning to sender",
    "returning message to sender",
    "returned message",
    "could not be delivered",
    "not be delivered",
    "not delivered",
    "nondeliverable",
    "non-delivery",
    "non delivery",
    "nondelivery",
    "message status - undeliverable",
    "could not send message",
    "warning: could not send",
    "delivery delayed",
    "message delayed",
    "delayed ",
    "delayed mail",
    "unable to deliver",
    "error sending message",
    "message error",
    "message rejected",
    "unzustellbar",
    "nicht zustellbar",
    "kunne ikke leveres",
    "retour de courrier",
    "non remis",
    "nao entregue",
    "não entregue",
    "mancato recapito",
    "mancata consegna",
    "no se puede entregar",
    "no entregado",
    "onbestelbaar",
    "niet bezorgd",
    "inte levereras",
    "olevererbart",
    "ulevert",
    "uleverbar",
    "配信",
    "退信",
    "送信失敗",
    "mail could not",
    "e-mail delivery fail",
    "permanent error",
    "user unknown",
    "account not exist",
    "address change",
];

/// Sentences of delivery reports that people write too.
const BOUNCE_TEXTS: &[&str] = &[
    "could not be delivered",
    "couldn't be delivered",
    "not yet been delivered",
    "was not delivered",
    "not be able to deliver",
    "unable to deliver",
    "wasn't able to deliver",
    "the following address",
    "does not exist",
    "returned to sender",
    "delivery failed",
    "could not deliver",
    "couldn't deliver",
    "has been returned",
    "is being returned",
    "not listed in",
    "not known here",
    "undeliverable",
    "kan niet worden",
    "nicht zugestellt",
];

/// Words that only mail systems use.
const TECHNICAL_TEXTS: &[&str] = &[
    "did not reach the following recipient",
    "delivery to the following recipient",
    "permanent fatal errors",
    "permanent error",
    "user unknown",
    "unknown user",
    "mailbox unavailable",
    "mailbox is full",
    "mailbox full",
    "quota exceeded",
    "over quota",
    "no such user",
    "transcript of session follows",
    "original message follows",
    "address rejected",
    "recipient rejected",
    "host unknown",
    "unknown host",
    "no valid recipients",
    "unrouteable",
    "unroutable",
    "invalid recipient",
    "550 5.",
    "554 5.",
    "550-5.",
    " 550 ",
    " 554 ",
    "5.1.1",
    "mail delivery software",
    "mail delivery system",
    "smtp error",
    "smtp;",
];

/// Beginnings of the subjects of absence notes and acknowledgements.
const AWAY_SUBJECTS: &[&str] = &[
    "out of office",
    "out of the office",
    "out-of-office",
    "oof:",
    "ooo:",
    "automatic reply",
    "automatic response",
    "auto reply",
    "auto-reply",
    "autoreply",
    "auto response",
    "auto-response",
    "autoresponse",
    "auto:",
    "autoantwort",
    "automatische antwort",
    "abwesenheit",
    "abwesend",
    "autosvar",
    "automatisk svar",
    "fravær",
    "frånvaro",
    "réponse automatique",
    "reponse automatique",
    "absence du bureau",
    "absence :",
    "risposta automatica",
    "fuori sede",
    "respuesta automática",
    "respuesta automatica",
    "resposta automática",
    "automatisch antwoord",
    "afwezig",
    "automaattinen vastaus",
    "poissa:",
    "vacation reply",
    "vacation message",
    "away from my mail",
    "i am away",
    "on vacation",
    "automatyczna odpowied",
    "autoodpowied",
    "automatická odpov",
    "automatikus válasz",
    "otomatik yanıt",
    "автоматический ответ",
    "автоответ",
    "自动回复",
    "自動応答",
];

/// Local parts that nobody reads.
const NO_REPLY: &[&str] = &[
    "no-reply@",
    "noreply@",
    "no_reply@",
    "donotreply@",
    "do-not-reply@",
    "do_not_reply@",
    "nepasrepondre@",
    "svar-ikke@",
];

/// How much of a text is searched.
const TEXT_WINDOW: usize = 4096;

/// Whether a From is that of a mail system.
pub(crate) fn is_daemon(from: &str) -> bool {
    holds(from, DAEMONS)
}

/// Whether a subject is that of a delivery report; an answer to one is none.
pub(crate) fn is_bounce_subject(subject: &str) -> bool {
    let lower = subject.trim_start().to_lowercase();
    !["re:", "sv:", "aw:", "fw:", "fwd:"].iter().any(|prefix| lower.starts_with(prefix))
        && holds(subject, BOUNCE_SUBJECTS)
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
    let begin = text.get(..text.floor_char_boundary(TEXT_WINDOW)).unwrap_or(text).to_lowercase();
    let has = |phrases: &[&str]| phrases.iter().any(|phrase| begin.contains(phrase));
    if has(TECHNICAL_TEXTS) {
        return Some(BounceText::Technical);
    }
    has(BOUNCE_TEXTS).then_some(BounceText::Plain)
}

/// Whether a subject is that of the complaints that Microsoft's junk mail reporting programme sends without RFC 5965.
pub(crate) fn is_complaint_subject(subject: &str) -> bool {
    subject.trim_start().to_lowercase().starts_with("complaint about message from ")
}

/// What Amazon's notification service tells of a mail sent by Amazon's mail service: `bounce`, `complaint`, `delivery`. The
/// JSON may be a string inside other JSON.
pub(crate) fn amazon_notification(text: &str) -> Option<String> {
    let begin = text.get(..text.floor_char_boundary(TEXT_WINDOW)).unwrap_or(text).replace('\\', "");
    let (_, behind) = begin.split_once("\"notificationType\"")?;
    let (_, word) = behind.split_once('"').filter(|(between, _)| between.trim() == ":")?;
    Some(word.split('"').next().unwrap_or_default().to_ascii_lowercase())
}

/// Whether a subject is that of an absence note.
pub(crate) fn is_away_subject(subject: &str) -> bool {
    let lower = subject.trim_start_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
    AWAY_SUBJECTS.iter().any(|phrase| lower.starts_with(phrase))
}

/// Whether nobody reads what is sent to this From.
pub(crate) fn is_no_reply(from: &str) -> bool {
    holds(from, NO_REPLY)
}

fn holds(text: &str, phrases: &[&str]) -> bool {
    let lower = text.to_lowercase();
    phrases.iter().any(|phrase| lower.contains(phrase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_a_report_is_no_report() {
        assert!(is_bounce_subject("Undeliverable: your order"));
        assert!(!is_bounce_subject("Re: Undeliverable: your order"));
        assert!(is_away_subject("\"Out of office\": x"));
        assert!(!is_away_subject("Re: Out of office"));
    }

    #[test]
    fn a_notification_may_be_wrapped() {
        let told = Some("bounce".to_owned());
        assert_eq!(amazon_notification("{\"notificationType\":\"Bounce\",\"x\":1}"), told);
        assert_eq!(amazon_notification("{\"Message\" : \"{\\\"notificationType\\\":\\\"Bounce\\\"}\"}"), told);
        assert_eq!(amazon_notification("the \"notificationType\" is \"Bounce\""), None);
    }

    #[test]
    fn people_too_write_of_deliveries() {
        assert_eq!(bounce_text("My parcel could not be delivered."), Some(BounceText::Plain));
        assert_eq!(bounce_text("host mx said: 550 5.1.1 no"), Some(BounceText::Technical));
        assert_eq!(bounce_text("hello"), None);
    }
}

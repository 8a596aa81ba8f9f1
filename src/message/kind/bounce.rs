//! Whether a mail is a delivery report: by its form (RFC 3464), else by several signs together that its sender, its way, its
//! subject, what it quotes and how its text speaks give. No word alone makes a mail one.

use crate::message::kind::phrase::{self, BounceText, Daemon};
use crate::message::kind::report;
use crate::message::kind::{Sight, reply, said};

/// Parts in which the mail is quoted that could not be delivered (RFC 3462 §2, RFC 6533 §5).
pub(crate) const QUOTED: &[&str] =
    &["message/rfc822", "text/rfc822-headers", "message/rfc822-headers", "message/global", "message/global-headers"];

/// Parts that tell the fate of each recipient (RFC 3464 §2, RFC 6533 §4).
pub(crate) const STATUS: &[&str] = &["message/delivery-status", "message/global-delivery-status"];

/// Why a mail is a delivery report; empty when it is none.
pub(crate) fn evidence(sight: &Sight<'_>) -> Vec<String> {
    let kind = sight.report_type();
    let receipt = kind == "disposition-notification";
    let mut why = said(&[
        (kind == "delivery-status", "report-type=delivery-status"),
        (!receipt && sight.has_part(STATUS), "delivery-status part"),
        (sight.headers.has("X-Failed-Recipients"), "x-failed-recipients"),
        (report::notification(sight).as_deref() == Some("bounce"), "amazon notification"),
    ]);
    let programs_answer = matches!(sight.auto_submitted().as_str(), "auto-generated" | "no") && sight.is_answer();
    if why.is_empty() && (receipt || programs_answer) {
        return why;
    }
    let signs = Signs::of(sight);
    if !why.is_empty() || signs.together(sight) {
        why.extend(signs.words());
    }
    why
}

/// What may speak for a delivery report that has no form.
struct Signs {
    daemon: Option<Daemon>,
    null: bool,
    quoted: bool,
    subject: bool,
}

impl Signs {
    fn of(sight: &Sight<'_>) -> Self {
        Self {
            daemon: phrase::daemon(sight.from),
            null: sight.null_return_path(),
            quoted: sight.has_part(QUOTED),
            subject: phrase::is_bounce_subject(sight.subject),
        }
    }

    /// Whether they are enough. The text of most mails need not be searched for it.
    fn together(&self, sight: &Sight<'_>) -> bool {
        let away = || phrase::away_subject(sight.subject).is_some();
        match self.daemon {
            Some(Daemon::Machine) if self.null || self.subject => true,
            Some(Daemon::Machine) => {
                phrase::bounce_text(sight.text).is_some() || self.quoted && report::names_recipient(sight)
            }
            Some(Daemon::Postmaster) if self.null => !away() && self.is_no_reply(sight),
            _ if self.null && self.quoted => !away() && self.is_no_reply(sight),
            Some(Daemon::Postmaster) => !sight.is_typed() && self.of_postmaster(sight),
            None => (self.null || self.subject || self.quoted) && !away() && self.of_anybody(sight),
        }
    }

    /// The answers of absent people have no return path either, and some quote what they answer: their texts must speak.
    fn is_no_reply(&self, sight: &Sight<'_>) -> bool {
        self.subject || reply::evidence(sight).is_empty() || phrase::bounce_text(sight.text).is_some()
    }

    /// A person may be the postmaster: the mail must not sound like one.
    fn of_postmaster(&self, sight: &Sight<'_>) -> bool {
        let text = phrase::bounce_text(sight.text);
        let report = self.subject || text == Some(BounceText::Technical) || self.quoted && text.is_some();
        report && !phrase::is_voice(sight.text)
    }

    /// No sign of a mail system in the sender. Parcels are delivered too: a mail system names a recipient, or a reason that
    /// only mail systems have, or quotes the mail.
    fn of_anybody(&self, sight: &Sight<'_>) -> bool {
        let Some(text) = phrase::bounce_text(sight.text) else {
            return false;
        };
        let technical = text == BounceText::Technical;
        let names = || report::names_recipient(sight);
        let program = || !sight.is_answer() && !sight.is_typed() && !phrase::is_voice(sight.text);
        let by_way = self.null && (self.subject && (technical || names()) || technical && names());
        let by_quote = self.quoted && technical && phrase::is_no_reply(sight.from);
        let by_subject = self.subject && program() && (technical || self.quoted || names());
        by_way || by_quote || by_subject
    }

    fn words(&self) -> Vec<String> {
        said(&[
            (self.daemon == Some(Daemon::Machine), "daemon sender"),
            (self.daemon == Some(Daemon::Postmaster), "postmaster sender"),
            (self.null, "null return path"),
            (self.quoted, "quoted original"),
            (self.subject, "bounce subject"),
            (!self.null && (self.daemon.is_none() || !self.subject), "bounce text"),
        ])
    }
}

#[cfg(test)]
mod tests {
    use crate::message::kind::tests::check_mail as check;
    use crate::message::model::Kind;

    const REASON: &str = "<bob@b.example>: host mx.b.example said: 550 5.1.1 User unknown\n";

    #[test]
    fn a_mail_system_is_known_by_several_signs() {
        for head in [
            "From: MAILER-DAEMON@a.example\nSubject: Your mail\n",
            "From: postmaster@a.example\nSubject: Your mail\n",
            "Return-Path: <>\nFrom: gateway@a.example\nSubject: Your mail\n",
            "From: gateway@a.example\nSubject: Undeliverable mail\n",
            "From: gateway@a.example\nSubject: Zustellung fehlgeschlagen\n",
        ] {
            check(&format!("{head}\n{REASON}"), Kind::Bounce);
        }
        let short = "Your message could not be delivered to the following recipient:\n\nbob@b.example\n";
        check(&format!("From: gateway@a.example\nSubject: Delivery failure notification\n\n{short}"), Kind::Bounce);
    }

    #[test]
    fn people_who_write_about_a_report_are_people() {
        for head in [
            "From: ann@a.example\nSubject: Question\n",
            "From: ann@a.example\nSubject: Re: Undeliverable: order\nIn-Reply-To: <x@y>\n",
            "From: ann@a.example\nSubject: Undeliverable: order\nIn-Reply-To: <x@y>\n",
            "From: ann@a.example\nSubject: FW: Undelivered Mail Returned to Sender\n",
            "From: ann@a.example\nSubject: Mail delivery failed\nUser-Agent: Mozilla Thunderbird\n",
            "From: ann@a.example\nSubject: Mail delivery failed\nX-Mailer: Apple Mail (2.3445)\n",
            "From: Pat Postmaster <postmaster@a.example>\nSubject: x\nUser-Agent: Mozilla Thunderbird\n",
        ] {
            check(&format!("{head}\n{REASON}"), Kind::Human);
        }
        for head in
            ["From: Pat <postmaster@a.example>\nSubject: Your mail\n", "From: ann@a.example\nSubject: Mail failed\n"]
        {
            check(&format!("{head}\nHello,\n\nsee what came back:\n{REASON}"), Kind::Human);
            check(&format!("{head}\nsee what came back:\n{REASON}\nKind regards\nPat"), Kind::Human);
        }
    }

    #[test]
    fn an_absent_person_s_answer_is_no_report() {
        let marks =
            "Return-Path: <>\nAuto-Submitted: auto-replied (vacation)\nIn-Reply-To: <x@y>\nSubject: Re: order\n";
        check(&format!("{marks}From: Pat <postmaster@a.example>\n\nI am away."), Kind::AutoReply);
        let quoted = "--b\n\nI am away.\n--b\nContent-Type: message/rfc822\n\nSubject: order\n\nx\n--b--\n";
        let head = "From: ann@a.example\nContent-Type: multipart/mixed; boundary=b\n";
        check(&format!("{marks}{head}\n{quoted}"), Kind::AutoReply);
        check(&format!("Return-Path: <>\nSubject: x\n{head}\n{quoted}"), Kind::Bounce);
    }

    #[test]
    fn a_forwarded_report_is_a_person_s_mail() {
        let inner = format!("From: MAILER-DAEMON@b.example\nSubject: failure notice\n\n{REASON}");
        let head = "From: ann@a.example\nSubject: Fwd: failure notice\nContent-Type: multipart/mixed; boundary=b\n";
        check(
            &format!("{head}\n--b\n\nWhat is this?\n--b\nContent-Type: message/rfc822\n\n{inner}\n--b--\n"),
            Kind::Human,
        );
    }

    #[test]
    fn parcels_are_delivered_too() {
        let text = "Your parcel could not be delivered. Please choose another day.\n";
        for (head, kind) in [
            ("From: Mail Delivery GmbH <info@a.example>\nSubject: Delivery failed\n", Kind::Human),
            ("Return-Path: <>\nFrom: parcel@a.example\nSubject: Delivery notification\n", Kind::Human),
            (
                "Return-Path: <>\nList-Unsubscribe: <mailto:a@b>\nFrom: parcel@a.example\nSubject: Not delivered\n",
                Kind::List,
            ),
            (
                "From: helpdesk@a.example\nSubject: [#12] Not delivered\nAuto-Submitted: auto-generated\nIn-Reply-To: <x@y>\n",
                Kind::AutoGenerated,
            ),
        ] {
            check(&format!("{head}\n{text}"), kind);
        }
    }
}

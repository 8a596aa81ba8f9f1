use super::*;

/// `text` holds a `¦` where the new text is to end, or none.
#[track_caller]
fn check(text: &str, reason: &str) {
    check_with("Re: x", text, reason);
}

#[track_caller]
fn check_with(subject: &str, text: &str, reason: &str) {
    let whole = text.replace('¦', "");
    let found = find(&whole, subject);
    let expected = text.split_once('¦').map(|(own, _)| (own, reason));
    let seen = found.as_ref().map(|visible| (part(&whole, found.as_ref()), visible.reason.as_str()));
    assert_eq!(seen, expected);
}

#[test]
fn nothing_is_quoted_in_a_first_mail() {
    for text in [
        "",
        "hello",
        "hello\n\n-- \nAnn",
        "a > b\nc",
        "He wrote:\nno",
        "From: Oslo\nTo: Bergen\nDate: 1 May 2027\n\nPlease book.",
        "On 3 May 2024 your colleague wrote:\nwe will help.\nNobody did.",
        "1. a\n2. b\n-----\nc",
        "> all of it\n> is quoted",
        "On Mon, 1 May 2024 at 10:00, Ann <a@b.example> wrote:\n> all of it",
    ] {
        check(text, "");
    }
}

#[test]
fn attributions_are_known_in_many_languages() {
    for line in [
        "On Mon, 1 May 2024 at 10:00, Ann Doe <ann@example.org> wrote:",
        "On Mon, 1 May 2024 at 10:00, Ann Doe <ann@example.org>\nwrote:",
        "On Mon, 1 May 2024\nat 10:00, Ann Doe\n<ann@example.org>\nwrote:",
        "On 01/05/24 10:00, Ann Doe wrote:",
        "> On 1 May 2024, at 10:00, Ann Doe wrote:",
        "--- On Mon, 1/5/24, Ann Doe <ann@example.org> wrote:",
        "2024-05-01 10:00 GMT+02:00 Ann Doe <ann@example.org>:",
        "Am Mo., 1. Mai 2024 um 10:00 Uhr schrieb Ann Doe <ann@example.org>:",
        "Am 01.05.2024 um 10:00 schrieb Ann Doe:",
        "Le lun. 1 mai 2024 à 10:00, Ann Doe <ann@example.org> a écrit\u{a0}:",
        "El lun, 1 may 2024 a las 10:00, Ann Doe (<ann@example.org>) escribió:",
        "Il giorno lun 1 mag 2024 alle ore 10:00 Ann Doe <ann@example.org> ha scritto:",
        "Il 01/05/24 10:00, Ann Doe ha scritto:",
        "Em seg., 1 de mai. de 2024 às 10:00, Ann Doe <ann@example.org> escreveu:",
        "Op ma 1 mei 2024 om 10:00 schreef Ann Doe <ann@example.org>:",
        "Den mån 1 maj 2024 kl 10:00 skrev Ann Doe <ann@example.org>:",
        "Den man. 1. maj 2024 kl. 10.00 skrev Ann Doe <ann@example.org>:",
        "man. 1. mai 2024 kl. 10:00 skrev Ann Doe <ann@example.org>:",
        "1. toukok. 2024 klo 10.00 Ann Doe (ann@example.org) kirjoitti:",
        "Ann Doe kirjoitti 1.5.2024 klo 10.00:",
        "pon., 1 maj 2024 o 10:00 Ann Doe <ann@example.org> napisał(a):",
        "W dniu 1.05.2024 o 10:00, Ann Doe pisze:",
        "po 1. 5. 2024 v 10:00 odesílatel Ann Doe <ann@example.org> napsal:",
        "Dne 01. 05. 24 v 10:00 Ann Doe napsal(a):",
        "Ann Doe <ann@example.org> ezt írta (időpont: 2024. máj. 1., H, 10:00):",
        "пн, 1 мая 2024 г. в 10:00, Ann Doe <ann@example.org>:\n> x\nпн, 1 мая 2024 г. в 10:00, Ann Doe <ann@example.org> пишет:",
        "Ann Doe <ann@example.org>, 1 May 2024 Pzt, 10:00 tarihinde şunu yazdı:",
        "Wed, 1 May 2024 10:00:51 +0400 от Ann Doe <ann@example.org>:",
        "2024年5月1日(水) 10:00 Ann Doe <ann@example.org>:",
        "Ann Doe <ann@example.org> 于2024年5月1日周三 10:00写道：",
        "2024년 5월 1일 (수) 오전 10:00, Ann Doe <ann@example.org>님이 작성:",
    ] {
        let quoted = line.starts_with('>');
        let (attribution, reason) = (line.lines().last().unwrap(), if quoted { "quote" } else { "attribution" });
        if line.contains("> x\n") {
            check(&format!("new\n\n¦{attribution}\n\n> old\n> text").replace("\n\n¦", "¦\n\n"), reason);
            continue;
        }
        check(&format!("new text¦\n\n{line}\n\n> old\n> text\n"), reason);
        check(&format!("new text¦\n{line}\n>\n> old\n\n-- \nAnn\n"), reason);
    }
}

#[test]
fn an_attribution_above_unmarked_history_must_be_sure() {
    check("new¦\n\nOn Mon, 1 May 2024 at 10:00, Ann <ann@example.org> wrote:\n\nold\ntext", "attribution");
    check("new¦\n\nOn Mon, 1 May 2024 at 10:00, Ann <ann@example.org> wrote:\n", "attribution");
    check("new\n\nAnn wrote:\n\nnot old", "");
    check("new¦\n\nAnn wrote:\n\n> old", "attribution");
}

#[test]
fn separators_and_blocks_of_headers_end_the_new_text() {
    for line in [
        "-----Original Message-----",
        "----- Original Message -----",
        "--- Original message ---",
        "-------- Ursprüngliche Nachricht --------",
        "-----Ursprüngliche Nachricht-----",
        "-------- Message d'origine --------",
        "-----Mensaje original-----",
        "------------------ 原始邮件 ------------------",
        "-----Opprinnelig melding-----",
        "-----Oprindelig meddelelse-----",
        "-------- Původní zpráva --------",
        "-------- Исходное сообщение --------",
        "________ Original Message ________",
    ] {
        check(&format!("new¦\n\n{line}\nFrom: x\n\nold"), "original-message");
    }
    for block in [
        "From: Ann Doe <ann@example.org>\nSent: Monday, 1 May 2024 10:00\nTo: Support\nSubject: x",
        "________________________________\nFrom: Ann Doe <ann@example.org>\nSent: Monday, 1 May 2024 10:00\nTo: Support\nSubject: x",
        "*From:* Ann Doe\n*Sent:* Monday\n*To:* a; b;\nc; d\n*Subject:* x",
        "Von: Ann Doe\nGesendet: Montag, 1. Mai 2024 10:00\nAn: Support\nBetreff: x",
        "De : Ann Doe\nEnvoyé : lundi 1 mai 2024 10:00\nÀ : Support\nObjet : x",
        "Från: Ann Doe\nSkickat: den 1 maj 2024 10:00\nTill: Support\nÄmne: x",
        "Fra: Ann Doe\nSendt: mandag 1. mai 2024 10:00\nTil: Support\nEmne: x",
        "Lähettäjä: Ann Doe\nLähetetty: maanantai\nVastaanottaja: Support\nAihe: x",
        "Od: Ann Doe\nWysłano: poniedziałek\nDo: Support\nTemat: x",
        "发件人: Ann Doe\n发送时间: 2024年5月1日\n收件人: Support\n主题: x",
        "От: Ann\nОтправлено: 1 мая 2024 г. 15\u{200e}:\u{200e}05\nКому: Support",
        "From: Ann Doe\n\nDate: Monday\n\nTo: Support\n\nSubject: x",
    ] {
        check(&format!("new¦\n\n{block}\n\nold"), "header-block");
    }
    check("new¦\n\n## Please type your reply above this line ##\n\nold", "reply-line");
}

#[test]
fn a_mark_without_text_in_front_is_passed() {
    check("-----Original Message-----\nFrom: x\n\nfirst¦\n\n-----Original Message-----\nsecond", "original-message");
    check("-----Original Message-----\nFrom: x\n\nonly", "");
}

#[test]
fn answers_between_quoted_lines_are_all_new() {
    check("> a\nyes\n> b\nno", "");
    check("> a\nyes\n> b\nno¦\n> c\n> d", "quote");
    check("On 1 May 2024 at 10:00, Ann <a@b.example> wrote:\n> a\n\nan answer below", "");
    check("new¦\n> old\n\nSent from my phone\n", "quote");
    check("new¦\n> see (http://example.com/a\n_nonce=3dd518)\n> old", "quote");
    check("new¦\n> old\n_____________________\nlist mailing list\nlist@example.org", "quote");
}

#[test]
fn what_is_forwarded_is_new() {
    check("see below\n\n---------- Forwarded message ---------\nFrom: x\nSubject: y\nTo: z\n\ntext", "");
    check("Anfang der weitergeleiteten Nachricht:\n\nVon: x\nBetreff: y\nAn: z\n\ntext", "");
    check_with("WG: x", "see below\n\nVon: x\nGesendet: y\nBetreff: y\nAn: z\n\ntext", "");
    check_with("Fwd: x", "see below\n-----Original Message-----\ntext", "");
}

#[test]
fn characters_are_counted_not_bytes() {
    let found = find("größer\n\n> alt", "").expect("quoted");
    assert_eq!((found.chars, part("größer\n\n> alt", Some(&found))), (6, "größer"));
}

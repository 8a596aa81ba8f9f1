//! The lines by which mail programs introduce what they quote or forward, in the languages of the big clients: `On … wrote:`,
//! `-----Original Message-----`, blocks of `From:`, `Sent:`, `To:`, `Subject:`. No standard describes them; each is a guess
//! about one line (or a few joined ones), and what follows from it is decided in `visible`.

/// The tables are words between bars, all in lower case. Verbs that end an attribution: `On 1 May 2024 at 10:00, Ann <a@example.org> wrote:`
const LAST_VERBS: &str = "wrote|writes|sent|het volgende geschreven|geschreven|a écrit|a ecrit|écrit|escribió|escribio|escreveu|\
    ha scritto|scrive|va escriure|ha escrit|napsal|napsala|napsal(a)|napsal/a|napísal|napísala|napísal(a)|\
    napisał|napisała|napisał(a)|napisal(a)|pisze|napisao|napisala|napisao/la|je napisao|je napisal/a|írta|\
    írt|a scris|kirjoitti|kirjutas|rašė|rakstīja|yazdı|yazmış|έγραψε|написал|написала|написал(а)|пишет|пише|\
    написав|написа|је написао/ла|כתב|כתבה|כתב/ה|đã viết|menulis|skrifaði|كتب|نوشت|เขียนว่า|写道|寫道|写到|编写|撰写|\
    は書きました|さんは書きました|のメール|작성";

/// Verbs after which the name may still follow: `Am 1. Mai 2024 um 10:00 schrieb Ann <a@example.org>:`
const INNER_VERBS: &str = "schrieb|schreef|skrev|kirjoitti|написал|пишет|napsal|ezt írta|napisał(a)";

/// Words that an attribution begins with.
const OPENERS: &str = "on |am |op |den |le |el |il |em |på |w dniu |dne |dňa |po |út |pe |în |στις |în data |vào |pada |\
    quoting |zitat von |mon|tue|wed|thu|fri|sat|sun|在";

/// Words between the dashes of a separator in front of quoted history.
const ORIGINAL: &str = "original message|original appointment|original e-mail|original email|reply message|\
    ursprüngliche nachricht|ursprungliche nachricht|originalnachricht|original-nachricht|antwort nachricht|\
    message d'origine|message d’origine|message original|mensaje original|mensagem original|\
    messaggio originale|oorspronkelijk bericht|oorspronkelijke bericht|origineel bericht|\
    ursprungligt meddelande|originalmeddelande|oprindelig meddelelse|original meddelelse|opprinnelig melding|\
    alkuperäinen viesti|oryginalna wiadomość|wiadomość oryginalna|wiadomość pierwotna|původní zpráva|\
    původní e-mail|pôvodná správa|eredeti üzenet|mesaj original|orijinal mesaj|özgün ileti|orijinal ileti|\
    izvorna poruka|originalna poruka|izvirno sporočilo|αρχικό μήνυμα|исходное сообщение|\
    оригинальное сообщение|початкове повідомлення|оригінальне повідомлення|הודעה מקורית|הודעת מקור|\
    الرسالة الأصلية|tin nhắn gốc|pesan asli|missatge original|原始邮件|原始郵件|原邮件|元のメッセージ|オリジナルメッセージ|원본 메일|원본 메시지";

/// Stems of the words for what is forwarded.
const FORWARDED: &str = "forwarded|weitergeleitet|transféré|transfere|réexpédié|reenviado|reencaminhad|encaminhad|inoltrat|\
    doorgestuurd|doorgezonden|vidarebefordra|videresend|välitetty|edelleenlähet|przekazan|przesłana dalej|\
    přeposlan|preposlan|továbbított|redirecționat|iletilen|iletilmiş|yönlendiril|пересланн|пересылаем|\
    переадресован|переслане|προωθημένο|转发|轉寄|転送|전달된";

/// Requests of ticket systems above the history that they quote.
const REPLY_ABOVE: &str = "reply above this line|type your reply above|antwort oberhalb dieser|antworten sie über dieser|\
    répondre au-dessus de cette ligne";

/// What telephones and their programs put below an answer.
const MOBILE: &str = "sent from my |sent from mail for windows|sent from outlook|get outlook for |von meinem |\
    gesendet mit der |diese nachricht wurde von meinem |envoyé de mon |envoyé depuis |enviado desde mi |\
    enviado do meu |inviato da |verzonden vanaf mijn |skickat från min |sendt fra min |lähetetty |wysłane z |\
    odesláno z |отправлено с |sent via ";

/// The part of a header block that a line plays: one bit each.
pub(crate) mod role {
    pub(crate) const FROM: u8 = 1;
    pub(crate) const DATE: u8 = 2;
    pub(crate) const TO: u8 = 4;
    pub(crate) const SUBJECT: u8 = 8;
    pub(crate) const OTHER: u8 = 16;
}

/// The names of headers as mail programs write them above what they quote.
const ROLES: &[(u8, &str)] = &[
    (
        role::FROM,
        "from|von|de|da|från|fra|van|od|lähettäjä|feladó|от|від|kimden|gönderen|expéditeur|remitente|mittente|\
         afzender|afsender|avsender|absender|από|de la|מאת|من|dari|từ|差出人|送信者|发件人|寄件者|寄件人|보낸 사람|보낸사람",
    ),
    (
        role::DATE,
        "sent|date|gesendet|gesendet am|datum|envoyé|envoyé le|enviado|enviado el|enviado em|enviada em|fecha|\
         data|inviato|inviato il|verzonden|verzonden op|skickat|sendt|dato|wysłano|odesláno|odoslané|lähetetty|\
         päivämäärä|päiväys|elküldve|küldve|dátum|отправлено|дата|надіслано|tarih|gönderildi|gönderme tarihi|\
         trimis|poslano|ημερομηνία|στάλθηκε|תאריך|נשלח|التاريخ|dikirim|ngày|日付|日時|送信日時|发送时间|发送日期|日期|傳送時間|時間|时间|\
         보낸 날짜|날짜",
    ),
    (
        role::TO,
        "to|an|à|para|a|aan|till|til|do|komu|pro|pre|vastaanottaja|címzett|кому|kime|alıcı|destinataire|\
         destinatario|către|za|προς|אל|إلى|kepada|đến|宛先|收件人|收件者|받는 사람|받는사람",
    ),
    (
        role::SUBJECT,
        "subject|betreff|objet|asunto|assunto|oggetto|onderwerp|ämne|emne|temat|předmět|predmet|aihe|tárgy|тема|\
         konu|subiect|zadeva|θέμα|נושא|الموضوع|perihal|subjek|chủ đề|assumpte|件名|主题|主題|主旨|제목",
    ),
    (
        role::OTHER,
        "cc|bcc|kopie|copie|kopia|kopi|kopio|kópia|копия|копія|bilgi|másolatot kap|抄送|副本|참조|reply-to|antwort an|\
         antworten an|priority|priorität|importance|wichtigkeit|organization|attachments|anlagen",
    ),
];

/// The longest joined line that is looked at; honest attributions are shorter.
pub(crate) const MAX_ATTRIBUTION: usize = 400;

/// `I sent`: what is shorter, as in a text of thousands of short rules, need not be compared with the tables.
const SHORTEST_ATTRIBUTION: usize = 6;

/// The longest name of a header in [`ROLES`], in bytes, with room for stars.
const MAX_NAME: usize = 40;

/// A line that divides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Separator {
    /// History stands below.
    Original,
    /// What the sender forwards stands below.
    Forward,
    /// A ticket system's line; its own mail stands below.
    ReplyLine,
    /// A line of dashes or underscores that says nothing by itself.
    Rule,
}

/// How sure an attribution is by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attribution {
    /// It names an address or a time of day, as programs do.
    Sure,
    /// People write such sentences too: only quoted lines below make it one.
    Weak,
}

/// Whether the line is quoted by a mark.
pub(crate) fn is_quoted(line: &str) -> bool {
    line.trim_start().starts_with('>')
}

/// What the line divides.
pub(crate) fn separator(line: &str) -> Option<Separator> {
    let line = line.trim();
    let first = line.chars().next()?;
    if line.len() > 200 {
        return None;
    }
    let inner = line.trim_matches(is_dash);
    if is_dash(first) {
        if inner.is_empty() {
            return (line.chars().count() >= 5).then_some(Separator::Rule);
        }
        let words = inner.trim_matches(|c: char| c.is_whitespace() || c == ':').to_lowercase();
        let is = |table: &str| table.split('|').any(|known| words.starts_with(known));
        return match () {
            () if is(ORIGINAL) => Some(Separator::Original),
            () if holds(&words, REPLY_ABOVE) => Some(Separator::ReplyLine),
            () if line.starts_with("--") && holds(&words, FORWARDED) => Some(Separator::Forward),
            () => None,
        };
    }
    forward_or_reply_line(line)
}

/// `Begin forwarded message:`, `##- Please type your reply above this line -##`
fn forward_or_reply_line(line: &str) -> Option<Separator> {
    let announces = line.ends_with([':', '：']) && line.chars().count() <= 60 && line.split(' ').count() <= 6;
    let marked = line.starts_with(['#', '*', '[', '=', '~', '<']) || line.contains("above this line");
    if !announces && !marked {
        return None;
    }
    let words = line.to_lowercase();
    if announces && holds(&words, FORWARDED) {
        return Some(Separator::Forward);
    }
    (marked && holds(&words, REPLY_ABOVE)).then_some(Separator::ReplyLine)
}

/// Whether a line, or a few joined ones, say who wrote what follows.
pub(crate) fn attribution(joined: &str) -> Option<Attribution> {
    if joined.len() > MAX_ATTRIBUTION {
        return None;
    }
    let decorated = |c: char| c.is_whitespace() || is_dash(c) || c == '*';
    let framed = joined.starts_with("--") && joined.ends_with("--");
    let body = joined.trim_matches(decorated);
    let ends = body.trim_end_matches([':', '：']).ends_with('>') && body.contains('@');
    let said = match body.strip_suffix([':', '：']) {
        Some(said) => said.trim_end_matches(decorated).to_lowercase(),
        None if framed => body.to_lowercase(),
        None => {
            let dated = ends && body.starts_with(|c: char| c.is_ascii_digit());
            return dated.then_some(Attribution::Weak);
        }
    };
    if said.len() < SHORTEST_ATTRIBUTION {
        return None;
    }
    let verb = LAST_VERBS.split('|').any(|verb| ends_in_word(&said, verb))
        || INNER_VERBS.split('|').any(|verb| has_word(&said, verb));
    let time = has_time(&said);
    // Without a verb that is known: a year, a time of day, an address.
    match (verb, time || said.contains('@'), ends && time && has_year(&said)) {
        (true, true, _) | (_, _, true) => Some(Attribution::Sure),
        (true, false, _) => Some(Attribution::Weak),
        _ => None,
    }
}

/// How a line begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opener {
    /// With a word that attributions begin with.
    Word,
    /// With a digit, as dates do.
    Digit,
}

/// Whether a line begins as attributions do.
pub(crate) fn opens_attribution(line: &str) -> Option<Opener> {
    let line = line.trim_start_matches(|c: char| c.is_whitespace() || is_dash(c) || "*_".contains(c));
    let head: String = line.chars().take(10).collect::<String>().to_lowercase();
    if OPENERS.split('|').any(|opener| head.starts_with(opener)) {
        return Some(Opener::Word);
    }
    head.starts_with(|c: char| c.is_ascii_digit()).then_some(Opener::Digit)
}

/// The part that a line plays in a block of headers: `From: …`, `*Von:* …`, `Objet : …`.
pub(crate) fn header_role(line: &str) -> Option<u8> {
    let line = line.trim_start_matches(|c: char| c.is_whitespace() || c == '*');
    let window = line.get(..line.floor_char_boundary(MAX_NAME)).unwrap_or(line);
    let name = window.split_once([':', '：'])?.0.trim_end_matches(|c: char| c.is_whitespace() || c == '*');
    let name = name.to_lowercase();
    ROLES.iter().find(|(_, names)| names.split('|').any(|known| known == name)).map(|(role, _)| *role)
}

/// Whether it is the rest of a link that was wrapped.
pub(crate) fn is_wrapped_link(line: &str) -> bool {
    let line = line.trim();
    let link = ["(http", "<http", "http", "(www", "<www", "<mailto"].iter().any(|start| line.starts_with(start));
    let tail = || !line.contains(char::is_whitespace) && line.contains(['=', '/', '&', '%', '>', ')']);
    link && line.ends_with(['>', ')']) || line.len() > 8 && tail()
}

/// Whether it is a telephone's line.
pub(crate) fn is_mobile(line: &str) -> bool {
    let line = line.trim();
    if line.len() > 120 {
        return false;
    }
    let lower = line.to_lowercase();
    MOBILE.split('|').any(|start| lower.starts_with(start))
}

const fn is_dash(c: char) -> bool {
    matches!(c, '-' | '_' | '=' | '–' | '—' | '―' | '─' | '－' | '＿')
}

fn holds(text: &str, table: &str) -> bool {
    table.split('|').any(|word| text.contains(word))
}

/// Ends in the word, with something else than a letter in front; scripts without blanks have no such thing.
fn ends_in_word(text: &str, word: &str) -> bool {
    text.strip_suffix(word).is_some_and(|before| {
        !word.chars().next().is_some_and(spaced) || !before.chars().next_back().is_some_and(char::is_alphanumeric)
    })
}

fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let (before, after) = text.split_at(at);
        let next = after.chars().nth(word.chars().count());
        !before.chars().next_back().is_some_and(char::is_alphanumeric) && !next.is_some_and(char::is_alphanumeric)
    })
}

/// Whether the script of the letter puts blanks between words.
const fn spaced(c: char) -> bool {
    !matches!(c, '\u{0e00}'..='\u{0e7f}' | '\u{3040}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}')
}

/// `10:00`, `10.00`, `10h00`, `10时00`; marks of direction may stand between.
pub(crate) fn has_time(text: &str) -> bool {
    let mut last = ['\0'; 2];
    text.chars().filter(|c| !matches!(c, '\u{200e}' | '\u{200f}')).any(|c| {
        let [digit, colon] = last;
        last = [colon, c];
        digit.is_ascii_digit() && matches!(colon, ':' | '.' | 'h' | '时' | '時' | '：') && c.is_ascii_digit()
    })
}

/// Four digits.
fn has_year(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() == 4)
}

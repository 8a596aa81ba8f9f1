//! The language of the new text (ISO 639-1), told only when it is sure: what is quoted, the signature, addresses, links and
//! whatever else is no word are left out of the sample, and a short sample says nothing.
//!
//! Written Norwegian is told as `no`, the code that translation and text analysis services use for it.

use std::collections::HashMap;
use std::sync::LazyLock;

use whatlang::{Detector, Lang};

use crate::message::model::{Kind, Language, Visible};
use crate::message::text::visible;

/// Bytes of words that are looked at; more would not make it surer.
const SAMPLE: usize = 500;
/// Bytes of text in which they are looked for.
const WINDOW: usize = 16 * 1024;
/// Letters that are too few to tell the languages of one script apart.
const FEW_LETTERS: usize = 24;
/// Words that are too few for it.
const FEW_WORDS: usize = 5;
/// Letters that are too few where a script is that of one or two languages.
const FEW_SIGNS: usize = 6;

/// The commonest small words of languages in Latin letters, as far as they tell them from their neighbours.
const SMALL_WORDS: &[(&str, &str)] = &[
    (
        "en",
        "the and of is it that this you we my our can have with not please from for does what are was has \
         been your any when how but they there would",
    ),
    (
        "de",
        "der die das und ich ist nicht sie wir mit ein eine auf für bitte mir uns haben wie zu den dem sich \
         es hat kann können seit auch mehr von bei wird nach",
    ),
    (
        "nl",
        "de het een en ik niet wij we van is op dat met voor mijn ons onze kunt kan heeft hebben graag geen \
         aan maar naar ook bij dit deze zijn wordt meer hoe kunnen",
    ),
    (
        "no",
        "og jeg det er ikke vi på til med har av kan dere meg oss fra hvordan hva nå etter også noen noe hvor \
         dette gjøre dag får ble blir mitt vårt uke hei takk vennlig hilsen forrige mottatt inn en et som",
    ),
    (
        "da",
        "og jeg det er ikke vi på til med har af kan jer mig os fra hvordan hvad nu efter også nogen noget \
         hvor dette gøre dag får blev bliver mit vores uge hej tak venlig hilsen sidste modtaget ind en et \
         som siden endnu min været skal",
    ),
    (
        "sv",
        "och jag det är inte vi på till med har av kan ni mig oss från hur vad nu efter också någon något var \
         detta göra idag får blev blir mitt vårt hej tack vänliga hälsningar sedan att en ett som om för den \
         men längre vår",
    ),
    (
        "fr",
        "le la les de des et je ne pas nous vous est un une que pour dans mon notre ce plus merci bonjour \
         avec sur du au me mais qui depuis cette votre avons avez être",
    ),
    (
        "es",
        "el la los las de y que no en un una por para con mi me se es del al nos su pero está desde esta \
         puedo pueden hola gracias favor como más cuando hemos",
    ),
    (
        "pt",
        "o a os as de e que não em um uma por para com meu minha me se é do da no na nos mas está desde esta \
         podem posso bom dia obrigado obrigada favor mais quando nossa ao",
    ),
    (
        "it",
        "il lo la gli le di e che non un una per con mio mia mi si è del della al ci ma da questa questo \
         grazie buongiorno più come quando sono abbiamo possibile nel dal",
    ),
    (
        "fi",
        "ja on ei en se että mutta kun voi voitteko minun meidän hei kiitos ole oli tämä tänä olen mitä miten \
         jos niin nyt emme eikä sitä ovat vielä",
    ),
    (
        "pl",
        "i nie w na się z do jest to że od po czy jak dla mam mogę proszę dziękuję dzień dobry są przez już \
         ale mnie nas państwo został oraz",
    ),
    (
        "cs",
        "a se v na je že do z s si to od jak ale nám mi můžete prosím děkuji dobrý den nebo jsem jsme není \
         který pro byl ještě při už",
    ),
    (
        "sk",
        "a sa v na je že do z s si to od ako ale nám mi môžete prosím ďakujem dobrý deň alebo som sme nie \
         ktorý pre bol ešte pri už",
    ),
    (
        "hu",
        "a az és nem hogy is egy van meg ez de mert kérem köszönöm jó napot vagy már el ki nekem tudok lehet \
         volt kell még",
    ),
    (
        "tr",
        "ve bir bu için ile de da ne var yok mi olarak çok ama daha merhaba lütfen teşekkürler nasıl gibi ben \
         biz sizin değil",
    ),
    (
        "ro",
        "și şi în nu este la de cu pe un o să care mai din pentru am vă rog bună ziua mulțumesc că sunt se \
         îmi ne",
    ),
];

/// Languages that are taken for each other.
const RELATIVES: &[&[Lang]] = &[
    &[Lang::Eng, Lang::Deu, Lang::Nld, Lang::Afr, Lang::Dan, Lang::Nob, Lang::Swe],
    &[Lang::Fra, Lang::Spa, Lang::Por, Lang::Ita, Lang::Cat, Lang::Ron],
    &[Lang::Pol, Lang::Ces, Lang::Slk, Lang::Slv, Lang::Hrv],
    &[Lang::Fin, Lang::Est, Lang::Hun],
    &[Lang::Tur, Lang::Aze, Lang::Uzb, Lang::Tuk],
];

/// Tells it, for what people write; the text of a delivery report is the mail system's.
pub(crate) fn detect(text: &str, mark: Option<&Visible>, kind: Kind) -> Option<Language> {
    if matches!(kind, Kind::Bounce | Kind::Mdn | Kind::Complaint | Kind::OwnLoop) {
        return None;
    }
    let sample = sample(visible::part(text, mark))?;
    let small = SmallWords::of(&sample);
    by_relatives(&sample, &small).or_else(|| among_all(&sample, &small))
}

/// The language that the small words speak for, when the detector prefers it to all its relatives: comparing with every
/// language of the world takes as long as reading a small mail.
fn by_relatives(sample: &str, small: &SmallWords) -> Option<Language> {
    static FAMILIES: LazyLock<Vec<Detector>> =
        LazyLock::new(|| RELATIVES.iter().map(|family| Detector::with_allowlist(family.to_vec())).collect());
    let leader = small.leader()?;
    let families = RELATIVES.iter().zip(FAMILIES.iter());
    let (_, detector) = families.into_iter().find(|(family, _)| family.iter().any(|it| code(*it) == Some(leader)))?;
    let found = detector.detect(sample).filter(|found| code(found.lang()) == Some(leader))?;
    Some(told(leader, found.confidence()))
}

/// The one that the detector finds, when it is sure and the small words do not speak for another.
fn among_all(sample: &str, small: &SmallWords) -> Option<Language> {
    let found = Detector::new().detect(sample).filter(whatlang::Info::is_reliable)?;
    let code = code(found.lang()).filter(|code| small.allow(code))?;
    Some(told(code, found.confidence()))
}

fn told(code: &str, confidence: f64) -> Language {
    // At most 1.
    Language { code: code.to_owned(), percent: (confidence * 100.0) as u8 }
}

/// How many small words of each language a text has. They are the second witness: short mails have few letter groups, but
/// hardly a sentence without such words, and close relatives (Danish and Norwegian, Czech and Slovak) differ in them.
struct SmallWords([u32; SMALL_WORDS.len()]);

impl SmallWords {
    fn of(sample: &str) -> Self {
        static KNOWN: LazyLock<HashMap<&str, u32>> = LazyLock::new(small_words);
        let mut hits = [0_u32; SMALL_WORDS.len()];
        for word in sample.split(' ').filter(|word| word.len() <= 12) {
            let languages = KNOWN.get(word.to_lowercase().as_str()).copied().unwrap_or_default();
            for (bit, count) in (0..u32::BITS).zip(&mut hits) {
                *count = count.saturating_add(languages >> bit & 1);
            }
        }
        Self(hits)
    }

    /// Of this language, and the most of any other one.
    fn own_and_others(&self, code: &str) -> (u32, u32) {
        let of = |own: bool| {
            let counts = SMALL_WORDS.iter().zip(self.0).filter(move |((language, _), _)| (*language == code) == own);
            counts.map(|(_, count)| count).max().unwrap_or_default()
        };
        (of(true), of(false))
    }

    /// The language that has clearly the most.
    fn leader(&self) -> Option<&'static str> {
        let (most, _) = SMALL_WORDS.iter().zip(self.0).max_by_key(|(_, count)| *count)?;
        let (own, others) = self.own_and_others(most.0);
        let clear = others.saturating_mul(3).div_ceil(2).max(others.saturating_add(1));
        (own >= 3 && own >= clear).then_some(most.0)
    }

    /// Whether no other language has more.
    fn allow(&self, code: &str) -> bool {
        let (own, others) = self.own_and_others(code);
        own >= others
    }
}

/// Each small word with a bit for each language that has it.
fn small_words() -> HashMap<&'static str, u32> {
    let mut known = HashMap::new();
    for (bit, (_, words)) in (0..u32::BITS).zip(SMALL_WORDS) {
        for word in words.split(' ') {
            *known.entry(word).or_default() |= 1_u32 << bit;
        }
    }
    known
}

/// The words of the text, with single blanks between; `None` when they are too few.
fn sample(text: &str) -> Option<String> {
    let window = text.get(..text.floor_char_boundary(WINDOW)).unwrap_or(text);
    let mut sample = String::new();
    let (mut letters, mut tokens, mut words, mut signs) = (0_usize, 0_usize, 0_usize, 0_usize);
    for line in window.lines().take_while(|line| !matches!(line.trim_end(), "--" | "-- " | "__")) {
        if visible::is_quoted(line) {
            continue;
        }
        tokens = tokens.saturating_add(line.split_whitespace().count());
        for word in line.split_whitespace().filter_map(word) {
            let count = word.chars().count();
            let dense = word.chars().next().is_some_and(is_dense);
            if dense {
                signs = signs.saturating_add(count)
            } else {
                letters = letters.saturating_add(count)
            }
            words = words.saturating_add(1);
            sample.push_str(word);
            sample.push(' ');
        }
        if sample.len() > SAMPLE {
            break;
        }
    }
    // Encoded data has a word now and then.
    let is_text = words.saturating_mul(3) >= tokens;
    (is_text && (signs >= FEW_SIGNS || letters >= FEW_LETTERS && words >= FEW_WORDS)).then_some(sample)
}

/// The letters of a token, when it is a word: no digits, no address, no path, no constant.
fn word(token: &str) -> Option<&str> {
    let bare = token.trim_matches(|c: char| !c.is_alphanumeric());
    let odd = |c: char| !c.is_alphabetic() && !matches!(c, '\'' | '’' | '-' | '\u{200c}' | '\u{200d}') && !is_mark(c);
    let mut chars = bare.chars();
    let dense = chars.clone().next().is_some_and(is_dense);
    let shouted = bare.len() > 1 && bare.is_ascii() && !bare.bytes().any(|byte| byte.is_ascii_lowercase());
    let foreign = if dense { bare.contains(['@', '/', '_']) } else { bare.len() > 60 || chars.any(odd) };
    (!(bare.is_empty() || foreign || shouted && bare.len() <= 5)).then_some(bare)
}

/// Letters of scripts that few languages share, and words of which need no blanks between.
const fn is_dense(c: char) -> bool {
    matches!(c, '\u{370}'..='\u{3ff}' | '\u{530}'..='\u{5ff}' | '\u{e00}'..='\u{10ff}' | '\u{1100}'..='\u{11ff}' | '\u{3040}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}')
}

/// Marks that stand on the letter before.
const fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{591}'..='\u{5c7}' | '\u{610}'..='\u{65f}' | '\u{900}'..='\u{dff}' | '\u{e30}'..='\u{e4e}')
}

/// ISO 639-1 for what the detector knows; languages without a code, and those that nobody writes to a help desk, have none.
const fn code(language: Lang) -> Option<&'static str> {
    Some(match language {
        Lang::Eng => "en",
        Lang::Rus => "ru",
        Lang::Cmn => "zh",
        Lang::Spa => "es",
        Lang::Por => "pt",
        Lang::Ita => "it",
        Lang::Ben => "bn",
        Lang::Fra => "fr",
        Lang::Deu => "de",
        Lang::Ukr => "uk",
        Lang::Kat => "ka",
        Lang::Ara => "ar",
        Lang::Hin => "hi",
        Lang::Jpn => "ja",
        Lang::Heb => "he",
        Lang::Yid => "yi",
        Lang::Pol => "pl",
        Lang::Amh => "am",
        Lang::Kor => "ko",
        Lang::Nob => "no",
        Lang::Dan => "da",
        Lang::Swe => "sv",
        Lang::Fin => "fi",
        Lang::Tur => "tr",
        Lang::Nld => "nl",
        Lang::Hun => "hu",
        Lang::Ces => "cs",
        Lang::Ell => "el",
        Lang::Bul => "bg",
        Lang::Bel => "be",
        Lang::Mar => "mr",
        Lang::Kan => "kn",
        Lang::Ron => "ro",
        Lang::Slv => "sl",
        Lang::Hrv => "hr",
        Lang::Srp => "sr",
        Lang::Mkd => "mk",
        Lang::Lit => "lt",
        Lang::Lav => "lv",
        Lang::Est => "et",
        Lang::Tam => "ta",
        Lang::Vie => "vi",
        Lang::Urd => "ur",
        Lang::Tha => "th",
        Lang::Guj => "gu",
        Lang::Uzb => "uz",
        Lang::Pan => "pa",
        Lang::Aze => "az",
        Lang::Ind => "id",
        Lang::Tel => "te",
        Lang::Pes => "fa",
        Lang::Mal => "ml",
        Lang::Ori => "or",
        Lang::Mya => "my",
        Lang::Nep => "ne",
        Lang::Sin => "si",
        Lang::Khm => "km",
        Lang::Afr => "af",
        Lang::Slk => "sk",
        Lang::Cat => "ca",
        Lang::Hye => "hy",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Option<String> {
        detect(text, None, Kind::Human).map(|language| language.code)
    }

    /// Short mails as help desks get them.
    const MAILS: &[(&str, &str)] = &[
        ("en", "Hi,\n\nI cannot log in since this morning, it says my password is wrong. Can you please help?\n\nAnn"),
        ("en", "Hello, our printer on the second floor does not print any more. Nobody changed anything."),
        ("en", "The invoice from last month is missing in our account. Where can I find it?"),
        (
            "de",
            "Guten Tag,\n\nseit heute Morgen kann ich mich nicht mehr anmelden. Können Sie mir bitte helfen?\n\nMit freundlichen Grüßen",
        ),
        ("de", "Hallo, der Drucker im zweiten Stock druckt nicht mehr. Niemand hat etwas geändert."),
        (
            "no",
            "Hei,\n\nJeg får ikke logget inn i systemet siden i dag tidlig. Kan dere hjelpe meg med dette?\n\nVennlig hilsen",
        ),
        ("no", "Hei, vi har ikke mottatt fakturaen for forrige måned. Hvor kan jeg finne den?"),
        (
            "sv",
            "Hej!\n\nJag kan inte logga in sedan i morse, det står att lösenordet är fel. Kan ni hjälpa mig?\n\nMed vänliga hälsningar",
        ),
        ("sv", "Hej, skrivaren på andra våningen fungerar inte längre. Ingen har ändrat något."),
        (
            "da",
            "Hej,\n\nJeg kan ikke logge ind siden i morges, der står at min adgangskode er forkert. Kan I hjælpe mig?\n\nMed venlig hilsen",
        ),
        ("da", "Hej, vi har ikke modtaget fakturaen for sidste måned endnu. Hvor kan jeg finde den?"),
        (
            "nl",
            "Goedemorgen,\n\nSinds vanochtend kan ik niet meer inloggen, mijn wachtwoord zou onjuist zijn. Kunt u mij helpen?",
        ),
        ("nl", "Hallo, de printer op de tweede verdieping doet het niet meer. Niemand heeft iets veranderd."),
        (
            "fr",
            "Bonjour,\n\nDepuis ce matin je n'arrive plus à me connecter, le mot de passe serait faux. Pouvez-vous m'aider ?",
        ),
        ("fr", "Bonjour, l'imprimante du deuxième étage ne marche plus. Personne n'a rien changé."),
        (
            "es",
            "Buenos días:\n\nDesde esta mañana no puedo entrar en el sistema, dice que la contraseña es incorrecta. ¿Me pueden ayudar?",
        ),
        (
            "it",
            "Buongiorno,\n\nda stamattina non riesco più ad accedere, dice che la password è sbagliata. Potete aiutarmi?",
        ),
        ("fi", "Hei,\n\nen ole päässyt kirjautumaan sisään tänä aamuna, salasana on kuulemma väärä. Voitteko auttaa?"),
        (
            "pl",
            "Dzień dobry,\n\nod dzisiaj rano nie mogę się zalogować, podobno hasło jest nieprawidłowe. Czy mogą Państwo pomóc?",
        ),
        (
            "pt",
            "Bom dia,\n\nDesde esta manhã não consigo entrar no sistema, diz que a senha está errada. Podem ajudar-me?",
        ),
        ("cs", "Dobrý den,\n\nod dnešního rána se nemohu přihlásit, prý je heslo nesprávné. Můžete mi prosím pomoci?"),
        (
            "ru",
            "Добрый день!\n\nС сегодняшнего утра не могу войти в систему, пишет, что пароль неверный. Помогите, пожалуйста.",
        ),
        ("ja", "お世話になっております。今朝からログインできません。ご確認をお願いいたします。"),
        ("zh", "您好，从今天早上开始我无法登录系统，请帮忙处理，谢谢。"),
        ("el", "Καλημέρα, από σήμερα το πρωί δεν μπορώ να συνδεθώ. Μπορείτε να με βοηθήσετε;"),
    ];

    #[test]
    fn short_mails_are_told_rightly_or_not_at_all() {
        let wrong: Vec<_> = MAILS.iter().filter(|(code, text)| told(text).is_some_and(|told| told != *code)).collect();
        let silent: Vec<_> = MAILS.iter().filter(|(_, text)| told(text).is_none()).collect();
        assert!(wrong.is_empty(), "{:?}", wrong.iter().map(|(_, text)| (text, told(text))).collect::<Vec<_>>());
        assert!(silent.len() <= 5, "{silent:#?}");
    }

    #[test]
    fn only_new_words_are_looked_at() {
        let german = MAILS[3].1;
        let quoted = format!("{german}\n\n> {}\n", MAILS[0].1.replace('\n', "\n> "));
        let signed = format!("{german}\n-- \n{}", MAILS[0].1.repeat(5));
        let linked =
            format!("{german}\nhttps://the-long-and-winding.example/of/the/and#this ann.of.the.green@example.org");
        for text in [quoted, signed, linked] {
            assert_eq!(told(&text).as_deref(), Some("de"), "{text}");
        }
    }

    #[test]
    fn little_says_nothing() {
        for text in [
            "",
            "ok",
            "Thanks!",
            "Error 0x80070005 at C:\\Windows\\x.dll",
            "12345 67890",
            "info@example.org www.example.org",
        ] {
            assert_eq!(told(text), None, "{text}");
        }
        assert_eq!(detect(MAILS[0].1, None, Kind::Bounce), None);
    }
}

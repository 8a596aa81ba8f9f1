//! HTML that runs script or loads something: a real browser shows that each does so as it came and none does in the
//! sanitised copy.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mailbridge::config::parse::Html;
use mailbridge::message::{Depth, Rules, parse};

use crate::fuzz::sanitise;
use crate::support::browser::{Browser, Gallery};

/// No run takes longer than this.
const PATIENCE: Duration = Duration::from_secs(180);
const VECTORS: &str = include_str!("../data/xss/vectors.txt");
const PAGE: &str = include_str!("../data/xss/page.js");
/// What a reader may do with a copy.
const EVERYTHING: &str =
    "for (const does of ['reparse', 'click', 'mouseover', 'focus', 'submit', 'scroll', 'clobber']) act(does);";
const DRIVER: &str = include_str!("../data/xss/driver.js");

#[derive(Debug)]
struct Vector {
    name: String,
    class: String,
    does: String,
    html: String,
}

fn vectors() -> Vec<Vector> {
    let text = VECTORS.lines().filter(|line| !line.starts_with("# ")).collect::<Vec<_>>().join("\n");
    let read = |entry: &str| {
        let (title, html) = entry.split_once('\n').expect("a title and HTML");
        let words: Vec<&str> = title.split('|').map(str::trim).collect();
        let controls = [
            ("{TAB}", "\t"),
            ("{LF}", "\n"),
            ("{CR}", "\r"),
            ("{FF}", "\x0c"),
            ("{SOH}", "\x01"),
            ("{US}", "\x1f"),
            ("{NUL}", "\0"),
        ];
        let html = controls.iter().fold(html.trim().to_owned(), |html, (name, byte)| html.replace(name, byte));
        let word = |at: usize| words.get(at).copied().unwrap_or_default().to_owned();
        Vector { name: word(0), class: word(1), does: word(2), html }
    };
    text.split("\n== ").skip(1).map(read).collect()
}

/// The copy of a mail with this HTML, as it would be posted.
pub(crate) fn sanitized(html: &str) -> String {
    let raw = format!(
        "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n{}",
        STANDARD.encode(html)
    );
    let rules = Rules::default();
    assert_eq!(rules.parse.html, Html::Sanitize);
    let message = parse(raw.as_bytes(), &rules, Depth::Full);
    assert!(!message.defects.iter().any(|defect| defect.code.starts_with("html-")), "{html}: {:?}", message.defects);
    message.html.unwrap_or_default()
}

/// A ticket's page with the HTML in it, and what is done there.
fn page(html: &str, hit: &str, acts: &str) -> String {
    let script = PAGE.replace("HIT", hit);
    format!(
        "<!doctype html><meta charset=utf-8><script>{script}\n\
         addEventListener('load', () => setTimeout(() => {{ {acts} }}, 50));</script><div id=mail>{html}</div>"
    )
}

/// What of it shows the vector: as it came, or its copy.
fn exhibit(gallery: &Gallery, kind: &str, number: usize, vector: &Vector) -> (String, String, String) {
    let hit = gallery.url(&format!("/hit/{kind}/{number}"));
    let html = vector.html.replace("{HIT}", &hit);
    let acts = format!("act('{}');", vector.does);
    if kind == "raw" { (html, hit, acts) } else { (sanitized(&html), hit, acts + EVERYTHING) }
}

/// Shows the vectors and returns what the browser asked for; `None` where there is no browser.
fn shown(gallery: &Gallery, vectors: &[Vector], which: &[(&str, usize)], wait: u32) -> Option<BTreeSet<String>> {
    let (mut alone, mut framed) = (Vec::new(), Vec::new());
    for (kind, number) in which {
        let (html, hit, mut acts) = exhibit(gallery, kind, *number, &vectors[*number]);
        if vectors[*number].does == "alone" {
            let next = alone.len() + 1;
            let _infallible = write!(acts, "setTimeout(() => location = '/alone/{next}', {wait});");
            alone.push(page(&html, &hit, &acts));
        } else {
            let path = format!("/{kind}/{number}/");
            gallery.hang(path.clone(), page(&html, &hit, &acts));
            framed.push(path);
        }
    }
    let paths = serde_json::to_string(&framed).expect("paths");
    let driver = DRIVER.replace("PATHS", &paths).replace("WAIT", &wait.to_string());
    let driver = format!("<!doctype html><body><script>{driver}</script>");
    for (number, page) in alone.into_iter().chain([driver]).enumerate() {
        gallery.hang(format!("/alone/{number}"), page);
    }
    let _browser = Browser::open(&gallery.url("/alone/0"))?;
    Some(gallery.asked_until("/done", PATIENCE).into_iter().collect())
}

/// Whether script of the vector ran or something of it was loaded.
fn is_hit(asked: &BTreeSet<String>, kind: &str, number: usize) -> bool {
    let path = format!("/hit/{kind}/{number}");
    let is_its = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_digit());
    asked.iter().any(|asked| asked.strip_prefix(&path).is_some_and(is_its))
}

/// Whether the browser asked for it because of a copy, and not because the test shows it.
fn is_loaded_by_copy(path: &str) -> bool {
    path.strip_prefix("/clean/").and_then(|rest| rest.split_once('/')).is_some_and(|(_, rest)| !rest.is_empty())
}

#[test]
fn what_attacks_as_it_came_does_nothing_in_the_copy() {
    let vectors = vectors();
    assert!(vectors.len() >= 150, "only {} vectors", vectors.len());
    let all = || 0..vectors.len();
    let which: Vec<(&str, usize)> = all().flat_map(|number| [("raw", number), ("clean", number)]).collect();
    let gallery = Gallery::open();
    let Some(mut asked) = shown(&gallery, &vectors, &which, 500) else { return };
    let names = |kind: &str, wanted: bool, asked: &BTreeSet<String>| -> Vec<(&str, usize)> {
        all().filter(|number| is_hit(asked, kind, *number) == wanted).map(|n| (vectors[n].name.as_str(), n)).collect()
    };
    let late = names("raw", false, &asked);
    let slow: Vec<_> = late.iter().map(|(_, number)| ("raw", *number)).collect();
    if !slow.is_empty() {
        // The machine may be busy: these get more time.
        let gallery = Gallery::open();
        asked.extend(shown(&gallery, &vectors, &slow, 3_000).expect("it was there"));
    }
    let idle = names("raw", false, &asked);
    assert!(idle.is_empty(), "{} do nothing as they came, so they show nothing: {idle:#?}", idle.len());
    let alive = names("clean", true, &asked);
    assert!(alive.is_empty(), "{} attack in the copy: {alive:#?}", alive.len());
    let loaded: Vec<_> = asked.iter().filter(|path| is_loaded_by_copy(path)).collect();
    assert!(loaded.is_empty(), "copies load {loaded:?}");
    let mut classes: BTreeMap<&str, usize> = BTreeMap::new();
    vectors.iter().for_each(|vector| *classes.entry(&vector.class).or_default() += 1);
    println!("{} vectors: {classes:?}; needed more time: {late:?}", vectors.len());
}

#[test]
fn a_copy_of_a_copy_is_the_copy() {
    for vector in vectors() {
        let copy = sanitized(&vector.html);
        assert_eq!(sanitized(&copy), copy, "{}", vector.name);
        sanitise::check(vector.html.as_bytes());
    }
}

/// Puts pieces of other vectors into one, and cuts, doubles and spoils it here and there.
fn broken(html: &str, others: &[Vector], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut broken = html.as_bytes().to_vec();
    for _ in 0..random.usize(1..5) {
        let at = random.usize(0..=broken.len());
        match random.u8(0..5) {
            0 => broken.truncate(at),
            1 => broken.insert(at, *random.choice(b"<>/\"'= &;!-`\n\0").expect("one of them")),
            2 => broken.extend_from_within(at..),
            3 => broken.rotate_left(at),
            _ => {
                let other = &others[random.usize(..others.len())].html;
                broken.splice(at..at, other.bytes());
            }
        }
    }
    broken
}

#[test]
fn any_html_has_a_harmless_copy() {
    let vectors = vectors();
    let mut random = fastrand::Rng::with_seed(13);
    for vector in &vectors {
        for _ in 0..20 {
            let html = broken(&vector.html, &vectors, &mut random);
            println!("{}", html.escape_ascii());
            sanitise::check(&html);
        }
    }
}

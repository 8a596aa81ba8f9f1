//! Whether reading takes time in proportion to the size: `cargo bench --bench linear [part of a name]`. Each pattern that a
//! sender could write fills mails of 5 MB and of 10 MB, which are read and composed in this process, with the limits raised
//! wherever one would hide the pattern. Twice the size may take 2.5 times as long at most, in the best of several runs.
#![expect(clippy::print_stdout, clippy::expect_used, reason = "a bench prints, and ends at what is wrong")]

use std::process::ExitCode;
use std::time::Duration;

use mailbridge::clock::UtcMillis;
use mailbridge::compose::{Origin, compose};
use mailbridge::config::{Limits, Mailbox};
use mailbridge::message::{Depth, Rules, parse};
use rustix::time::{ClockId, clock_gettime};

/// The smaller size; the other is twice as large.
const SIZE: usize = 5_000_000;
/// The largest ratio of the two times.
const MOST: f64 = 2.5;
/// Runs of each pair before a ratio counts.
const RUNS: usize = 4;
/// Shorter times are noise.
const NOISE: Duration = Duration::from_millis(3);

/// A name, what stands in front, what is repeated, what stands behind.
type Pattern = (&'static str, &'static str, &'static str, &'static str);

const MIXED: &str = "Content-Type: multipart/mixed; boundary=b\n\n";
const HTML: &str = "Content-Type: text/html\n\n";
const ATTACHED: &str = "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--b\n";

const PATTERNS: &[Pattern] = &[
    ("one long line", "\n", "a", ""),
    ("short lines", "\n", "a\n", ""),
    ("blank lines", "\n", "\n", ""),
    ("blanks", "\n", " ", "x"),
    ("carriage returns", "\n", "\r", ""),
    ("nothing but CR lines", "Subject: x\r\r", "a\r", ""),
    ("zeros", "\n", "\0", ""),
    ("false UTF-8", "Content-Type: text/plain; charset=utf-8\n\n", "\u{fffd}a", ""),
    ("header lines", "", "X: y\n", "\n"),
    ("folded lines", "Subject: x", "\n y", "\n\n"),
    ("a subject", "Subject: ", "word ", "\n\n"),
    ("encoded words", "Subject: ", "=?utf-8?q?=C3?= ", "\n\n"),
    ("encoded words that never end", "Subject: ", "=?utf-8?b?", "\n\n"),
    ("encoded words one by another", "Subject: ", "=?utf-8?b?w6Q=?=", "\n\n"),
    ("question marks", "Subject: ", "=?", "\n\n"),
    ("addresses", "To: ", "a@b.example, ", "\n\n"),
    ("angle brackets", "To: ", "<", "\n\n"),
    ("closed angle brackets", "To: ", "<>", "\n\n"),
    ("comments in addresses", "To: ", "(", "\n\n"),
    ("comments in comments", "To: ", "(a)", "\n\n"),
    ("quotes in addresses", "To: ", "\"", "\n\n"),
    ("backslashes", "To: \"", "\\", "\n\n"),
    ("groups", "To: ", "a:b@c;", "\n\n"),
    ("commas", "To: ", ",", "\n\n"),
    ("at signs", "From: ", "@", "\n\n"),
    ("labels of a domain", "From: a@", "xn--a.", "\n\n"),
    ("references", "References: ", "<a@b> ", "\n\n"),
    ("references that never end", "References: ", "<a", "\n\n"),
    ("references without brackets", "In-Reply-To: ", "a@b ", "\n\n"),
    ("date words", "Date: ", "Mon, ", "\n\n"),
    ("numbers in a date", "Date: ", "1 ", "\n\n"),
    ("comments in a date", "Date: ", "(", "\n\n"),
    ("Received fields", "", "Received: from a; Mon\n", "\n"),
    ("parameters", "Content-Type: text/plain", "; a=b", "\n\n"),
    ("percents", "Content-Disposition: attachment; filename*=utf-8''", "%41", "\n\n"),
    ("RFC 2231 continuations", "Content-Disposition: attachment", "; filename*0*=a", "\n\n"),
    ("quotes in parameters", "Content-Type: text/plain; charset=", "\"a\"", "\n\n"),
    ("boundaries", MIXED, "--b\n\n", ""),
    ("almost boundaries", MIXED, "--ba\n", ""),
    ("boundaries with blanks", MIXED, "--b \t\n", ""),
    ("ends of boundaries", MIXED, "--b--\n", ""),
    ("dashes", MIXED, "-", ""),
    ("lines of dashes", MIXED, "--\n", ""),
    ("multiparts in multiparts", "", "Content-Type: multipart/mixed; boundary=b\n\n--b\n", ""),
    ("mails in mails", "", "Content-Type: message/rfc822\n\n", "x"),
    ("parts with names", ATTACHED, "--b\nContent-Disposition: attachment; filename=a\n\nx\n", "--b--"),
    ("base64 garbage", "Content-Transfer-Encoding: base64\n\n", "=*-", ""),
    ("base64", "Content-Transfer-Encoding: base64\n\n", "QUJD\n", ""),
    ("quoted-printable", "Content-Transfer-Encoding: quoted-printable\n\n", "=", ""),
    ("soft line ends", "Content-Transfer-Encoding: quoted-printable\n\n", "=\n", ""),
    ("blanks in quoted-printable", "Content-Transfer-Encoding: quoted-printable\n\n", " \t", "x"),
    ("flowed lines", "Content-Type: text/plain; format=flowed\n\n", "a \n", ""),
    ("flowed lines that are deleted", "Content-Type: text/plain; format=flowed; delsp=yes\n\n", "a \n", ""),
    ("flowed quotes", "Content-Type: text/plain; format=flowed\n\n", "> a \n", ""),
    ("uuencode begins", "\n", "begin 644 a\n", ""),
    ("uuencode lines", "\nbegin 644 a\n", "M!!!!\n", ""),
    ("yEnc begins", "\n", "=ybegin line=128 size=1 name=a\n", ""),
    ("escapes of ISO-2022-JP", "Content-Type: text/plain; charset=iso-2022-jp\n\n", "\x1b$B\x1b(B", ""),
    ("shifts of UTF-7", "Content-Type: text/plain; charset=utf-7\n\n", "+-", ""),
    ("quote marks", "\nx\n", ">", ""),
    ("quoted lines", "\nx\n", "> a\n", ""),
    ("attributions", "\nx\n", "On 1 May 2024 at 10:00, Ann <a@b.example> wrote:\n", ""),
    ("weak attributions", "\nx\n", "Ann wrote:\n", ""),
    ("unfinished attributions", "\nx\n", "On 1 May 2024 at 10:00\n", ""),
    ("an attribution that never ends", "\nx\nOn 1 May ", "2024 ", "wrote:\n"),
    ("colons", "\nx\n", ":", ""),
    ("header blocks", "\n", "From: a\nTo: b\n\n\n", ""),
    ("rules", "\nx\n", "_____\n", ""),
    ("a rule", "\nx\n", "_", ""),
    ("separators", "\n", "-----Original Message-----\n", ""),
    ("signatures", "\nx\n> a\n", "-- \n", ""),
    ("bounce phrases", "From: mailer-daemon@x\n\n", "could not be delivered ", ""),
    (
        "delivery reports",
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\nContent-Type: \
        message/delivery-status\n\n",
        "Final-Recipient: rfc822; a@b\nAction: failed\nStatus: 5.1.1\n\n",
        "--b--",
    ),
    ("less-than signs", HTML, "<", ""),
    ("greater-than signs", HTML, ">", ""),
    ("nested elements", HTML, "<div>", "x"),
    ("paragraphs", HTML, "<p>a", ""),
    ("elements of two kinds", HTML, "<a><b>", "x"),
    ("false ends", HTML, "</b>", "x"),
    ("tables", HTML, "<table><tr><td>", "x"),
    ("comments that never end", HTML, "<!--", "x"),
    ("comments", HTML, "<!-- a -->", "x"),
    ("processing instructions", HTML, "<?a", "x"),
    ("entities", HTML, "&amp;", ""),
    ("false entities", HTML, "&", ""),
    ("numbers of characters", HTML, "&#x41;", ""),
    ("attributes", "Content-Type: text/html\n\n<p", " a=b", ">x"),
    ("quotes of attributes", "Content-Type: text/html\n\n<p a=", "\"", ">x"),
    ("style attributes", HTML, "<p style=\"color:red\">", "x"),
    ("a long style", "Content-Type: text/html\n\n<p style=\"", "color:red;", "\">x"),
    ("a style of brackets", "Content-Type: text/html\n\n<p style=\"color:", "(", "\">x"),
    ("a style of comments", "Content-Type: text/html\n\n<p style=\"color:", "/*", "\">x"),
    ("a style of escapes", "Content-Type: text/html\n\n<p style=\"color:", "\\72", "\">x"),
    ("style sheets", HTML, "<style>a{}</style>", "x"),
    ("a style sheet that never ends", HTML, "<style>", "x"),
    ("scripts", HTML, "<script>", "x"),
    ("links", HTML, "<a href=\"http://a.example\">x</a>", ""),
    ("data links", HTML, "<img src=\"data:image/png;base64,AAAA\">", ""),
    ("pictures by cid", HTML, "<img src=\"cid:a@b\">", ""),
    ("lists", HTML, "<ul><li>", "x"),
    ("quotations", HTML, "<blockquote>", "x"),
    ("metas", HTML, "<meta charset=utf-8>", "x"),
    ("TNEF garbage", "Content-Type: application/ms-tnef; name=winmail.dat\n\n\u{78}\u{9f}", "\x02\x00\x00\x00", ""),
    ("an iCalendar", "Content-Type: text/calendar\n\n", "BEGIN:VEVENT\n", ""),
];

fn main() -> ExitCode {
    let wanted = std::env::args().nth(1).filter(|word| !word.starts_with('-')).unwrap_or_default();
    let rules = rules(SIZE);
    let mut slow = Vec::new();
    for pattern in PATTERNS.iter().filter(|(name, ..)| name.contains(&wanted)) {
        let (name, ..) = pattern;
        let (once, twice) = (mail(pattern, SIZE), mail(pattern, SIZE.saturating_mul(2)));
        let (mut best_once, mut best_twice, mut ratio) = (Duration::MAX, Duration::MAX, f64::MAX);
        for _ in 0..RUNS {
            best_once = best_once.min(took(&once, &rules)).max(NOISE);
            best_twice = best_twice.min(took(&twice, &rules));
            ratio = best_twice.as_secs_f64() / best_once.as_secs_f64();
            // A slow one is not run again for nothing.
            if ratio < 2.2 {
                break;
            }
        }
        let (once, twice) = (best_once.as_secs_f64() * 1e3, best_twice.as_secs_f64() * 1e3);
        println!("{name:32} {once:9.1} ms {twice:9.1} ms {ratio:6.2}");
        if ratio > MOST {
            slow.push(*name);
        }
    }
    if slow.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("not in proportion to the size: {}", slow.join(", "));
    ExitCode::FAILURE
}

/// A mail of about `size` bytes.
fn mail((_, front, again, behind): &Pattern, size: usize) -> Vec<u8> {
    let times = size.checked_div(again.len()).unwrap_or_default();
    [front, again.repeat(times).as_str(), behind].concat().into_bytes()
}

/// Limits that stand in no pattern's way.
fn rules(size: usize) -> Rules {
    let many = u32::try_from(size.saturating_mul(4)).expect("a size");
    let most = mailbridge::config::units::Size(u64::from(many));
    let limits = Limits {
        message_size: most,
        header_bytes: most,
        header_line: most,
        header_count: many,
        address_count: many,
        reference_count: many,
        parts: 100_000,
        // Names are made unique within this bound: more of them cost more each.
        attachments: 1_000,
        body_chars: many,
        ..Limits::default()
    };
    Rules { limits, ..Rules::default() }
}

fn took(raw: &[u8], rules: &Rules) -> Duration {
    let origin = Origin::of_file("support".parse().expect("a name"), UtcMillis(1_795_341_731_000), 1);
    let started = processor_time();
    let message = parse(raw, rules, Depth::Full);
    std::hint::black_box(compose(&message, &origin, &Mailbox::default()));
    processor_time().saturating_sub(started)
}

/// What this thread has used: other programs do not count.
fn processor_time() -> Duration {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    let part = |number: i64| u64::try_from(number).unwrap_or_default();
    Duration::from_secs(part(used.tv_sec)).saturating_add(Duration::from_nanos(part(used.tv_nsec)))
}

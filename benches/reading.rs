//! What reading mails costs on one core: `cargo bench --bench reading [folder of mails]`, for the golden mails or all below a
//! folder. mail-parser alone is the measure; beside it reading and composing in this process, and reading in a worker, whose
//! share of pipe and JSON is told. And what a large mail costs on each way.
#![expect(clippy::print_stdout, clippy::expect_used, reason = "a bench prints, and ends at what is wrong")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mail_parser::MessageParser;
use mailbridge::clock::UtcMillis;
use mailbridge::compose::{Origin, compose};
use mailbridge::config::Mailbox;
use mailbridge::message::{Depth, Rules, parse};
use mailbridge::parser::{Pool, Source};

/// How long each is measured.
const MEASURED: Duration = Duration::from_secs(2);

fn main() {
    let given = std::env::args().nth(1).filter(|word| !word.starts_with('-')).map(PathBuf::from);
    let folder = given.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/mail"));
    let mails = mails(&folder);
    let size = mails.iter().map(Vec::len).sum::<usize>();
    println!("{} mails of {} bytes on average", mails.len(), size.checked_div(mails.len()).unwrap_or_default());
    let rules = Rules::default();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let pool = Pool::new(PathBuf::from(env!("CARGO_BIN_EXE_mailbridge")), 1);
    let alone = measured("mail-parser alone", mails.len(), size, || mails.iter().for_each(|raw| mail_parser(raw)));
    let parsed = measured("parse", mails.len(), size, || {
        mails.iter().for_each(|raw| drop(std::hint::black_box(parse(raw, &rules, Depth::Full))));
    });
    let origin = origin();
    let composed = measured("parse and compose", mails.len(), size, || {
        for raw in &mails {
            let message = parse(raw, &rules, Depth::Full);
            std::hint::black_box(compose(&message, &origin, &Mailbox::default()));
        }
    });
    measured("in a worker, one by one", mails.len(), size, || {
        runtime.block_on(async {
            for raw in &mails {
                pool.parse(raw, &rules, Depth::Full, false).await.expect("read");
            }
        });
    });
    let together = measured("in a worker, sixteen together", mails.len(), size, || {
        runtime.block_on(async {
            for some in mails.chunks(16) {
                let sources: Vec<Source<'_>> = some.iter().map(Source::from).collect();
                pool.parse_together(&sources, &rules).await.expect("read");
            }
        });
    });
    println!("parse and compose reach {:.2} of mail-parser alone", alone.as_secs_f64() / composed.as_secs_f64());
    let share = 1.0 - parsed.as_secs_f64() / together.as_secs_f64();
    println!("the pipe to the worker is {:.0} % of reading in it, sixteen together", 100.0 * share);
    large_ones(&runtime, &pool, &rules);
    runtime.block_on(pool.close());
}

/// Every mail below a folder.
fn mails(folder: &Path) -> Vec<Vec<u8>> {
    let mut waiting = vec![folder.to_owned()];
    let mut paths = Vec::new();
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of mails") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "eml") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("a mail")).collect()
}

/// What a program that shows a mail asks of the library: its bodies and the bytes of its attachments.
fn mail_parser(raw: &[u8]) {
    let Some(message) = MessageParser::default().parse(raw) else {
        return;
    };
    let texts = (0..message.text_body_count()).filter_map(|part| message.body_text(part)).map(|text| text.len());
    let htmls = (0..message.html_body_count()).filter_map(|part| message.body_html(part)).map(|html| html.len());
    let parts = message.attachments().map(|part| part.contents().len());
    std::hint::black_box((
        message.subject(),
        message.from(),
        message.date(),
        texts.chain(htmls).chain(parts).sum::<usize>(),
    ));
}

fn origin() -> Origin {
    Origin::of_file("support".parse().expect("a name"), UtcMillis(1_795_341_731_000), 1)
}

/// What a large mail costs on each way.
fn large_ones(runtime: &tokio::runtime::Runtime, pool: &Pool, rules: &Rules) {
    let large = large();
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, &large).expect("written");
    for (name, source) in
        [("a large mail as bytes", Source::from(&large)), ("a large mail as a file", Source::File(file.path()))]
    {
        measured(name, 1, large.len(), || {
            runtime.block_on(pool.parse(source, rules, Depth::Full, false)).expect("read");
        });
    }
}

/// 20 MiB, most of it one attachment.
fn large() -> Vec<u8> {
    let line = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAxMjM0NTY3\r\n";
    let head = "Subject: large\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nsee below\r\n--b\r\n\
        Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    [head, &line.repeat(256 << 10), "--b--\r\n"].concat().into_bytes()
}

/// Repeats it for a while; the best round counts, the others were disturbed.
fn measured(name: &str, mails: usize, bytes: usize, mut round: impl FnMut()) -> Duration {
    let begun = Instant::now();
    let mut best = Duration::MAX;
    while begun.elapsed() < MEASURED {
        let started = Instant::now();
        round();
        best = best.min(started.elapsed());
    }
    let seconds = best.as_secs_f64();
    let (micros, rate) = (seconds * 1e6 / mails.max(1) as f64, bytes as f64 / 1e6 / seconds);
    println!("{name:30} {micros:10.1} us a mail {rate:8.1} MB/s");
    best
}

//! What reading mails costs: `cargo bench --bench reading [folder of mails]`, for the golden mails or those of a folder.
//! Three lines: in this process, in a worker one by one, in a worker together. And what a large mail costs on each way.
#![expect(clippy::print_stdout, clippy::expect_used, reason = "a bench prints, and ends at what is wrong")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use mailbridge::message::{Depth, Rules, parse};
use mailbridge::parser::{Pool, Source};

/// How long each is measured.
const MEASURED: Duration = Duration::from_secs(2);

fn main() {
    let given = std::env::args().nth(1).filter(|word| !word.starts_with('-')).map(PathBuf::from);
    let folder = given.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/mail"));
    let entries = std::fs::read_dir(folder).expect("a folder of mails");
    let mails: Vec<Vec<u8>> =
        entries.map(|entry| std::fs::read(entry.expect("an entry").path()).expect("a mail")).collect();
    let rules = Rules::default();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let pool = Pool::new(PathBuf::from(env!("CARGO_BIN_EXE_mailbridge")), 1);
    let bytes = |mails: &[Vec<u8>]| mails.iter().map(Vec::len).sum::<usize>();
    let size = bytes(&mails);
    measured("in this process", mails.len(), size, || {
        mails.iter().for_each(|raw| drop(std::hint::black_box(parse(raw, &rules, Depth::Full))));
    });
    measured("in a worker, one by one", mails.len(), size, || {
        runtime.block_on(async {
            for raw in &mails {
                pool.parse(raw, &rules, Depth::Full, false).await.expect("read");
            }
        });
    });
    measured("in a worker, sixteen together", mails.len(), size, || {
        runtime.block_on(async {
            for some in mails.chunks(16) {
                let sources: Vec<Source<'_>> = some.iter().map(Source::from).collect();
                pool.parse_together(&sources, &rules).await.expect("read");
            }
        });
    });
    let large = large();
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(&file, &large).expect("written");
    for (name, source) in
        [("a large mail as bytes", Source::from(&large)), ("a large mail as a file", Source::File(file.path()))]
    {
        measured(name, 1, large.len(), || {
            runtime.block_on(pool.parse(source, &rules, Depth::Full, false)).expect("read");
        });
    }
    runtime.block_on(pool.close());
}

/// 20 MiB, most of it one attachment.
fn large() -> Vec<u8> {
    let line = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAxMjM0NTY3\r\n";
    let head = "Subject: large\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nsee below\r\n--b\r\n\
        Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    [head, &line.repeat(256 << 10), "--b--\r\n"].concat().into_bytes()
}

/// Repeats it for a while; the best round counts, the others were disturbed.
fn measured(name: &str, mails: usize, bytes: usize, mut round: impl FnMut()) {
    let begun = Instant::now();
    let mut best = Duration::MAX;
    while begun.elapsed() < MEASURED {
        let started = Instant::now();
        round();
        best = best.min(started.elapsed());
    }
    let seconds = best.as_secs_f64();
    let (micros, rate) = (seconds * 1e6 / mails.max(1) as f64, bytes as f64 / 1e6 / seconds);
    println!("{name:30} {micros:10.1} us a mail {rate:8.0} MB/s");
}

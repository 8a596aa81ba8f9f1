//! The child: reads frames from standard input, reads the mails in them, writes the answers to standard output, until the
//! input ends. It fences itself in first, and no mail is touched before.
//!
//! One thread with a large stack reads the mails. A panic is an answer; whatever else a mail does to the process is seen
//! by the parent.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, IsTerminal as _, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;

use crate::message::parse;
use crate::message::{Depth, Rules};
use crate::parser::fence;
use crate::parser::wire::{self, Kind};

/// Room for the deepest tree that the bounds of a mail allow; reserved, not used, until it is needed.
const STACK: usize = 64 << 20;
/// A buffer that has grown beyond this for one mail is given back.
const KEPT_BUFFER: usize = 1 << 20;
/// What is read at once, and how many bytes of answers wait for more: mails that came together are answered together.
const TOGETHER: usize = 64 << 10;

/// Runs the worker; the exit code of the process.
#[must_use]
pub fn run() -> ExitCode {
    if io::stdin().is_terminal() {
        // Nobody but a person sees this; if it cannot be written, the exit code still says it.
        writeln!(io::stderr(), "parse-worker is started by mailbridge itself, not by hand").unwrap_or_default();
        return ExitCode::from(2);
    }
    let unfenced = fence::raise().err().unwrap_or_default();
    std::panic::set_hook(Box::new(|_| {}));
    let serve = move || {
        // Past the buffers of the standard library, which are small and in the way.
        let (input, mut output) = (unbuffered(io::stdin())?, unbuffered(io::stdout())?);
        serve(BufReader::with_capacity(TOGETHER, input), &mut output, &unfenced)
    };
    let thread = std::thread::Builder::new().name("parse".to_owned()).stack_size(STACK).spawn(serve);
    match thread.map(std::thread::JoinHandle::join) {
        Ok(Ok(Ok(()))) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn unbuffered(stream: impl AsFd) -> io::Result<File> {
    stream.as_fd().try_clone_to_owned().map(File::from)
}

/// Answers every mail of `input` on `output`, until the input ends. Answers wait only while the next mail is here already.
pub(crate) fn serve(mut input: BufReader<impl Read>, output: &mut impl Write, unfenced: &str) -> io::Result<()> {
    let mut rules = Rules::default();
    let (mut payload, mut answers) = (Vec::new(), Vec::new());
    answer(&mut answers, Kind::Hello, |room| {
        room.extend_from_slice(unfenced.as_bytes());
        Ok(())
    })?;
    loop {
        if input.buffer().is_empty() || answers.len() >= TOGETHER {
            output.write_all(&answers)?;
            empty(&mut answers);
        }
        let Some(kind) = read_frame(&mut input, &rules, &mut payload)? else { return Ok(()) };
        match kind {
            Kind::Rules => rules = serde_json::from_slice(&payload)?,
            Kind::Mail => read_mail(&payload, &rules, &mut answers)?,
            Kind::File => read_file(&payload, &rules, &mut answers)?,
            Kind::Hello | Kind::Message | Kind::Panic | Kind::NoFile => return Err(io::ErrorKind::InvalidData.into()),
        }
        empty(&mut payload);
    }
}

/// Empties a buffer; one that has grown large is given back.
fn empty(buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.shrink_to(KEPT_BUFFER);
}

/// One frame into the empty `payload`; `None` at the end of the input.
fn read_frame(input: &mut impl Read, rules: &Rules, payload: &mut Vec<u8>) -> io::Result<Option<Kind>> {
    let mut head = [0; wire::HEAD];
    match input.read_exact(&mut head) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let bound = |kind| match kind {
        Kind::Rules => wire::MAX_RULES,
        Kind::Mail => wire::max_mail(rules),
        Kind::File => wire::MAX_PATH,
        Kind::Hello | Kind::Message | Kind::Panic | Kind::NoFile => 0,
    };
    let (kind, length) =
        wire::read_head(head, bound).map_err(|broken| io::Error::new(io::ErrorKind::InvalidData, broken))?;
    payload.reserve_exact(length);
    let wide = u64::try_from(length).unwrap_or(u64::MAX);
    match input.by_ref().take(wide).read_to_end(payload)? {
        read if read == length => Ok(Some(kind)),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn read_mail(payload: &[u8], rules: &Rules, answers: &mut Vec<u8>) -> io::Result<()> {
    let (byte, raw) = payload.split_first().ok_or(io::ErrorKind::InvalidData)?;
    let depth: Depth = wire::depth_of(*byte).ok_or(io::ErrorKind::InvalidData)?;
    match catch_unwind(AssertUnwindSafe(|| parse(raw, rules, depth))) {
        Ok(message) => answer(answers, Kind::Message, |room| Ok(serde_json::to_writer(room, &message)?)),
        Err(_) => answer(answers, Kind::Panic, |_| Ok(())),
    }
}

fn read_file(payload: &[u8], rules: &Rules, answers: &mut Vec<u8>) -> io::Result<()> {
    let (byte, path) = payload.split_first().ok_or(io::ErrorKind::InvalidData)?;
    let mut mail = vec![*byte];
    match load(Path::new(OsStr::from_bytes(path)), wire::max_mail(rules), &mut mail) {
        Ok(()) => read_mail(&mail, rules, answers),
        Err(_) => answer(answers, Kind::NoFile, |_| Ok(())),
    }
}

/// Adds the bytes of a file, at most `max`: the limits may have come down since it was stored.
fn load(path: &Path, max: usize, mail: &mut Vec<u8>) -> io::Result<()> {
    let file = File::open(path)?;
    let max = u64::try_from(max).unwrap_or(u64::MAX);
    let size = file.metadata()?.len().min(max);
    mail.reserve_exact(usize::try_from(size).unwrap_or(usize::MAX));
    file.take(max).read_to_end(mail).map(drop)
}

/// Adds a frame to the answers; its head is known only when its payload is written.
fn answer(answers: &mut Vec<u8>, kind: Kind, write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> io::Result<()> {
    let start = answers.len();
    answers.extend_from_slice(&[0; wire::HEAD]);
    write(answers)?;
    let payload = answers.len().saturating_sub(start).saturating_sub(wire::HEAD);
    let head = wire::head(kind, payload).map_err(|broken| io::Error::new(io::ErrorKind::InvalidData, broken))?;
    if let Some(place) = answers.get_mut(start..).and_then(<[u8]>::first_chunk_mut) {
        *place = head;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: Kind, payload: &[u8]) -> Vec<u8> {
        let mut frame = wire::head(kind, payload.len()).expect("a length").to_vec();
        frame.extend(payload);
        frame
    }

    #[test]
    fn each_mail_gets_one_answer() {
        let rules = serde_json::to_vec(&Rules::default()).expect("rules are JSON");
        let input =
            [frame(Kind::Rules, &rules), frame(Kind::Mail, b"\0Subject: a\n\nb"), frame(Kind::Mail, b"\x02")].concat();
        let mut output = Vec::new();
        serve(BufReader::new(input.as_slice()), &mut output, "").expect("served");
        assert!(output.starts_with(&frame(Kind::Hello, b"")));
        assert_eq!(String::from_utf8_lossy(&output).matches("canonical_hash").count(), 2);
    }

    #[test]
    fn a_broken_frame_ends_the_worker() {
        for input in [
            b"X\0\0\0\0".to_vec(),
            b"M\xff\xff\xff\xff".to_vec(),
            frame(Kind::Mail, b""),
            frame(Kind::Mail, b"\x09"),
            frame(Kind::Hello, b""),
        ] {
            assert!(serve(BufReader::new(input.as_slice()), &mut Vec::new(), "").is_err(), "{input:?}");
        }
    }
}

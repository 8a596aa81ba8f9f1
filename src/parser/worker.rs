//! The child: reads frames from standard input, reads the mails in them, writes the answers to standard output, until the
//! input ends. It fences itself in first, and no mail is touched before.
//!
//! One thread with a large stack reads the mails. A panic is an answer; whatever else a mail does to the process is seen
//! by the parent.

use std::io::{self, BufReader, IsTerminal as _, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use crate::message::{Depth, Rules, parse};
use crate::parser::fence;
use crate::parser::wire::{self, Kind};

/// Room for the deepest tree that the bounds of a mail allow; reserved, not used, until it is needed.
const STACK: usize = 64 << 20;
/// A buffer that has grown beyond this for one mail is given back.
const KEPT_BUFFER: usize = 1 << 20;

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
    let serve = move || serve(BufReader::new(io::stdin()), &mut io::stdout().lock(), &unfenced);
    let thread = std::thread::Builder::new().name("parse".to_owned()).stack_size(STACK).spawn(serve);
    match thread.map(std::thread::JoinHandle::join) {
        Ok(Ok(Ok(()))) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Answers every mail of `input` on `output`, until the input ends.
pub(crate) fn serve(mut input: impl Read, output: &mut impl Write, unfenced: &str) -> io::Result<()> {
    answer(output, Kind::Hello, unfenced.as_bytes())?;
    let mut rules = Rules::default();
    let mut payload = Vec::new();
    while let Some(kind) = read_frame(&mut input, &rules, &mut payload)? {
        match kind {
            Kind::Rules => rules = serde_json::from_slice(&payload)?,
            Kind::Mail => {
                let (kind, bytes) = read_mail(&payload, &rules)?;
                answer(output, kind, &bytes)?;
            }
            Kind::Hello | Kind::Message | Kind::Panic => return Err(io::ErrorKind::InvalidData.into()),
        }
        if payload.capacity() > KEPT_BUFFER {
            payload = Vec::new();
        }
    }
    Ok(())
}

/// One frame into `payload`; `None` at the end of the input.
fn read_frame(input: &mut impl Read, rules: &Rules, payload: &mut Vec<u8>) -> io::Result<Option<Kind>> {
    let mut head = [0; wire::HEAD];
    match input.read_exact(&mut head) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let bound = |kind| match kind {
        Kind::Rules => wire::MAX_RULES,
        Kind::Mail => wire::max_mail(rules),
        Kind::Hello | Kind::Message | Kind::Panic => 0,
    };
    let (kind, length) =
        wire::read_head(head, bound).map_err(|broken| io::Error::new(io::ErrorKind::InvalidData, broken))?;
    payload.clear();
    payload.resize(length, 0);
    input.read_exact(payload)?;
    Ok(Some(kind))
}

fn read_mail(payload: &[u8], rules: &Rules) -> io::Result<(Kind, Vec<u8>)> {
    let (byte, raw) = payload.split_first().ok_or(io::ErrorKind::InvalidData)?;
    let depth: Depth = wire::depth_of(*byte).ok_or(io::ErrorKind::InvalidData)?;
    match catch_unwind(AssertUnwindSafe(|| parse(raw, rules, depth))) {
        Ok(message) => Ok((Kind::Message, serde_json::to_vec(&message)?)),
        Err(_) => Ok((Kind::Panic, Vec::new())),
    }
}

fn answer(output: &mut impl Write, kind: Kind, payload: &[u8]) -> io::Result<()> {
    let head = wire::head(kind, payload.len()).map_err(|broken| io::Error::new(io::ErrorKind::InvalidData, broken))?;
    let mut frame = Vec::with_capacity(head.len().saturating_add(payload.len()));
    frame.extend_from_slice(&head);
    frame.extend_from_slice(payload);
    output.write_all(&frame)?;
    output.flush()
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
        serve(input.as_slice(), &mut output, "").expect("served");
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
            assert!(serve(input.as_slice(), &mut Vec::new(), "").is_err(), "{input:?}");
        }
    }
}

//! What is printed, and what is asked. A reader that goes away ends the command quietly.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use serde::Serialize;

use crate::cli::exit::{Exit, Failure};

/// Prints a line on stdout.
///
/// # Errors
/// When nobody reads it (a silent end) or writing fails.
pub(super) fn say(line: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes())?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// Prints one JSON object as a line on stdout.
///
/// # Errors
/// As [`say`].
pub(super) fn say_json<T: Serialize>(object: &T) -> Result<(), Failure> {
    let line = serde_json::to_string(object).map_err(io::Error::from)?;
    say(&line)
}

/// Prints an error on stderr; nothing when there is nothing to say. There is nowhere to complain about a failure.
pub(super) fn complain(text: &str) {
    let text = text.trim_end();
    if text.is_empty() {
        return;
    }
    // The configuration's check prints its own heads (`error[…]`).
    let head = if text.starts_with("error") { "" } else { "error: " };
    drop(writeln!(io::stderr().lock(), "{head}{text}"));
}

/// Asks for a number to be typed; only on a terminal.
///
/// # Errors
/// When there is no terminal to ask on, or something else was typed.
pub(super) fn confirm(question: &str, expected: usize) -> Result<(), Failure> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::new(Exit::Usage, format!("{question} say --yes; there is no terminal to ask on")));
    }
    let mut screen = io::stderr().lock();
    write!(screen, "{question} type {expected}: ")?;
    screen.flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    if line.trim() == expected.to_string() {
        return Ok(());
    }
    Err(Failure::new(Exit::No, "nothing was changed"))
}

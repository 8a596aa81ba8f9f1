//! `mailbridge config check|show`: is the configuration in order, and what is in force? Asks no daemon and reads no
//! secret.

use std::io::{self, Write};

use clap::{Args, Subcommand};

use crate::config::show::Shown;
use crate::config::{self, Loaded, Problem, Problems, Sources};

/// The exit code of a configuration that is refused (`EX_CONFIG` of sysexits.h).
pub const EX_CONFIG: u8 = 78;
/// The exit code of a bug (`EX_SOFTWARE` of sysexits.h).
const EX_SOFTWARE: u8 = 70;

/// The verbs of `mailbridge config`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print all mistakes of all files and variables, with their places
    Check,
    /// Print the configuration in force, without secrets
    Show(Show),
}

/// What `config show` prints.
#[derive(Debug, Args)]
pub struct Show {
    /// Only options that differ from their defaults; this is what happens without --all
    #[arg(long, conflicts_with = "all")]
    pub changed: bool,
    /// All options
    #[arg(long)]
    pub all: bool,
    /// Name the file and line, or the variable, that each option comes from
    #[arg(long)]
    pub origin: bool,
}

/// Runs a verb; the answer goes to `out` (with `json` one object per mistake), what stood in its way to `err`. Returns the
/// exit code.
///
/// # Errors
/// When `out` or `err` cannot be written.
pub fn run(
    command: &Command,
    json: bool,
    sources: &Sources,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<u8> {
    match (command, config::load(sources)) {
        (Command::Check, Ok(loaded)) => {
            let problems = Problems { list: loaded.warnings, n_files: loaded.files.len(), understood: None };
            check(&problems, json, out)
        }
        (Command::Check, Err(problems)) => check(&problems, json, out),
        (Command::Show(options), Ok(loaded)) => show(options, &loaded, out, err),
        (Command::Show(_), Err(problems)) => {
            writeln!(err, "{problems}")?;
            Ok(EX_CONFIG)
        }
    }
}

fn check(problems: &Problems, json: bool, out: &mut impl Write) -> io::Result<u8> {
    if json {
        problems.list.iter().try_for_each(|problem| json_line(problem, out))?;
    } else {
        writeln!(out, "{problems}")?;
    }
    Ok(if problems.errors() == 0 { 0 } else { EX_CONFIG })
}

fn json_line(problem: &Problem, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, problem)?;
    writeln!(out)
}

fn show(options: &Show, loaded: &Loaded, out: &mut impl Write, err: &mut impl Write) -> io::Result<u8> {
    let shown = match loaded.show() {
        Ok(shown) => shown,
        Err(error) => {
            writeln!(err, "writing the configuration as TOML: {error}")?;
            return Ok(EX_SOFTWARE);
        }
    };
    let (mut table, mut blank) = (String::new(), "");
    for line in shown.iter().filter(|line| options.all || line.is_changed) {
        if line.table != table {
            table.clone_from(&line.table);
            writeln!(out, "{blank}[{table}]")?;
        }
        option(line, options.origin, out)?;
        blank = "\n";
    }
    Ok(0)
}

fn option(line: &Shown, with_origin: bool, out: &mut impl Write) -> io::Result<()> {
    let text = format!("{} = {}", line.key, line.value);
    if with_origin { writeln!(out, "{text:<48} # {}", line.origin) } else { writeln!(out, "{text}") }
}

//! Mistakes in a configuration, with the place of each, and how they are printed. A problem never holds a secret.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Config;

/// Longer lines are shown cut.
const MAX_SHOWN: usize = 240;

/// Where something was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A spot in a file.
    Spot {
        /// The file.
        file: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// The character of the line, from 1.
        column: usize,
        /// How many characters are meant, at least 1.
        width: usize,
        /// The line as it stands there, without secrets.
        source: String,
    },
    /// A file as a whole.
    File(PathBuf),
    /// An environment variable, by its name.
    Env(String),
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// It is taken as it is.
    Warning,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// A short word for the kind, such as `unknown-key`.
    pub code: &'static str,
    /// What is wrong, in words.
    pub text: String,
    /// Where it stands; `None` when it stands nowhere.
    pub place: Option<Place>,
    /// What to write instead, or empty.
    pub hint: String,
}

/// All mistakes of one run; the `Display` of it is the output of `config check`.
#[derive(Debug, Clone, PartialEq)]
pub struct Problems {
    /// The mistakes, in the order of the files.
    pub list: Vec<Problem>,
    /// How many files were read.
    pub n_files: usize,
    /// What could be understood all the same. Never to be put in force; it may say where a running daemon is found.
    pub understood: Option<Box<Config>>,
}

impl Problem {
    /// An error, without a place yet.
    pub(super) fn error(code: &'static str, text: impl Into<String>) -> Self {
        Self { severity: Severity::Error, code, text: text.into(), place: None, hint: String::new() }
    }

    /// A warning, without a place yet.
    pub(super) fn warning(code: &'static str, text: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, text) }
    }

    /// The same problem at a place.
    pub(super) fn at(self, place: Option<Place>) -> Self {
        Self { place, ..self }
    }

    /// The same problem with what to write instead.
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: hint.into(), ..self }
    }
}

impl Problems {
    /// How many errors there are.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.list.iter().filter(|problem| problem.severity == Severity::Error).count()
    }

    /// How many warnings there are.
    #[must_use]
    pub fn warnings(&self) -> usize {
        self.list.len().saturating_sub(self.errors())
    }
}

impl std::error::Error for Problems {}

impl Place {
    /// The bytes of `span` in the `text` of `file`. `shown` makes the line (and its offset) fit to be seen.
    pub(super) fn spot(
        file: &Path,
        text: &str,
        span: &std::ops::Range<usize>,
        shown: impl Fn(usize, &str) -> String,
    ) -> Self {
        let before = text.get(..span.start.min(text.len())).unwrap_or(text);
        let start = before.rfind('\n').map_or(0, |at| at.saturating_add(1));
        let rest = text.get(start..).unwrap_or_default();
        let line = rest.lines().next().unwrap_or_default();
        let meant = text.get(span.clone()).unwrap_or_default().lines().next().unwrap_or_default();
        Self::Spot {
            file: file.to_owned(),
            line: before.matches('\n').count().saturating_add(1),
            column: before.get(start..).map_or(0, |text| text.chars().count()).saturating_add(1),
            width: meant.chars().count().max(1),
            source: shown(start, line).chars().take(MAX_SHOWN).collect(),
        }
    }
}

/// `/etc/mailbridge/config.toml:7`, or the name of the variable.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spot { file, line, .. } => write!(f, "{}:{line}", file.display()),
            Self::File(file) => write!(f, "{}", file.display()),
            Self::Env(name) => write!(f, "environment {name}"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}[{}]: {}", self.code, self.text)?;
        match &self.place {
            Some(place @ Place::Spot { line, column, width, source, .. }) => {
                write!(f, "\n  --> {place}:{column}\n   | {line} | {source}\n   | ")?;
                let gutter = line.to_string().len().saturating_add(3);
                let blanks = gutter.saturating_add(column.saturating_sub(1)).min(MAX_SHOWN);
                write!(f, "{:blanks$}{}", "", "^".repeat((*width).min(120)))?;
                if self.hint.is_empty() { Ok(()) } else { write!(f, " {}", self.hint) }
            }
            Some(place) => {
                write!(f, "\n  --> {place}")?;
                if self.hint.is_empty() { Ok(()) } else { write!(f, "\n   | {}", self.hint) }
            }
            None if self.hint.is_empty() => Ok(()),
            None => write!(f, "\n   | {}", self.hint),
        }
    }
}

/// Every problem, then `2 errors, 0 warnings in 3 files`. No line end.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.list {
            writeln!(f, "{problem}")?;
        }
        let errors = counted(self.errors(), "error");
        write!(f, "{errors}, {} in {}", counted(self.warnings(), "warning"), counted(self.n_files, "file"))
    }
}

/// One object: severity, code, text, and where they are known file, line, column, variable and hint.
impl Serialize for Problem {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("severity", &self.severity)?;
        map.serialize_entry("code", self.code)?;
        map.serialize_entry("text", &self.text)?;
        match &self.place {
            Some(Place::Spot { file, line, column, .. }) => {
                map.serialize_entry("file", file)?;
                map.serialize_entry("line", line)?;
                map.serialize_entry("column", column)?;
            }
            Some(Place::File(file)) => map.serialize_entry("file", file)?,
            Some(Place::Env(name)) => map.serialize_entry("variable", name)?,
            None => {}
        }
        if !self.hint.is_empty() {
            map.serialize_entry("hint", &self.hint)?;
        }
        map.end()
    }
}

fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_points_at_its_characters() {
        let text = "[queue]\nretry_first     = 30\n";
        let place = Place::spot(Path::new("/etc/config.toml"), text, &(26..28), |_, line| line.to_owned());
        let problem =
            Problem::error("unit", "a duration needs a unit").at(Some(place)).hint("write \"30s\" or \"30m\"");
        let expected = "error[unit]: a duration needs a unit\n  --> /etc/config.toml:2:19\n   | 2 | retry_first     = 30\n   \
                        |                       ^^ write \"30s\" or \"30m\"";
        assert_eq!(problem.to_string(), expected);
        let problems = Problems { list: vec![problem], n_files: 2, understood: None };
        assert!(problems.to_string().ends_with("\n1 error, 0 warnings in 2 files"));
    }
}

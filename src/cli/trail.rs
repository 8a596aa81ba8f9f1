//! A list of sections that is shown in two ways: as text for people, in which foreign characters are made harmless, and as one
//! JSON object a line. What has no value is left out of both.

use std::io;

use serde::ser::{Serialize, SerializeMap as _, Serializer};

use crate::cli::table::Table;
use crate::telemetry::personal::harmless;

/// The sections in their order.
#[derive(Debug)]
pub(super) struct Trail(Vec<(&'static str, Section)>);

/// The lines of a section: labels with what they say.
#[derive(Debug, Default)]
pub(super) struct Section(Vec<(&'static str, Cell)>);

#[derive(Debug)]
enum Cell {
    Word(String),
    Number(u64),
    Flag(bool),
    List(Vec<String>),
    /// The names of the columns, and rows of as many cells.
    Table(&'static [&'static str], Vec<Vec<String>>),
}

impl Trail {
    /// Of sections with their titles; empty ones are left out.
    pub(super) fn of(sections: Vec<(&'static str, Section)>) -> Self {
        Self(sections.into_iter().filter(|(_, section)| !section.0.is_empty()).collect())
    }

    /// As text: a title, then its lines with labels of one width.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (title, section) in &self.0 {
            let width = section.0.iter().map(|(label, _)| label.len()).max().unwrap_or_default();
            text.extend([if text.is_empty() { "" } else { "\n" }, &title.to_uppercase(), "\n"]);
            for (label, cell) in &section.0 {
                for (number, line) in cell.lines().into_iter().enumerate() {
                    let label = if number == 0 { label.replace('_', " ") } else { String::new() };
                    text.extend([format!("  {label:<width$}  {line}").trim_end(), "\n"]);
                }
            }
        }
        text
    }

    /// As one line of JSON.
    ///
    /// # Errors
    /// Never in fact.
    pub(super) fn json(&self) -> io::Result<String> {
        Ok(serde_json::to_string(self)? + "\n")
    }
}

impl Section {
    /// A text; none when it is empty.
    pub(super) fn word(self, label: &'static str, word: &str) -> Self {
        if word.is_empty() { self } else { self.with(label, Cell::Word(word.to_owned())) }
    }

    /// A number; none when it is 0.
    pub(super) fn number(self, label: &'static str, number: u64) -> Self {
        if number == 0 { self } else { self.with(label, Cell::Number(number)) }
    }

    /// Yes or no.
    pub(super) fn flag(self, label: &'static str, flag: bool) -> Self {
        self.with(label, Cell::Flag(flag))
    }

    /// Texts below each other; none when there are none.
    pub(super) fn list(self, label: &'static str, list: Vec<String>) -> Self {
        if list.is_empty() { self } else { self.with(label, Cell::List(list)) }
    }

    /// Rows below the names of their columns; none when there are no rows.
    pub(super) fn table(self, label: &'static str, head: &'static [&'static str], rows: Vec<Vec<String>>) -> Self {
        if rows.is_empty() { self } else { self.with(label, Cell::Table(head, rows)) }
    }

    fn with(mut self, label: &'static str, cell: Cell) -> Self {
        self.0.push((label, cell));
        self
    }
}

impl Cell {
    fn lines(&self) -> Vec<String> {
        match self {
            Self::Word(word) => vec![harmless(word)],
            Self::Number(number) => vec![number.to_string()],
            Self::Flag(flag) => vec![if *flag { "yes" } else { "no" }.to_owned()],
            Self::List(list) => list.iter().map(|line| harmless(line)).collect(),
            Self::Table(head, rows) => {
                let mut table = Table::new(head);
                rows.iter().for_each(|row| table.row(row.iter().cloned()));
                table.lines()
            }
        }
    }
}

impl Serialize for Trail {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("v", &1)?;
        self.0.iter().try_for_each(|(title, section)| map.serialize_entry(title, section))?;
        map.end()
    }
}

impl Serialize for Section {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(label, cell)| (label, cell)))
    }
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Word(word) => serializer.serialize_str(word),
            Self::Number(number) => serializer.serialize_u64(*number),
            Self::Flag(flag) => serializer.serialize_bool(*flag),
            Self::List(list) => serializer.collect_seq(list),
            Self::Table(head, rows) => serializer.collect_seq(rows.iter().map(|row| Row(head, row))),
        }
    }
}

/// Columns that hold numbers.
const NUMBERS: &[&str] = &["size", "chars", "at_most"];

/// One row as an object.
struct Row<'a>(&'static [&'static str], &'a [String]);

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (column, cell) in self.0.iter().zip(self.1).filter(|(_, cell)| !cell.is_empty()) {
            match cell.parse::<u64>() {
                Ok(number) if NUMBERS.contains(column) => map.serialize_entry(column, &number)?,
                _ => map.serialize_entry(column, cell)?,
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_trail_is_text_and_json() {
        let parts = vec![vec!["a\u{1b}b".to_owned(), String::new()], vec!["7".to_owned(), "8".to_owned()]];
        let section = Section::default().word("long_label", "x\ny").number("n", 3).number("none", 0).flag("f", true);
        let trail = Trail::of(vec![
            ("one", section),
            ("empty", Section::default().list("l", Vec::new())),
            ("two", Section::default().table("t", &["k", "size"], parts)),
        ]);
        assert_eq!(
            trail.text(),
            "ONE\n  long label  x\\ny\n  n           3\n  f           yes\n\nTWO\n  t  k         size\n     a\\u{1b}b\n     7         8\n"
        );
        assert_eq!(
            trail.json().expect("JSON"),
            "{\"v\":1,\"one\":{\"long_label\":\"x\\ny\",\"n\":3,\"f\":true},\"two\":{\"t\":[{\"k\":\"a\\u001bb\"},{\"k\":\"7\",\"size\":8}]}}\n"
        );
    }
}

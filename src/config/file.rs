//! Reads one file, and finds all of its mistakes with their places.
//!
//! The walk goes over the spanned tree of the file and asks the option structs about each table and value by itself, so
//! one mistake hides no other. What is wrong is left out of the layer. Nothing that is missing is missed here: another
//! file may say it.

use std::ops::Range;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use ::config::{Map, Value, ValueKind};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::layer::{Findings, Layer, Leaf};
use super::problem::{Place, Problem};
use super::shape::{self, End, Mismatch, NAMED, Shape};
use super::words;

/// More than any configuration needs; a wrong file name must not fill the memory.
const MAX_BYTES: u64 = 4 << 20;

/// The mistakes in the syntax of one file that are reported; most further ones follow from these.
const MAX_SYNTAX: usize = 5;

/// Reads one file into a layer; what is wrong goes to `findings`.
pub(super) fn read(path: &Path, findings: &mut Findings) -> Layer {
    let (text, mode) = match text_and_mode(path) {
        Ok(read) => read,
        Err(reason) => {
            let text = format!("`{}` cannot be read: {reason}", path.display());
            findings.problems.push(Problem::error("file", text).at(Some(Place::File(path.to_owned()))));
            findings.incomplete = true;
            return Layer::default();
        }
    };
    if mode & 0o022 != 0 {
        let text = format!("the file can be written by others than its owner (mode {mode:04o})");
        let problem = Problem::error("file-mode", text).at(Some(Place::File(path.to_owned())));
        findings.problems.push(problem.hint(format!("chmod {:o} {}", mode & !0o022, path.display())));
    }
    let (tree, errors) = DeTable::parse_recoverable(&text);
    let broken_at = errors.iter().filter_map(|error| error.span()).map(|span| span.start).min();
    let (wrong, values, tables, secrets) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut walk = Walk { path, mode, broken_at, wrong, values, tables, secrets };
    walk.syntax(&errors);
    findings.incomplete |= !errors.is_empty();
    let top = Node { path: Vec::new(), key: tree.span() };
    walk.table(&top, tree.get_ref(), findings);
    walk.finish(&text, findings)
}

fn text_and_mode(path: &Path) -> Result<(String, u32), String> {
    let meta = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !meta.is_file() || meta.len() > MAX_BYTES {
        return Err("it is not a regular file of at most 4 MiB".to_owned());
    }
    let text = String::from_utf8(std::fs::read(path).map_err(|error| error.to_string())?);
    let text = text.map_err(|error| {
        let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = good.iter().filter(|b| **b == b'\n').count().saturating_add(1);
        format!("line {line} is not UTF-8 text")
    })?;
    Ok((text, meta.permissions().mode() & 0o7777))
}

/// A key and the bytes where it stands.
struct Node {
    path: Vec<String>,
    key: Range<usize>,
}

struct Walk<'a> {
    path: &'a Path,
    mode: u32,
    /// Where the syntax breaks first: keys behind it may have lost their table.
    broken_at: Option<usize>,
    wrong: Vec<(Range<usize>, Problem)>,
    values: Vec<(Node, Value)>,
    tables: Vec<Node>,
    secrets: Vec<Range<usize>>,
}

impl Walk<'_> {
    fn syntax(&mut self, errors: &[toml::de::Error]) {
        for error in errors.iter().take(MAX_SYNTAX) {
            let text = error.message().lines().next().unwrap_or_default().trim_end_matches('.').to_owned();
            self.wrong.push((error.span().unwrap_or(0..0), Problem::error("syntax", text)));
        }
    }

    fn table(&mut self, node: &Node, table: &DeTable<'_>, findings: &mut Findings) {
        for (key, value) in table {
            let mut path = node.path.clone();
            path.push(key.get_ref().clone().into_owned());
            self.node(Node { path, key: key.span() }, value, findings);
        }
    }

    fn node(&mut self, node: Node, value: &Spanned<DeValue<'_>>, findings: &mut Findings) {
        let DeValue::Table(table) = value.get_ref() else {
            return self.value(node, value, findings);
        };
        match shape::check(&node.path, End::Table) {
            (_, Shape::Secret) => self.value(node, value, findings),
            (Err(mismatch), shape) => self.refuse(&node, &mismatch, shape, findings),
            (Ok(()), _) => {
                if table.is_empty()
                    && node.path.len() == 2
                    && node.path.first().is_some_and(|t| NAMED.contains(&t.as_str()))
                {
                    let empty = Value::new(None, ValueKind::Table(Map::new()));
                    self.values.push((Node { path: node.path.clone(), key: node.key.clone() }, empty));
                }
                self.table(&node, table, findings);
                self.tables.push(node);
            }
        }
    }

    fn value(&mut self, node: Node, value: &Spanned<DeValue<'_>>, findings: &mut Findings) {
        let (result, shape) = shape::check(&node.path, End::Toml(value));
        let plain = shape == Shape::Secret && !matches!(value.get_ref(), DeValue::Table(_));
        if plain {
            self.secrets.push(value.span());
        }
        match result {
            Err(_) if is_list_of_tables(value.get_ref()) => {
                self.wrong.push((node.key.clone(), words::list_of_tables(&node.path.join("."))));
                findings.spoiled.insert(node.path.join("."));
            }
            Err(_) if node.path.len() == 1 && self.broken_at.is_some_and(|at| at < node.key.start) => {}
            Err(mismatch) => {
                let inner = Mismatch { span: mismatch.span.clone().or_else(|| Some(value.span())), ..mismatch };
                self.refuse(&node, &inner, shape, findings);
            }
            Ok(()) => {
                if plain {
                    self.plain_secret(&node);
                }
                if let Ok(mut taken) = shape::value(value) {
                    self.anchor(&node.path, shape, &mut taken);
                    self.values.push((node, taken));
                }
            }
        }
    }

    /// A mistake in a key is shown at that key, any other at the value.
    fn refuse(&mut self, node: &Node, mismatch: &Mismatch, shape: Shape, findings: &mut Findings) {
        let said = words::say(mismatch, &node.path, shape);
        let span = match (mismatch.is_key, &mismatch.span) {
            (false, Some(span)) => span.clone(),
            _ => node.key.clone(),
        };
        findings.spoiled.insert(node.path.join("."));
        if let (Some(meant), Some((_, table))) = (said.meant, node.path.split_last()) {
            findings.spoiled.insert([table, &[meant]].concat().join("."));
        }
        self.wrong.push((span, said.problem));
    }

    fn plain_secret(&mut self, node: &Node) {
        let name = node.path.join(".");
        let hint = "write { file | credential | env | command = … }";
        let problem = if self.mode & 0o077 == 0 {
            Problem::warning("plain-secret", format!("`{name}` holds the secret itself; a file of its own is safer"))
        } else {
            let text = format!("`{name}` holds a secret that others can read (mode {:04o} of the file)", self.mode);
            Problem::error("plain-secret", text)
        };
        self.wrong.push((node.key.clone(), problem.hint(hint)));
    }

    /// A relative path of a secret or of a certificate is below the folder of this file.
    fn anchor(&self, path: &[String], shape: Shape, value: &mut Value) {
        let Some(folder) = self.path.parent() else { return };
        let below = |value: &mut Value| {
            if let ValueKind::String(file) = &mut value.kind {
                *file = folder.join(&*file).display().to_string();
            }
        };
        match &mut value.kind {
            ValueKind::Table(table) if shape == Shape::Secret => table.get_mut("file").into_iter().for_each(below),
            ValueKind::Array(files) if path == ["tls", "extra_roots"] => files.iter_mut().for_each(below),
            _ => {}
        }
    }

    fn finish(mut self, text: &str, findings: &mut Findings) -> Layer {
        let place =
            |span: &Range<usize>| Place::spot(self.path, text, span, |start, line| shown(start, line, &self.secrets));
        self.wrong.sort_by_key(|(span, _)| span.start);
        findings.problems.extend(self.wrong.iter().map(|(span, problem)| problem.clone().at(Some(place(span)))));
        for node in &self.tables {
            findings.places.insert(node.path.join("."), place(&node.key));
        }
        let mut leaves = Vec::new();
        for (node, value) in &self.values {
            let (path, place) = (node.path.clone(), place(&node.key));
            findings.places.insert(path.join("."), place.clone());
            leaves.push(Leaf { whole: path.len(), path, value: value.clone(), place });
        }
        Layer { drop_in: false, leaves }
    }
}

fn is_list_of_tables(value: &DeValue<'_>) -> bool {
    value
        .as_array()
        .is_some_and(|items| !items.is_empty() && items.iter().all(|item| matches!(item.get_ref(), DeValue::Table(_))))
}

/// The line as it may be seen: secrets, and what looks like one (a misspelt key, an unfinished line), are cut off.
fn shown(start: usize, line: &str, secrets: &[Range<usize>]) -> String {
    let end = start.saturating_add(line.len());
    let known = secrets.iter().filter(|span| span.start < end && span.end > start);
    let known = known.map(|span| span.start.saturating_sub(start)).min();
    let cut = known.into_iter().chain(looks_secret(line)).min();
    match cut.and_then(|at| line.get(..at)) {
        Some(before) => format!("{}(hidden)", before.replace('\t', " ")),
        None => line.replace('\t', " "),
    }
}

/// Where something begins that looks like a secret: the value of a key whose name speaks of one, unless that names a
/// source, or the sign-in of a URL.
fn looks_secret(line: &str) -> Option<usize> {
    let lower = line.to_ascii_lowercase();
    let url = lower.find("://").map(|at| at.saturating_add(3));
    if let Some(at) = url.filter(|at| lower.get(*at..).is_some_and(|rest| rest.contains('@'))) {
        return Some(at);
    }
    let word = ["pass", "pasw", "pwd", "tok", "secret"].iter().filter_map(|word| lower.find(word)).min()?;
    let equals = word.saturating_add(lower.get(word..)?.find('=')?).saturating_add(1);
    let value = lower.get(equals..)?.trim_start();
    let inside = value.strip_prefix('{').map(str::trim_start);
    let named = |inside: &str| ["file", "credential", "env", "command"].iter().any(|key| inside.starts_with(key));
    if inside.is_some_and(named) || value.is_empty() {
        return None;
    }
    Some(lower.len().saturating_sub(value.len()))
}

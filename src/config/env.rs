//! Options from the environment: `MAILBRIDGE__MAILBOX__SUPPORT__POLL_INTERVAL=30s`.
//!
//! Two underscores stand between the parts; case does not count; a `-` of a table's name is written `_`. A value keeps
//! its text and is read as the type its option has; a list has commas, or is a TOML array.

use ::config::Value;

use super::layer::{Findings, Layer, Leaf};
use super::problem::{Place, Problem};
use super::shape::{self, End, NAMED, Shape};
use super::words;

const PREFIX: &str = "MAILBRIDGE__";

/// Reads all variables with our prefix into one layer, in order of their names.
pub(super) fn read(variables: &[(String, String)], findings: &mut Findings) -> Layer {
    let mut ours: Vec<_> =
        variables.iter().filter_map(|(name, text)| Some((name, name.strip_prefix(PREFIX)?, text))).collect();
    ours.sort();
    let leaves = ours.into_iter().filter_map(|(name, rest, text)| variable(name, rest, text, findings)).collect();
    Layer { drop_in: false, leaves }
}

fn variable(name: &str, rest: &str, text: &str, findings: &mut Findings) -> Option<Leaf> {
    let place = Place::Env(name.to_owned());
    let path = path(rest);
    let (result, shape) = shape::check(&path, End::Text(text));
    let whole = secret_part(&path).unwrap_or(path.len());
    if let Err(mismatch) = result
        && !is_part_of_secret(&mismatch, whole, &path)
    {
        let said = words::say(&mismatch, &path, if whole < path.len() { Shape::Secret } else { shape });
        let depth = mismatch.depth.unwrap_or_else(|| path.len().saturating_sub(1));
        let meant = said.meant.map(|meant| with_part(&path, depth, meant));
        let hint = meant.as_ref().map(|meant| format!("did you mean {}?", variable_name(meant)));
        findings.spoiled.insert(path.join("."));
        findings.spoiled.extend(meant.map(|meant| meant.join(".")));
        let problem = said.problem.at(Some(place));
        findings.problems.push(if let Some(hint) = hint { problem.hint(hint) } else { problem });
        return None;
    }
    if shape == Shape::Secret && whole == path.len() {
        let text = format!("{name} holds a secret, and the environment is not a safe place");
        let hint = format!("write {name}__FILE=/path/of/a/file");
        findings.problems.push(Problem::warning("env-secret", text).at(Some(place.clone())).hint(hint));
    }
    note_places(&path, whole, &place, findings);
    let value = match shape {
        Shape::List => Value::new(None, shape::list(text)),
        Shape::Secret | Shape::Other => Value::new(None, text.to_owned()),
    };
    Some(Leaf { path, whole, value, place })
}

/// The parts of a name in lower case; in the names of tables `_` is `-`.
fn path(rest: &str) -> Vec<String> {
    let mut parts: Vec<String> = rest.split("__").map(str::to_lowercase).collect();
    if let [table, name, ..] = parts.as_mut_slice()
        && NAMED.contains(&table.as_str())
    {
        *name = name.replace('_', "-");
    }
    parts
}

fn variable_name(path: &[String]) -> String {
    format!("{PREFIX}{}", path.join("__").to_uppercase().replace('-', "_"))
}

fn with_part(path: &[String], at: usize, part: String) -> Vec<String> {
    let mut path = path.to_vec();
    if let Some(old) = path.get_mut(at) {
        *old = part;
    }
    path
}

/// How long the part of the path is that leads to a secret whose source stands below it.
fn secret_part(path: &[String]) -> Option<usize> {
    (1..path.len()).find(|n| shape::check(path.get(..*n).unwrap_or_default(), End::Table).1 == Shape::Secret)
}

/// `timeout` is nothing without `command`, which is another variable: the whole is judged after the merge.
fn is_part_of_secret(mismatch: &shape::Mismatch, whole: usize, path: &[String]) -> bool {
    whole < path.len() && matches!(mismatch.kind, shape::Kind::Other(_))
}

/// The variable is the place of its option, and of its table when no file has that.
fn note_places(path: &[String], whole: usize, place: &Place, findings: &mut Findings) {
    findings.places.insert(path.get(..whole).unwrap_or(path).join("."), place.clone());
    if let Some(table) = path.get(..2)
        && path.len() > 2
    {
        findings.places.entry(table.join(".")).or_insert_with(|| place.clone());
    }
}

//! Makes sentences of what the option structs refuse, with what to write instead.

use super::problem::Problem;
use super::shape::{Kind, MAILBOX_DEFAULTS, Mismatch, NAMED, Shape};
use super::units::{PERIOD, SIZE};

/// A mismatch in words.
pub(super) struct Said {
    /// Without a place yet.
    pub problem: Problem,
    /// The key that was probably meant.
    pub meant: Option<String>,
}

/// Says what is wrong with the value at `path`.
pub(super) fn say(mismatch: &Mismatch, path: &[String], shape: Shape) -> Said {
    let depth = mismatch.depth.unwrap_or_else(|| path.len().saturating_sub(1));
    let name = path.get(depth).map_or("", String::as_str);
    let (problem, meant) = match &mismatch.kind {
        Kind::Key { key, known } => {
            let inside = if mismatch.is_key { path.get(..depth) } else { Some(path) };
            return unknown_key(inside.unwrap_or_default(), key, known);
        }
        Kind::Word { word, known } => (unknown_word(name, word, known), None),
        Kind::Type { found, expected } if shape == Shape::Secret => (secret(name, found, expected), None),
        Kind::Type { found, expected } if expected == PERIOD => (unit(name, found, PERIOD, ["s", "m"]), None),
        Kind::Type { found, expected } if expected == SIZE => (unit(name, found, SIZE, ["KiB", "MiB"]), None),
        Kind::Type { found, expected } => (wrong_type(name, found, expected), None),
        Kind::Other(text) if mismatch.is_key => (table_name(name, text), None),
        Kind::Other(text) => (Problem::error("value", format!("`{name}`: {text}")), None),
    };
    Said { problem, meant }
}

/// The known word that was probably meant.
pub(super) fn closest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase().replace('-', "_");
    let far = (word.chars().count() / 3).max(1);
    let begins = |one: &str, other: &str| one.len() >= 4 && other.starts_with(one);
    let distance = |candidate: &str| match candidate.replace('-', "_") {
        candidate if begins(&word, &candidate) || begins(&candidate, &word) => 1,
        candidate => strsim::damerau_levenshtein(&word, &candidate),
    };
    known
        .map(|candidate| (distance(candidate), candidate))
        .filter(|(distance, _)| *distance <= far)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A list of tables, which D9 has no use for: names let other files and variables point at one of them.
pub(super) fn list_of_tables(name: &str) -> Problem {
    Problem::error("list-of-tables", format!("`[[{name}]]` is a list of tables; tables have names here"))
        .hint(format!("write [{name}.NAME]"))
}

fn unknown_key(table: &[String], key: &str, known: &[&'static str]) -> Said {
    let extra = table.is_empty().then_some(MAILBOX_DEFAULTS);
    let meant = closest(key, known.iter().copied().chain(extra));
    let text = match table {
        [] => format!("there is no table `[{key}]`"),
        names => format!("`[{}]` has no key `{key}`", names.join(".")),
    };
    let problem = Problem::error("unknown-key", text);
    Said {
        problem: match meant {
            Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
            None if known.len() <= 12 => problem.hint(format!("it has {}", known.join(", "))),
            None => problem.hint("`mailbridge config show --all` lists the keys"),
        },
        meant: meant.map(str::to_owned),
    }
}

fn unknown_word(name: &str, word: &str, known: &[&'static str]) -> Problem {
    let quoted: Vec<String> = known.iter().map(|known| format!("\"{known}\"")).collect();
    let word_shown = word.chars().take(60).collect::<String>();
    let text = format!("`{name}` cannot be \"{}\"; it is one of {}", word_shown.escape_debug(), quoted.join(", "));
    let problem = Problem::error("choice", text);
    match closest(word, known.iter().copied()) {
        Some(meant) => problem.hint(format!("did you mean \"{meant}\"?")),
        None => problem,
    }
}

/// Never shows what was found unless that is a kind of value.
fn secret(name: &str, found: &str, expected: &str) -> Problem {
    if expected == PERIOD {
        return Problem::error("unit", format!("the `timeout` of `{name}` needs a unit")).hint("write \"10s\"");
    }
    let text = match found {
        "a list" | "a table" => format!("`{name}` must be a secret, not {found}"),
        _ => format!("`{name}` must be a secret"),
    };
    Problem::error("type", text).hint("write { file | credential | env | command = … }")
}

fn unit(name: &str, found: &str, expected: &str, [small, large]: [&str; 2]) -> Problem {
    let what = if expected == PERIOD { "duration" } else { "size" };
    let bare = quoted(found).unwrap_or(found);
    if !bare.is_empty() && bare.bytes().all(|b| b.is_ascii_digit()) {
        return Problem::error("unit", format!("a {what} needs a unit"))
            .hint(format!("write \"{bare}{small}\" or \"{bare}{large}\""));
    }
    if quoted(found).is_none() {
        return wrong_type(name, found, expected);
    }
    Problem::error("unit", format!("{found} is not {expected}")).hint(format!("for example \"30{small}\""))
}

fn wrong_type(name: &str, found: &str, expected: &str) -> Problem {
    let (wanted, code) = match expected {
        "u16" => ("a whole number from 0 to 65535", "range"),
        "u32" => ("a whole number from 0 to 4294967295", "range"),
        "u64" => ("a whole number", "range"),
        "f64" => ("a number", "range"),
        "a boolean" => ("true or false", "type"),
        "a string" => ("a text", "type"),
        "a sequence" => ("a list", "type"),
        "a map" => ("a table", "type"),
        other if other.starts_with("struct ") => ("a table", "type"),
        other => (other, "type"),
    };
    let code = if found.parse::<f64>().is_ok() { code } else { "type" };
    Problem::error(code, format!("`{name}` must be {wanted}, not {found}")).hint(rewrite(found, expected))
}

/// The same value as the wanted type, where that is plain to see.
fn rewrite(found: &str, expected: &str) -> String {
    match (quoted(found), expected) {
        (Some(text), "u16" | "u32" | "u64" | "f64") if text.parse::<f64>().is_ok() => format!("write {text}"),
        (Some("true" | "yes" | "on" | "1"), "a boolean") => "write true".to_owned(),
        (Some("false" | "no" | "off" | "0"), "a boolean") => "write false".to_owned(),
        (Some(text), "a sequence") => format!("write [\"{text}\"]"),
        (None, "a string") if !found.contains(' ') => format!("write \"{found}\""),
        _ => String::new(),
    }
}

fn quoted(found: &str) -> Option<&str> {
    found.strip_prefix("the text \"")?.strip_suffix('"')
}

fn table_name(name: &str, text: &str) -> Problem {
    let slug: String = name
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' })
        .collect();
    let problem = Problem::error("table-name", text);
    if slug.is_empty() || NAMED.contains(&slug.as_str()) {
        return problem;
    }
    problem.hint(format!("for example `{}`", slug.chars().take(64).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(word: &str, expected: Option<&str>) {
        let known = ["user", "password", "poll_interval", "host", "port", "message-only"];
        assert_eq!(closest(word, known.into_iter()), expected);
    }

    #[test]
    fn the_closest_word_is_meant() {
        check("pol_interval", Some("poll_interval"));
        check("Poll-Interval", Some("poll_interval"));
        check("username", Some("user"));
        check("pass", Some("password"));
        check("prot", Some("port"));
        check("message_only", Some("message-only"));
        check("colour", None);
        check("", None);
    }
}

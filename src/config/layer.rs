//! What one source of options says: its values with their places, and its mistakes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use ::config::{ConfigError, Map, Source, Value, ValueKind};

use super::problem::{Place, Problem};

/// One value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    pub path: Vec<String>,
    /// How many segments of the path a later layer overrides as a whole: all, but for the sources of a secret.
    pub whole: usize,
    pub value: Value,
    pub place: Place,
}

/// The values of one file, or of the environment.
#[derive(Debug, Clone, Default)]
pub(super) struct Layer {
    /// A file of `conf.d`.
    pub drop_in: bool,
    pub leaves: Vec<Leaf>,
}

/// What all layers together have shown.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub problems: Vec<Problem>,
    /// Where each key and table stands; the last layer that says it wins.
    pub places: BTreeMap<String, Place>,
    /// Keys that were said, but wrongly: nobody shall be told that they are missing.
    pub spoiled: BTreeSet<String>,
    /// A source could not be read at all, so nothing can be said to be missing.
    pub incomplete: bool,
    /// The file that is read when none is named, when it is not there.
    pub absent: Option<PathBuf>,
}

impl Leaf {
    /// The part of the path that is overridden as a whole, dotted.
    pub(super) fn key(&self) -> String {
        self.path.get(..self.whole).unwrap_or(&self.path).join(".")
    }
}

impl Layer {
    /// Leaves out what a later layer says anew. Secrets need this: `{ file }` and `{ env }` must not be mixed.
    pub(super) fn without(&mut self, overridden: &BTreeSet<String>) {
        self.leaves.retain(|leaf| !overridden.contains(&leaf.key()));
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        let mut map = Map::new();
        for leaf in &self.leaves {
            insert(&mut map, &leaf.path, &leaf.value);
        }
        Ok(map)
    }
}

/// Reports that two files of `conf.d` say one key: whichever sorts last wins, which is easily overlooked.
pub(super) fn overrides(layers: &[Layer], problems: &mut Vec<Problem>) {
    let mut said: BTreeMap<String, &Place> = BTreeMap::new();
    for leaf in layers.iter().filter(|layer| layer.drop_in).flat_map(|layer| &layer.leaves) {
        if matches!(leaf.value.kind, ValueKind::Table(_)) && leaf.path.len() <= 2 {
            continue;
        }
        if let Some(earlier) = said.insert(leaf.key(), &leaf.place) {
            let text = format!("`{}` overrides what {earlier} says", leaf.key());
            problems.push(Problem::warning("override", text).at(Some(leaf.place.clone())).hint("this one is used"));
        }
    }
}

fn insert(map: &mut Map<String, Value>, path: &[String], value: &Value) {
    let Some((key, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        let is_table = matches!(value.kind, ValueKind::Table(_));
        if !(is_table && map.contains_key(key)) {
            map.insert(key.clone(), value.clone());
        }
        return;
    }
    let below = map.entry(key.clone()).or_insert_with(|| Value::new(None, ValueKind::Table(Map::new())));
    if let ValueKind::Table(table) = &mut below.kind {
        insert(table, rest, value);
    }
}

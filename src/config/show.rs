//! The configuration in force as TOML, with the place that each option comes from. Secrets are shown as their source.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::load::Loaded;
use super::shape::{MAILBOX_DEFAULTS, NAMED};
use super::{Config, Mailbox, Tenant};

/// One option in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The name of its table, such as `mailbox.support`; empty at the top.
    pub table: String,
    /// Its key.
    pub key: String,
    /// Its value in TOML.
    pub value: String,
    /// Where it comes from: `FILE:LINE`, `environment NAME`, `default` or `inferred`.
    pub origin: String,
    /// Whether it differs from the default.
    pub is_changed: bool,
}

impl Loaded {
    /// All options in force, table by table.
    ///
    /// # Errors
    /// When an option cannot be written as TOML, which is a bug.
    pub fn show(&self) -> Result<Vec<Shown>, toml::ser::Error> {
        let defaults = Defaults::new()?;
        let mut shown = Vec::new();
        for (section, value) in Table::try_from(&self.config)? {
            match value {
                Value::Table(named) if NAMED.contains(&section.as_str()) => {
                    for (name, options) in named {
                        self.section(&format!("{section}.{name}"), &options, defaults.of(&section), &mut shown);
                    }
                }
                Value::Table(_) => self.section(&section, &value, defaults.of(&section), &mut shown),
                value => shown.insert(0, self.option("", &section, &value, defaults.config.get(&section))),
            }
        }
        Ok(shown)
    }

    fn section(&self, table: &str, options: &Value, defaults: Option<&Table>, shown: &mut Vec<Shown>) {
        for (key, value) in options.as_table().into_iter().flatten() {
            shown.push(self.option(table, key, value, defaults.and_then(|defaults| defaults.get(key))));
        }
    }

    fn option(&self, table: &str, key: &str, value: &Value, default: Option<&Value>) -> Shown {
        let is_changed = default != Some(value);
        let dotted = if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") };
        let inherited = format!("{MAILBOX_DEFAULTS}.{key}");
        let inherited = table.starts_with("mailbox.").then(|| self.origins.get(&inherited)).flatten();
        let origin = match self.origins.get(&dotted).or(inherited) {
            Some(place) => place.to_string(),
            None if is_changed => "inferred".to_owned(),
            None => "default".to_owned(),
        };
        Shown { table: table.to_owned(), key: key.to_owned(), value: value.to_string(), origin, is_changed }
    }
}

/// The defaults of each table.
struct Defaults {
    config: Table,
    named: BTreeMap<&'static str, Table>,
}

impl Defaults {
    fn new() -> Result<Self, toml::ser::Error> {
        let named =
            [("tenant", Table::try_from(Tenant::default())?), ("mailbox", Table::try_from(Mailbox::default())?)];
        Ok(Self { config: Table::try_from(Config::default())?, named: named.into() })
    }

    fn of(&self, section: &str) -> Option<&Table> {
        self.named.get(section).or_else(|| self.config.get(section).and_then(Value::as_table))
    }
}

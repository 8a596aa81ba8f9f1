//! Loads the configuration: defaults < `config.toml` < `conf.d/*.toml` in order of name < environment.
//!
//! Every source is first checked by itself, so that all mistakes of all of them are found in one run; then the `config`
//! crate merges what is right, and the rules that concern several options are checked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ::config::{Map, Source as _, Value, ValueKind};

use super::layer::{Findings, Layer, Leaf};
use super::problem::{Place, Problem, Problems, Severity};
use super::shape::MAILBOX_DEFAULTS;
use super::{Config, env, file, layer, rules};

const DEFAULT_FILE: &str = "/etc/mailbridge/config.toml";

/// Where the configuration is looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// The file; `None` = `config.toml` in `$CONFIGURATION_DIRECTORY` (set by systemd) or in `/etc/mailbridge`, where
    /// it may be absent.
    pub file: Option<PathBuf>,
    /// The folder of further files; `None` = `conf.d` beside the file, where it may be absent.
    pub conf_dir: Option<PathBuf>,
    /// The environment.
    pub env: Vec<(String, String)>,
}

/// A configuration that is in order.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What is in force.
    pub config: Config,
    /// What should be looked at.
    pub warnings: Vec<Problem>,
    /// The files that were read, in order.
    pub files: Vec<PathBuf>,
    /// Where each option (as a dotted key) and table stands; an option without a place has its default.
    pub origins: BTreeMap<String, Place>,
}

impl Sources {
    /// The sources named on the command line, and the environment of this process.
    #[must_use]
    pub fn from_process(file: Option<PathBuf>, conf_dir: Option<PathBuf>) -> Self {
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        let env = std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
        Self { file, conf_dir, env }
    }

    fn main_file(&self) -> PathBuf {
        let folder = self.env.iter().find(|(name, _)| name == "CONFIGURATION_DIRECTORY");
        let folder = folder.and_then(|(_, value)| value.split(':').find(|part| !part.is_empty()));
        let default =
            || folder.map_or_else(|| PathBuf::from(DEFAULT_FILE), |folder| Path::new(folder).join("config.toml"));
        self.file.clone().unwrap_or_else(default)
    }

    /// The files that are there or were asked for, and whether each is a drop-in.
    fn files(&self, findings: &mut Findings) -> Vec<(PathBuf, bool)> {
        let main = self.main_file();
        let folder = self.conf_dir.clone().unwrap_or_else(|| main.with_file_name("conf.d"));
        let mut files = Vec::new();
        if self.file.is_some() || main.try_exists().unwrap_or(true) {
            files.push((main, false));
        } else {
            findings.absent = Some(main);
        }
        match drop_ins(&folder) {
            Ok(found) => files.extend(found.into_iter().map(|path| (path, true))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && self.conf_dir.is_none() => {}
            Err(error) => {
                let text = format!("the folder `{}` cannot be read: {error}", folder.display());
                findings.incomplete = true;
                findings.problems.push(Problem::error("file", text).at(Some(Place::File(folder))));
            }
        }
        files
    }
}

/// Reads, checks and merges everything.
///
/// # Errors
/// All mistakes of all sources, and the warnings beside them.
pub fn load(sources: &Sources) -> Result<Loaded, Problems> {
    let mut findings = Findings::default();
    let files = sources.files(&mut findings);
    let mut layers = Vec::new();
    for (path, drop_in) in &files {
        layers.push(Layer { drop_in: *drop_in, ..file::read(path, &mut findings) });
    }
    layers.push(env::read(&sources.env, &mut findings));
    layer::overrides(&layers, &mut findings.problems);
    let config = merge(layers).and_then(|map| Value::new(None, map).try_deserialize::<Config>());
    let config = config
        .map_err(|error| {
            findings.problems.push(Problem::error("merge", format!("the layers do not fit together: {error}")))
        })
        .ok();
    let config = config.map(|mut config| {
        rules::check(&config, &mut findings);
        infer(&mut config);
        config
    });
    let files: Vec<PathBuf> = files.into_iter().map(|(path, _)| path).collect();
    match config {
        Some(config) if findings.problems.iter().all(|problem| problem.severity == Severity::Warning) => {
            Ok(Loaded { config, warnings: findings.problems, files, origins: findings.places })
        }
        understood => {
            Err(Problems { list: findings.problems, n_files: files.len(), understood: understood.map(Box::new) })
        }
    }
}

fn drop_ins(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
        if !hidden && path.extension().is_some_and(|extension| extension == "toml") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The layers as one table, with `[mailbox_defaults]` in the mailboxes.
fn merge(mut layers: Vec<Layer>) -> Result<Map<String, Value>, ::config::ConfigError> {
    let mut overridden = BTreeSet::new();
    for layer in layers.iter_mut().rev() {
        let keys: Vec<String> = layer.leaves.iter().map(Leaf::key).collect();
        layer.without(&overridden);
        overridden.extend(keys);
    }
    let builder = layers.into_iter().fold(::config::Config::builder(), |builder, layer| builder.add_source(layer));
    let mut merged = builder.build()?.collect()?;
    let defaults = merged.remove(MAILBOX_DEFAULTS).and_then(|table| table.into_table().ok()).unwrap_or_default();
    if let Some(Value { kind: ValueKind::Table(mailboxes), .. }) = merged.get_mut("mailbox") {
        for mailbox in mailboxes.values_mut() {
            if let ValueKind::Table(options) = &mut mailbox.kind {
                defaults.iter().for_each(|(key, value)| {
                    options.entry(key.clone()).or_insert_with(|| value.clone());
                });
            }
        }
    }
    Ok(merged)
}

/// Fills in what need not be said: the only tenant, the address, the name of the sorter.
fn infer(config: &mut Config) {
    let only = config.tenants.keys().next().filter(|_| config.tenants.len() == 1).cloned();
    for (name, mailbox) in &mut config.mailboxes {
        mailbox.tenant = mailbox.tenant.take().or_else(|| only.clone());
        if mailbox.address.is_empty() {
            mailbox.address.clone_from(&mailbox.user);
        }
        if mailbox.mail_sorter.is_empty() {
            name.as_str().clone_into(&mut mailbox.mail_sorter);
        }
    }
}

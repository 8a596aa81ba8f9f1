//! How a command finds the daemon, its configuration and its store.

use std::path::PathBuf;

use crate::admin::client::Client;
use crate::cli::Common;
use crate::cli::exit::{Exit, Failure};
use crate::clock::Clock;
use crate::config::{self, Config, Loaded, Problems, Sources};
use crate::daemon::places::Places;
use crate::queue::Queue;

/// Where the configuration comes from.
pub(super) fn sources(common: &Common) -> Sources {
    Sources::from_process(common.config.clone(), common.conf_dir.clone())
}

/// Reads the configuration.
pub(super) fn load(common: &Common) -> Result<Loaded, Problems> {
    config::load(&sources(common))
}

/// The configuration; what can be understood of a broken one; else the defaults. For verbs that only have to find a
/// running daemon: it lives on its old configuration while the file is broken, and not everybody may read the file.
pub(super) fn config_or_default(common: &Common) -> Config {
    match load(common) {
        Ok(loaded) => loaded.config,
        Err(problems) => problems.understood.map(|config| *config).unwrap_or_default(),
    }
}

/// Connects to the running daemon.
///
/// # Errors
/// When none runs; the text says how to start it. When the configuration cannot be understood and no daemon is where it
/// is by default, that is what is said.
pub(super) async fn daemon(common: &Common) -> Result<Client, Failure> {
    let mut failures: Vec<Failure> = Vec::new();
    for path in socket_candidates(common) {
        match Client::connect(&path).await {
            Ok(client) => return Ok(client),
            Err(error) => failures.push(error.into()),
        }
    }
    let failure = with_advice(&failures);
    match load(common) {
        // Where the daemon is stands in the file that cannot be understood.
        Err(problems) if common.socket.is_none() && failure.exit == Exit::Unavailable && problems.n_files > 0 => {
            Err(Failure::new(Exit::Config, format!("{problems}\n{}", failure.text)))
        }
        _ => Err(failure),
    }
}

/// The queue of a stopped daemon, for reading. Changes no file.
///
/// # Errors
/// When the configuration is not valid, or there is no store that can be read.
pub(super) fn stopped_queue(common: &Common) -> Result<Queue, Failure> {
    let config = load(common)?.config;
    let store = Places::of_process(&config).store;
    if !store.exists() {
        let text =
            format!("no mailbridge runs, and there is no store at {}; start it with `mailbridge run`", store.display());
        return Err(Failure::new(Exit::Unavailable, text));
    }
    Ok(Queue::open_read_only(&store, Clock::system())?)
}

fn socket_candidates(common: &Common) -> Vec<PathBuf> {
    if let Some(socket) = &common.socket {
        return vec![socket.clone()];
    }
    let places = Places::of_process(&config_or_default(common));
    std::iter::once(places.socket).chain(places.other_socket).collect()
}

/// One that is there and may not be used says more than those that are not there.
fn with_advice(failures: &[Failure]) -> Failure {
    let refused = failures.iter().find(|failure| failure.exit != Exit::Unavailable);
    let exit = refused.map_or(Exit::Unavailable, |failure| failure.exit);
    let texts = failures.iter().filter(|failure| failure.exit == exit).map(|failure| failure.text.as_str());
    let texts = texts.collect::<Vec<_>>().join("\n  ");
    let advice = match exit {
        Exit::NoPerm => "become root or the daemon's user",
        _ => "start it with `systemctl start mailbridge` or `mailbridge run`, or name its socket with --socket",
    };
    Failure::new(exit, format!("{texts}\n  {advice}"))
}

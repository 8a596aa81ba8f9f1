//! `mailbridge run`: the daemon in the foreground; and `mailbridge message`, which needs the same parse workers.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, set_dumpable_behavior, umask};

use crate::cli::exit::{Exit, Failure};
use crate::cli::message::{self, MessageCommand};
use crate::cli::output::complain;
use crate::cli::{Common, access};
use crate::clock::Clock;
use crate::config::Config;
use crate::daemon::{self, Setup, places::Places};
use crate::parser::Pool;
use crate::telemetry::{event, logging};

/// Threads for calls that block (files, names); tokio's own bound of 512 would meet `TasksMax=` of the unit.
const BLOCKING_THREADS: usize = 8;

/// The program that reads mails. Not the path of this one: after an upgrade that is another version, and both ends must
/// be the same build.
const OURSELVES: &str = "/proc/self/exe";

/// Runs the daemon until a signal ends it.
///
/// # Errors
/// When the configuration cannot be understood (78) or store, socket or log cannot be used.
pub(super) fn run(common: &Common) -> Result<(), Failure> {
    let sources = access::sources(common);
    let loaded = access::load(common)?;
    keep_private();
    install_log(&loaded.config)?;
    let mut places = Places::of_process(&loaded.config);
    if let Some(socket) = &common.socket {
        places.socket.clone_from(socket);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(usize::from(loaded.config.service.worker_threads.max(1)))
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Software, format!("starting the runtime: {error}")))?;
    let setup = Setup { loaded, sources, places, program: PathBuf::from(OURSELVES), clock: Clock::system() };
    runtime.block_on(daemon::run(setup)).map_err(|error| {
        // Said in the log, where the operator of a service looks; not once more on stderr.
        tracing::error!(event = event::SERVICE_STOPPED, reason = %error, "The daemon cannot run.");
        Failure::silent(Failure::from(error).exit)
    })
}

/// Reads mails with the daemon's own pool of workers (`mailbridge message …`). The defaults hold where there is no
/// configuration, and where the usual one is not for this user to read: that is said.
///
/// # Errors
/// When the configuration cannot be understood, the files cannot be listed, or the output cannot be written.
pub(super) async fn message(command: &MessageCommand, common: &Common) -> Result<ExitCode, Failure> {
    let usual = common.config.is_none() && common.conf_dir.is_none();
    let config = match access::load(common) {
        Ok(loaded) => loaded.config,
        Err(problems) if usual && problems.list.iter().all(|problem| problem.code == "file") => {
            complain(&format!("{problems}\nthe defaults are used"));
            Config::default()
        }
        Err(problems) if problems.n_files > 0 => return Err(problems.into()),
        Err(_) => Config::default(),
    };
    let pool = Pool::new(PathBuf::from(OURSELVES), daemon::parse_workers(&config));
    let ended = message::run(command, common.json, &config, &pool, &Clock::system()).await;
    ended.map_err(|error| match error.downcast::<io::Error>() {
        Ok(error) if error.kind() == io::ErrorKind::BrokenPipe => error.into(),
        Ok(error) => Failure::new(Exit::NoInput, error.to_string()),
        Err(error) => Failure::new(Exit::NoInput, format!("{error:#}")),
    })
}

/// What the daemon writes is for its own user only, and its memory (mail, tokens) goes into no core file.
fn keep_private() {
    umask(Mode::RWXG | Mode::RWXO);
    // Best effort: the unit sets LimitCORE=0 as well.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).ok();
}

fn install_log(config: &Config) -> Result<(), Failure> {
    let options = logging::Options {
        level: config.log.level.filter(),
        format: config.log.format.into(),
        instance: config.service.instance.clone(),
    };
    logging::install(&options).map_err(|error| Failure::new(Exit::Unavailable, error.to_string()))
}

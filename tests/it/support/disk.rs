//! A disk that fails at a chosen moment and a clock that jumps, for a real daemon: `disk.c`, loaded into the process before
//! everything else. The program itself knows nothing of it.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::support::World;
use crate::support::daemon::Daemon;

/// `EIO`, `ENOSPC` and `EROFS` of Linux.
pub(crate) const EIO: i32 = 5;
pub(crate) const ENOSPC: i32 = 28;
pub(crate) const EROFS: i32 = 30;

/// What a counted call meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// The process is killed instead of the call.
    KillBefore,
    /// The call is carried out, and the process is killed before it hears of that.
    KillAfter,
    /// What is not synced is lost, and the process with it.
    PowerCut,
    /// The call fails with this errno.
    Fails(i32),
}

/// The state folder of a world, on a disk as this says.
#[derive(Debug)]
pub(crate) struct Disk {
    library: &'static Path,
    kinds: &'static str,
    at: usize,
    mishap: Mishap,
    live: PathBuf,
    trace: PathBuf,
}

impl Disk {
    /// A disk without fault. `None`, and a word about it, where there is no C compiler.
    pub(crate) fn of(world: &World) -> Option<Self> {
        let library = library()?;
        let (live, trace) = (world.path("disk.live"), world.path("disk.trace"));
        fs::write(&live, [0; 24]).expect("written");
        Some(Self { library, kinds: "write sync rename unlink", at: 0, mishap: Mishap::KillBefore, live, trace })
    }

    /// Counts only these kinds of calls, of `write`, `sync`, `rename` and `unlink`.
    pub(crate) fn counts(mut self, kinds: &'static str) -> Self {
        self.kinds = kinds;
        self
    }

    /// At the n-th counted call, from 1, this happens.
    pub(crate) fn at(mut self, n: usize, mishap: Mishap) -> Self {
        (self.at, self.mishap) = (n, mishap);
        self
    }

    /// From now on every counted call fails with this errno; 0: none does.
    pub(crate) fn fails(&self, errno: i32) {
        self.set(8, i64::from(errno));
    }

    /// From now on the time of day is off by so many seconds.
    pub(crate) fn time_is_off(&self, seconds: i64) {
        self.set(0, seconds * 1000);
    }

    /// From now on no thread can be made, or threads can be made again.
    pub(crate) fn no_threads(&self, none: bool) {
        self.set(16, i64::from(none));
    }

    fn set(&self, offset: u64, value: i64) {
        let file = File::options().write(true).open(&self.live).expect("opened");
        file.write_all_at(&value.to_ne_bytes(), offset).expect("written");
    }

    /// Starts the daemon with this configuration on this disk.
    pub(crate) fn daemon(&self, world: &World, config: &str) -> Daemon {
        // Of the run before.
        drop(fs::remove_file(&self.trace));
        let mishap = match self.mishap {
            Mishap::KillBefore => "kill-before".to_owned(),
            Mishap::KillAfter => "kill-after".to_owned(),
            Mishap::PowerCut => "power-cut".to_owned(),
            Mishap::Fails(errno) => errno.to_string(),
        };
        let mut command: Command = world.command(config);
        command
            .env("LD_PRELOAD", self.library)
            .env("DISK_DIR", world.path("state"))
            .env("DISK_KINDS", self.kinds)
            .env("DISK_AT", self.at.to_string())
            .env("DISK_DO", mishap)
            .env("DISK_TRACE", &self.trace)
            .env("DISK_LIVE", &self.live);
        Daemon::spawn(command)
    }

    /// The calls that were counted since the daemon was started: kind and file below the state folder.
    pub(crate) fn calls(&self) -> Vec<(String, String)> {
        let text = fs::read_to_string(&self.trace).unwrap_or_default();
        let mut calls = Vec::new();
        for line in text.lines() {
            let mut words = line.splitn(3, ' ').skip(1).map(str::to_owned);
            calls.extend(words.next().zip(words.next()));
        }
        calls
    }
}

/// The compiled library, made once.
fn library() -> Option<&'static Path> {
    static LIBRARY: OnceLock<Option<PathBuf>> = OnceLock::new();
    LIBRARY.get_or_init(compile).as_deref()
}

fn compile() -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/disk.c");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("disk-{}.so", std::process::id()));
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&target).arg(source).arg("-ldl");
    match compiler.output() {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(target)
        }
        Err(error) => {
            eprintln!("skipped: there is no C compiler (tests/run installs one): {error}");
            None
        }
    }
}

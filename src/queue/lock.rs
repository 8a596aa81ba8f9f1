//! One store, one daemon: a lock on a file that the kernel lets go of when its owner dies, however it dies.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::error::Error;

/// A daemon that was killed may leave its lock for a moment to a child: to one that was just being started and had not yet
/// closed what it inherited.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// The held lock. Dropping it lets go.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

/// Where the lock of the store in `dir` lies.
pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join("lock")
}

/// Takes the lock of the store in `dir` and writes our process id into it, or says who has it. Blocks for a while when
/// somebody has it.
pub(super) fn take(dir: &Path) -> Result<Lock, Error> {
    let path = path(dir);
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let mut file = opened.map_err(Error::file("opening", &path))?;
    match patiently(&file) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            return Err(Error::Locked { path: dir.display().to_string(), holder: holder(&mut file) });
        }
        Err(errno) => return Err(Error::file("locking", &path)(errno.into())),
    }
    sign(&mut file).map_err(Error::file("writing", &path))?;
    Ok(Lock { _file: file })
}

fn patiently(file: &File) -> Result<(), Errno> {
    let begun = Instant::now();
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if begun.elapsed() < PATIENCE => std::thread::park_timeout(PAUSE),
            ended => return ended,
        }
    }
}

fn sign(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

/// The process id in the lock file; the lock does not rest on it, so a text that is none is only left out.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    match file.take(20).read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() && text.trim().bytes().all(|b| b.is_ascii_digit()) => text.trim().to_owned(),
        _ => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_owner_is_told_who_the_first_is() {
        let dir = tempfile::tempdir().expect("a folder");
        let lock = take(dir.path()).expect("free");
        let refused = take(dir.path()).expect_err("taken").to_string();
        assert!(refused.contains(&format!("(process {})", std::process::id())), "{refused}");
        drop(lock);
        take(dir.path()).expect("free again");
    }

    #[test]
    fn a_lock_that_is_let_go_of_in_a_moment_is_waited_for() {
        let dir = tempfile::tempdir().expect("a folder");
        let lock = take(dir.path()).expect("free");
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| {
                tell.send(()).expect("heard");
                take(dir.path()).map(drop)
            });
            told.recv().expect("the second is at it");
            std::thread::park_timeout(PAUSE.saturating_mul(3));
            drop(lock);
            second.join().expect("no panic").expect("waited for");
        });
    }

    #[test]
    fn a_lock_file_of_nonsense_is_no_obstacle() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(path(dir.path()), b"\xff\xfe nonsense").expect("written");
        let _lock = take(dir.path()).expect("free");
        std::fs::write(path(dir.path()), b"\xff\xfe nonsense").expect("written");
        assert!(take(dir.path()).expect_err("taken").to_string().contains("(process unknown)"));
    }
}

//! What a parse worker may not ask of the kernel: a network, a new process, a file to write. Refused calls fail with EPERM,
//! so that a library that only tries is not killed for it (seccomp(2)).
//!
//! Under systemd 252 the unit must allow the `seccomp` call itself: it is in none of its named sets.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// Calls refused whatever their arguments.
const REFUSED: &[i64] = &[
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_io_uring_setup,
    libc::SYS_bpf,
    libc::SYS_userfaultfd,
    libc::SYS_perf_event_open,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_kexec_load,
    libc::SYS_openat2,
    libc::SYS_unlinkat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_truncate,
    libc::SYS_fchmodat,
    libc::SYS_fchownat,
    libc::SYS_memfd_create,
    libc::SYS_kill,
];

/// The same in their older form, where the processor still has them.
#[cfg(target_arch = "x86_64")]
const REFUSED_OLD: &[i64] = &[
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_creat,
    libc::SYS_unlink,
    libc::SYS_rename,
    libc::SYS_link,
    libc::SYS_symlink,
    libc::SYS_mkdir,
    libc::SYS_rmdir,
    libc::SYS_mknod,
    libc::SYS_chmod,
    libc::SYS_chown,
];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_OLD: &[i64] = &[];

/// Flags of open(2) that write or create.
const WRITING: &[i32] = &[libc::O_WRONLY, libc::O_RDWR, libc::O_CREAT, libc::O_TRUNC];

/// Fences in the calling thread and every thread that it starts from now on.
///
/// # Errors
/// Why the kernel or the filter's compiler refused, as text for the parent's warning.
pub(crate) fn raise() -> Result<(), String> {
    let program = filter().map_err(|error| format!("making the filter: {error}"))?;
    seccompiler::apply_filter(&program).map_err(|error| format!("installing the filter: {error}"))
}

fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.iter().chain(REFUSED_OLD).map(|call| (*call, Vec::new())).collect();
    rules.insert(libc::SYS_openat, writing(2)?);
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_open, writing(1)?);
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    SeccompFilter::new(rules, SeccompAction::Allow, refuse, std::env::consts::ARCH.try_into()?)?.try_into()
}

/// One rule for each flag that writes; `argument` is where the flags stand.
fn writing(argument: u8) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let rule = |flag: &i32| {
        let flag = u64::from(flag.unsigned_abs());
        let set = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(flag), flag)?;
        SeccompRule::new(vec![set])
    };
    WRITING.iter().map(rule).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn behind_the_fence_there_is_no_network_and_nothing_to_write_to() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("file");
        std::fs::write(&path, "x").expect("written before");
        let inner = path.clone();
        let refused = std::thread::spawn(move || {
            raise().expect("the fence stands");
            File::open(&inner).expect("reading is allowed");
            [
                UdpSocket::bind("127.0.0.1:0").is_err(),
                OpenOptions::new().append(true).open(&inner).is_err(),
                File::create(inner.with_extension("new")).is_err(),
                std::fs::remove_file(&inner).is_err(),
                std::process::Command::new("/bin/true").spawn().is_err(),
            ]
        });
        assert_eq!(refused.join().expect("joined"), [true; 5]);
        std::fs::write(&path, "y").expect("this thread is outside");
    }
}

//! What a worker may not do once it has started: open files, connect, start programs, signal others, grow beyond its memory.

use std::collections::BTreeMap;
use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter_all_threads, sock_filter,
};

/// Files that a worker may have open: its socket, a video, and pictures.
const MAX_FILES: u64 = 128;
/// The number of `fchmodat2`, which is the same everywhere: libc does not have it for every architecture.
const FCHMODAT2: i64 = 452;
/// What makes a number one of the x32 ABI.
const X32: u32 = 0x4000_0000;

/// Takes away from this process, for good, what decoding does not need. `memory_bytes` are what it may have beyond what it has now.
///
/// # Errors
/// When the system refuses.
pub(super) fn confine(memory_bytes: u64) -> io::Result<()> {
    close_inherited();
    let limits = [
        (Resource::As, mapped_bytes()?.saturating_add(memory_bytes)),
        // Of memory that is shared, too.
        (Resource::Fsize, memory_bytes),
        (Resource::Nofile, MAX_FILES),
        (Resource::Core, 0),
    ];
    for (resource, most) in limits {
        // Never more than there was.
        let most = getrlimit(resource).maximum.map_or(most, |allowed| allowed.min(most));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    // On other architectures the limits alone have to do.
    if let Ok(architecture) = std::env::consts::ARCH.try_into() {
        for filter in filters(architecture).map_err(io::Error::other)? {
            match apply_filter_all_threads(&filter) {
                // A kernel without seccomp: the limits have to do there, too.
                Err(seccompiler::Error::Seccomp(error))
                    if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL)) => {}
                applied => applied.map_err(io::Error::other)?,
            }
        }
    }
    Ok(())
}

/// Closes what who started this process had open, but for the standard streams: not every library marks its own.
fn close_inherited() {
    // SAFETY: nothing here has opened a file yet. Kernels before 5.9 do not know the call, and then nothing happens.
    unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32) };
}

/// Bytes of address space that this process has.
fn mapped_bytes() -> io::Result<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = pages.split(' ').next().and_then(|pages| pages.parse().ok()).unwrap_or(0);
    Ok(pages * rustix::param::page_size() as u64)
}

/// Answers "not permitted" to system calls by which something outside of the process could be reached; what it has open already it can
/// use. It is a list of what is refused and not of what is allowed: the latter would be another for each C library.
fn filters(architecture: TargetArch) -> Result<Vec<BpfProgram>, seccompiler::BackendError> {
    let mut calls = vec![
        libc::SYS_openat,
        libc::SYS_openat2,
        libc::SYS_open_by_handle_at,
        libc::SYS_name_to_handle_at,
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_pidfd_open,
        libc::SYS_pidfd_getfd,
        libc::SYS_pidfd_send_signal,
        libc::SYS_kill,
        libc::SYS_tkill,
        libc::SYS_rt_sigqueueinfo,
        libc::SYS_rt_tgsigqueueinfo,
        libc::SYS_socket,
        libc::SYS_socketpair,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_listen,
        libc::SYS_accept,
        libc::SYS_accept4,
        libc::SYS_unlinkat,
        libc::SYS_renameat2,
        libc::SYS_linkat,
        libc::SYS_symlinkat,
        libc::SYS_mkdirat,
        libc::SYS_mknodat,
        libc::SYS_fchmodat,
        FCHMODAT2,
        libc::SYS_fchownat,
        libc::SYS_truncate,
        libc::SYS_chdir,
        libc::SYS_fchdir,
        libc::SYS_chroot,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_io_uring_setup,
        libc::SYS_inotify_init1,
        libc::SYS_fanotify_init,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_kexec_load,
        libc::SYS_reboot,
        libc::SYS_swapon,
        libc::SYS_setrlimit,
        libc::SYS_sched_setaffinity,
        libc::SYS_sched_setscheduler,
        libc::SYS_sched_setparam,
        libc::SYS_sched_setattr,
        libc::SYS_setpriority,
        libc::SYS_ioprio_set,
        libc::SYS_utimensat,
        libc::SYS_setxattr,
        libc::SYS_lsetxattr,
        libc::SYS_fsetxattr,
        libc::SYS_removexattr,
        libc::SYS_lremovexattr,
        libc::SYS_fremovexattr,
        libc::SYS_mq_open,
        libc::SYS_mq_unlink,
        libc::SYS_shmget,
        libc::SYS_shmat,
        libc::SYS_msgget,
        libc::SYS_semget,
    ];
    #[cfg(target_arch = "x86_64")]
    calls.extend([
        libc::SYS_open,
        libc::SYS_creat,
        libc::SYS_unlink,
        libc::SYS_rename,
        libc::SYS_renameat,
        libc::SYS_link,
        libc::SYS_symlink,
        libc::SYS_mkdir,
        libc::SYS_rmdir,
        libc::SYS_mknod,
        libc::SYS_chmod,
        libc::SYS_chown,
        libc::SYS_lchown,
        libc::SYS_utime,
        libc::SYS_utimes,
        libc::SYS_futimesat,
        libc::SYS_fork,
        libc::SYS_vfork,
    ]);
    // No conditions: whatever the arguments.
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = calls.into_iter().map(|call| (call, vec![])).collect();
    let when = |argument, length, compare, value| {
        SeccompRule::new(vec![SeccompCondition::new(argument, length, compare, value)?])
    };
    let (word, pointer, other) = (SeccompCmpArgLen::Dword, SeccompCmpArgLen::Qword, SeccompCmpOp::Ne);
    // A signal to another process.
    rules.insert(libc::SYS_tgkill, vec![when(0, word.clone(), other.clone(), u64::from(std::process::id()))?]);
    // Limits of another process, or new ones.
    let limits = vec![when(0, word, other.clone(), 0)?, when(2, pointer.clone(), other, 0)?];
    rules.insert(libc::SYS_prlimit64, limits);
    // A process instead of a thread.
    let thread = SeccompCmpOp::MaskedEq(libc::CLONE_THREAD as u64);
    rules.insert(libc::SYS_clone, vec![when(0, pointer, thread, 0)?]);
    let refuse = |rules, error: i32| {
        SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(error as u32), architecture)?.try_into()
    };
    // Its arguments lie where a filter cannot look; without it, C libraries use `clone`.
    let clone3 = [(libc::SYS_clone3, vec![])].into_iter().collect();
    let mut filters = vec![refuse(rules, libc::EPERM)?, refuse(clone3, libc::ENOSYS)?];
    if architecture == TargetArch::x86_64 {
        filters.push(refuse_x32());
    }
    Ok(filters)
}

/// Answers "not permitted" to the x32 ABI. Filters see the same architecture in it, and other numbers for the calls that they refuse.
fn refuse_x32() -> BpfProgram {
    let instruction = |code: u32, jt, jf, k| sock_filter { code: code as u16, jt, jf, k };
    vec![
        // The number comes first in what a filter is given.
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        instruction(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, 0, 1, X32),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::net::TcpListener;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_confined_process_reaches_nothing_outside() {
        let denied = |result: io::Result<()>| result.is_err_and(|error| error.raw_os_error() == Some(libc::EPERM));
        // SAFETY: the calls that are made with it do nothing where they are permitted.
        let call = |number| match unsafe { libc::syscall(number, -1, 0, 0, 0) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        };
        // SAFETY: the child runs what is here and ends without returning.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let is_confined = confine(1 << 28).is_ok();
            let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
            let attempts = [
                denied(File::open("/etc/passwd").map(drop)),
                denied(File::create("/tmp/confined").map(drop)),
                denied(TcpListener::bind("127.0.0.1:0").map(drop)),
                denied(Command::new("/bin/true").spawn().map(drop)),
                denied(call(FCHMODAT2)),
                // Kernels without that ABI would say that there is no such call.
                cfg!(not(target_arch = "x86_64")) || denied(call(libc::SYS_getppid | i64::from(X32))),
                // SAFETY: the signal 0 does nothing.
                unsafe { libc::kill(libc::getppid(), 0) } == -1,
                // SAFETY: as above.
                unsafe { libc::syscall(libc::SYS_tgkill, libc::getppid(), libc::getppid(), 0) } == -1,
                // SAFETY: reads limits, and sets those that are.
                unsafe { libc::prlimit(libc::getppid(), libc::RLIMIT_CPU, std::ptr::null(), &mut limit) } == -1,
                // SAFETY: as above.
                unsafe { libc::prlimit(0, libc::RLIMIT_CPU, &limit, std::ptr::null_mut()) } == -1,
                // SAFETY: the child would end at once.
                match unsafe { libc::fork() } {
                    // SAFETY: ends the process at once.
                    0 => unsafe { libc::_exit(0) },
                    child => child == -1,
                },
                std::thread::spawn(|| 7).join().is_ok_and(|seven| seven == 7),
                // More than the memory that it may have.
                Vec::<u8>::new().try_reserve_exact(1 << 30).is_err(),
            ];
            let failed = attempts.iter().position(|refused| !refused).map_or(0, |at| at as i32 + 2);
            // SAFETY: ends the process at once.
            unsafe { libc::_exit(if is_confined { failed } else { 1 }) };
        }
        let mut status = 0;
        // SAFETY: `status` is written to.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert!(libc::WIFEXITED(status), "{status}");
        assert_eq!(libc::WEXITSTATUS(status), 0, "1: it could not be confined; 2 and above: that attempt succeeded");
    }
}

//! Runs what is missing: a process per device, chains side by side.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use rustix::process::{Pid, Signal, kill_process};

use super::plan::{Kind, Unit, shown};
use crate::failure::Interrupted;
use crate::{files, interrupt};

/// Runs the first chain, then the others on all devices.
///
/// # Errors
/// Names every chain that could not be finished; what others have done stays. [`Interrupted`] after Ctrl-C.
pub fn run(chains: Vec<Vec<Unit>>, work: &Path, devices: &[String], is_quiet: bool) -> Result<()> {
    let lock = work.join("lock");
    let locked = File::create(&lock).with_context(|| format!("cannot write {}", lock.display()))?;
    if locked.try_lock().is_err() {
        bail!("{}: another `unscene experiment` works here; wait for it, or choose another --work", work.display());
    }
    for unit in chains.iter().flatten() {
        check_unchanged(unit, work)?;
    }
    let of = chains.iter().flatten().count();
    let bar = if is_quiet { ProgressBar::hidden() } else { ProgressBar::new(of as u64) };
    let style = "{wide_bar} {pos}/{len} steps, {elapsed} gone";
    bar.set_style(ProgressStyle::with_template(style).expect("a valid template"));
    bar.enable_steady_tick(Duration::from_secs(1));
    // Without a terminal there is no bar to write above.
    let say = |line: String| if bar.is_hidden() && !is_quiet { eprintln!("{line}") } else { bar.println(line) };
    let done = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    let work_off = |chain: Vec<Unit>, device: &str, shares: usize| {
        for unit in chain {
            if interrupt::control().is_break() {
                return;
            }
            let begun = Instant::now();
            let was_done = unit.is_done(work);
            if !was_done && let Err(error) = run_unit(&unit, work, device, shares) {
                say(format!("{error:#}"));
                failures.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(format!("{error:#}"));
                return;
            }
            if interrupt::control().is_break() && !unit.is_done(work) {
                return;
            }
            if !was_done {
                say(format!("{}: {:.0} s", unit.out.display(), begun.elapsed().as_secs_f64()));
            }
            done.fetch_add(1, Ordering::Relaxed);
            bar.inc(1);
        }
    };
    let mut chains: VecDeque<Vec<Unit>> = chains.into();
    if let Some(first) = chains.pop_front() {
        work_off(first, &devices[0], 1);
    }
    let is_prepared = failures.lock().is_ok_and(|failures| failures.is_empty());
    if is_prepared {
        let queue = Mutex::new(chains);
        let next = || queue.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).pop_front();
        std::thread::scope(|scope| {
            for device in devices {
                scope.spawn(|| {
                    while let Some(chain) = next() {
                        work_off(chain, device, devices.len());
                    }
                });
            }
        });
    }
    bar.finish_and_clear();
    if interrupt::control().is_break() {
        let done = done.into_inner();
        return Err(Interrupted { done, of, what: "steps" }.into());
    }
    let failures = failures.into_inner().unwrap_or_default();
    match failures.first() {
        None => Ok(()),
        Some(first) => {
            bail!("{} of {of} steps failed, and what needs them was left out; the first: {first}", failures.len())
        }
    }
}

/// What a step took, all its attempts together.
const SECONDS: &str = "seconds";

fn read_seconds(path: &Path) -> f64 {
    fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0.0)
}

/// What all steps of a work folder took together, which is longer than the clock where several ran at a time.
pub fn seconds(work: &Path) -> f64 {
    let steps = fs::read_dir(work.join("steps")).into_iter().flatten().flatten().map(|entry| entry.path());
    steps.filter(|path| path.extension().is_some_and(|kind| kind == SECONDS)).map(|path| read_seconds(&path)).sum()
}

/// What was made with other settings is not taken for what these settings make.
fn check_unchanged(unit: &Unit, work: &Path) -> Result<()> {
    let Ok(before) = fs::read_to_string(unit.beside(work, "sh")) else { return Ok(()) };
    let now = unit.recipe();
    if before == now || !work.join(&unit.out).exists() {
        return Ok(());
    }
    let mut lines = before.lines().zip(now.lines()).filter(|(before, now)| before != now);
    let (then, now) = lines.next().unwrap_or(("fewer settings", "more settings"));
    bail!(
        "{}: made with other settings; remove it and what was made from it, or choose another --work. It was {then:?}, now it \
         would be {now:?}",
        work.join(&unit.out).display()
    )
}

/// Runs a command; `shares` is how many run at the same time on this machine's cores.
fn run_unit(unit: &Unit, work: &Path, device: &str, shares: usize) -> Result<()> {
    let out = work.join(&unit.out);
    let [noted, log] = ["sh", "log"].map(|kind| unit.beside(work, kind));
    for folder in [out.parent(), noted.parent()].into_iter().flatten() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    files::whole(&noted, unit.recipe().as_bytes())?;
    let program = std::env::current_exe().context("the path of this program")?;
    let mut command = Command::new(program);
    // A group of its own: Ctrl-C in a terminal reaches this program alone, which passes it on once.
    command.current_dir(work).args(&unit.args).process_group(0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = (cores / shares).max(1).to_string();
    if shares > 1 && device == "cpu" {
        command.envs([("OMP_NUM_THREADS", &threads), ("RAYON_NUM_THREADS", &threads)]);
    }
    match unit.kind {
        Kind::Training => {
            command.args(["--out".as_ref(), unit.out.as_os_str()]).args(["--json", "--workers", &threads]);
            command.args(["--device", device]);
            if out.join(unscene_train::CHECKPOINT).is_dir() {
                command.arg("--resume");
            }
        }
        Kind::Measure => {
            command.args(["--device", device]);
            if unit.args[0] == "eval" {
                command.args(["--workers", &threads]);
            }
        }
        // A training among what is prepared.
        Kind::Prepare if unit.args[0] == "pretrain" && out.with_file_name(unscene_train::CHECKPOINT).is_dir() => {
            command.arg("--resume");
        }
        Kind::Prepare | Kind::Count => {}
    }
    let printed = out.with_added_extension("partial");
    let keeps_output = matches!(unit.kind, Kind::Measure | Kind::Count);
    let create = |path: &Path| File::create(path).with_context(|| format!("cannot write {}", path.display()));
    command.stdin(std::process::Stdio::null()).stderr(create(&log)?);
    match keeps_output {
        true => command.stdout(create(&printed)?),
        false => command.stdout(std::process::Stdio::null()),
    };
    let begun = Instant::now();
    let status = wait(command.spawn().context("cannot start a process")?)?;
    let took = unit.beside(work, SECONDS);
    let seconds = read_seconds(&took) + begun.elapsed().as_secs_f64();
    files::whole(&took, format!("{seconds:.1}\n").as_bytes())?;
    if status.success() {
        if keeps_output {
            fs::rename(&printed, &out).with_context(|| format!("cannot write {}", out.display()))?;
        }
        if unit.kind == Kind::Prepare {
            files::whole(&unit.beside(work, "done"), b"")?;
        }
        if !unit.is_done(work) {
            bail!("unscene {} ended without making {}", shown(&unit.args), unit.out.display());
        }
        return Ok(());
    }
    if keeps_output {
        let _ = fs::remove_file(&printed);
    }
    if interrupt::control().is_break() {
        return Ok(());
    }
    let said = fs::read_to_string(&log).unwrap_or_default();
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    bail!("{}: {status}: {last}; see {}", unit.out.display(), log.display())
}

/// Waits for the end; Ctrl-C is passed on, and waited for as well.
fn wait(mut child: Child) -> Result<ExitStatus> {
    let mut is_told = false;
    loop {
        if let Some(status) = child.try_wait().context("a process")? {
            return Ok(status);
        }
        if interrupt::control().is_break() && !is_told {
            is_told = true;
            if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::INT);
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

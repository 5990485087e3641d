//! Workers that wait for videos.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::decoder::IsolatedDecoder;
use super::wire::{Answer, Ask, receive, send};
use super::worker::WORKER_FLAG;
use crate::decode::DecodeOptions;
use crate::error::MediaError;
use crate::probe::{Limits, VideoInfo};
use crate::source::{Source, start_ffmpeg};

/// How workers are made.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// The program, whose `main` calls [`run_if_worker`](super::run_if_worker) first.
    pub program: PathBuf,
    /// How many there are: so many videos can be open at once.
    pub workers: usize,
    /// Mebibytes that each may use beyond what the program itself takes.
    pub memory_mib: u64,
    /// Longest time for one answer: to open a video, or to decode until the next frame. What takes longer is ended.
    pub patience: Duration,
}

/// Processes that decode. Clones share them; they end when the last is dropped.
#[derive(Clone)]
pub struct DecodeWorkers(Arc<Pool>);

struct Pool {
    options: WorkerOptions,
    /// Those without work; `None` stands for one that is not started, or has died.
    idle: Mutex<Vec<Option<Worker>>>,
    returned: Condvar,
    deaths: AtomicU64,
}

/// A worker at work; it goes back to the pool when dropped.
pub(super) struct Hired {
    worker: Option<Worker>,
    pool: Arc<Pool>,
    /// Whether it was ended because it took too long.
    was_slow: bool,
}

/// A process and the socket to it.
struct Worker {
    process: Child,
    socket: OwnedFd,
}

impl DecodeWorkers {
    /// Starts one worker, and waits until it answers. The others are started when as many videos are open.
    ///
    /// # Errors
    /// When the program cannot be started, or is not a worker.
    pub fn start(options: WorkerOptions) -> io::Result<Self> {
        // Pictures are converted on this side, where FFmpeg would write to the log, too.
        start_ffmpeg();
        let mut idle: Vec<_> = (1..options.workers).map(|_| None).collect();
        // The last is the first to be hired.
        idle.push(Some(Worker::start(&options)?));
        let (idle, returned) = (Mutex::new(idle), Condvar::new());
        let workers = Self(Arc::new(Pool { options, idle, returned, deaths: AtomicU64::new(0) }));
        let program = workers.0.options.program.display().to_string();
        let wrong = match workers.hire().ask("", &Ask::Close, None) {
            Ok((Answer::Closed, _)) => return Ok(workers),
            Err(MediaError::Crashed { how, .. }) => how,
            other => format!("it answered {other:?}"),
        };
        Err(io::Error::other(format!("{program} does not do as a decoding worker: {wrong}")))
    }

    /// Opens a video in a worker, when one has no other; the view of the options is the frames' first.
    ///
    /// # Errors
    /// As [`Decoder::open`](crate::Decoder::open); [`MediaError::Crashed`] when the worker died of it.
    pub fn open(&self, source: &Source, options: &DecodeOptions) -> Result<IsolatedDecoder, MediaError> {
        IsolatedDecoder::open(self.hire(), source, options)
    }

    /// What a video's header says, as [`probe`](crate::probe) tells.
    ///
    /// # Errors
    /// As [`DecodeWorkers::open`].
    pub fn probe(&self, source: &Source, limits: &Limits) -> Result<VideoInfo, MediaError> {
        let options = DecodeOptions { threads: 1, limits: *limits, ..DecodeOptions::default() };
        Ok(self.open(source, &options)?.info().clone())
    }

    /// Workers that died, or were ended because they took too long; each is replaced when it is needed.
    pub fn deaths(&self) -> u64 {
        self.0.deaths.load(Ordering::Relaxed)
    }

    /// Numbers of the processes that have no work now.
    pub fn idle_processes(&self) -> Vec<u32> {
        self.0.idle().iter().flatten().map(|worker| worker.process.id()).collect()
    }

    fn hire(&self) -> Hired {
        let mut idle = self.0.idle();
        loop {
            match idle.pop() {
                Some(worker) => return Hired { worker, pool: self.0.clone(), was_slow: false },
                None => idle = self.0.returned.wait(idle).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

impl Pool {
    fn idle(&self) -> MutexGuard<'_, Vec<Option<Worker>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hired {
    /// Has the worker open a video. One that dies of that is replaced once, if what was read can be read `again`: it may have been about to
    /// die without work, which is no fault of this video.
    ///
    /// # Errors
    /// As [`Hired::ask`]; [`MediaError::Ffmpeg`] when no worker can be started.
    pub fn open(&mut self, name: &str, ask: &Ask, file: &OwnedFd, again: bool) -> Result<Answer, MediaError> {
        match self.open_once(name, ask, file) {
            Err(MediaError::Crashed { .. }) if again && !self.was_slow => self.open_once(name, ask, file),
            answer => answer,
        }
    }

    fn open_once(&mut self, name: &str, ask: &Ask, file: &OwnedFd) -> Result<Answer, MediaError> {
        self.revive().map_err(|error| MediaError::Ffmpeg {
            name: name.to_string(),
            detail: format!("a process to decode in cannot be started: {error}"),
        })?;
        self.ask(name, ask, Some(file)).map(|(answer, _)| answer)
    }

    /// Asks the worker and waits for its answer. A worker that has none is ended, and replaced before the next video.
    ///
    /// # Errors
    /// What went wrong with the video there; [`MediaError::Crashed`] when the worker died, or took too long.
    pub fn ask(
        &mut self,
        name: &str,
        ask: &Ask,
        file: Option<&OwnedFd>,
    ) -> Result<(Answer, Option<OwnedFd>), MediaError> {
        let crashed = |how: String| MediaError::Crashed { name: name.to_string(), how };
        let patience = self.pool.options.patience;
        let worker = self.worker.as_ref().ok_or_else(|| crashed("its process has ended".into()))?;
        let answer = send(&worker.socket, ask, file).and_then(|()| receive::<Answer>(&worker.socket, Some(patience)));
        let how = match answer {
            Ok(Some((answer, memory))) => return Ok((answer, memory)),
            Ok(None) => None,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                self.was_slow = true;
                Some(format!("decoding until the next frame took longer than {} s", patience.as_secs_f64()))
            }
            // The other end is closed: there is nobody to write to.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => None,
            Err(error) => Some(format!("its process cannot be understood: {error}")),
        };
        let status = self.bury();
        let by_itself = || status.map_or_else(|| "its process has ended".into(), |status| describe(&status));
        Err(crashed(how.unwrap_or_else(by_itself)))
    }

    /// Starts a worker where there is none that lives.
    fn revive(&mut self) -> io::Result<()> {
        if self.worker.as_mut().is_some_and(|worker| !matches!(worker.process.try_wait(), Ok(None))) {
            self.bury();
        }
        if self.worker.is_none() {
            self.worker = Some(Worker::start(&self.pool.options)?);
        }
        Ok(())
    }

    /// Ends a worker that answers what it was not asked, which nobody can trust any more.
    pub fn dismiss(&mut self, name: &str, answer: &Answer) -> MediaError {
        self.bury();
        MediaError::Crashed { name: name.to_string(), how: format!("its process answered {answer:?}") }
    }

    /// Ends the worker, which is of no more use, and says how it ended if it did so by itself.
    fn bury(&mut self) -> Option<ExitStatus> {
        self.pool.deaths.fetch_add(1, Ordering::Relaxed);
        self.worker.take().and_then(Worker::end)
    }
}

impl Drop for Hired {
    fn drop(&mut self) {
        self.pool.idle().push(self.worker.take());
        self.pool.returned.notify_one();
    }
}

impl Worker {
    fn start(options: &WorkerOptions) -> io::Result<Self> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let arguments: [OsString; 2] = [WORKER_FLAG.into(), options.memory_mib.to_string().into()];
        let libraries = std::env::var_os("LD_LIBRARY_PATH").map(|path| ("LD_LIBRARY_PATH", path));
        let process = Command::new(&options.program)
            .args(arguments)
            // Nothing that is secret here is there.
            .env_clear()
            .envs(libraries)
            .stdin(theirs)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { process, socket: ours })
    }

    /// Ends it, and tells how it ended by itself, if it did.
    fn end(mut self) -> Option<ExitStatus> {
        drop(self.socket);
        // One that has closed its socket is about to end; one that is at work is not.
        for _ in 0..20 {
            if let Ok(Some(status)) = self.process.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
        None
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for worker in self.idle().drain(..).flatten() {
            worker.end();
        }
    }
}

fn describe(status: &ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match status.signal() {
        Some(signal) => format!("its process was ended by signal {signal}"),
        None => format!("its process has ended ({status})"),
    }
}

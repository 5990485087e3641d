//! The worker: a process that decodes one video after another for who started it.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::exit;
use std::sync::Arc;
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};

use super::confine::confine;
use super::pictures::Written;
use super::wire::{Answer, Ask, State, receive, send};
use crate::decode::{DecodeOptions, Decoder};
use crate::error::MediaError;
use crate::source::{Source, start_ffmpeg};

/// The first argument of a program that is to be a worker.
pub const WORKER_FLAG: &str = "--unscene-decoding-worker";

/// Decodes for who started this process, if it was started for that, and does not return then. To be called first in `main`:
/// before there are threads, or anything else that a worker should not have.
pub fn run_if_worker() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().as_deref() != Some(OsStr::new(WORKER_FLAG)) {
        return;
    }
    let memory_mib = arguments.next().and_then(|text| text.to_str()?.parse::<u64>().ok());
    let Some(memory_mib) = memory_mib else {
        eprintln!("{WORKER_FLAG} is for the program itself");
        exit(2)
    };
    match work(memory_mib << 20) {
        Ok(()) => exit(0),
        Err(error) => {
            eprintln!("a decoding worker stops: {error}");
            exit(1)
        }
    }
}

/// Answers until the other side has gone.
fn work(memory_bytes: u64) -> io::Result<()> {
    // Each arena reserves 64 MiB of address space, of which there is only so much.
    #[cfg(target_env = "gnu")]
    // SAFETY: there are no other threads yet.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
    start_ffmpeg();
    confine(memory_bytes)?;
    // Standard input is the socket.
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    let watched = socket.try_clone()?;
    // Decoding may be endless: it must not outlive who waits for it.
    thread::Builder::new().stack_size(64 << 10).spawn(move || end_with(&watched))?;
    let mut video = None;
    while let Some((ask, file)) = receive::<Ask>(&socket, None)? {
        let (answer, memory) = answer(ask, file, &mut video);
        send(&socket, &answer, memory.as_ref())?;
    }
    Ok(())
}

/// Ends this process when the other side has gone.
fn end_with(socket: &OwnedFd) {
    loop {
        let mut polled = [PollFd::new(socket, PollFlags::empty())];
        let is_over = match poll(&mut polled, None) {
            Ok(_) => polled[0].revents().intersects(PollFlags::HUP | PollFlags::ERR),
            Err(error) => error != rustix::io::Errno::INTR,
        };
        if is_over {
            exit(0);
        }
    }
}

/// A video that is open, and the pictures of it that are lent.
type Open = (Decoder, Written);

fn answer(ask: Ask, file: Option<OwnedFd>, video: &mut Option<Open>) -> (Answer, Option<OwnedFd>) {
    let result = match (ask, video.as_mut()) {
        (Ask::Close, _) => {
            *video = None;
            Ok((Answer::Closed, None))
        }
        (Ask::Open { name, threads, limits }, _) => {
            let file = file.map(|file| Arc::new(file.into()));
            let source = file.map(|file| Source::File { name: name.clone(), file });
            let options = DecodeOptions { threads, limits, ..DecodeOptions::default() };
            // The last one first: its memory may be what this one needs.
            *video = None;
            let opened = source.ok_or_else(|| failed(&name, "no file came along"));
            opened.and_then(|source| Decoder::open(&source, &options)).map(|decoder| {
                let answer = Answer::Opened { info: decoder.info().clone(), tolerance_s: decoder.tolerance_s() };
                *video = Some((decoder, Written::default()));
                (answer, None)
            })
        }
        (_, None) => Err(failed("?", "no video is open")),
        (Ask::Advance, Some((decoder, _))) => {
            decoder.advance().map(|time| (Answer::At { time, state: state(decoder) }, None))
        }
        (Ask::Seek { time_s }, Some((decoder, _))) => {
            decoder.seek(time_s).map(|()| (Answer::Sought { state: state(decoder) }, None))
        }
        (Ask::Show { given_back }, Some((decoder, pictures))) => {
            pictures.take_back(&given_back);
            let written = pictures.write(decoder.current());
            let lacking = |error: io::Error| MediaError::OutOfMemory {
                name: decoder.name().to_string(),
                detail: error.to_string(),
            };
            let written = written.map_err(lacking);
            written.map(|(number, picture, memory)| (Answer::Shown { number, picture }, memory))
        }
    };
    result.unwrap_or_else(|error| {
        let state = video.as_ref().map(|(decoder, _)| state(decoder));
        (Answer::Failed { error, state }, None)
    })
}

fn state(decoder: &Decoder) -> State {
    State { errors: decoder.errors(), is_steady: decoder.is_steady() }
}

fn failed(name: &str, detail: &str) -> MediaError {
    MediaError::Ffmpeg { name: name.to_string(), detail: detail.to_string() }
}

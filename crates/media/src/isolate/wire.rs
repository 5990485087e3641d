//! What a program and its decoding worker say to each other: JSON, a packet each, some with a file beside.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::decode::FrameTime;
use crate::error::MediaError;
use crate::probe::{Limits, VideoInfo};

/// Longest packet, in bytes.
const PACKET: usize = 64 << 10;

/// A question to a worker.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Ask {
    /// Open the video whose file comes along, in place of the one that is open.
    Open { name: String, threads: usize, limits: Limits },
    /// Move on to the next frame.
    Advance,
    /// Go to a moment.
    Seek { time_s: f64 },
    /// Put the current frame into shared memory; pictures with these numbers are not needed any more.
    Show { given_back: Vec<u32> },
    /// Let go of the video.
    Close,
}

/// A worker's answer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    Opened {
        info: VideoInfo,
        tolerance_s: f64,
    },
    /// The frame moved to, or the end.
    At {
        time: Option<FrameTime>,
        state: State,
    },
    Sought {
        state: State,
    },
    /// The current frame. Memory that was not there before comes along as a file.
    Shown {
        number: u32,
        picture: Picture,
    },
    Closed,
    Failed {
        error: MediaError,
        state: Option<State>,
    },
}

/// What a decoder knows of the frames so far.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct State {
    /// Damaged packets.
    pub errors: u64,
    /// Whether every frame had a timestamp after the one before.
    pub is_steady: bool,
}

/// How a picture lies in memory: as FFmpeg lays out these planes one after the other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Picture {
    /// FFmpeg's name of the pixel format.
    pub format: String,
    pub width: u32,
    pub height: u32,
    /// FFmpeg's names of the matrix and the range.
    pub space: Option<String>,
    pub range: Option<String>,
}

/// Sends a packet, with a file or without.
pub(super) fn send(socket: impl AsFd, message: &impl Serialize, file: Option<&OwnedFd>) -> io::Result<()> {
    let data = serde_json::to_vec(message)?;
    let files: Vec<_> = file.iter().map(|file| file.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&files)) {
        return Err(io::Error::other("a file does not fit beside a packet"));
    }
    sendmsg(socket, &[IoSlice::new(&data)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Waits for a packet, at most so long. `None` when the other side has gone.
pub(super) fn receive<T: DeserializeOwned>(
    socket: impl AsFd,
    patience: Option<Duration>,
) -> io::Result<Option<(T, Option<OwnedFd>)>> {
    wait(&socket, patience)?;
    let mut data = vec![0; PACKET];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(socket, &mut [IoSliceMut::new(&mut data)], &mut control, RecvFlags::CMSG_CLOEXEC);
    let received = match received {
        Err(rustix::io::Errno::CONNRESET) => return Ok(None),
        other => other?,
    };
    if received.bytes == 0 {
        return Ok(None);
    }
    let files = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(files) => Some(files),
        _ => None,
    });
    let file = files.flatten().next();
    Ok(Some((serde_json::from_slice(&data[..received.bytes])?, file)))
}

/// Waits until there is something to read.
fn wait(socket: &impl AsFd, patience: Option<Duration>) -> io::Result<()> {
    let deadline = patience.map(|patience| Instant::now() + patience);
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let left = left.map(|left| Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) });
        match poll(&mut [PollFd::new(socket, PollFlags::IN)], left.as_ref()) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

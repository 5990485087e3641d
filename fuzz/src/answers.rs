//! What a program makes of the answers of a decoding worker that a hostile file has taken over.
//!
//! The worker here is given the bytes as a video, and answers with them: packet after packet, each after a line `=== `; after one that
//! begins with `memory`, a line, it sends memory too.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::process::exit;
use std::sync::LazyLock;
use std::time::Duration;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use unscene_media::{DecodeOptions, DecodeWorkers, Frames, SeekFrames, Source, WORKER_FLAG, WorkerOptions};

/// As a worker's memory it tells the one that lies from others.
const LIAR: u64 = 1;
/// Bytes of the memory that it sends.
const MEMORY: u64 = 64 << 10;

static WORKERS: LazyLock<DecodeWorkers> = LazyLock::new(|| {
    let program = std::env::current_exe().expect("this program has a path");
    let options = WorkerOptions { program, workers: 1, memory_mib: LIAR, patience: Duration::from_secs(120) };
    DecodeWorkers::start(options).expect("this program is a worker, too")
});

/// Answers to who opens a video, looks at a few frames, goes somewhere and looks again.
pub fn worker_answers(data: &[u8]) {
    let source = Source::Bytes { name: "any".into(), data: data.to_vec().into() };
    let Ok(mut frames) = WORKERS.open(&source, &DecodeOptions::default()) else { return };
    let (width, height) = frames.frame_size();
    if u64::from(width) * u64::from(height) > 1 << 20 {
        return;
    }
    let mut rgb = vec![0; width as usize * height as usize * 3];
    for step in 0..8 {
        let _ = if step == 4 { frames.seek(1.0).map(|()| None) } else { frames.advance() };
        let _ = frames.write_current(&mut rgb);
    }
}

/// Lies to who started this process, if it was started for that.
pub fn run_if_liar() {
    let arguments: Vec<String> = std::env::args().skip(1).take(2).collect();
    if arguments == [WORKER_FLAG, &LIAR.to_string()] {
        exit(if lie().is_ok() { 0 } else { 1 });
    }
}

fn lie() -> io::Result<()> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    let mut packets = vec![];
    loop {
        let Some((ask, file)) = hear(&socket)? else { return Ok(()) };
        if let Some(file) = file {
            let mut data = vec![];
            File::from(file).read_to_end(&mut data)?;
            packets = split(&data);
            packets.reverse();
        }
        // It is true to this, so that it is asked again.
        let packet = if ask == br#""Close""# { br#""Closed""#.to_vec() } else { packets.pop().unwrap_or_default() };
        match packet.strip_prefix(b"memory\n") {
            Some(packet) => say(&socket, packet, Some(memory()?))?,
            None => say(&socket, &packet, None)?,
        }
    }
}

fn split(data: &[u8]) -> Vec<Vec<u8>> {
    let (mut packets, mut rest) = (vec![], data);
    while let Some(end) = rest.windows(5).position(|bytes| bytes == b"\n=== ") {
        packets.push(rest[..end].to_vec());
        rest = &rest[end + 5..];
    }
    packets.push(rest.to_vec());
    packets
}

fn hear(socket: &OwnedFd) -> io::Result<Option<(Vec<u8>, Option<OwnedFd>)>> {
    let mut data = vec![0; 64 << 10];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(socket, &mut [IoSliceMut::new(&mut data)], &mut control, RecvFlags::empty())?;
    let files = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(files) => Some(files),
        _ => None,
    });
    let file = files.flatten().next();
    data.truncate(received.bytes);
    Ok((!data.is_empty()).then_some((data, file)))
}

/// An empty packet would be an end.
fn say(socket: &OwnedFd, packet: &[u8], file: Option<OwnedFd>) -> io::Result<()> {
    let packet = if packet.is_empty() { b" " } else { &packet[..packet.len().min(60 << 10)] };
    let files: Vec<_> = file.iter().map(|file| file.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&files)) {
        return Err(io::Error::other("no room for a file"));
    }
    sendmsg(socket, &[IoSlice::new(packet)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Memory as a worker has it.
fn memory() -> io::Result<OwnedFd> {
    let file = memfd_create("picture", MemfdFlags::ALLOW_SEALING)?;
    ftruncate(&file, MEMORY)?;
    fcntl_add_seals(&file, SealFlags::SHRINK)?;
    Ok(file)
}

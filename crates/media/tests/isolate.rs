//! Videos decoded in processes of their own: the same frames, and what crashes there is one video. This test is its own worker, and
//! therefore has a `main` of its own.

mod common;

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use common::{fixture, open};
use libtest_mimic::{Arguments, Trial, run};
use rustix::process::{Pid, Signal, kill_process};
use unscene_media::{
    DecodeOptions, DecodeWorkers, Decoder, FrameTime, Frames, Limits, MediaError, SeekFrames, SharedDecoder, Source,
    View, WorkerOptions, run_if_worker,
};

fn main() {
    run_if_worker();
    // Before anything else here has to do with FFmpeg.
    drop(workers(1));
    assert_eq!(ffmpeg_next::log::get_level(), Ok(ffmpeg_next::log::Level::Quiet), "uploads could write to the log");
    let tests: [(&str, fn()); 10] = [
        ("frames_are_bit_for_bit_those_of_this_process", frames_are_bit_for_bit_those_of_this_process),
        ("going_to_a_moment_is_the_same", going_to_a_moment_is_the_same),
        ("readers_share_a_worker", readers_share_a_worker),
        ("what_is_wrong_with_a_video_is_told_in_the_same_words", what_is_wrong_with_a_video_is_told_in_the_same_words),
        ("a_worker_that_dies_costs_its_video_and_is_replaced", a_worker_that_dies_costs_its_video_and_is_replaced),
        ("a_worker_that_hangs_is_ended", a_worker_that_hangs_is_ended),
        ("a_worker_has_only_so_much_memory", a_worker_has_only_so_much_memory),
        ("a_worker_is_confined", a_worker_is_confined),
        ("a_video_waits_for_a_worker", a_video_waits_for_a_worker),
        ("workers_end_with_who_started_them", workers_end_with_who_started_them),
    ];
    let trials = tests.map(|(name, test)| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    });
    run(&Arguments::from_args(), trials.into()).exit();
}

fn workers(count: usize) -> DecodeWorkers {
    with(count, 1024, Duration::from_secs(60))
}

fn with(workers: usize, memory_mib: u64, patience: Duration) -> DecodeWorkers {
    let program: PathBuf = std::env::current_exe().unwrap();
    DecodeWorkers::start(WorkerOptions { program, workers, memory_mib, patience }).unwrap()
}

/// Every frame and its time.
fn read(frames: &mut impl Frames) -> Vec<(FrameTime, Vec<u8>)> {
    let mut all = vec![];
    while let Some(time) = frames.advance().unwrap() {
        let mut rgb = vec![0; frames.frame_bytes()];
        frames.write_current(&mut rgb).unwrap();
        all.push((time, rgb));
    }
    all
}

const FILES: [&str; 12] = [
    "h264.mp4",
    "hevc.ts",
    "vp9.webm",
    "av1.mkv",
    "mpeg4.avi",
    "mjpeg.avi",
    "rotate90.mp4",
    "vfr.mkv",
    "bt601.mp4",
    "full.mp4",
    "odd.webm",
    "lost_at_the_end.mp4",
];

fn frames_are_bit_for_bit_those_of_this_process() {
    let workers = workers(1);
    for file in FILES {
        for view in [View::Full, View::CenterCrop { short_side: 32, width: 24, height: 24 }] {
            let mut own = open(&fixture(file), view, 1).unwrap();
            let options = DecodeOptions { view, threads: 1, ..DecodeOptions::default() };
            // As a path, as an open file, and from memory.
            let Source::Path(path) = fixture(file) else { panic!() };
            let name = path.display().to_string();
            let data = fs::read(&path).unwrap().into();
            let opened = fs::File::open(&path).unwrap().into();
            let sources =
                [fixture(file), Source::File { name: name.clone(), file: opened }, Source::Bytes { name, data }];
            let expected = read(&mut own);
            for source in sources {
                let mut there = workers.open(&source, &options).unwrap();
                assert_eq!(there.info(), own.info(), "{file}");
                assert_eq!(there.tolerance_s(), Frames::tolerance_s(&own), "{file}");
                assert!(read(&mut there) == expected, "{file} {view:?}");
                assert_eq!(there.errors(), own.errors(), "{file}");
                assert_eq!(there.is_steady(), SeekFrames::is_steady(&own), "{file}");
            }
        }
    }
    assert_eq!(workers.deaths(), 0);
}

fn going_to_a_moment_is_the_same() {
    let workers = workers(1);
    for file in ["h264.mp4", "hevc.mkv", "vfr.mp4"] {
        let mut own = open(&fixture(file), View::Full, 1).unwrap();
        let mut there = workers.open(&fixture(file), &DecodeOptions::default()).unwrap();
        for time_s in [0.9, 0.1, 1.3, 0.0] {
            SeekFrames::seek(&mut own, time_s).unwrap();
            there.seek(time_s).unwrap();
            assert!(read(&mut own) == read(&mut there), "{file} {time_s}");
        }
    }
}

fn readers_share_a_worker() {
    let workers = workers(1);
    let views = [View::Full, View::Resize { width: 20, height: 30 }];
    let mut shared = SharedDecoder::new(workers.open(&fixture("h264.mp4"), &DecodeOptions::default()).unwrap());
    let found: Vec<_> = thread::scope(|scope| {
        let readers = views.map(|view| {
            let mut frames = shared.reader().unwrap();
            frames.set_view(view).unwrap();
            scope.spawn(move || read(&mut frames))
        });
        shared.run().unwrap();
        readers.map(|reader| reader.join().unwrap()).into()
    });
    for (view, found) in views.into_iter().zip(found) {
        assert!(found == read(&mut open(&fixture("h264.mp4"), view, 1).unwrap()), "{view:?}");
    }
}

fn what_is_wrong_with_a_video_is_told_in_the_same_words() {
    let workers = workers(1);
    let limits = Limits { max_frames: 5, ..Limits::default() };
    let small = Limits { max_pixels: 100, ..Limits::default() };
    for (file, limits) in [
        ("picture.png", Limits::default()),
        ("audio.mp4", Limits::default()),
        ("huge.mp4", Limits::default()),
        ("h264.mp4", limits),
        ("h264.mp4", small),
        ("nowhere.mp4", Limits::default()),
    ] {
        let options = DecodeOptions { threads: 1, limits, ..DecodeOptions::default() };
        let until_it_fails = |opened: Result<Box<dyn Frames>, MediaError>| {
            let mut frames = match opened {
                Ok(frames) => frames,
                Err(error) => return error.to_string(),
            };
            loop {
                match frames.advance() {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("{file} is without fault"),
                    Err(error) => return error.to_string(),
                }
            }
        };
        let own = until_it_fails(Decoder::open(&fixture(file), &options).map(|own| Box::new(own) as _));
        let there = until_it_fails(workers.open(&fixture(file), &options).map(|there| Box::new(there) as _));
        assert_eq!(own, there);
    }
    assert_eq!(workers.deaths(), 0, "an error is no crash");
}

fn end(process: u32, signal: Signal) {
    kill_process(Pid::from_raw(process as i32).unwrap(), signal).unwrap();
}

fn a_worker_that_dies_costs_its_video_and_is_replaced() {
    let workers = workers(2);
    let mut video = workers.open(&fixture("h264.mp4"), &DecodeOptions::default()).unwrap();
    let mut other = workers.open(&fixture("h264.mp4"), &DecodeOptions::default()).unwrap();
    drop((video, other));
    let processes = workers.idle_processes();
    assert_eq!(processes.len(), 2, "the second was started when it was needed");
    other = workers.open(&fixture("h264.mp4"), &DecodeOptions::default()).unwrap();
    video = workers.open(&fixture("h264.mp4"), &DecodeOptions::default()).unwrap();
    video.advance().unwrap();
    let busy = processes[0];
    end(busy, Signal::KILL);
    // One of the two has died, and the other goes on to its end.
    let (mut died, mut whole) = (0, 0);
    for frames in [&mut video, &mut other] {
        loop {
            match frames.advance() {
                Ok(Some(_)) => {}
                Ok(None) => {
                    whole += 1;
                    break;
                }
                Err(error) => {
                    assert!(matches!(error, MediaError::Crashed { .. }), "{error}");
                    assert!(error.to_string().contains("its process was ended by signal 9"), "{error}");
                    // It stays so.
                    assert!(frames.advance().is_err());
                    died += 1;
                    break;
                }
            }
        }
    }
    assert_eq!((died, whole), (1, 1));
    drop((video, other));
    // One that dies without work is no video's fault.
    workers.idle_processes().into_iter().for_each(|process| end(process, Signal::KILL));
    for _ in 0..2 {
        let videos = [(); 2].map(|()| workers.open(&fixture("h264.mp4"), &DecodeOptions::default()).unwrap());
        videos.into_iter().for_each(|mut video| assert_eq!(read(&mut video).len(), 40));
    }
    assert_eq!(workers.deaths(), 2);
}

fn a_worker_that_hangs_is_ended() {
    let workers = with(1, 1024, Duration::from_secs(3));
    let process = workers.idle_processes()[0];
    let mut video = workers.open(&fixture("h264.mp4"), &DecodeOptions::default()).unwrap();
    end(process, Signal::STOP);
    let error = loop {
        if let Err(error) = video.advance() {
            break error;
        }
    };
    assert!(error.to_string().contains("took longer than 3 s"), "{error}");
    drop(video);
    assert!(!PathBuf::from(format!("/proc/{process}/fd/0")).exists(), "it is gone");
    assert_eq!(read(&mut workers.open(&fixture("h264.mp4"), &DecodeOptions::default()).unwrap()).len(), 40);
}

fn a_worker_has_only_so_much_memory() {
    // Enough to start and to answer, and not for a decoder with its pictures.
    let workers = with(1, 12, Duration::from_secs(60));
    let refused = workers.open(&fixture("h264.mp4"), &DecodeOptions::default()).and_then(|mut video| {
        while video.advance()?.is_some() {
            let mut rgb = vec![0; video.frame_bytes()];
            video.write_current(&mut rgb)?;
        }
        Ok(())
    });
    let error = refused.expect_err("12 MiB are not enough for that");
    assert!(matches!(error, MediaError::OutOfMemory { .. } | MediaError::Crashed { .. }), "{error}");
}

fn a_worker_is_confined() {
    let workers = workers(1);
    let process = workers.idle_processes()[0];
    // It has started when it has answered.
    workers.probe(&fixture("h264.mp4"), &Limits::default()).unwrap();
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    for line in ["NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(status.contains(line), "{status}");
    }
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
    let limit = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        line[name.len()..].split_whitespace().next().unwrap().to_owned()
    };
    assert_eq!((limit("Max core file size"), limit("Max open files")), ("0".into(), "128".into()));
    let memory: u64 = limit("Max address space").parse().unwrap();
    assert!(memory > 1 << 30, "{memory}");
    let environment = fs::read_to_string(format!("/proc/{process}/environ")).unwrap();
    assert!(environment.split('\0').all(|one| one.is_empty() || one.starts_with("LD_LIBRARY_PATH")), "{environment}");
}

fn a_video_waits_for_a_worker() {
    let workers = workers(1);
    let first = workers.open(&fixture("h264.mp4"), &DecodeOptions::default()).unwrap();
    thread::scope(|scope| {
        let second = scope.spawn(|| workers.probe(&fixture("h264.mp4"), &Limits::default()).unwrap());
        thread::sleep(Duration::from_millis(50));
        assert!(!second.is_finished());
        drop(first);
        second.join().unwrap();
    });
}

fn workers_end_with_who_started_them() {
    let workers = workers(2);
    drop([(); 2].map(|()| workers.open(&fixture("h264.mp4"), &DecodeOptions::default()).unwrap()));
    let processes = workers.idle_processes();
    assert_eq!(processes.len(), 2);
    drop(workers);
    let deadline = Instant::now() + Duration::from_secs(60);
    for process in processes {
        while PathBuf::from(format!("/proc/{process}")).exists() {
            assert!(Instant::now() < deadline, "{process} is there still");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

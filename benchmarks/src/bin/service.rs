//! Clips per second of the running service with several clients at once, against a bare loop over ready tensors; and
//! the seconds from its start until it is ready.
//!
//! ```text
//! service SERVER BUNDLE VIDEO [--clients N] [--requests N] [--rounds N]
//! ```
//!
//! `SERVER` is the built `unscene-serve`. Rounds alternate with the bare loop's; the median over rounds of the ratio is
//! reported.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;
use unscene_benchmarks::{Bare, median, serve_bare};
use unscene_engine::EngineChoice;

/// Times the service under load, and how long it takes to start.
#[derive(Parser)]
struct Arguments {
    /// The built `unscene-serve`.
    server: PathBuf,
    /// A bundle.
    bundle: PathBuf,
    /// The video that every request posts.
    video: PathBuf,
    /// Requests at the same time.
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// Requests of each round.
    #[arg(long, default_value_t = 16)]
    requests: usize,
    /// Rounds of each.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Runs only the bare loop.
    #[arg(long, hide = true)]
    bare: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if arguments.bare {
        return serve_bare(&arguments.bundle, EngineChoice::Ort, 0, &[1]);
    }
    let mut ready_s = Vec::new();
    for _ in 0..arguments.rounds {
        ready_s.push(Server::start(&arguments.server, &arguments.bundle)?.ready_s);
    }
    let server = Server::start(&arguments.server, &arguments.bundle)?;
    let video = std::fs::read(&arguments.video).with_context(|| arguments.video.display().to_string())?;
    let mut bare = Bare::start(std::env::args_os().skip(1).chain(["--bare".into()]))?;
    let (mut rates, mut bare_rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    // One round is for warming up.
    for round in 0..=arguments.rounds {
        let (clips, seconds) = load(&server.url, &video, arguments.clients, arguments.requests)?;
        let bare_seconds = bare.run(clips)?;
        if round > 0 {
            rates.push(clips as f64 / seconds);
            bare_rates.push(clips as f64 / bare_seconds);
            ratios.push(bare_seconds / seconds);
        }
    }
    let report = serde_json::json!({
        "clients": arguments.clients,
        "clips_per_s": median(&mut rates),
        "bare_clips_per_s": median(&mut bare_rates),
        "ratio": median(&mut ratios),
        "ready_s": median(&mut ready_s),
    });
    println!("{report}");
    Ok(())
}

/// Posts the video until `requests` are answered; gives the clips classified and the seconds it took.
fn load(url: &str, video: &[u8], clients: usize, requests: usize) -> Result<(usize, f64)> {
    let started = AtomicUsize::new(0);
    let start = Instant::now();
    let client = || -> Result<usize> {
        let agent = ureq::Agent::new_with_defaults();
        let mut clips = 0;
        while started.fetch_add(1, Ordering::Relaxed) < requests {
            let mut answer = agent.post(url).content_type("application/octet-stream").send(video)?;
            let answer: serde_json::Value = serde_json::from_str(&answer.body_mut().read_to_string()?)?;
            clips += answer["video"]["clips"].as_u64().context("an answer without video.clips")? as usize;
        }
        Ok(clips)
    };
    let clips = thread::scope(|scope| {
        let workers: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
        workers.into_iter().map(|worker| worker.join().expect("a client does not panic")).sum::<Result<usize>>()
    })?;
    Ok((clips, start.elapsed().as_secs_f64()))
}

/// A running service; killed when dropped.
struct Server {
    child: Child,
    url: String,
    /// Seconds from starting the process until `/readyz` answered 200.
    ready_s: f64,
}

impl Server {
    fn start(program: &Path, bundle: &Path) -> Result<Self> {
        let start = Instant::now();
        let mut command = Command::new(program);
        command.arg("--bundle").arg(bundle).args(["--addr", "127.0.0.1:0", "--engine", "ort", "--device", "cpu"]);
        let mut child = command.stderr(Stdio::piped()).spawn().with_context(|| program.display().to_string())?;
        let mut log = BufReader::new(child.stderr.take().context("no standard error")?).lines();
        let mut server = Server { child, url: String::new(), ready_s: 0.0 };
        let address = loop {
            let Some(line) = log.next() else { bail!("the service ended before it was ready") };
            if let Some((_, address)) = line?.split_once("listening on ") {
                break address.split_whitespace().next().unwrap_or_default().to_string();
            }
        };
        // Its log must be read, or the service would wait for a full pipe.
        thread::spawn(move || log.for_each(drop));
        while let Err(error) = ureq::get(format!("{address}/readyz")).call() {
            if start.elapsed() > Duration::from_secs(60) {
                bail!("the service at {address} is not ready after a minute: {error}");
            }
            thread::sleep(Duration::from_millis(1));
        }
        server.ready_s = start.elapsed().as_secs_f64();
        server.url = format!("{address}/v1/classify");
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! `unscene experiment`: pretraining variants, seeds and transfer targets from one file to tables and a page.

mod page;
mod plan;
mod results;
mod spec;
mod work;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::interrupt;
use results::Results;
use spec::Spec;

/// Arguments of `unscene experiment`.
#[derive(Args)]
#[command(after_help = "\
The file names variants of pretraining, seeds, and datasets to transfer to; experiments/stage.toml explains every setting. For each variant and seed: unscene pretrain; for each of these and each dataset: unscene finetune classify and unscene eval classify; for each dataset: unscene bias. All of it lies in --work, and what is there is not done again: Ctrl-C makes snapshots and stops, and the same command goes on. With several GPUs each has a process of its own.
--out gets tables.md and tables.csv (means, standard deviations, seeds), results.csv (every run), results.json, figure4.svg and index.html, which has them all.

Examples:
  unscene experiment experiments/stage.toml --work work/stage --jobs 2
  unscene experiment experiments/paper.toml --work /data/paper --dry-run
  unscene experiment experiments/stage.toml --work work/stage --tables-only --out results")]
pub struct ExperimentArgs {
    /// What to do
    #[arg(value_name = "FILE.toml")]
    file: PathBuf,
    /// Folder of runs and caches; relative paths of the file's data start here
    #[arg(long, value_name = "DIR")]
    work: PathBuf,
    /// Folder of tables and the page [default: WORK/results]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Processes at once on the CPU, which share the cores; GPUs have one each
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    /// Devices, one process each, such as cuda:0,cuda:1 or cpu [default: every GPU, or the CPU]
    #[arg(long, value_name = "DEVICES", value_delimiter = ',')]
    devices: Vec<String>,
    /// Print the commands that are still to be run, and end
    #[arg(long)]
    dry_run: bool,
    /// Make the tables of what is there
    #[arg(long, conflicts_with = "dry_run")]
    tables_only: bool,
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
}

/// Does what is missing, then writes the tables.
pub fn run(args: ExperimentArgs) -> Result<()> {
    let (spec, text) = Spec::read(&args.file)?;
    std::fs::create_dir_all(&args.work).with_context(|| format!("cannot make {}", args.work.display()))?;
    let work = std::path::absolute(&args.work).with_context(|| args.work.display().to_string())?;
    let chains = plan::chains(&spec, &args.file)?;
    if args.dry_run {
        let mut out = std::io::stdout().lock();
        for unit in chains.iter().flatten().filter(|unit| !unit.is_done(&work)) {
            writeln!(out, "unscene {}", plan::shown(&unit.args))?;
        }
        return Ok(());
    }
    let mut failed = Ok(());
    if !args.tables_only {
        interrupt::listen()?;
        let devices = devices(&args)?;
        failed = work::run(chains, &work, &devices, args.json);
        if failed.as_ref().is_err_and(|error| error.is::<crate::failure::Interrupted>()) {
            return failed;
        }
    }
    let results = Results::read(&spec, &work, made(&args, &work))?;
    if results.scores.is_empty() {
        failed?;
        bail!("{}: nothing is measured yet; leave out --tables-only", work.display());
    }
    let out = args.out.unwrap_or_else(|| work.join("results"));
    results.write(&spec, &text, &out)?;
    let mut stdout = std::io::stdout().lock();
    match args.json {
        true => writeln!(stdout, "{:#}", results.json(&spec))?,
        false => {
            writeln!(stdout, "{}", results.markdown(&spec))?;
            writeln!(stdout, "wrote {}: open index.html in it", out.display())?;
        }
    }
    failed
}

/// How the results came about: the command, the date, the time that all steps took, and the machine.
fn made(args: &ExperimentArgs, work: &Path) -> String {
    let file = args.file.display();
    let command = match (args.tables_only, args.jobs) {
        (true, _) => format!("unscene experiment {file} --tables-only"),
        (false, 1) => format!("unscene experiment {file}"),
        (false, jobs) => format!("unscene experiment {file} --jobs {jobs}"),
    };
    // "Wed, 25 Nov 2026 04:17:00 GMT"
    let now = httpdate::fmt_http_date(SystemTime::now());
    let date = now.get(5..16).unwrap_or(&now);
    let version = env!("CARGO_PKG_VERSION");
    let minutes = work::seconds(work) / 60.0;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cpu = cpu.map_or("an unknown processor", |(_, name)| name);
    format!(
        "Made by `{command}` (unscene {version}) on {date}; its steps took {minutes:.0} minutes in all; {cores} cores of {cpu}."
    )
}

/// One device for each process.
fn devices(args: &ExperimentArgs) -> Result<Vec<String>> {
    let gpus = unscene_train::cuda_devices();
    let mut devices = args.devices.clone();
    if devices.is_empty() && gpus > 0 {
        devices = (0..gpus).map(|number| format!("cuda:{number}")).collect();
    }
    for device in &devices {
        if let Some(number) = device.strip_prefix("cuda:") {
            let is_there = number.parse::<usize>().is_ok_and(|number| number < gpus);
            if !is_there {
                bail!("--devices {device}: libtorch finds {gpus} GPUs, the first is cuda:0");
            }
        } else if device != "cpu" {
            bail!("--devices {device}: expected cpu, or cuda:0 and so on");
        }
    }
    if devices.iter().all(|device| device == "cpu") {
        devices = vec!["cpu".into(); usize::from(args.jobs).max(devices.len())];
    }
    Ok(devices)
}

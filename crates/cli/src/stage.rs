//! `unscene stage`: makes the benchmark that needs no download.

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::json;
use unscene_stage::{Control, Plan, Preset, Report, Settings, crowded, untrimmed};

use crate::interrupt;

/// Arguments of `unscene stage`.
#[derive(Args)]
#[command(after_help = "\
In training, each of 10 actions has a scene of its own, in which the share of --bias of its videos happens. The test sets break that habit:
  iid      as biased as training, in other views of the scenes
  swapped  never in the action's own scene
  unseen   in 4 scenes that training does not show
A model that looks at the scene is right on iid and wrong on swapped.

With --untrimmed, one person does several things in each video, with idle time between. The video happens in one scene, whose own action each of them is with the probability --bias; the parts are train, val, test (as iid) and swapped. Annotations are written as THUMOS14 has them (annotations_thumos/) and as ActivityNet has them (activitynet.json).

With --crowded, one to three people are in each video. Some of them do one thing for some of the time, which is the scene's own with the probability --bias; the others only stand there. The parts are those of --untrimmed. actors.json has the label and the boxes of each actor, frame by frame; boxes.csv has the boxes of everybody.

Examples:
  unscene stage --out stage --preset demo
  unscene stage --out unbiased --preset demo --bias 0.1     # chance: one of ten scenes
  unscene stage --out small --preset demo --train 300 --seed 7
  unscene stage --out untrimmed --untrimmed --preset demo   # to find actions in time
  unscene stage --out crowded --crowded --preset demo       # to find actors in frames")]
pub struct StageArgs {
    /// Folder to make
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Instead make long videos of several actions with idle time between, for temporal localization
    #[arg(long, conflicts_with_all = ["empty", "crowded"])]
    untrimmed: bool,
    /// Instead make videos of one to three people, some of whom act for some of the time, with a box in every frame, for
    /// detection
    #[arg(long, conflicts_with = "empty")]
    crowded: bool,
    /// tiny (for tests), demo (learned in minutes on two cores) or full (9,500 videos of 192 x 144)
    #[arg(long, default_value_t = Preset::Demo)]
    preset: Preset,
    /// The same seed gives the same pixels
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Share of an action's training videos that happen in its own scene [default: 0.9]
    #[arg(long, value_name = "SHARE")]
    bias: Option<f64>,
    /// Training videos [default: the preset's]
    #[arg(long, value_name = "N")]
    train: Option<usize>,
    /// Validation videos [default: the preset's]
    #[arg(long, value_name = "N")]
    val: Option<usize>,
    /// Videos of each of the test sets: iid, swapped and unseen, or test and swapped [default: the preset's]
    #[arg(long, value_name = "N")]
    test: Option<usize>,
    /// Also make every video without its person, in DIR/empty: the true background for `[confusion] fill`, and a test of what
    /// the scene alone gives away
    #[arg(long)]
    empty: bool,
    /// Print what was made as JSON
    #[arg(long)]
    json: bool,
}

impl StageArgs {
    fn settings(&self) -> Settings {
        let mut settings = self.preset.settings();
        settings.seed = self.seed;
        settings.empty = self.empty;
        settings.bias = self.bias.unwrap_or(settings.bias);
        let [train, val, iid, swapped, unseen] = settings.videos;
        let test = |preset| self.test.unwrap_or(preset);
        settings.videos =
            [self.train.unwrap_or(train), self.val.unwrap_or(val), test(iid), test(swapped), test(unseen)];
        settings
    }

    fn untrimmed(&self) -> untrimmed::Settings {
        let mut settings = self.preset.untrimmed();
        settings.seed = self.seed;
        settings.bias = self.bias.unwrap_or(settings.bias);
        settings.untrimmed_videos = self.parts(settings.untrimmed_videos);
        settings
    }

    fn crowded(&self) -> crowded::Settings {
        let mut settings = self.preset.crowded();
        settings.seed = self.seed;
        settings.bias = self.bias.unwrap_or(settings.bias);
        settings.crowded_videos = self.parts(settings.crowded_videos);
        settings
    }

    /// Videos of `train`, `val`, `test` and `swapped`.
    fn parts(&self, [train, val, test, swapped]: [usize; 4]) -> [usize; 4] {
        let tests = |preset| self.test.unwrap_or(preset);
        [self.train.unwrap_or(train), self.val.unwrap_or(val), tests(test), tests(swapped)]
    }
}

/// Shows how far the work is, and stops it on Ctrl-C.
fn rendering<T, E>(videos: usize, write: impl FnOnce(&Control<'_>) -> Result<T, E>) -> Result<T, E> {
    let bar = ProgressBar::new(videos as u64);
    bar.set_style(
        ProgressStyle::with_template("rendering {wide_bar} {pos}/{len} videos, {per_sec:0}, {eta} left")
            .expect("a valid template"),
    );
    let made = write(&|done: usize| {
        bar.set_position(done as u64);
        interrupt::control()
    });
    bar.finish_and_clear();
    made
}

/// Renders on all cores; stopped and called again, it goes on.
pub fn run(args: StageArgs) -> Result<()> {
    match (args.untrimmed, args.crowded) {
        (true, _) => run_untrimmed(&args),
        (_, true) => run_crowded(&args),
        _ => run_trimmed(&args),
    }
}

fn run_trimmed(args: &StageArgs) -> Result<()> {
    let start = Instant::now();
    let plan = Plan::new(args.settings())?;
    interrupt::listen()?;
    let made = rendering(plan.videos.len(), |control| unscene_stage::write(&plan, &args.out, control))?;
    let Report { splits, frames, pictures, kept } = &made;
    let splits = splits.iter().filter(|split| split.videos > 0).map(|split| {
        let own = split.in_own_scene * 100.0;
        format!("{:<8} {:>5} videos, {own:>5.1} % in the action's own scene", split.split.name(), split.videos)
    });
    let mut lines: Vec<String> = splits.collect();
    lines.push(format!("pictures {pictures:>5} empty scenes with labels"));
    if plan.settings.empty {
        lines.push(format!("empty    {:>5} videos without people, with the same lists", plan.videos.len()));
    }
    print(args, &plan.settings, &made, [plan.videos.len(), *frames, *kept], &lines, start)
}

fn run_untrimmed(args: &StageArgs) -> Result<()> {
    let start = Instant::now();
    let plan = untrimmed::Plan::new(args.untrimmed())?;
    interrupt::listen()?;
    let made = rendering(plan.videos.len(), |control| untrimmed::write(&plan, &args.out, control))?;
    let untrimmed::Report { parts, frames, kept } = &made;
    let parts = parts.iter().filter(|part| part.videos > 0).map(|part| {
        let untrimmed::PartReport { videos, seconds, actions, ambiguous, in_own_scene, .. } = part;
        format!(
            "{:<8} {videos:>4} videos, {:>5.1} min, {actions:>5} actions, {:>5.1} % in a scene of their own; {ambiguous} ambiguous",
            part.part.name(),
            seconds / 60.0,
            in_own_scene * 100.0,
        )
    });
    let lines: Vec<String> = parts.collect();
    print(args, &plan.settings, &made, [plan.videos.len(), *frames, *kept], &lines, start)
}

fn run_crowded(args: &StageArgs) -> Result<()> {
    let start = Instant::now();
    let plan = crowded::Plan::new(args.crowded())?;
    interrupt::listen()?;
    let made = rendering(plan.videos.len(), |control| crowded::write(&plan, &args.out, control))?;
    let untrimmed::Report { parts, frames, kept } = &made;
    let parts = parts.iter().filter(|part| part.videos > 0).map(|part| {
        let crowded::PartReport { videos, actors, idle, boxes, in_own_scene, .. } = part;
        let own = in_own_scene * 100.0;
        format!(
            "{:<8} {videos:>4} videos, {actors:>5} actors, {boxes:>6} boxes, {own:>5.1} % in a scene of their own; {idle} people are idle",
            part.part.name()
        )
    });
    let lines: Vec<String> = parts.collect();
    print(args, &plan.settings, &made, [plan.videos.len(), *frames, *kept], &lines, start)
}

/// Says what was made: all of it as JSON, or a line for each part.
fn print(
    args: &StageArgs,
    settings: &impl Serialize,
    made: &impl Serialize,
    [videos, frames, kept]: [usize; 3],
    lines: &[String],
    start: Instant,
) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let dir = args.out.display();
    if args.json {
        writeln!(out, "{:#}", json!({"stage": dir.to_string(), "settings": settings, "made": made}))?;
        return Ok(());
    }
    writeln!(out, "wrote {dir}: {videos} videos, {frames} frames, in {}", HumanDuration(start.elapsed()))?;
    if kept > 0 {
        writeln!(out, "  {kept} videos were there already")?;
    }
    for line in lines {
        writeln!(out, "  {line}")?;
    }
    writeln!(out, "look at {dir}/contact_sheet.png")?;
    Ok(())
}

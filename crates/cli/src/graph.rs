//! `unscene graph`: a model as a table.

use std::io::Write;

use anyhow::Result;
#[cfg(feature = "train")]
use anyhow::bail;
use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use unscene_graph::{Graph, format_shape};
use unscene_models::classifier::{Arch, ClassifierConfig};

#[cfg(feature = "train")]
use unscene_models::rc3d::Rc3dConfig;
#[cfg(feature = "train")]
use unscene_models::vgg_ssd::SsdConfig;

/// The choices that make a model; shared by every command that starts a model.
#[derive(Args)]
pub struct ModelArgs {
    /// Architecture: r3d10, r3d18 or r3d34, with -hara (shortcut A, as the paper's release), -hara-b or -torchvision; or
    /// vgg16-ssd or vgg16bn-ssd (with BatchNorm), for single frames
    #[arg(long)]
    arch: Arch,
    /// Multiplies the number of channels; 0.25 trains on a laptop
    #[arg(long, default_value_t = 1.0)]
    width: f64,
    /// Frames in a clip [default: 16, 768 for a localizer, 1 for vgg16-ssd]
    #[arg(long)]
    frames: Option<usize>,
    /// Height and width of a clip in pixels [default: 112, or 300 for vgg16-ssd]
    #[arg(long)]
    size: Option<usize>,
}

impl ModelArgs {
    /// The classifier of this many classes.
    pub fn config(&self, classes: usize) -> ClassifierConfig {
        let Self { arch, width, frames, size } = *self;
        let (usual_frames, usual_size) = arch.frames_and_size();
        let (frames, size) = (frames.unwrap_or(usual_frames), size.unwrap_or(usual_size));
        ClassifierConfig { arch, width, frames, size, classes }
    }

    /// The localizer of this many classes.
    #[cfg(feature = "train")]
    pub fn localizer(&self, classes: usize) -> Result<Rc3dConfig> {
        let Self { arch, width, frames, size } = *self;
        let Arch::R3d(arch) = arch else {
            bail!("--arch {arch} looks at single frames; a localizer needs a 3D-ResNet")
        };
        let defaults = Rc3dConfig::new(arch, classes);
        let (frames, size) = (frames.unwrap_or(defaults.frames), size.unwrap_or(defaults.size));
        Ok(Rc3dConfig { width, frames, size, ..defaults })
    }

    /// The detector of this many classes.
    #[cfg(feature = "train")]
    pub fn detector(&self, classes: usize) -> Result<SsdConfig> {
        let Self { arch, width, frames, size } = *self;
        let Arch::Vgg16Ssd { batch_norm } = arch else {
            bail!("--arch {arch} looks at clips; a detector needs vgg16-ssd or vgg16bn-ssd")
        };
        if let Some(frames) = frames.filter(|frames| *frames != 1) {
            bail!("--frames {frames}: a detector looks at single frames; leave it out");
        }
        let defaults = SsdConfig::new(classes);
        Ok(SsdConfig { width, size: size.unwrap_or(defaults.size), batch_norm, ..defaults })
    }
}

/// Arguments of `unscene graph`.
#[derive(Args)]
pub struct GraphArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Number of classes
    #[arg(long, default_value_t = 400)]
    classes: usize,
    /// Print the whole graph as JSON instead: nodes, shapes, parameter names and initialisation
    #[arg(long)]
    json: bool,
}

/// Prints the graph.
pub fn run(args: GraphArgs) -> Result<()> {
    let graph = args.model.config(args.classes).graph()?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&graph)?)?;
    } else {
        let (parameters, work) = (graph.trainable_params() as u64, graph.total_multiply_adds());
        writeln!(out, "{}", table(&graph))?;
        writeln!(out, "{} parameters, {} multiply-adds per clip", in_millions(parameters), in_millions(work))?;
    }
    Ok(())
}

fn table(graph: &Graph) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["node", "op", "shape", "parameters", "multiply-adds"]);
    for node in &graph.nodes {
        let parameters: usize = node.params.iter().map(|&param| graph.params[param].numel()).sum();
        let number = |count: u64| if count == 0 { String::new() } else { count.to_string() };
        table.add_row([
            node.name.clone(),
            node.op.label(),
            format_shape(&node.shape),
            number(parameters as u64),
            number(graph.multiply_adds(node)),
        ]);
    }
    for column in [3, 4] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// `33.4 M (33371472)`.
fn in_millions(count: u64) -> String {
    format!("{:.1} M ({count})", count as f64 / 1e6)
}

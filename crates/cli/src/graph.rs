//! `unscene graph`: a model as a table.

use std::io::Write;

use anyhow::Result;
use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use unscene_graph::{Graph, format_shape};
use unscene_models::r3d::{R3dArch, R3dConfig};
#[cfg(feature = "train")]
use unscene_models::rc3d::Rc3dConfig;

/// The choices that make a 3D-ResNet; shared by every command that starts a model.
#[derive(Args)]
pub struct ModelArgs {
    /// Architecture: r3d10, r3d18 or r3d34, with -hara (shortcut A, as the paper's release), -hara-b or -torchvision
    #[arg(long)]
    arch: R3dArch,
    /// Multiplies the number of channels; 0.25 trains on a laptop
    #[arg(long, default_value_t = 1.0)]
    width: f64,
    /// Frames in a clip [default: 16, or 768 for a localizer]
    #[arg(long)]
    frames: Option<usize>,
    /// Height and width of a clip in pixels
    #[arg(long, default_value_t = 112)]
    size: usize,
}

impl ModelArgs {
    /// The classifier of this many classes.
    pub fn config(&self, classes: usize) -> R3dConfig {
        let Self { arch, width, frames, size } = *self;
        R3dConfig { arch, width, frames: frames.unwrap_or(16), size, classes }
    }

    /// The localizer of this many classes.
    #[cfg(feature = "train")]
    pub fn localizer(&self, classes: usize) -> Rc3dConfig {
        let Self { arch, width, frames, size } = *self;
        let defaults = Rc3dConfig::new(arch, classes);
        Rc3dConfig { width, frames: frames.unwrap_or(defaults.frames), size, ..defaults }
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

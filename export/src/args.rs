use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use unscene_models::manifest::Precision;

use crate::{ExportError, ExportOptions, Exported, abandon, export, write_triton};

/// Export a run as a bundle: manifest.json and an ONNX model (two for a localizer), checked by running it.
#[derive(Debug, Clone, clap::Args)]
pub struct ExportArgs {
    /// Write ONNX; the only format, and the default
    #[arg(long)]
    pub onnx: bool,
    /// The run folder, made by `unscene init`, `unscene import` or training
    #[arg(long, value_name = "RUN", requires = "out", required_unless_present = "bundle")]
    pub run: Option<PathBuf>,
    /// The bundle to write, a folder that is new or empty
    #[arg(long, value_name = "BUNDLE", requires = "run")]
    pub out: Option<PathBuf>,
    /// Also write the graphs into this model repository of NVIDIA's Triton Inference Server: a model by the bundle's name, of a
    /// localizer two
    #[arg(long, value_name = "REPOSITORY")]
    pub triton: Option<PathBuf>,
    /// With --triton, instead of --run and --out: a bundle that is there
    #[arg(long, value_name = "BUNDLE", requires = "triton", conflicts_with_all = ["run", "out", "fp16", "features", "maps"])]
    pub bundle: Option<PathBuf>,
    /// Half-precision weights and arithmetic; inputs and outputs stay float32
    #[arg(long)]
    pub fp16: bool,
    /// Also give the pooled features, which `unscene eval scene` looks at; of a classifier
    #[arg(long)]
    pub features: bool,
    /// Also give what class activation maps are made of, for `unscene explain` and the service's ?explain=cam
    #[arg(long)]
    pub maps: bool,
    /// Replace the bundle if there is one
    #[arg(long)]
    pub force: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// A signal asked for the end.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Runs the command and prints what was written. Ctrl-C or SIGTERM leaves nothing behind.
///
/// # Errors
/// As [`export`].
pub fn run(args: &ExportArgs) -> Result<(), ExportError> {
    ctrlc::set_handler(|| {
        INTERRUPTED.store(true, Ordering::Release);
        let why = if abandon() { "error: interrupted: what was half written is gone" } else { "error: interrupted" };
        let _ = writeln!(std::io::stderr(), "{why}");
        std::process::exit(130);
    })
    .map_err(|error| ExportError::Signal(error.to_string()))?;
    let precision = if args.fp16 { Precision::Fp16 } else { Precision::Fp32 };
    let options = ExportOptions { precision, features: args.features, maps: args.maps, force: args.force };
    let done = write(args, &options);
    while done.is_err() && INTERRUPTED.load(Ordering::Acquire) {
        // Its files are gone because the program is about to end.
        std::thread::park();
    }
    let (done, models) = done?;
    let text = match args.json {
        true => format!("{:#}", json(done.as_ref(), &models)),
        false => {
            let models = models.iter().map(|model| format!("wrote {}: for Triton", model.display()));
            done.iter().map(describe).chain(models).collect::<Vec<_>>().join("\n")
        }
    };
    // The bundle is written; a reader that has gone away changes nothing.
    let _ = writeln!(std::io::stdout(), "{text}");
    Ok(())
}

/// Writes the bundle, if there is a run to make it of, and Triton's models, if they are asked for.
fn write(args: &ExportArgs, options: &ExportOptions) -> Result<(Option<Exported>, Vec<PathBuf>), ExportError> {
    let run = args.run.as_ref().zip(args.out.as_ref());
    let done = run.map(|(run, out)| export(run, out, options)).transpose()?;
    let bundle = args.bundle.as_ref().or(args.out.as_ref());
    let models = match (bundle, &args.triton) {
        (Some(bundle), Some(repository)) => write_triton(bundle, repository, options.force)?,
        _ => vec![],
    };
    Ok((done, models))
}

/// What was written. The models for Triton are there when they were asked for.
fn json(done: Option<&Exported>, models: &[PathBuf]) -> serde_json::Value {
    let mut all = done.map_or_else(|| serde_json::json!({}), |done| serde_json::json!(done));
    if !models.is_empty() {
        all["triton"] = serde_json::json!(models);
    }
    all
}

/// What a command ends with: 0, or 2 for input that cannot be used and 1 for everything else, with one line on stderr.
pub fn exit_code(result: &Result<(), ExportError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::from(if error.is_bad_input() { 2 } else { 1 })
        }
    }
}

fn describe(done: &Exported) -> String {
    let mut text = format!(
        "wrote {}: {} nodes, {:.1} MB, {}",
        done.bundle.display(),
        done.nodes,
        done.bytes as f64 / 1e6,
        if done.precision == Precision::Fp16 { "half precision" } else { "single precision" }
    );
    for (engine, difference) in &done.parity {
        text += &format!("\n  {engine}: largest difference from libtorch {difference:.1e} of the largest value");
    }
    if !done.parity.contains_key("ort-cpu") {
        text += "\n  ort-cpu: not checked, ONNX Runtime was not found";
    }
    text
}

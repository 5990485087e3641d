//! The `unscene` command: one subcommand per file.

mod annotate;
mod bias;
#[cfg(feature = "train")]
mod config;
mod data;
mod eval;
#[cfg(feature = "train")]
mod experiment;
mod explain;
mod failure;
mod files;
#[cfg(feature = "train")]
mod finetune;
mod graph;
mod interrupt;
mod plot;
mod predict;
#[cfg(feature = "train")]
mod pretrain;
mod report;
mod stage;
mod subject;
mod tables;
#[cfg(feature = "train")]
mod training;
#[cfg(feature = "train")]
mod weights;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Action recognition that looks at the actor instead of the scene.
///
/// A model starts as a run folder (`init`, `import`), becomes an ONNX bundle (`export`), and is then used on videos
/// (`predict`) or served over HTTP (`serve`).
///
/// Exit codes: 0 done, 1 something failed while working, 2 bad input (a message on one line says what to do), 130
/// interrupted.
#[derive(Parser)]
#[command(name = "unscene", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Prints a model as a table: every operation, its shape, parameters and multiply-adds
    Graph(graph::GraphArgs),
    /// Makes a run folder with random weights
    #[cfg(feature = "train")]
    Init(weights::InitArgs),
    /// Makes a run folder from a PyTorch or safetensors checkpoint
    #[cfg(feature = "train")]
    Import(weights::ImportArgs),
    /// Trains a model that looks at the actor instead of the scene
    #[cfg(feature = "train")]
    Pretrain(pretrain::PretrainArgs),
    /// Trains what a run has learned on another dataset
    #[cfg(feature = "train")]
    Finetune(finetune::FinetuneArgs),
    /// Measures a run or a bundle: actions, in time and in frames, scenes, clips without people
    Eval(eval::EvalArgs),
    /// Measures how much of a dataset's actions the scene gives away, and whether debiasing pays where it is little
    Bias(bias::BiasArgs),
    /// Runs pretraining variants, seeds and transfer targets from one file, to tables and a page
    #[cfg(feature = "train")]
    Experiment(experiment::ExperimentArgs),
    /// Shows where models look: class activation maps over videos, and how much of them lies on people
    Explain(explain::ExplainArgs),
    /// Puts trainings and what was measured of them side by side, as a page
    Report(report::ReportArgs),
    /// Turns a run folder into an ONNX bundle and checks it in every engine
    Export(unscene_export::ExportArgs),
    /// Says what a bundle, or a service, sees in videos: actions, segments of them, or actors in frames
    Predict(predict::PredictArgs),
    /// Renders a benchmark of people acting in front of scenes, with exact truth
    Stage(stage::StageArgs),
    /// Checks a dataset
    Data(data::DataArgs),
    /// Finds the scenes and the people of a dataset with ONNX models
    Annotate(annotate::AnnotateArgs),
    /// Serves bundles over HTTP
    Serve(Box<unscene_serve::ServeOptions>),
}

fn main() -> ExitCode {
    unscene_serve::run_if_worker();
    let result = match Cli::parse().command {
        Command::Graph(args) => graph::run(args),
        #[cfg(feature = "train")]
        Command::Init(args) => weights::init(args),
        #[cfg(feature = "train")]
        Command::Import(args) => weights::import(args),
        #[cfg(feature = "train")]
        Command::Pretrain(args) => pretrain::run(args),
        #[cfg(feature = "train")]
        Command::Finetune(args) => finetune::run(args),
        Command::Eval(args) => eval::run(args),
        Command::Bias(args) => bias::run(args),
        #[cfg(feature = "train")]
        Command::Experiment(args) => experiment::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Report(args) => report::run(args),
        Command::Export(args) => unscene_export::run(&args).map_err(Into::into),
        Command::Predict(args) => predict::run(args),
        Command::Stage(args) => stage::run(args),
        Command::Data(args) => data::run(args),
        Command::Annotate(args) => annotate::run(args),
        Command::Serve(options) => {
            // The last traces are sent when it is dropped, at the end.
            let started = unscene_serve::init_tracing(&options);
            started.and_then(|_telemetry| unscene_serve::run(*options)).map_err(Into::into)
        }
    };
    failure::exit_code(result)
}

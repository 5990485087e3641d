//! Seconds per alternating iteration of pretraining, on clips that are ready: an ordinary batch against an adversary, then a
//! masked batch. For every line on standard input it does some and prints what they took.

use std::io::BufRead;
use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use tch::{Device, Kind, Tensor};
use unscene_models::classifier::ClassifierConfig;
use unscene_models::heads::AdversaryConfig;
use unscene_train::method::{Adversary, Batch, masked_step, ordinary_step};
use unscene_train::{Mode, Net, Precision, Sgd, SgdConfig, open_device};

#[derive(Parser)]
struct Args {
    #[arg(long, default_value = "r3d18-hara")]
    arch: String,
    #[arg(long, default_value_t = 1.0)]
    width: f64,
    #[arg(long, default_value_t = 16)]
    frames: usize,
    #[arg(long, default_value_t = 112)]
    size: usize,
    #[arg(long, default_value_t = 8)]
    batch: i64,
    #[arg(long, default_value_t = 1)]
    iterations: usize,
    /// Number of a GPU; the CPU when not given
    #[arg(long)]
    cuda: Option<usize>,
    /// Convolutions in bfloat16
    #[arg(long)]
    bfloat16: bool,
}

const CLASSES: usize = 200;
const SCENES: i64 = 365;

fn main() -> Result<()> {
    let args = Args::parse();
    let device = args.cuda.map_or(Device::Cpu, Device::Cuda);
    open_device(device)?;
    let precision = if args.bfloat16 { Precision::Bfloat16 } else { Precision::Float32 };
    let config = ClassifierConfig {
        width: args.width,
        frames: args.frames,
        size: args.size,
        ..ClassifierConfig::new(args.arch.parse()?, CLASSES)
    };
    let graph = config.graph_with(&["features"])?;
    let features = graph.outputs.last().map_or(0, |(_, node)| graph.node(*node).shape[0]);
    let model = Net::init(graph, 0).to_device(device)?.computing(precision);
    let net = Net::init(AdversaryConfig::new(features, SCENES as usize).graph()?, 1).to_device(device)?;
    let adversaries = [Adversary { net, lambda: 0.5, steps: 1 }];
    let mut sgd = Sgd::new(SgdConfig::default());

    let (frames, size) = (args.frames as i64, args.size as i64);
    let clips = || Tensor::randn([args.batch, 3, frames, size, size], (Kind::Float, device)) * 50.0;
    let masked = [clips()];
    let labels = Tensor::arange(args.batch, (Kind::Int64, device)).remainder(CLASSES as i64);
    let scenes = Tensor::randn([args.batch, SCENES], (Kind::Float, device)).softmax(1, Kind::Float);
    let batches = [Batch { clips: clips(), labels, attributes: vec![scenes] }];
    for line in std::io::stdin().lock().lines() {
        line?;
        let start = Instant::now();
        let mut loss = 0.0;
        for _ in 0..args.iterations {
            loss = ordinary_step(&model, &adversaries, &mut sgd, &batches)?.action;
            // Reading the entropy waits for the device.
            masked_step(&model, &mut sgd, &masked, 1.0, Mode::Train)?;
        }
        if let Some(index) = args.cuda {
            tch::Cuda::synchronize(index as i64);
        }
        let seconds = start.elapsed().as_secs_f64() / args.iterations as f64;
        println!("{}", serde_json::json!({"seconds": seconds, "loss": loss}));
    }
    Ok(())
}

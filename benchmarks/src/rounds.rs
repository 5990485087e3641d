//! An engine and its bare loop in turns.

use anyhow::Result;
use serde_json::{Value, json};

use crate::{Bare, median};

/// What rounds of an engine and of the bare loop took, so that whatever else the machine does meets both.
pub struct Rounds {
    seconds: Vec<f64>,
    bare_s: Vec<f64>,
    ratios: Vec<f64>,
}

impl Rounds {
    /// Runs both in turns: `engine` gives its seconds, the bare loop works on as many `clips`. The bare loop is warmed up before.
    ///
    /// # Errors
    /// Those of either.
    pub fn run(rounds: usize, clips: usize, bare: &mut Bare, mut engine: impl FnMut() -> Result<f64>) -> Result<Self> {
        bare.run(clips.min(2))?;
        let mut taken = Rounds { seconds: vec![], bare_s: vec![], ratios: vec![] };
        for _ in 0..rounds {
            let (engine_s, bare_s) = (engine()?, bare.run(clips)?);
            taken.seconds.push(engine_s);
            taken.bare_s.push(bare_s);
            taken.ratios.push(bare_s / engine_s);
        }
        Ok(taken)
    }

    /// Adds to a report the medians of the seconds and of their ratio, and as `limit` the ratio of an engine that loses nothing but the CPU
    /// seconds of decoding to the cores that the model runs on.
    ///
    /// # Errors
    /// When the system does not tell its cores.
    pub fn tell(mut self, decode_cpu_s: f64, report: &mut Value) -> Result<()> {
        let bare_s = median(&mut self.bare_s);
        let bare_core_s = bare_s * std::thread::available_parallelism()?.get() as f64;
        report["seconds"] = json!(median(&mut self.seconds));
        report["bare_s"] = json!(bare_s);
        report["ratio"] = json!(median(&mut self.ratios));
        report["limit"] = json!(bare_core_s / (bare_core_s + decode_cpu_s));
        Ok(())
    }
}

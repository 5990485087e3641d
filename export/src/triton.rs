//! A bundle's graphs in a model repository of NVIDIA's Triton Inference Server, for those who run that: a folder for each graph
//! with its description and version 1.
//!
//! <https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/model_repository.html>

use std::fs;
use std::path::{Path, PathBuf};

use unscene_engine::Bundle;
use unscene_models::manifest::{Dim, GraphFile, Manifest, Task, TensorInfo};

use crate::ExportError;
use crate::bundle::{Partial, check_place, read, write};

/// The description of a model.
const CONFIG_FILE: &str = "config.pbtxt";
/// Names of the classes, a line each.
const LABELS_FILE: &str = "labels.txt";
/// Values in a batch of a first graph at most: 64 clips of 16 x 112 x 112.
const MAX_BATCH_VALUES: usize = 64 * 3 * 16 * 112 * 112;
/// How long a batch with room waits for others, in microseconds: far less than a batch takes.
const MAX_QUEUE_DELAY_US: u32 = 1000;

/// Writes the graphs of a bundle into a model repository, and says where. Each appears complete, or not at all.
///
/// # Errors
/// When the bundle cannot be read, or a model of such a name is there already and is not to be replaced.
pub fn write_triton(bundle: &Path, repository: &Path, force: bool) -> Result<Vec<PathBuf>, ExportError> {
    // Whose files are those that its manifest says.
    let opened = Bundle::open(bundle)?;
    let (manifest, of) = (&opened.manifest, opened.name());
    let models: Vec<(String, &GraphFile)> =
        manifest.graphs.iter().enumerate().map(|(at, graph)| (manifest.graph_name(&of, at), graph)).collect();
    // All places before the first is written.
    for (name, _) in &models {
        check_place(&repository.join(name), force, CONFIG_FILE)?;
    }
    let mut written = vec![];
    for (at, (name, graph)) in models.into_iter().enumerate() {
        let place = repository.join(&name);
        let partial = Partial::create(&place)?;
        let version = partial.0.join("1");
        fs::create_dir_all(&version).map_err(|source| ExportError::Write { path: version.clone(), source })?;
        write(&version.join("model.onnx"), &read(&bundle.join(&graph.file))?)?;
        let labelled = manifest.task == Task::Classify;
        if labelled {
            write(&partial.0.join(LABELS_FILE), (manifest.labels.join("\n") + "\n").as_bytes())?;
        }
        write(&partial.0.join(CONFIG_FILE), config(&name, graph, max_batch(manifest, at), labelled).as_bytes())?;
        partial.publish(&place)?;
        written.push(place);
    }
    Ok(written)
}

/// Rows in a batch at most. The head of a localizer takes all proposals of a video's window at once.
fn max_batch(manifest: &Manifest, graph: usize) -> usize {
    let rows = (MAX_BATCH_VALUES / manifest.input.len().max(1)).clamp(1, 64);
    let proposals = manifest.localize.as_ref().map_or(1, |localize| localize.rule.proposals.max(1));
    if graph == 0 { rows } else { rows * proposals }
}

/// A model's description, in the text form of Triton's `ModelConfig`.
fn config(name: &str, graph: &GraphFile, max_batch: usize, labelled: bool) -> String {
    let tensors = |tensors: &[TensorInfo], labels_of: Option<&str>| {
        let entry = |tensor: &TensorInfo| {
            let sides = tensor
                .shape
                .iter()
                .filter_map(|side| if let Dim::Fixed(side) = side { Some(side.to_string()) } else { None });
            let dims = sides.collect::<Vec<_>>().join(", ");
            let labels = match labels_of {
                Some(output) if output == tensor.name => format!(", label_filename: {}", quoted(LABELS_FILE)),
                _ => String::new(),
            };
            format!("  {{ name: {}, data_type: TYPE_FP32, dims: [ {dims} ]{labels} }}", quoted(&tensor.name))
        };
        tensors.iter().map(entry).collect::<Vec<_>>().join(",\n")
    };
    // The first output of a classifier is its logits.
    let labels_of = graph.outputs.first().filter(|_| labelled).map(|logits| logits.name.as_str());
    format!(
        "name: {}\nplatform: \"onnxruntime_onnx\"\nmax_batch_size: {max_batch}\ninput [\n{}\n]\noutput [\n{}\n]\n\
         dynamic_batching {{ max_queue_delay_microseconds: {MAX_QUEUE_DELAY_US} }}\n",
        quoted(name),
        tensors(&graph.inputs, None),
        tensors(&graph.outputs, labels_of)
    )
}

/// A string of the protobuf text format.
fn quoted(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'"' | b'\\' => format!("\\{}", byte as char),
        b' '..=b'~' => (byte as char).to_string(),
        _ => format!("\\{byte:03o}"),
    };
    format!("\"{}\"", text.bytes().map(escape).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn names_are_quoted() {
        assert_eq!(quoted("r3d18.head"), "\"r3d18.head\"");
        assert_eq!(quoted("a\"b\\c\u{e9}"), "\"a\\\"b\\\\c\\303\\251\"");
    }
}

//! What the exporter writes and refuses, on models small enough to read.

use std::path::Path;

use safetensors::tensor::{Dtype, TensorView, serialize};
use tract_onnx::pb;
use unscene_export::{ExportError, ExportOptions, Weights, export, fold_batch_norm, relative_difference, write_onnx};
use unscene_graph::{ConvOptions, Graph, GraphBuilder, ParamInit, ParamRole};
use unscene_models::classifier::ClassifierConfig;
use unscene_models::manifest::Precision;

fn tiny(arch: &str) -> Graph {
    let config =
        ClassifierConfig { width: 0.03, frames: 4, size: 16, ..ClassifierConfig::new(arch.parse().unwrap(), 2) };
    config.graph().unwrap()
}

/// Weights with a value in every place, as a safetensors file; `change` edits the list of (name, shape) first.
fn file(graph: &Graph, change: impl FnOnce(&mut Vec<(String, Vec<usize>)>)) -> Vec<u8> {
    let mut specs: Vec<_> = graph.params.iter().map(|param| (param.name.clone(), param.shape.clone())).collect();
    change(&mut specs);
    let data: Vec<Vec<u8>> = specs
        .iter()
        .map(|(_, shape)| (0..shape.iter().product()).flat_map(|i| (1.0 + (i % 3) as f32).to_le_bytes()).collect())
        .collect();
    let views = specs
        .iter()
        .zip(&data)
        .map(|((name, shape), data)| (name.clone(), TensorView::new(Dtype::F32, shape.clone(), data).unwrap()));
    serialize(views, None).unwrap()
}

fn write(arch: &str, precision: Precision) -> pb::ModelProto {
    let graph = tiny(arch);
    let mut weights = Weights::read(&file(&graph, |_| ()), &graph, Path::new("weights.safetensors")).unwrap();
    let folded = fold_batch_norm(graph, &mut weights);
    write_onnx(&folded, &weights, precision)
}

/// A model as text: one line for each input, initializer, node and output.
fn text(model: &pb::ModelProto) -> String {
    use pb::tensor_shape_proto::dimension::Value;
    let graph = model.graph.as_ref().unwrap();
    let info = |info: &pb::ValueInfoProto| {
        let Some(pb::type_proto::Value::TensorType(tensor)) = &info.r#type.as_ref().unwrap().value else { panic!() };
        let dims = tensor.shape.as_ref().unwrap().dim.iter().map(|dim| match &dim.value {
            Some(Value::DimParam(name)) => name.clone(),
            Some(Value::DimValue(size)) => size.to_string(),
            None => "?".into(),
        });
        format!("{}: {} {}", info.name, tensor.elem_type, dims.collect::<Vec<_>>().join("x"))
    };
    let mut lines = vec![format!("ir {} opset {}", model.ir_version, model.opset_import[0].version)];
    lines.extend(graph.input.iter().map(|input| format!("input {}", info(input))));
    let tensors = graph.initializer.iter();
    lines.extend(tensors.map(|tensor| {
        format!("init {}: {} {:?}, {} bytes", tensor.name, tensor.data_type, tensor.dims, tensor.raw_data.len())
    }));
    for node in &graph.node {
        let attributes = node.attribute.iter().map(|a| match a.ints.is_empty() {
            true => format!(" {}={}{}", a.name, a.i, String::from_utf8_lossy(&a.s)),
            false => format!(" {}={:?}", a.name, a.ints),
        });
        let attributes: String = attributes.collect();
        lines.push(format!("{}: {}({}){attributes}", node.name, node.op_type, node.input.join(", ")));
        lines.extend(graph.value_info.iter().filter(|i| i.name == node.output[0]).map(|i| format!("    {}", info(i))));
    }
    lines.extend(graph.output.iter().map(|output| format!("output {}", info(output))));
    lines.join("\n")
}

#[test]
fn a_tiny_model_is_written_like_this() {
    insta::assert_snapshot!(text(&write("r3d10-hara", Precision::Fp32)));
}

#[test]
fn half_precision_casts_at_both_ends() {
    let model = write("r3d10-torchvision", Precision::Fp16);
    let nodes = &model.graph.as_ref().unwrap().node;
    let casts: Vec<_> =
        nodes.iter().filter(|node| node.op_type == "Cast").map(|node| node.output[0].as_str()).collect();
    assert_eq!(casts, ["clip.half", "logits"]);
    let initializers = &model.graph.as_ref().unwrap().initializer;
    assert!(initializers.iter().all(|tensor| tensor.data_type == pb::tensor_proto::DataType::Float16 as i32));
}

#[test]
fn folding_is_the_affine_map_of_the_statistics() {
    let graph = tiny("r3d10-hara-b");
    let mut weights = Weights::read(&file(&graph, |_| ()), &graph, Path::new("w")).unwrap();
    let before = weights.clone();
    let folded = fold_batch_norm(graph, &mut weights);
    // Channel 1: weight, bias, mean and variance are all 2; the convolution has no bias.
    let scale = 2.0 / (2.0f64 + 1e-5).sqrt();
    let per_filter = before.get("conv1.weight").len() / 2;
    let (old, new) = (before.get("conv1.weight"), weights.get("conv1.weight"));
    for index in per_filter..2 * per_filter {
        assert_eq!(new[index], (f64::from(old[index]) * scale) as f32);
    }
    assert_eq!(weights.get("conv1.bias")[1], ((0.0 - 2.0) * scale + 2.0) as f32);
    let text = text(&write_onnx(&folded, &weights, Precision::Fp32));
    assert!(!text.contains("BatchNormalization"), "{text}");
}

/// A convolution whose own result is wanted too must stay as it is; beside it others are folded.
#[test]
fn folding_leaves_what_outputs_need() {
    let mut g = GraphBuilder::new();
    let options = |out_channels: usize| ConvOptions {
        out_channels,
        kernel: [1; 3],
        stride: [1; 3],
        padding: [0; 3],
        dilation: [1; 3],
        bias: false,
        init: ParamInit::KaimingFanOut,
    };
    let clip = g.input("clip", &[3, 2, 4, 4]).unwrap();
    let given = g.conv("given", clip, options(2)).unwrap();
    let after_given = g.batch_norm("after_given", given).unwrap();
    let hidden = g.conv("hidden", clip, options(2)).unwrap();
    let folded = g.batch_norm("folded", hidden).unwrap();
    let graph = g.finish(&[("raw", given), ("normalised", after_given), ("other", folded)]);
    let mut weights = Weights::read(&file(&graph, |_| ()), &graph, Path::new("w")).unwrap();
    let before = weights.clone();
    let graph = fold_batch_norm(graph, &mut weights);
    assert_eq!(weights.get("given.weight"), before.get("given.weight"));
    assert_ne!(weights.get("hidden.weight"), before.get("hidden.weight"));
    let text = text(&write_onnx(&graph, &weights, Precision::Fp32));
    assert_eq!(text.matches("BatchNormalization").count(), 1, "{text}");
    assert!(text.contains("after_given: BatchNormalization(raw,"), "{text}");
    for output in ["output raw: 1 Nx2x2x4x4", "output normalised: 1 Nx2x2x4x4", "output other: 1 Nx2x2x4x4"] {
        assert!(text.contains(output), "{text}");
    }
}

#[test]
fn weights_must_match_name_by_name() {
    let graph = tiny("r3d10-hara");
    assert!(graph.params.iter().any(|param| param.role == ParamRole::RunningStatistic));
    let bytes = file(&graph, |specs| {
        specs.retain(|(name, _)| name != "bn1.running_mean");
        specs.push(("fc.weight_orig".into(), vec![1]));
        specs.iter_mut().find(|(name, _)| name == "fc.bias").unwrap().1 = vec![3];
    });
    let message = Weights::read(&bytes, &graph, Path::new("w.safetensors")).unwrap_err().to_string();
    for part in [
        "w.safetensors",
        "'bn1.running_mean' is missing",
        "'fc.weight_orig' is not part of the model",
        "'fc.bias' is [3], expected [2]",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert!(Weights::read(b"not safetensors", &graph, Path::new("w")).is_err());
}

#[test]
fn places_that_hold_something_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("thesis.tex"), "x").unwrap();
    let run = dir.path().join("run");
    let result = export(&run, dir.path(), &ExportOptions::default());
    assert!(matches!(result, Err(ExportError::Occupied(_))), "{result:?}");
    let result = export(&run, dir.path(), &ExportOptions { force: true, ..Default::default() });
    assert!(matches!(result, Err(ExportError::NotOurs { .. })), "{result:?}");
    let error = export(&run, &dir.path().join("new"), &ExportOptions::default()).unwrap_err();
    assert!(error.is_bad_input() && error.to_string().contains("config.json"), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing was written");
}

#[test]
fn a_difference_that_is_no_number_is_infinite() {
    assert_eq!(relative_difference(&[1.0, 2.5], &[1.0, 2.0]), 0.25);
    assert_eq!(relative_difference(&[0.0], &[0.0]), 0.0);
    assert_eq!(relative_difference(&[f32::NAN, 2.0], &[1.0, 2.0]), f64::INFINITY);
}

//! Constructors of ONNX protobuf messages; nothing here knows a model.

use tract_onnx::pb;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;

/// Name of the free batch dimension.
pub const BATCH: &str = "N";
/// Single precision.
pub const FLOAT: i32 = DataType::Float as i32;
/// Half precision.
pub const FLOAT16: i32 = DataType::Float16 as i32;
/// Integers that say shapes and positions.
pub const INT64: i32 = DataType::Int64 as i32;

/// A model of opset 17, which ONNX Runtime has read since 1.12, and the IR version that came with it.
pub fn model(graph: pb::GraphProto) -> pb::ModelProto {
    pb::ModelProto {
        ir_version: 8,
        opset_import: vec![pb::OperatorSetIdProto { domain: String::new(), version: 17 }],
        producer_name: "unscene".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(graph),
        ..Default::default()
    }
}

/// Adds what readers show about a model.
pub fn describe(model: &mut pb::ModelProto, properties: &[(&str, &str)]) {
    let entry = |&(key, value): &(&str, &str)| pb::StringStringEntryProto { key: key.into(), value: value.into() };
    model.metadata_props = properties.iter().map(entry).collect();
}

/// A node with one result.
pub fn node(
    name: &str,
    op_type: &str,
    input: Vec<String>,
    attribute: Vec<pb::AttributeProto>,
    output: &str,
) -> pb::NodeProto {
    pb::NodeProto {
        name: name.into(),
        op_type: op_type.into(),
        input,
        output: vec![output.into()],
        attribute,
        ..Default::default()
    }
}

/// Type and shape of a tensor inside the graph; `shape` is without the batch, which is unknown and unnamed: an engine that
/// fixes the batch at the input (tract does) would refuse a name here.
pub fn value_info(name: &str, element: i32, shape: &[usize]) -> pb::ValueInfoProto {
    describe_tensor(name, element, shape, None)
}

/// Type and shape of an input or output; `shape` is without the batch, which is named.
pub fn end_info(name: &str, element: i32, shape: &[usize]) -> pb::ValueInfoProto {
    describe_tensor(name, element, shape, Some(BATCH))
}

fn describe_tensor(name: &str, element: i32, shape: &[usize], batch: Option<&str>) -> pb::ValueInfoProto {
    use pb::tensor_shape_proto::{Dimension, dimension::Value};
    let dimension = |value| Dimension { value, ..Default::default() };
    let batch = dimension(batch.map(|name| Value::DimParam(name.into())));
    let sizes = shape.iter().map(|&size| dimension(Some(Value::DimValue(size as i64))));
    let tensor = pb::type_proto::Tensor {
        elem_type: element,
        shape: Some(pb::TensorShapeProto { dim: std::iter::once(batch).chain(sizes).collect() }),
    };
    pb::ValueInfoProto {
        name: name.into(),
        r#type: Some(pb::TypeProto { value: Some(pb::type_proto::Value::TensorType(tensor)), ..Default::default() }),
        ..Default::default()
    }
}

/// A constant; `raw_data` is little-endian.
pub fn tensor(name: &str, data_type: i32, dims: &[i64], raw_data: Vec<u8>) -> pb::TensorProto {
    pb::TensorProto { name: name.into(), data_type, dims: dims.to_vec(), raw_data, ..Default::default() }
}

/// An attribute that is an integer.
pub fn int(name: &str, value: i64) -> pb::AttributeProto {
    pb::AttributeProto { i: value, ..attribute(name, AttributeType::Int) }
}

/// An attribute that is a list of integers.
pub fn ints(name: &str, values: Vec<i64>) -> pb::AttributeProto {
    pb::AttributeProto { ints: values, ..attribute(name, AttributeType::Ints) }
}

/// An attribute that is a number.
pub fn float(name: &str, value: f32) -> pb::AttributeProto {
    pb::AttributeProto { f: value, ..attribute(name, AttributeType::Float) }
}

/// An attribute that is a word.
pub fn text(name: &str, value: &str) -> pb::AttributeProto {
    pb::AttributeProto { s: value.into(), ..attribute(name, AttributeType::String) }
}

fn attribute(name: &str, kind: AttributeType) -> pb::AttributeProto {
    pb::AttributeProto { name: name.into(), r#type: kind as i32, ..Default::default() }
}

/// Sizes as ONNX stores them.
pub fn longs(sizes: &[usize]) -> Vec<i64> {
    sizes.iter().map(|&size| size as i64).collect()
}

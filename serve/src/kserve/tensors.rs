//! Tensors in requests and answers: as JSON, or as little-endian bytes after it.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error as _, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use unscene_models::manifest::GraphFile;
use utoipa::ToSchema;

use super::{FP32, sides};
use crate::error::{ApiError, shorten};

/// Bytes of a value.
pub const VALUE: usize = size_of::<f32>();
/// Longest `id`.
const MAX_ID: usize = 256;
/// Most inputs, outputs and sides that are read; no graph has as many.
const MAX_PARTS: usize = 64;
/// Most values of an answer: as JSON, 100 MB.
const MAX_VALUES: usize = 1 << 23;

/// A request for a graph's outputs.
#[derive(Deserialize, ToSchema)]
pub struct InferRequest {
    /// Given back in the answer; 256 bytes at most.
    #[schema(nullable = false)]
    id: Option<String>,
    #[serde(default)]
    parameters: RequestParameters,
    /// The graph's one input.
    #[serde(deserialize_with = "few")]
    inputs: Vec<InputTensor>,
    /// The outputs that are wanted; all when absent or empty.
    #[serde(default, deserialize_with = "few")]
    outputs: Vec<WantedOutput>,
}

/// Parameters of a request. Others are passed over.
#[derive(Default, Deserialize, ToSchema)]
pub struct RequestParameters {
    /// Whether all outputs are wanted as bytes, unless they say otherwise.
    #[schema(nullable = false)]
    binary_data_output: Option<bool>,
}

/// Parameters of an input.
#[derive(Default, Deserialize, ToSchema)]
pub struct InputParameters {
    /// So many bytes after the JSON have the values.
    #[schema(nullable = false)]
    binary_data_size: Option<usize>,
    #[schema(ignore)]
    shared_memory_region: Option<IgnoredAny>,
}

/// Parameters of an output.
#[derive(Default, Deserialize, ToSchema)]
pub struct OutputParameters {
    /// Whether it is wanted as bytes.
    #[schema(nullable = false)]
    binary_data: Option<bool>,
    #[schema(ignore)]
    classification: Option<IgnoredAny>,
    #[schema(ignore)]
    shared_memory_region: Option<IgnoredAny>,
}

/// An input.
#[derive(Deserialize, ToSchema)]
pub struct InputTensor {
    name: String,
    /// `FP32`.
    datatype: String,
    /// Rows, then the sides of the graph's input.
    #[serde(deserialize_with = "few")]
    shape: Vec<usize>,
    #[serde(default)]
    parameters: InputParameters,
    /// The values, row by row, as one list or as lists in lists.
    #[schema(value_type = Option<Vec<f32>>, nullable = false)]
    data: Option<Values>,
}

/// An output that is wanted.
#[derive(Deserialize, ToSchema)]
pub struct WantedOutput {
    name: String,
    #[serde(default)]
    parameters: OutputParameters,
}

/// What a graph gave.
#[derive(Serialize, ToSchema)]
pub struct InferResponse {
    model_name: String,
    model_version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    id: Option<String>,
    outputs: Vec<OutputTensor>,
}

/// An output.
#[derive(Serialize, ToSchema)]
pub struct OutputTensor {
    name: String,
    /// `FP32`.
    datatype: &'static str,
    /// Rows, then the sides of the output.
    shape: Vec<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    parameters: Option<BinaryData>,
    /// The values, row by row.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    data: Option<Vec<f32>>,
}

/// Where an output's values are.
#[derive(Serialize, ToSchema)]
pub struct BinaryData {
    /// So many bytes after the JSON.
    binary_data_size: usize,
}

/// Values of a tensor, however they are nested.
struct Values(Vec<f32>);

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut values = vec![];
        deserializer.deserialize_seq(Nested(&mut values))?;
        Ok(Self(values))
    }
}

/// Gathers the numbers of lists in lists.
struct Nested<'a>(&'a mut Vec<f32>);

impl<'de> Visitor<'de> for Nested<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("numbers, or lists of them")
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.0.push(value as f32);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.0.push(value as f32);
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.0.push(value as f32);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Nested(self.0))?.is_some() {}
        Ok(())
    }
}

impl<'de> serde::de::DeserializeSeed<'de> for Nested<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// What a client asks of a graph.
pub struct Asked {
    id: Option<String>,
    /// The input's values, row by row.
    pub input: Vec<f32>,
    /// Rows of it.
    pub rows: usize,
    /// For each output of the graph that is wanted its index, and whether as bytes.
    wanted: Vec<(usize, bool)>,
}

impl Asked {
    /// Reads the JSON of a request, and what `rest_len` bytes follow it, if there are any, as values.
    ///
    /// # Errors
    ///
    /// [`ApiError::BadTensor`], which names the part that is wrong; as `rest`.
    pub fn read(
        json: &[u8],
        rest_len: usize,
        rest: impl FnOnce() -> Result<Vec<f32>, ApiError>,
        graph: &GraphFile,
    ) -> Result<Self, ApiError> {
        let wrong = |text: String| ApiError::BadTensor(text);
        let request: InferRequest =
            serde_json::from_slice(json).map_err(|error| wrong(format!("the request cannot be read: {error}")))?;
        if request.id.as_ref().is_some_and(|id| id.len() > MAX_ID) {
            return Err(wrong(format!("the `id` has more than {MAX_ID} bytes")));
        }
        let shared = request.inputs.iter().any(|input| input.parameters.shared_memory_region.is_some())
            || request.outputs.iter().any(|output| output.parameters.shared_memory_region.is_some());
        if shared || request.outputs.iter().any(|output| output.parameters.classification.is_some()) {
            let text = "shared memory and the parameter `classification` are not known here; send and take values";
            return Err(wrong(text.into()));
        }
        let expected = &graph.inputs[0];
        let inputs = request.inputs.len();
        let [input] = <[InputTensor; 1]>::try_from(request.inputs)
            .map_err(|_| wrong(format!("{inputs} inputs are given; give one, `{}`", expected.name)))?;
        if input.name != expected.name {
            return Err(wrong(format!("the input is `{}`; give `{}`", shorten(&input.name), expected.name)));
        }
        if input.datatype != FP32 {
            return Err(wrong(format!("`{}` is of datatype `{}`; give FP32", input.name, shorten(&input.datatype))));
        }
        let of_graph = sides(expected);
        let fits = input.shape.len() == of_graph.len()
            && input.shape[0] > 0
            && input.shape[1..].iter().zip(&of_graph[1..]).all(|(&side, &expected)| side as i64 == expected);
        if !fits {
            let found = &input.shape[..input.shape.len().min(8)];
            return Err(wrong(format!(
                "`{}` has the shape {found:?}; give {of_graph:?}, at least one row",
                input.name
            )));
        }
        let rows = input.shape[0];
        let values = match (input.data, input.parameters.binary_data_size) {
            (Some(Values(values)), None) if rest_len == 0 => values,
            (None, Some(size)) if size == rest_len && size.is_multiple_of(VALUE) => rest()?,
            (None, Some(size)) => {
                let whole = format!("give a whole number of values of {VALUE} bytes");
                return Err(wrong(format!(
                    "{rest_len} bytes follow the JSON, and `binary_data_size` is {size}; {whole}"
                )));
            }
            (Some(_), _) => {
                return Err(wrong("values are given as `data`, and more as bytes; give them once".into()));
            }
            (None, None) => {
                return Err(wrong(format!("`{}` has no `data` and no `binary_data_size`", input.name)));
            }
        };
        if rows.checked_mul(row_len(&of_graph)) != Some(values.len()) {
            let (found, expected) = (values.len(), row_len(&of_graph));
            return Err(wrong(format!("`{}` has {found} values for {rows} rows of {expected}", input.name)));
        }
        if values.iter().any(|value| !value.is_finite()) {
            return Err(wrong(format!("`{}` has values that are no finite numbers", input.name)));
        }
        let by_default = request.parameters.binary_data_output.unwrap_or(false);
        let mut wanted: Vec<(usize, bool)> = vec![];
        for output in &request.outputs {
            let index = graph.outputs.iter().position(|known| known.name == output.name);
            let names = || graph.outputs.iter().map(|known| format!("`{}`", known.name)).collect::<Vec<_>>().join(", ");
            let index = index.ok_or_else(|| {
                wrong(format!("there is no output `{}`; there are {}", shorten(&output.name), names()))
            })?;
            if wanted.iter().any(|(known, _)| *known == index) {
                return Err(wrong(format!("the output `{}` is asked for twice; ask once", output.name)));
            }
            wanted.push((index, output.parameters.binary_data.unwrap_or(by_default)));
        }
        if wanted.is_empty() {
            wanted = (0..graph.outputs.len()).map(|index| (index, by_default)).collect();
        }
        let values_of = |(index, _): &(usize, bool)| row_len(&sides(&graph.outputs[*index]));
        let told: usize = wanted.iter().map(values_of).sum();
        if told.saturating_mul(rows) > MAX_VALUES {
            return Err(ApiError::TooLarge(format!(
                "the answer would have {told} values for each of {rows} rows, and {MAX_VALUES} are the most; send fewer rows, or ask for fewer outputs"
            )));
        }
        Ok(Self { id: request.id, input: values, rows, wanted })
    }

    /// The answer with these outputs, all those of the graph: its bytes, and how many of them are JSON where not all are.
    pub fn answer(
        self,
        model_name: String,
        graph: &GraphFile,
        mut outputs: Vec<Vec<f32>>,
    ) -> Result<(Vec<u8>, Option<usize>), ApiError> {
        // JSON has no words for them.
        if outputs.iter().flatten().any(|value| !value.is_finite()) {
            return Err(ApiError::BadTensor("the graph gives no finite numbers for this input".into()));
        }
        let mut bytes = vec![];
        let told = self.wanted.iter().map(|&(index, binary)| {
            let (tensor, values) = (&graph.outputs[index], std::mem::take(&mut outputs[index]));
            let mut shape = sides(tensor);
            shape[0] = self.rows as i64;
            let size = values.len() * VALUE;
            if binary {
                bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            }
            let parameters = binary.then_some(BinaryData { binary_data_size: size });
            OutputTensor {
                name: tensor.name.clone(),
                datatype: FP32,
                shape,
                parameters,
                data: (!binary).then_some(values),
            }
        });
        let outputs = told.collect();
        let response = InferResponse { model_name, model_version: super::VERSION, id: self.id, outputs };
        let mut body = serde_json::to_vec(&response)
            .map_err(|error| ApiError::Internal(format!("an answer cannot be written: {error}")))?;
        let json_len = (!bytes.is_empty()).then_some(body.len());
        body.append(&mut bytes);
        Ok((body, json_len))
    }
}

/// The header that says how many bytes of a body are JSON.
pub const HEADER_LENGTH: &str = "inference-header-content-length";

/// Values of a row.
pub fn row_len(sides: &[i64]) -> usize {
    sides[1..].iter().map(|&side| side as usize).product()
}

/// Little-endian values.
pub fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.as_chunks::<VALUE>().0.iter().map(|value| f32::from_le_bytes(*value))
}

/// A list of no more than [`MAX_PARTS`].
fn few<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    struct Few<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Few<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            write!(f, "a list of {MAX_PARTS} at most")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut parts = vec![];
            while let Some(part) = list.next_element()? {
                if parts.len() == MAX_PARTS {
                    return Err(A::Error::invalid_length(MAX_PARTS + 1, &self));
                }
                parts.push(part);
            }
            Ok(parts)
        }
    }

    deserializer.deserialize_seq(Few(PhantomData))
}

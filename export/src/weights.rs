use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use unscene_graph::Graph;

use crate::ExportError;

/// The parameters of a graph by name; each has the length its `ParamSpec` says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Weights {
    tensors: BTreeMap<String, Vec<f32>>,
}

impl Weights {
    /// Reads weights from the bytes of a safetensors file and matches them with the graph: every parameter must be there
    /// as float32 with its shape, and nothing else.
    ///
    /// # Errors
    /// Names every tensor that is missing, unknown, of another shape or of another type; `path` is only quoted.
    pub fn read(bytes: &[u8], graph: &Graph, path: &Path) -> Result<Self, ExportError> {
        let file = SafeTensors::deserialize(bytes)
            .map_err(|source| ExportError::SafeTensors { path: path.to_path_buf(), source })?;
        let mut unknown: BTreeSet<&str> = file.names().into_iter().collect();
        let mut problems = Vec::new();
        let mut tensors = BTreeMap::new();
        for param in &graph.params {
            unknown.remove(param.name.as_str());
            let Ok(view) = file.tensor(&param.name) else {
                problems.push(format!("'{}' is missing", param.name));
                continue;
            };
            if view.shape() != param.shape {
                problems.push(format!("'{}' is {:?}, expected {:?}", param.name, view.shape(), param.shape));
            } else if view.dtype() != Dtype::F32 {
                problems.push(format!("'{}' is {:?}, expected F32", param.name, view.dtype()));
            } else {
                tensors.insert(param.name.clone(), floats(&view));
            }
        }
        problems.extend(unknown.into_iter().map(|name| format!("'{name}' is not part of the model")));
        match problems.is_empty() {
            true => Ok(Self { tensors }),
            false => Err(ExportError::Weights { path: path.to_path_buf(), problems }),
        }
    }

    /// The values of a parameter.
    ///
    /// # Panics
    /// If there is none of this name: [`Weights::read`] has matched the names with the graph.
    pub fn get(&self, name: &str) -> &[f32] {
        self.tensors.get(name).unwrap_or_else(|| panic!("parameter '{name}' was matched"))
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> &mut [f32] {
        self.tensors.get_mut(name).unwrap_or_else(|| panic!("parameter '{name}' was matched"))
    }

    /// Sets the values of a parameter.
    pub fn insert(&mut self, name: String, values: Vec<f32>) {
        self.tensors.insert(name, values);
    }
}

/// The values of a float32 tensor.
pub(crate) fn floats(view: &TensorView<'_>) -> Vec<f32> {
    view.data().as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

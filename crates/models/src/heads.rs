//! What sits on the features of a backbone while it is pretrained, and is dropped afterwards.

use serde::{Deserialize, Serialize};
use unscene_graph::{Graph, GraphBuilder, GraphError};

/// An adversary: predicts a protected attribute, the scene in the paper, from the pooled features. A four-layer MLP with
/// hidden layers of 512, each linear, BatchNorm, ReLU (paper, section 4.1 and its release).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdversaryConfig {
    /// Values of the features.
    pub features: usize,
    /// Values that the attribute can take; 365 scenes in the paper.
    pub classes: usize,
    /// Width of the hidden layers.
    #[serde(default = "hidden")]
    pub hidden: usize,
    /// Layers, the last included.
    #[serde(default = "layers")]
    pub layers: usize,
}

fn hidden() -> usize {
    512
}

fn layers() -> usize {
    4
}

impl AdversaryConfig {
    /// The paper's, on features of a size.
    pub fn new(features: usize, classes: usize) -> Self {
        AdversaryConfig { features, classes, hidden: hidden(), layers: layers() }
    }

    /// Input `features` (N x features), output `logits` (N x classes).
    ///
    /// # Errors
    /// When a size is 0.
    pub fn graph(&self) -> Result<Graph, GraphError> {
        let mut g = GraphBuilder::new();
        let mut x = g.input("features", &[self.features])?;
        for layer in 1..self.layers {
            x = g.linear(&format!("fc{layer}"), x, self.hidden)?;
            x = g.batch_norm(&format!("bn{layer}"), x)?;
            x = g.relu(&format!("relu{layer}"), x)?;
        }
        let logits = g.linear(&format!("fc{}", self.layers.max(1)), x, self.classes)?;
        Ok(g.finish(&[("logits", logits)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_adversary_has_four_layers() {
        let graph = AdversaryConfig::new(512, 365).graph().unwrap();
        // 512 x 512 + 512 for each hidden layer and 2 x 512 for its BatchNorm; 512 x 365 + 365 for the last.
        assert_eq!(graph.trainable_params(), 3 * (512 * 512 + 3 * 512) + 512 * 365 + 365);
        let names: Vec<&str> = graph.nodes.iter().map(|node| node.name.as_str()).collect();
        assert_eq!(names, ["features", "fc1", "bn1", "relu1", "fc2", "bn2", "relu2", "fc3", "bn3", "relu3", "fc4"]);
        assert!(AdversaryConfig::new(512, 0).graph().is_err());
        assert!(AdversaryConfig { layers: 1, ..AdversaryConfig::new(8, 2) }.graph().is_ok());
    }
}

use thiserror::Error;

/// What can be wrong with a model while it is recorded. Every variant carries the full name of the node.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GraphError {
    /// An operation does not fit the shape of what it is given.
    #[error("node '{node}': {problem}")]
    Shape {
        /// The node that does not fit.
        node: String,
        /// What was found and what was expected.
        problem: String,
    },
    /// Two nodes, or two parameters, of one name: weights could not be told apart.
    #[error("the name '{name}' is used twice; node and parameter names must be unique")]
    DuplicateName {
        /// The name.
        name: String,
    },
}

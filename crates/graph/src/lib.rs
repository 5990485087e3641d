//! A model as data.
//!
//! 1. A model function records operations with a [`GraphBuilder`]: it gets [`Node`] ids back, and every shape is
//!    inferred and checked while it records.
//! 2. The finished [`Graph`] lists the nodes in the order in which they can be computed, and the parameters they need
//!    as [`ParamSpec`]s: name, shape and how to initialise them.
//! 3. `train` interprets the graph with libtorch, `export` writes it as ONNX. Neither is known here.
//!
//! Every tensor has the batch as its first dimension. It is left out of all shapes: `[3, 16, 112, 112]` is a batch of
//! any number of clips, written `N x 3 x 16 x 112 x 112`.

mod builder;
mod error;
mod graph;
mod op;

pub use builder::{ConvOptions, GraphBuilder};
pub use error::GraphError;
pub use graph::{Graph, NodeInfo, ParamInit, ParamRole, ParamSpec, format_shape};
pub use op::{Node, Op};

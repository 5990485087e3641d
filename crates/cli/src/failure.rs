//! How a command ends when something is wrong: one line on standard error and an exit code.

use std::process::ExitCode;

use anyhow::{Error, Result};
use unscene_engine::EngineError;
use unscene_export::ExportError;

/// 0, or a line on standard error and 2 for bad input, 1 for a failure that no other input would have avoided.
pub fn exit_code(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", one_line(&error));
            ExitCode::from(if is_bad_input(&error) { 2 } else { 1 })
        }
    }
}

/// The error and its causes on one line.
pub fn one_line(error: &Error) -> String {
    format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_bad_input(error: &Error) -> bool {
    if let Some(error) = error.downcast_ref::<ExportError>() {
        return error.is_bad_input();
    }
    !matches!(error.downcast_ref::<EngineError>(), Some(EngineError::Inference { .. }))
}

//! How a command ends when something is wrong: one line on standard error and an exit code.

use std::fmt;
use std::io::ErrorKind;
use std::process::ExitCode;

use anyhow::{Error, Result};
use unscene_annotate::AnnotateError;
use unscene_engine::EngineError;
use unscene_export::ExportError;
use unscene_stage::StageError;
#[cfg(feature = "train")]
use unscene_train::TrainError;

use crate::predict::ServerError;

/// Ctrl-C ended the command early.
#[derive(Debug)]
pub struct Interrupted {
    /// What is done and was printed.
    pub done: usize,
    /// What was asked for.
    pub of: usize,
    /// Of what, in the plural.
    pub what: &'static str,
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "interrupted: {} of {} {} are done", self.done, self.of, self.what)
    }
}

impl std::error::Error for Interrupted {}

/// 0, or a line on standard error and 2 for bad input, 1 for a failure that no other input would have avoided, 130 after
/// Ctrl-C.
pub fn exit_code(result: Result<()>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    // The reader of standard output, such as `head`, has seen enough.
    if error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    report(&error);
    ExitCode::from(match is_interrupted(&error) {
        true => 130,
        false if is_bad_input(&error) => 2,
        false => 1,
    })
}

/// The error and its causes as one line on standard error.
pub fn report(error: &Error) {
    eprintln!("error: {}", line(error));
}

fn line(error: &Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        // Many errors quote their cause already.
        if !text.contains(&cause) {
            text += &format!(": {cause}");
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_interrupted(error: &Error) -> bool {
    error.is::<Interrupted>()
        || matches!(error.downcast_ref(), Some(EngineError::Cancelled))
        || matches!(error.downcast_ref(), Some(StageError::Interrupted { .. }))
        || matches!(error.downcast_ref(), Some(AnnotateError::Interrupted { .. }))
}

fn is_bad_input(error: &Error) -> bool {
    if let Some(error) = error.downcast_ref::<ExportError>() {
        return error.is_bad_input();
    }
    #[cfg(feature = "train")]
    if let Some(TrainError::Torch(_) | TrainError::Node { .. }) = error.downcast_ref() {
        return false;
    }
    if let Some(error) = error.downcast_ref::<ServerError>() {
        return error.is_bad_input();
    }
    let is_full = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::StorageFull)
    };
    if error.chain().any(is_full) {
        return false;
    }
    // Bare: writing to standard output. Everything else says which file it is about.
    let is_output = error.is::<std::io::Error>() && error.chain().count() == 1;
    !is_output && !matches!(error.downcast_ref(), Some(EngineError::Inference { .. }))
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn causes_are_said_once() {
        let cause = || std::io::Error::other("disk\n  gone");
        let quoted = Error::from(cause()).context("a.mp4: disk\n  gone; buy another");
        assert_eq!(line(&quoted), "a.mp4: disk gone; buy another");
        let plain = Err::<(), _>(cause()).context("cannot read a.mp4").unwrap_err();
        assert_eq!(line(&plain), "cannot read a.mp4: disk gone");
    }

    #[test]
    fn a_full_disk_is_no_bad_input() {
        assert!(!is_bad_input(&std::io::Error::other("full").into()));
        assert!(is_bad_input(&anyhow::anyhow!("no such label")));
    }
}

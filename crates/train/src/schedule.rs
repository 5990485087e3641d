//! How the learning rate falls.

use serde::{Deserialize, Serialize};

/// A rule for the learning rate of each epoch, as a factor of the configured one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// Falls when the validation loss has not fallen for some epochs, as PyTorch's `ReduceLROnPlateau`: an improvement is
    /// one of at least 0.01 %. The paper divides by 10; its release waits for 10 epochs.
    Plateau {
        /// Epochs without improvement that are forgiven.
        #[serde(default = "patience")]
        patience: usize,
        /// What the rate is multiplied by.
        #[serde(default = "tenth")]
        factor: f64,
    },
    /// Falls at the start of certain epochs, counted from 0.
    Step {
        /// The epochs.
        epochs: Vec<usize>,
        /// What the rate is multiplied by.
        #[serde(default = "tenth")]
        factor: f64,
    },
    /// Follows half a cosine from the first epoch to nothing after the last.
    Cosine,
    /// Stays.
    Constant,
}

fn patience() -> usize {
    10
}

fn tenth() -> f64 {
    0.1
}

impl Default for Schedule {
    fn default() -> Self {
        Schedule::Plateau { patience: patience(), factor: tenth() }
    }
}

/// Where a schedule stands. Kept in checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ScheduleState {
    /// The factor of the epoch to come.
    pub factor: f64,
    /// Epochs that are over.
    epochs: usize,
    /// The lowest validation loss that counted as an improvement.
    best: Option<f64>,
    /// Epochs since.
    waited: usize,
}

impl Default for ScheduleState {
    fn default() -> Self {
        ScheduleState { factor: 1.0, epochs: 0, best: None, waited: 0 }
    }
}

impl Schedule {
    /// Ends an epoch of `epochs` with a validation loss.
    pub fn advance(&self, state: &mut ScheduleState, validation_loss: f64, epochs: usize) {
        state.epochs += 1;
        match self {
            Schedule::Constant => {}
            Schedule::Cosine => {
                let share = state.epochs as f64 / epochs.max(1) as f64;
                state.factor = 0.5 * (1.0 + (std::f64::consts::PI * share.min(1.0)).cos());
            }
            Schedule::Step { epochs, factor } => {
                let falls = epochs.iter().filter(|epoch| **epoch <= state.epochs).count();
                state.factor = factor.powi(falls as i32);
            }
            Schedule::Plateau { patience, factor } => {
                if state.best.is_none_or(|best| validation_loss < best * (1.0 - 1e-4)) {
                    state.best = Some(validation_loss);
                    state.waited = 0;
                } else {
                    state.waited += 1;
                }
                if state.waited > *patience {
                    state.factor *= factor;
                    state.waited = 0;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOSSES: [f64; 14] = [5.0, 4.0, 4.1, 4.05, 4.2, 3.9999, 3.9998, 3.0, 3.5, 3.4, 3.3, 3.2, 3.1, 2.9];

    /// The factors of the epochs with these losses.
    fn factors(schedule: &Schedule, losses: &[f64], epochs: usize) -> Vec<f64> {
        let mut state = ScheduleState::default();
        let mut factors = Vec::new();
        for loss in losses {
            factors.push((state.factor * 1e6).round() / 1e6);
            schedule.advance(&mut state, *loss, epochs);
        }
        factors
    }

    #[test]
    fn a_plateau_is_what_pytorch_says() {
        let schedule = Schedule::Plateau { patience: 2, factor: 0.1 };
        assert_eq!(
            factors(&schedule, &LOSSES, 14),
            [1.0, 1.0, 1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01]
        );
    }

    #[test]
    fn steps_and_cosines_are_what_pytorch_says() {
        let steps = Schedule::Step { epochs: vec![2, 5], factor: 0.1 };
        assert_eq!(factors(&steps, &LOSSES[..8], 8), [1.0, 1.0, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01]);
        assert_eq!(
            factors(&Schedule::Cosine, &LOSSES[..9], 8),
            [1.0, 0.96194, 0.853553, 0.691342, 0.5, 0.308658, 0.146447, 0.03806, 0.0]
        );
        assert_eq!(factors(&Schedule::Constant, &LOSSES[..3], 8), [1.0; 3]);
    }
}

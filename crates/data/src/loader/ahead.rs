//! Items of an epoch, read ahead in an order; those that cannot be read are named and left out.

use std::sync::Arc;

use super::Failure;
use super::pool::{Pool, threads};
use crate::error::{DataError, Result};

/// What reads ahead.
pub struct Ahead<T> {
    /// Indices of items, in the order in which they are wanted.
    order: Arc<[usize]>,
    pool: Pool<T>,
    next: usize,
    /// Items of the whole epoch, wherever it was begun.
    of: usize,
    max_failed: f64,
    failures: Vec<Failure>,
    /// How many of them were taken.
    taken: usize,
}

impl<T: Send + 'static> Ahead<T> {
    /// Starts the threads. `read` is given an item's index; `ahead` items are read before they are wanted; of `of` items the share
    /// `max_failed` may fail.
    pub fn start(
        order: Arc<[usize]>,
        of: usize,
        max_failed: f64,
        [workers, ahead]: [usize; 2],
        read: impl Fn(usize) -> Result<T> + Clone + Send + 'static,
    ) -> Self {
        let positions = order.clone();
        let pool = Pool::start(threads(workers), ahead, order.len(), move |position| read(positions[position]));
        Ahead { order, pool, next: 0, of, max_failed, failures: vec![], taken: 0 }
    }

    /// Gives up to `count` items to `each`, fewer where some cannot be read; false at the end. `id` names an item.
    pub fn take(&mut self, count: usize, id: impl Fn(usize) -> String, mut each: impl FnMut(usize, T)) -> Result<bool> {
        let end = (self.next + count).min(self.order.len());
        if self.next == end {
            return Ok(false);
        }
        while self.next < end {
            let item = self.order[self.next];
            match self.pool.take(self.next)? {
                Ok(read) => each(item, read),
                Err(error) => {
                    self.failures.push(Failure { id: id(item), reason: error.to_string() });
                    if self.failures.len() as f64 > self.max_failed * self.of as f64 {
                        return Err(DataError::TooManyFailures {
                            failed: self.failures.len(),
                            of: self.of,
                            allowed: self.max_failed,
                            first: self.failures[0].reason.clone(),
                        });
                    }
                }
            }
            self.next += 1;
        }
        Ok(true)
    }

    /// Those that could not be read so far.
    pub fn failures(&self) -> &[Failure] {
        &self.failures
    }

    /// Those that were not given before.
    pub fn take_failures(&mut self) -> Vec<Failure> {
        self.failures[std::mem::replace(&mut self.taken, self.failures.len())..].to_vec()
    }
}

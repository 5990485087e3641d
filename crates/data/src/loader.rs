//! Clips for training and evaluation, read by worker threads ahead of the network.

mod ahead;
mod pool;

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use serde::{Deserialize, Serialize};

pub(crate) use self::ahead::Ahead;
pub(crate) use self::pool::{guarded, threads};
use crate::augment::{Augmentation, shuffled};
use crate::clip::{ClipForm, Sample, Views, draw_clip, test_clips};
use crate::dataset::Item;
use crate::error::{DataError, Result};

/// Changes a sample between reading and normalising, on the worker's thread: masking, say.
pub type Change = dyn Fn(&Item, &mut Sample) -> Result<()> + Send + Sync;

/// How clips are read.
#[derive(Clone)]
pub struct LoaderOptions {
    /// The form of clips.
    pub form: ClipForm,
    /// How training clips vary.
    pub augmentation: Augmentation,
    /// Clips in a batch.
    pub batch: usize,
    /// The same seed gives the same clips in the same order, whatever the number of workers.
    pub seed: u64,
    /// Threads that read; 0 is one per core.
    pub workers: usize,
    /// Batches read ahead. Memory is that of these batches, of one clip in the making per worker, and of its decoder.
    pub prefetch: usize,
    /// Share of an epoch's videos that may fail before it ends with an error.
    pub max_failed: f64,
    /// Which clips [`Loader::test`] reads.
    pub views: Views,
    /// What is done to every sample before it becomes numbers.
    pub change: Option<Arc<Change>>,
}

impl Default for LoaderOptions {
    /// Batches of 32 and the paper's form, two batches ahead, at most 5 % failures.
    fn default() -> Self {
        LoaderOptions {
            form: ClipForm::default(),
            augmentation: Augmentation::default(),
            batch: 32,
            seed: 0,
            workers: 0,
            prefetch: 2,
            max_failed: 0.05,
            views: Views::default(),
            change: None,
        }
    }
}

/// Some clips as a network takes them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    /// n x 3 x frames x height x width.
    pub input: Vec<f32>,
    /// Index of each clip's item.
    pub items: Vec<usize>,
    /// Label of each clip.
    pub labels: Vec<usize>,
}

impl Batch {
    /// Number of clips.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    fn push(&mut self, item: usize, label: usize, input: &[f32]) {
        self.input.extend_from_slice(input);
        self.items.push(item);
        self.labels.push(label);
    }
}

/// A video that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Failure {
    /// Its item's id.
    pub id: String,
    /// Why.
    pub reason: String,
}

/// Reads the clips of some items.
#[derive(Clone)]
pub struct Loader {
    items: Arc<[Item]>,
    options: Arc<LoaderOptions>,
}

impl Loader {
    /// Of these items.
    ///
    /// # Errors
    /// [`DataError::Options`] when a batch, a clip or the augmentation is impossible.
    pub fn new(items: impl Into<Arc<[Item]>>, options: LoaderOptions) -> Result<Self> {
        let ClipForm { frames, height, width, short_side, fps, pictures_fps, .. } = options.form;
        let positive = |fps: f64| fps > 0.0 && fps <= 1000.0;
        let problem = if options.batch == 0 {
            Some("batch: found 0, expected at least 1".into())
        } else if frames == 0 || height == 0 || width == 0 || short_side < height.max(width) {
            Some(format!(
                "clip: found {frames} x {height} x {width} with a short side of {short_side}, expected sides above 0 \
                 and a short side that holds them"
            ))
        } else if !positive(pictures_fps) || !fps.is_none_or(positive) {
            Some(format!("fps: found {fps:?} and {pictures_fps} for pictures, expected above 0 and at most 1000"))
        } else {
            options.augmentation.problem()
        };
        match problem {
            Some(problem) => Err(DataError::Options { problem }),
            None => Ok(Loader { items: items.into(), options: options.into() }),
        }
    }

    /// The items that clips are read of.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Batches of an epoch: every item once.
    pub fn batches(&self) -> usize {
        self.items.len().div_ceil(self.options.batch)
    }

    /// One random clip of every item, in the epoch's own order, from batch `first_batch` on. The same epoch of the same
    /// seed is the same, wherever it is started.
    pub fn epoch(&self, epoch: u64, first_batch: usize) -> Epoch {
        let options = self.options.clone();
        let order = shuffled(self.items.len(), options.seed, epoch);
        let order: Arc<[usize]> = order.into_iter().skip(first_batch.saturating_mul(options.batch)).collect();
        let read = {
            let (items, options) = (self.items.clone(), options.clone());
            move |index: usize| {
                let draw = options.augmentation.draw(options.seed, epoch, index as u64);
                draw_clip(&items[index], &options.form, &draw).and_then(|sample| input(&items[index], sample, &options))
            }
        };
        let ahead = options.prefetch.max(1).saturating_mul(options.batch);
        let ahead = Ahead::start(order, self.items.len(), options.max_failed, [options.workers, ahead], read);
        Epoch { items: self.items.clone(), options, ahead, failed: false }
    }

    /// The test clips of every item, which [`LoaderOptions::views`] chooses. Clips of an item come in their order, but items
    /// come as they are read.
    pub fn test(&self) -> TestClips {
        let (sender, clips) = bounded(self.options.prefetch.max(1) * self.options.batch);
        let (jobs, queue) = unbounded();
        for index in 0..self.items.len() {
            jobs.send(index).expect("the receiver is held below");
        }
        let threads = (0..threads(self.options.workers).min(self.items.len()))
            .map(|_| {
                let (items, options) = (self.items.clone(), self.options.clone());
                let (sender, queue): (Sender<Tested>, Receiver<usize>) = (sender.clone(), queue.clone());
                thread::spawn(move || {
                    for index in queue {
                        let (mut number, mut is_wanted) = (0, true);
                        let read = guarded(|| {
                            test_clips(&items[index], &options.form, options.views, &mut |sample| {
                                let input = input(&items[index], sample, &options);
                                let clip = input.map(|input| TestClip { item: index, number, input });
                                number += 1;
                                is_wanted = sender.send(clip.map_err(|error| (index, error))).is_ok();
                                is_wanted
                            })
                        });
                        if !is_wanted {
                            return;
                        }
                        if let Err(error) = read
                            && sender.send(Err((index, error))).is_err()
                        {
                            return;
                        }
                    }
                })
            })
            .collect();
        TestClips { clips: Some(clips), threads }
    }
}

fn input(item: &Item, mut sample: Sample, options: &LoaderOptions) -> Result<Vec<f32>> {
    if let Some(change) = &options.change {
        change(item, &mut sample)?;
    }
    Ok(sample.to_input(&options.form))
}

/// A clip of [`Loader::test`].
#[derive(Debug, Clone, PartialEq)]
pub struct TestClip {
    /// Index of its item.
    pub item: usize,
    /// 0 for the item's first clip, 1 for the second.
    pub number: usize,
    /// 3 x frames x height x width.
    pub input: Vec<f32>,
}

/// What [`Loader::test`] reads: a clip, or the item that failed and why.
type Tested = std::result::Result<TestClip, (usize, DataError)>;

/// The clips of [`Loader::test`]. Dropping it stops the workers.
pub struct TestClips {
    clips: Option<Receiver<Tested>>,
    threads: Vec<JoinHandle<()>>,
}

impl Iterator for TestClips {
    type Item = Tested;

    fn next(&mut self) -> Option<Self::Item> {
        self.clips.as_ref()?.recv().ok()
    }
}

impl Drop for TestClips {
    fn drop(&mut self) {
        self.clips = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// The batches of an epoch. Dropping it stops the workers.
///
/// A video that fails leaves its batch one clip smaller, down to none, and is named in [`Epoch::failures`]. The batches after
/// it are the same.
pub struct Epoch {
    items: Arc<[Item]>,
    options: Arc<LoaderOptions>,
    ahead: Ahead<Vec<f32>>,
    failed: bool,
}

impl Epoch {
    /// Videos that could not be read so far.
    pub fn failures(&self) -> &[Failure] {
        self.ahead.failures()
    }

    /// Those that [`Epoch::take_failures`] has not given before.
    pub fn take_failures(&mut self) -> Vec<Failure> {
        self.ahead.take_failures()
    }

    fn next_batch(&mut self) -> Result<Option<Batch>> {
        let Epoch { items, options, ahead, .. } = self;
        let mut batch = Batch::default();
        let id = |item: usize| items[item].id.clone();
        let is_there = ahead.take(options.batch, id, |item, input| {
            if batch.is_empty() {
                batch.input.reserve_exact(options.batch * input.len());
            }
            batch.push(item, items[item].label, &input);
        })?;
        Ok(is_there.then_some(batch))
    }
}

impl Iterator for Epoch {
    type Item = Result<Batch>;

    /// The next batch; ends after an error.
    fn next(&mut self) -> Option<Result<Batch>> {
        if self.failed {
            return None;
        }
        let batch = self.next_batch();
        self.failed = batch.is_err();
        batch.transpose()
    }
}

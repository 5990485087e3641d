//! What the service has taken on, in clips, how fast it works that off, and how many videos are open.
//!
//! A [`Place`] is taken before a body is read, so that a full service costs a client nothing but the request line. It counts as one
//! clip until the video is open and its clips are known, and as those that are left while they are worked off. A [`Slot`] is the
//! right to have a video open; it is taken when the upload is complete, so that a slow client never keeps a decoder from working.
//! A place is given back when the answer has been sent.
//!
//! Shorter videos pass longer ones, so that what a request waits for is not all that others have left: of a longer one, only as many
//! clips as it has itself. That is the queue before it when it arrives, and what is bounded.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::slots::{Slot, Slots};

/// How far back the rate is measured.
const RATE_OVER: Duration = Duration::from_secs(10);
/// Longest time after which a client is told to come back.
const LONGEST_RETRY_S: f64 = 600.0;

/// How much the service takes on.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Clips that may be before a request.
    pub clips: usize,
    /// Videos that may be open.
    pub videos: usize,
    /// Videos whose headers may be looked at.
    pub probes: usize,
    /// Requests beyond those that may upload, or wait with their upload.
    pub waiting: usize,
}

/// Why a request is not taken.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Busy {
    /// There are as many requests as may be.
    #[error("the service is full: {found} requests are in progress or waiting; try again in {retry_after_s} s")]
    Requests {
        /// So many.
        found: usize,
        /// When to try again.
        retry_after_s: u64,
    },
    /// There are more clips before it than may be.
    #[error(
        "{found} clips of other requests come before this one, and at most {most} may; try again in {retry_after_s} s, or send a \
         shorter video"
    )]
    Clips {
        /// So many.
        found: usize,
        /// The most.
        most: usize,
        /// When to try again.
        retry_after_s: u64,
    },
}

impl Busy {
    /// Seconds after which there should be room.
    pub fn retry_after_s(&self) -> u64 {
        match self {
            Self::Requests { retry_after_s, .. } | Self::Clips { retry_after_s, .. } => *retry_after_s,
        }
    }
}

/// The places and slots of a service. Clones share them.
#[derive(Clone, Debug)]
pub struct Admission(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    room: Room,
    slots: Slots,
    probes: Arc<Semaphore>,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    requests: HashMap<u64, Clips>,
    next: u64,
    rate: Rate,
}

/// The clips of a request.
#[derive(Clone, Copy, Debug, Default)]
struct Clips {
    left: usize,
    /// As many as there were to be; 0 as long as that is not known.
    expected: usize,
}

impl Clips {
    /// How many it counts as: while it is there, it is at least one.
    fn count(&self) -> usize {
        self.left.max(1)
    }
}

/// A place in the service; dropping it gives it back.
#[derive(Debug)]
pub struct Place {
    number: u64,
    service: Arc<Inner>,
}

/// The right to look at one header; dropping it lets the next one be looked at.
#[derive(Debug)]
pub struct Probe {
    _permit: OwnedSemaphorePermit,
}

impl Admission {
    /// An empty service. One video may be open in any case.
    pub fn new(room: Room) -> Self {
        let videos = room.videos.max(1);
        let room = Room { videos, clips: room.clips.max(1), ..room };
        let probes = Arc::new(Semaphore::new(room.probes.clamp(1, Semaphore::MAX_PERMITS)));
        Self(Arc::new(Inner { room, slots: Slots::new(videos), probes, taken: Mutex::default() }))
    }

    /// Takes a place.
    ///
    /// # Errors
    ///
    /// [`Busy`] when the service is full.
    pub fn enter(&self) -> Result<Place, Busy> {
        let (room, mut taken) = (self.0.room, self.0.taken());
        let requests = taken.requests.len();
        if requests >= room.videos.saturating_add(room.waiting) {
            // Half of those before it have to go: as soon as one has, others that were refused want its place, too.
            let before = taken.requests.values().map(Clips::count).fold(0, usize::saturating_add);
            return Err(Busy::Requests { found: requests, retry_after_s: taken.retry_after_s(before / 2) });
        }
        taken.check(room.clips, 1, None)?;
        let number = taken.next;
        taken.next += 1;
        taken.requests.insert(number, Clips::default());
        Ok(Place { number, service: self.0.clone() })
    }

    /// Waits for the slot of a request with a place: of those that wait, shorter ones pass longer ones ([`Slots`]).
    pub async fn slot(&self, place: &Place) -> Slot {
        let clips = self.0.taken().requests.get(&place.number).map_or(1, Clips::count);
        self.0.slots.take(clips).await
    }

    /// Waits until one more header may be looked at.
    pub async fn probe(&self) -> Probe {
        let permit = Arc::clone(&self.0.probes).acquire_owned().await;
        Probe { _permit: permit.expect("the semaphore lives as long as the service and is never closed") }
    }

    /// Clips that were done, and that there are to do, of the request with a place of that number.
    pub fn progress(&self, place: u64) -> Option<(usize, usize)> {
        let clips = *self.0.taken().requests.get(&place)?;
        Some((clips.expected - clips.left.min(clips.expected), clips.expected))
    }

    /// Requests that have a place.
    pub fn requests(&self) -> usize {
        self.0.taken().requests.len()
    }

    /// Clips that are left of all requests.
    pub fn clips(&self) -> usize {
        self.0.taken().requests.values().map(Clips::count).fold(0, usize::saturating_add)
    }

    /// Clips a second, while there were any; 0 when there have been none.
    pub fn clips_per_s(&self) -> f64 {
        self.0.taken().rate.per_s()
    }

    /// Videos that are open.
    pub fn open(&self) -> usize {
        self.0.slots.taken()
    }
}

impl Inner {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// By which it is known while it is there.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Says how many clips there are to do.
    ///
    /// # Errors
    ///
    /// [`Busy`] when there are too many before them.
    pub fn expect(&self, clips: usize) -> Result<(), Busy> {
        let clips = clips.max(1);
        let mut taken = self.service.taken();
        taken.check(self.service.room.clips, clips, Some(self.number))?;
        // While there are only uploads, nothing is slow.
        if taken.requests.values().all(|other| other.expected == 0) {
            taken.rate.resume(Instant::now());
        }
        taken.requests.insert(self.number, Clips { left: clips, expected: clips });
        Ok(())
    }

    /// Whether nobody else has one.
    pub fn is_alone(&self) -> bool {
        self.service.taken().requests.len() == 1
    }

    /// Notes that so many clips were done.
    pub fn done(&self, clips: usize) {
        if clips == 0 {
            return;
        }
        let mut taken = self.service.taken();
        taken.rate.add(clips, Instant::now());
        if let Some(own) = taken.requests.get_mut(&self.number) {
            // One that is longer than its header says is taken for twice as long.
            match own.left.checked_sub(clips) {
                Some(left) => own.left = left,
                None => *own = Clips { left: own.expected, expected: own.expected.saturating_mul(2) },
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.service.taken().requests.remove(&self.number);
    }
}

impl Taken {
    /// That no more than so many clips are before a request of so many.
    fn check(&self, most: usize, own: usize, number: Option<u64>) -> Result<(), Busy> {
        let others = self.requests.iter().filter(|(other, _)| Some(**other) != number);
        let found = others.map(|(_, clips)| clips.count().min(own)).fold(0, usize::saturating_add);
        if found <= most {
            return Ok(());
        }
        Err(Busy::Clips { found, most, retry_after_s: self.retry_after_s(found - most) })
    }

    /// Whole seconds in which so many clips are done.
    fn retry_after_s(&self, clips: usize) -> u64 {
        let rate = self.rate.per_s();
        let seconds = if rate > 0.0 { clips as f64 / rate } else { 1.0 };
        seconds.clamp(1.0, LONGEST_RETRY_S).ceil() as u64
    }
}

/// Clips a second, of which the latest count most. Time in which there is nothing to do does not count.
#[derive(Debug, Default)]
struct Rate {
    clips: f64,
    seconds: f64,
    last: Option<Instant>,
}

impl Rate {
    fn resume(&mut self, now: Instant) {
        self.last = Some(now);
    }

    fn add(&mut self, clips: usize, now: Instant) {
        let passed = self.last.map_or(0.0, |last| now.saturating_duration_since(last).as_secs_f64());
        let kept = (-passed / RATE_OVER.as_secs_f64()).exp();
        self.clips = self.clips * kept + clips as f64;
        self.seconds = self.seconds * kept + passed;
        self.last = Some(now);
    }

    fn per_s(&self) -> f64 {
        // In the first moments there is no telling.
        if self.seconds < 0.1 { 0.0 } else { self.clips / self.seconds }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(clips: usize, videos: usize, waiting: usize) -> Admission {
        Admission::new(Room { clips, videos, probes: 1, waiting })
    }

    #[test]
    fn a_full_service_refuses_and_a_dropped_place_makes_room() {
        let service = service(100, 1, 1);
        let first = service.enter().expect("first place");
        let _second = service.enter().expect("second place");
        assert_eq!(service.enter().unwrap_err(), Busy::Requests { found: 2, retry_after_s: 1 });
        drop(first);
        assert!(service.enter().is_ok());
    }

    #[test]
    fn a_zero_for_everything_still_takes_one_request() {
        let service = service(0, 0, 0);
        let place = service.enter().expect("a place");
        assert_eq!(place.expect(1000), Ok(()));
        assert!(service.enter().is_err());
    }

    #[test]
    fn what_is_before_a_request_is_of_no_longer_one_more_than_its_own_clips() {
        let service = service(10, 8, 8);
        let long = service.enter().unwrap();
        long.expect(1000).expect("nothing is before it");
        let short = service.enter().unwrap();
        short.expect(8).expect("8 of the long one are before it");
        let other = service.enter().unwrap();
        assert_eq!(other.expect(9), Err(Busy::Clips { found: 9 + 8, most: 10, retry_after_s: 1 }));
        // It still counts as one clip, and may go on as a shorter one.
        assert_eq!(service.clips(), 1000 + 8 + 1);
        other.expect(5).expect("5 and 5 are before it");
        short.done(6);
        assert_eq!(service.clips(), 1000 + 2 + 5);
        short.done(2);
        assert_eq!(service.clips(), 1000 + 1 + 5, "a request that is there is at least a clip");
        // It has 8 more than its header said: it may have as many again.
        short.done(8);
        assert_eq!(service.clips(), 1000 + 8 + 5);
        drop((long, short, other));
        assert_eq!((service.clips(), service.requests()), (0, 0));
    }

    #[test]
    fn who_is_refused_is_told_when_there_will_be_room() {
        let start = Instant::now();
        let mut taken = Taken::default();
        taken.rate.resume(start);
        for second in 1..=60 {
            taken.rate.add(5, start + Duration::from_secs(second));
        }
        assert!((taken.rate.per_s() - 5.0).abs() < 1e-9);
        taken.requests.insert(0, Clips { left: 49, expected: 49 });
        assert_eq!(taken.check(10, 60, None), Err(Busy::Clips { found: 49, most: 10, retry_after_s: 8 }));
        // An hour without work is not slow work.
        taken.rate.resume(start + Duration::from_secs(3600));
        taken.rate.add(5, start + Duration::from_secs(3601));
        assert!((taken.rate.per_s() - 5.0).abs() < 1e-9);
        // What is fast of late counts more.
        for second in 3602..3640 {
            taken.rate.add(20, start + Duration::from_secs(second));
        }
        assert!((19.0..20.0).contains(&taken.rate.per_s()), "{}", taken.rate.per_s());
    }

    #[tokio::test]
    async fn slots_are_counted_apart_from_places() {
        let service = service(1, 2, 3);
        let place = service.enter().unwrap();
        let slot = service.slot(&place).await;
        assert_eq!((service.requests(), service.open()), (1, 1));
        drop(slot);
        assert_eq!((service.requests(), service.open()), (1, 0));
    }
}

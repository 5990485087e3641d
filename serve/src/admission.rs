//! How many requests the service holds, and how many of those decode.
//!
//! A [`Ticket`] is a place in the service and is taken before a body is read, so that a full service costs a client
//! nothing but the request line. A slot is the right to decode and is taken when the upload is complete, so that a slow
//! client never keeps a decoder waiting.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A place in the service; dropping it gives the place back.
#[derive(Debug)]
pub struct Ticket {
    _place: OwnedSemaphorePermit,
}

/// The right to decode one video; dropping it lets the next one start.
#[derive(Debug)]
pub struct Slot {
    _permit: OwnedSemaphorePermit,
}

/// The two counts: places (slots plus queue) and decoding slots.
#[derive(Clone, Debug)]
pub struct Admission {
    places: Arc<Semaphore>,
    slots: Arc<Semaphore>,
    capacity: usize,
    decodes: usize,
}

impl Admission {
    /// Room for `decodes` videos being decoded and `queue` more that upload or wait.
    pub fn new(decodes: usize, queue: usize) -> Self {
        let decodes = decodes.clamp(1, Semaphore::MAX_PERMITS / 2);
        let capacity = decodes.saturating_add(queue).min(Semaphore::MAX_PERMITS);
        Self { places: Arc::new(Semaphore::new(capacity)), slots: Arc::new(Semaphore::new(decodes)), capacity, decodes }
    }

    /// Takes a place, or `None` when the service is full.
    pub fn enter(&self) -> Option<Ticket> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Some(Ticket { _place: place })
    }

    /// Waits for a decoding slot, in order of arrival.
    pub async fn slot(&self) -> Slot {
        let permit = Arc::clone(&self.slots)
            .acquire_owned()
            .await
            .expect("the semaphore lives as long as the service and is never closed");
        Slot { _permit: permit }
    }

    /// Places in the service, taken or free.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Requests that hold a place now.
    pub fn entered(&self) -> usize {
        self.capacity - self.places.available_permits()
    }

    /// Videos being decoded now.
    pub fn decoding(&self) -> usize {
        self.decodes - self.slots.available_permits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_service_refuses_and_a_dropped_ticket_makes_room() {
        let admission = Admission::new(1, 1);
        let first = admission.enter().expect("first place");
        let _second = admission.enter().expect("second place");
        assert!(admission.enter().is_none());
        drop(first);
        assert!(admission.enter().is_some());
    }

    #[test]
    fn a_zero_for_decodes_still_leaves_one_slot() {
        assert_eq!(Admission::new(0, 0).capacity(), 1);
    }

    #[tokio::test]
    async fn slots_are_counted_apart_from_places() {
        let admission = Admission::new(2, 3);
        let slot = admission.slot().await;
        assert_eq!((admission.entered(), admission.decoding()), (0, 1));
        drop(slot);
        assert_eq!(admission.decoding(), 0);
    }
}

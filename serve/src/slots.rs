//! Slots for open videos. Those that wait get theirs in the order in which they would end were all served at once, as
//! `unscene_engine`'s queue has it for clips; and a few slots are kept from long videos, so that a short one need not wait for the
//! end of any of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Of so many slots one is kept for videos that are short beside those that are open.
const KEPT: usize = 4;
/// A video is short beside one that has so many times its clips.
const SHORTER: usize = 4;

/// The slots. Clones share them.
#[derive(Clone, Debug)]
pub struct Slots {
    most: usize,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// The clips of each open video.
    open: HashMap<u64, usize>,
    waiting: BTreeMap<Turn, Waiting>,
    /// How many clips each would have got by now, were all served at once.
    now: usize,
    last: u64,
}

/// The place of one that waits: when it would end, and its number.
type Turn = (usize, u64);

#[derive(Debug)]
struct Waiting {
    clips: usize,
    granted: oneshot::Sender<()>,
}

/// The right to have one video open; dropping it lets the next one open.
#[derive(Debug)]
pub struct Slot {
    turn: Turn,
    slots: Slots,
}

impl Slots {
    /// So many.
    pub fn new(most: usize) -> Self {
        Self { most, state: Arc::default() }
    }

    /// Waits for a slot for a video of so many clips.
    pub async fn take(&self, clips: usize) -> Slot {
        let (granted, grant) = oneshot::channel();
        let clips = clips.max(1);
        let slot = {
            let mut state = self.state();
            state.last += 1;
            let turn = (state.now.saturating_add(clips), state.last);
            state.waiting.insert(turn, Waiting { clips, granted });
            // From now on, so that one who does not wait any more is forgotten.
            Slot { turn, slots: self.clone() }
        };
        self.grant();
        // The other end is only dropped with the slot itself.
        let _granted = grant.await;
        slot
    }

    /// Slots that are taken.
    pub fn taken(&self) -> usize {
        self.state().open.len()
    }

    /// Gives free slots to those whose turn it is.
    fn grant(&self) {
        let mut state = self.state();
        while let Some(turn) = state.next(self.most) {
            let competing = state.waiting.len();
            if let Some(Waiting { clips, granted }) = state.waiting.remove(&turn) {
                state.now = state.now.saturating_add(clips.div_ceil(competing));
                state.open.insert(turn.1, clips);
                // Who does not wait any more is about to give it back.
                let _ = granted.send(());
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whose turn it is, of so many slots.
    fn next(&self, most: usize) -> Option<Turn> {
        let free = most.saturating_sub(self.open.len());
        let longest = self.open.values().max().copied().unwrap_or(0);
        let is_kept = free <= most / KEPT;
        let may = |waiting: &Waiting| !is_kept || waiting.clips.saturating_mul(SHORTER) <= longest;
        if free == 0 {
            return None;
        }
        self.waiting.iter().find(|(_, waiting)| may(waiting)).map(|(turn, _)| *turn)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        {
            let mut state = self.slots.state();
            state.open.remove(&self.turn.1);
            state.waiting.remove(&self.turn);
        }
        self.slots.grant();
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    type Wait = Pin<Box<dyn Future<Output = Slot>>>;

    fn wait(slots: &Slots, clips: usize) -> Wait {
        let slots = slots.clone();
        let mut wait: Wait = Box::pin(async move { slots.take(clips).await });
        // It stands in the line from its first look on.
        assert!(slot(&mut wait).is_none());
        wait
    }

    fn slot(wait: &mut Wait) -> Option<Slot> {
        match wait.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(slot) => Some(slot),
            Poll::Pending => None,
        }
    }

    async fn fill(slots: &Slots, clips: usize, count: usize) -> Vec<Slot> {
        let mut open = vec![];
        for _ in 0..count {
            open.push(slots.take(clips).await);
        }
        open
    }

    #[tokio::test]
    async fn shorter_videos_pass_longer_ones_and_none_waits_for_ever() {
        let slots = Slots::new(1);
        let mut open = slots.take(5).await;
        let mut long = wait(&slots, 100);
        let mut passed = 0;
        loop {
            let mut short = wait(&slots, 10);
            drop(open);
            match slot(&mut short) {
                Some(slot) => open = slot,
                None => break,
            }
            passed += 1;
            assert!(passed < 100, "the long one waits for ever");
        }
        assert!(passed > 5 && slot(&mut long).is_some(), "{passed} short ones passed it");
    }

    #[tokio::test]
    async fn some_slots_are_kept_from_long_videos() {
        let slots = Slots::new(8);
        let open = fill(&slots, 100, 6).await;
        let mut long = wait(&slots, 90);
        let short = fill(&slots, 20, 2).await;
        assert_eq!(slots.taken(), 8);
        let mut other = wait(&slots, 20);
        drop(short);
        assert!(slot(&mut other).is_some() && slot(&mut long).is_none());
        drop(open);
        assert!(slot(&mut long).is_some());
    }

    #[tokio::test]
    async fn equal_videos_come_one_after_the_other_and_leave_nothing_when_they_go() {
        let slots = Slots::new(2);
        let open = fill(&slots, 7, 2).await;
        let (mut first, gone, mut second) = (wait(&slots, 7), wait(&slots, 7), wait(&slots, 7));
        drop(gone);
        let [one, two]: [Slot; 2] = open.try_into().unwrap();
        drop(one);
        let got = slot(&mut first).expect("the first one's turn");
        assert!(slot(&mut second).is_none());
        drop(two);
        drop((slot(&mut second).expect("the second one's turn"), got));
        // One that was granted a slot and was not waited for.
        let (open, unheard) = (fill(&slots, 7, 2).await, wait(&slots, 7));
        drop(open);
        assert_eq!(slots.taken(), 1);
        drop(unheard);
        assert_eq!(slots.taken(), 0);
    }
}

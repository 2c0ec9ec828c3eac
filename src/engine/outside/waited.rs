//! Channels that wake nobody: a thread of its own waits at such a channel while its source sleeps.
//!
//! The source lends the channel to the thread when it finds nothing. The thread blocks in the channel's own receive, gives
//! the channel back when something has come, and wakes the source. In between it is parked: it lives as long as the
//! source, and a channel that always has something never makes one.
//!
//! Nobody can wake a thread out of a channel's receive. So it looks up from there now and then ([`PATIENCE`]): when the
//! run is over it gives the channel back, and when the source is gone it drops the channel and ends. An item that it has
//! taken by then goes back with the channel, and is the first one of the next run.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::live::{Live, Pull};
use crate::run::outside::wake::Wake;
use crate::sync::{Condvar, Mutex, refuse, thread};
use crate::unwind;

/// How long the thread waits at a channel before it looks whether anybody still wants to know.
const PATIENCE: Duration = Duration::from_millis(100);

/// The receiving end of a channel. Its methods call no code of the user's, and do not panic.
#[expect(unnameable_types, reason = "of no use outside")]
pub trait Channel: Send + 'static {
    /// What comes through it.
    type Item: Send + 'static;

    /// What is there now.
    fn look(&self) -> Pull<Self::Item>;

    /// Waits until there is something, or the other end is gone, but no longer than `patience`.
    fn wait(&self, patience: Duration) -> Heard<Self::Item>;
}

/// What a wait at a channel has brought.
#[derive(Debug)]
#[expect(unnameable_types, reason = "of no use outside")]
pub enum Heard<T> {
    /// Nothing.
    Nothing,
    /// A look is worth it.
    News,
    /// This item, which was taken out of the channel.
    Item(T),
}

/// A channel as a live source; see the module.
#[expect(missing_debug_implementations, unnameable_types, reason = "nobody gets hold of one")]
pub struct Waited<C: Channel> {
    /// None: the thread has it, or has given it back and the source has not asked yet.
    channel: Option<C>,
    /// What is shared with the thread, once there is one.
    desk: Option<Arc<Desk<C>>>,
}

/// Where the channel goes from the source to the thread, and back.
struct Desk<C: Channel> {
    state: Mutex<DeskState<C>>,
    /// Told when the thread has something to do.
    changed: Condvar,
}

struct DeskState<C: Channel> {
    /// For the thread to wait at.
    lent: Option<C>,
    /// It has waited. Perhaps it has taken an item.
    returned: Option<(C, Option<C::Item>)>,
    /// Who is to be woken. None: nobody wants to know.
    wake: Option<Wake>,
    /// The source is gone.
    is_closed: bool,
}

impl<C: Channel> Waited<C> {
    pub(super) fn new(channel: C) -> Self {
        Self { channel: Some(channel), desk: None }
    }
}

impl<C: Channel> Live for Waited<C> {
    type Item = C::Item;

    fn pull(&mut self, wake: &Wake) -> Result<Pull<C::Item>, Box<dyn Error + Send + Sync>> {
        if self.channel.is_none()
            && let Some(desk) = &self.desk
        {
            let Some((channel, item)) = desk.take_back(wake) else { return Ok(Pull::Pending) };
            self.channel = Some(channel);
            if let Some(item) = item {
                return Ok(Pull::Item(item));
            }
        }
        let found = self.channel.as_ref().expect("it is here, or the thread has it").look();
        if let Pull::Pending = found {
            let desk = match &self.desk {
                Some(desk) => desk,
                None => self.desk.insert(Desk::start()?),
            };
            desk.lend(self.channel.take(), wake);
        }
        Ok(found)
    }

    fn over(&mut self) {
        if let Some(desk) = &self.desk {
            desk.state.lock().wake = None; // the run has one too, so this is not the last
        }
    }
}

impl<C: Channel> Drop for Waited<C> {
    fn drop(&mut self) {
        unwind::drop_value(self.channel.take()); // with the items in it
        let Some(desk) = &self.desk else { return };
        let mut state = desk.state.lock();
        (state.is_closed, state.wake) = (true, None);
        let (lent, returned) = (state.lent.take(), state.returned.take());
        drop(state);
        desk.changed.notify_one();
        unwind::drop_value(lent);
        unwind::drop_value(returned);
    }
}

impl<C: Channel> Desk<C> {
    /// Starts the thread.
    fn start() -> io::Result<Arc<Self>> {
        refuse("receivers that a thread waits at");
        let state = DeskState { lent: None, returned: None, wake: None, is_closed: false };
        let desk = Arc::new(Self { state: Mutex::new(state), changed: Condvar::default() });
        let of_thread = Arc::clone(&desk);
        thread::Builder::new().name("millstream-wait".to_owned()).spawn(move || of_thread.serve())?;
        Ok(desk)
    }

    fn lend(&self, channel: Option<C>, wake: &Wake) {
        let mut state = self.state.lock();
        (state.lent, state.wake) = (channel, Some(wake.clone()));
        drop(state);
        self.changed.notify_one();
    }

    /// The channel, and what was taken out of it, if the thread has given it back. If not, `wake` is woken when it has.
    fn take_back(&self, wake: &Wake) -> Option<(C, Option<C::Item>)> {
        let mut state = self.state.lock();
        if state.returned.is_none() {
            state.wake = Some(wake.clone());
        }
        state.returned.take()
    }

    /// What the thread does.
    fn serve(&self) {
        while let Some(channel) = self.next() {
            let mut heard = Heard::Nothing;
            while matches!(heard, Heard::Nothing) && self.is_awaited() {
                heard = channel.wait(PATIENCE);
            }
            let item = if let Heard::Item(item) = heard { Some(item) } else { None };
            self.give_back(channel, item);
        }
    }

    /// The next channel to wait at. None: the source is gone.
    fn next(&self) -> Option<C> {
        let mut state = self.state.lock();
        loop {
            if state.is_closed {
                return None;
            }
            if let Some(channel) = state.lent.take() {
                return Some(channel);
            }
            state = self.changed.wait(state);
        }
    }

    fn is_awaited(&self) -> bool {
        let state = self.state.lock();
        state.wake.is_some() && !state.is_closed
    }

    fn give_back(&self, channel: C, item: Option<C::Item>) {
        let mut state = self.state.lock();
        if state.is_closed {
            drop(state);
            unwind::drop_value(item);
            unwind::drop_value(channel);
            return;
        }
        state.returned = Some((channel, item));
        let wake = state.wake.take();
        drop(state);
        wake.iter().for_each(Wake::wake);
    }
}

//! Sources of the user's own that may have nothing now.

use std::error::Error;

use crate::engine::heads::pulled::Supplier;
use crate::run::cancel::BoxedError;
use crate::run::flow::supply::Then;
use crate::run::outside::wake::Wake;

/// What a [`Live`] source has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pull<T> {
    /// An item.
    Item(T),
    /// Nothing now. The source is asked again after a [wake](Wake::wake).
    Pending,
    /// No more items.
    End,
}

/// A source that may have nothing now: a message queue, a socket, a file that grows.
///
/// [`Graph::live`](crate::Graph::live) makes a stream of it. One worker at a time calls it, in no particular thread. It
/// must not block: a worker that waits does nothing else. If there is nothing it keeps a clone of the [`Wake`], and
/// returns [`Pull::Pending`]. Whoever has something for it then calls [`Wake::wake`]; a wake that comes in between is
/// not lost. A graph that waits for its live sources takes no time of any core.
///
/// ```
/// use std::sync::mpsc::{Receiver, TryRecvError, channel};
/// use std::sync::{Arc, Mutex};
///
/// use millstream::{Graph, Live, Pool, Pull, Wake};
///
/// /// Numbers from a channel, and the place where whoever sends finds what to wake.
/// struct Numbers(Receiver<u64>, Arc<Mutex<Option<Wake>>>);
///
/// impl Live for Numbers {
///     type Item = u64;
///     fn pull(&mut self, wake: &Wake) -> Result<Pull<u64>, Box<dyn std::error::Error + Send + Sync>> {
///         *self.1.lock().expect("not poisoned") = Some(wake.clone()); // before the look, so that no item is missed
///         Ok(match self.0.try_recv() {
///             Ok(number) => Pull::Item(number),
///             Err(TryRecvError::Empty) => Pull::Pending,
///             Err(TryRecvError::Disconnected) => Pull::End,
///         })
///     }
/// }
///
/// let (pool, g) = (Pool::new()?, Graph::new());
/// let ((sender, numbers), wake) = (channel(), Arc::new(Mutex::new(None::<Wake>)));
/// let sum = g.live(Numbers(numbers, Arc::clone(&wake))).sum::<u64>();
/// let plan = g.plan(&pool)?;
/// let running = plan.start();
/// for number in 1..=10 {
///     sender.send(number).expect("the source is there");
///     wake.lock().expect("not poisoned").iter().for_each(Wake::wake);
/// }
/// drop(sender);
/// wake.lock().expect("not poisoned").iter().for_each(Wake::wake);
/// assert_eq!(running.join()?.take(sum), 55);
/// # Ok::<(), millstream::Error>(())
/// ```
pub trait Live: Send {
    /// What it gives.
    type Item: Send;

    /// A run begins. Before the first run, and from run to run, the source keeps what it has.
    fn begin(&mut self) {}

    /// The next item, if there is one now.
    ///
    /// # Errors
    /// The run fails behind the items that came before, as if an operator had failed on the next one. In that run the
    /// source is not asked again.
    fn pull(&mut self, wake: &Wake) -> Result<Pull<Self::Item>, Box<dyn Error + Send + Sync>>;

    /// Hears that all that came of its first `items` items has been done, sinks included.
    ///
    /// It is the place to acknowledge messages, and may [wake](Wake::wake) the source. `items` grows from call to call.
    /// Before a run that succeeds is over, it is called with the number of all items; behind a failure or a cancel it is
    /// not called any more.
    ///
    /// An item that an operator keeps counts as done when the operator has it: on a [`spooled`](crate::Stream::spooled)
    /// edge, in an unfinished chunk or window, among items to be sorted or joined, and on the right side of a zip. To
    /// acknowledge exactly, let such items come from the left side, or keep no items.
    fn done(&mut self, items: u64) {
        _ = items;
    }

    /// The run is over: until the next one begins the source is not asked again. It must not panic.
    #[doc(hidden)]
    fn over(&mut self) {}
}

/// What [`Graph::live`](crate::Graph::live) makes a stream of: a [`Live`] source, or the receiver of a channel.
///
/// # Channels
/// `std::sync::mpsc::Receiver` always, and with the feature `channels` those of crossbeam-channel and flume too. The
/// stream has what is sent, in the order of the channel, and ends when the senders are gone and the channel is empty.
/// What no run has taken stays for the next one, and is dropped with the plan.
///
/// flume wakes the source itself. A receiver of std or crossbeam wakes nobody: while it is empty, a thread of its own
/// waits there (`millstream-wait`), which looks up ten times a second, and ends within a tenth of a second when the plan
/// is dropped. So an item that comes alone costs two wake-ups of threads more than one that is sent to an
/// [`input`](crate::Graph::input). Clones of a crossbeam or flume receiver may receive beside the graph.
///
/// ```
/// use std::sync::mpsc::channel;
///
/// use millstream::{Graph, Pool};
///
/// let (pool, g) = (Pool::new()?, Graph::new());
/// let (sender, numbers) = channel::<u64>();
/// let sum = g.live(numbers).sum::<u64>();
/// let running = g.plan(&pool)?.start();
/// (1..=10).for_each(|number| sender.send(number).expect("the graph runs"));
/// drop(sender);
/// assert_eq!(running.join()?.take(sum), 55);
/// # Ok::<(), millstream::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no live source",
    label = "neither `Live` nor the receiver of a channel",
    note = "`Graph::live` takes the receivers of `std::sync::mpsc` if their items are `Send` and borrow nothing, and with \
            the feature `channels` those of crossbeam-channel and flume",
    note = "for anything else implement `millstream::Live`, or send what it has to a `Graph::input`"
)]
pub trait IntoLive {
    /// What it gives.
    type Item: Send;
    /// The source that it becomes.
    type Live: Live<Item = Self::Item>;

    /// Makes it a source.
    fn into_live(self) -> Self::Live;
}

#[diagnostic::do_not_recommend]
impl<L: Live> IntoLive for L {
    type Item = L::Item;
    type Live = L;
    fn into_live(self) -> L {
        self
    }
}

/// Supplies the items of a live source.
pub(crate) struct FromLive<L> {
    live: L,
    wake: Option<Wake>,
}

impl<L> FromLive<L> {
    pub(crate) fn new(live: L) -> Self {
        Self { live, wake: None }
    }
}

impl<L: Live> Supplier for FromLive<L> {
    type Item = L::Item;

    fn begin(&mut self) -> u64 {
        self.live.begin();
        0
    }
    fn supply(&mut self, items: &mut Vec<L::Item>, size: usize) -> Result<Then, BoxedError> {
        let wake = self.wake.as_ref().expect("linked before it runs");
        while items.len() < size {
            match self.live.pull(wake)? {
                Pull::Item(item) => items.push(item),
                Pull::End => return Ok(Then::Ended),
                Pull::Pending => return Ok(Then::Pending),
            }
        }
        Ok(Then::More)
    }
    fn end(&mut self) {}
    fn is_ready(&self) -> bool {
        true
    }
    fn link(&mut self, wake: Wake) {
        self.wake = Some(wake);
    }
    fn done(&mut self, items: u64) {
        self.live.done(items);
    }
    fn close(&mut self) {
        self.live.over();
    }
}

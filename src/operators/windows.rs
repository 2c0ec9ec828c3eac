//! `windows` and `sessions`: what happened in a stretch of time, by the times that the items say.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::marker::PhantomData;
use std::ops::ControlFlow;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::engine::pipe::Pipe;
use crate::engine::serial::{SerialOp, Stop};
use crate::graph::{Keyed, Stream, Windowed, Windows};

impl<'env, K, T, P> Keyed<'env, K, T, P>
where
    K: Hash + Eq + Clone + Send + 'env,
    T: Send + 'env,
    P: Pipe<Out = (K, T)> + 'env,
{
    /// Folds the items of every key that lie in one window of time into one value. One item at a time, in stream order.
    /// Stage boundary after it.
    ///
    /// `time` says when an item was. The *watermark* is the latest time so far, in the whole stream, less the
    /// [lateness](Windows::lateness). A window closes, and comes out, as soon as the watermark has reached its end: before
    /// the next item, in the order of ends, then starts, then first items. Those that are open when the stream ends come
    /// out then. An item all of whose windows have closed comes out as [`Windowed::Late`]. So nothing depends on when
    /// items arrive, only on their order. The value of a window begins as a clone of `init`; open windows are kept in
    /// memory, closed ones not.
    ///
    /// A length or step of 0 is a defect, which [`Graph::plan`](crate::Graph::plan) reports.
    ///
    /// ```
    /// # use millstream::{Graph, Pool, Windowed, Windows};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let visits = g.source([(1, "ann"), (4, "bob"), (8, "ann"), (12, "ann"), (3, "bob"), (25, "bob")]);
    /// let by_name = visits.key_by(|visit| visit.1);
    /// let counts = by_name.windows(Windows::tumbling(10).lateness(2), |visit| visit.0, 0, |n, _| *n += 1).collect();
    /// let counts = pool.run(g)?.take(counts);
    /// assert_eq!(counts[0], Windowed::Closed { key: "ann", time: 0..10, value: 2 }); // when 12 had come
    /// assert_eq!(counts[1], Windowed::Closed { key: "bob", time: 0..10, value: 1 });
    /// assert_eq!(counts[2], Windowed::Late("bob", (3, "bob")));
    /// assert_eq!(counts.len(), 5);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn windows<A, Time, F>(
        self,
        windows: Windows,
        time: Time,
        init: A,
        add: F,
    ) -> Stream<'env, Windowed<K, A, T>, impl Pipe<Out = Windowed<K, A, T>>>
    where
        A: Clone + Send + 'env,
        Time: FnMut(&T) -> u64 + Send + 'env,
        F: FnMut(&mut A, &T) + Send + 'env,
    {
        let merge = |_: &mut A, _: A| {}; // windows of fixed places never become one
        let op = WindowsOp { windows, time, init, add, merge, of: PhantomData };
        let defect = windows.defect(false);
        self.pairs.serial("windows", op).refuse_if(defect.is_some(), defect.unwrap_or_default())
    }

    /// Folds the items of every key between two pauses into one value: [`Windows::sessions`] says how long a pause is.
    ///
    /// It is as [`windows`](Self::windows), but that an item may bring two sessions together which were apart before: then
    /// `merge` adds the value of the later one to that of the earlier one.
    ///
    /// ```
    /// # use millstream::{Graph, Pool, Windowed, Windows};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let clicks = g.source([1_u64, 2, 30, 12, 70]).key_by(|_| ());
    /// let sessions = clicks.sessions(Windows::sessions(10).lateness(20), |at| *at, 0, |n, _| *n += 1, |n, more| *n += more);
    /// let sessions = sessions.filter_map(Windowed::closed).map(|(_, time, n)| (time, n)).collect();
    /// assert_eq!(pool.run(g)?.take(sessions), [(1..12, 2), (12..22, 1), (30..40, 1), (70..80, 1)]);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[track_caller]
    pub fn sessions<A, Time, F, M>(
        self,
        windows: Windows,
        time: Time,
        init: A,
        add: F,
        merge: M,
    ) -> Stream<'env, Windowed<K, A, T>, impl Pipe<Out = Windowed<K, A, T>>>
    where
        A: Clone + Send + 'env,
        Time: FnMut(&T) -> u64 + Send + 'env,
        F: FnMut(&mut A, &T) + Send + 'env,
        M: FnMut(&mut A, A) + Send + 'env,
    {
        let op = WindowsOp { windows, time, init, add, merge, of: PhantomData };
        let defect = windows.defect(true);
        self.pairs.serial("sessions", op).refuse_if(defect.is_some(), defect.unwrap_or_default())
    }
}

/// The operator of [`Keyed::windows`] and [`Keyed::sessions`].
struct WindowsOp<K, A, T, Time, F, M> {
    windows: Windows,
    time: Time,
    init: A,
    add: F,
    merge: M,
    of: PhantomData<fn(K, T)>,
}

/// The place of a window in the order in which windows close: end, start, how many were opened before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    end: u64,
    start: u64,
    number: u64,
}

/// The windows that are open.
struct Open<K, A> {
    watermark: u64,
    /// How many were opened so far.
    opened: u64,
    /// Whose they are, in the order in which they close.
    order: BTreeMap<Place, K>,
    /// Those of each key, and their values. A key has few at a time.
    values: HashMap<K, Vec<(Place, A)>, RandomState>,
}

impl<K: Hash + Eq + Clone, A> Open<K, A> {
    /// Opens a window.
    fn open(&mut self, key: &K, start: u64, end: u64, value: A) {
        let place = Place { end, start, number: self.opened };
        self.opened += 1;
        self.put(key, place, value);
    }

    fn put(&mut self, key: &K, place: Place, value: A) {
        self.order.insert(place, key.clone());
        self.values.entry(key.clone()).or_default().push((place, value));
    }

    fn take(&mut self, key: &K, place: Place) -> Option<A> {
        let of_key = self.values.get_mut(key)?;
        let at = of_key.iter().position(|(known, _)| *known == place)?;
        let (_, value) = of_key.swap_remove(at);
        if of_key.is_empty() {
            self.values.remove(key);
        }
        Some(value)
    }

    /// Closes all windows that end at `until` or before.
    fn close<T>(&mut self, until: u64, made: &mut Vec<Windowed<K, A, T>>) {
        while self.order.first_key_value().is_some_and(|(place, _)| place.end <= until) {
            let Some((place, key)) = self.order.pop_first() else { break };
            if let Some(value) = self.take(&key, place) {
                made.push(Windowed::Closed { key, time: place.start..place.end, value });
            }
        }
    }
}

impl<K, A, T, Time, F, M> WindowsOp<K, A, T, Time, F, M>
where
    K: Hash + Eq + Clone,
    A: Clone,
    F: FnMut(&mut A, &T),
    M: FnMut(&mut A, A),
{
    /// Adds an item to all windows of fixed places that it is in. Whether all of these have closed.
    fn add_fixed(&mut self, open: &mut Open<K, A>, (key, item): (&K, &T), at: u64, step: u64) -> bool {
        let (mut is_in, mut is_late) = (false, true);
        let mut start = Some(at - at % step);
        while let Some(from) = start.filter(|from| at - from < self.windows.length) {
            let end = from.saturating_add(self.windows.length);
            is_in = true;
            start = from.checked_sub(step);
            if end <= open.watermark {
                continue;
            }
            is_late = false;
            let of_key = open.values.get_mut(key).into_iter().flatten();
            if let Some((_, value)) = of_key.into_iter().find(|(place, _)| place.start == from) {
                (self.add)(value, item);
            } else {
                let mut value = self.init.clone();
                (self.add)(&mut value, item);
                open.open(key, from, end, value);
            }
        }
        is_in && is_late
    }

    /// Adds an item to the session that it lies in, which may bring several together. Whether it is late.
    fn add_session(&mut self, open: &mut Open<K, A>, (key, item): (&K, &T), at: u64) -> bool {
        let mut end = at.saturating_add(self.windows.length);
        let touches = |place: &Place| place.start < end && at < place.end;
        let of_key = open.values.get(key).into_iter().flatten();
        let mut touched: Vec<Place> = of_key.map(|(place, _)| *place).filter(touches).collect();
        touched.sort_unstable_by_key(|place| place.start);
        let Some((&first, others)) = touched.split_first() else {
            if end <= open.watermark {
                return true;
            }
            let mut value = self.init.clone();
            (self.add)(&mut value, item);
            open.open(key, at, end, value);
            return false;
        };
        let Some(mut value) = open.take(key, first) else { return false };
        open.order.remove(&first);
        for other in others {
            open.order.remove(other);
            end = end.max(other.end);
            if let Some(more) = open.take(key, *other) {
                (self.merge)(&mut value, more);
            }
        }
        (self.add)(&mut value, item);
        let number = touched.iter().map(|place| place.number).min().unwrap_or(first.number);
        open.put(key, Place { end: end.max(first.end), start: first.start.min(at), number }, value);
        false
    }
}

impl<K, A, T, Time, F, M> SerialOp<(K, T)> for WindowsOp<K, A, T, Time, F, M>
where
    K: Hash + Eq + Clone + Send,
    A: Clone + Send,
    T: Send,
    Time: FnMut(&T) -> u64 + Send,
    F: FnMut(&mut A, &T) + Send,
    M: FnMut(&mut A, A) + Send,
{
    type Out = Windowed<K, A, T>;
    type State = Open<K, A>;
    const ENDS: bool = true;
    const KEEPS: Option<&'static str> = Some("the windows that are open");

    fn begin(&mut self) -> Open<K, A> {
        Open { watermark: 0, opened: 0, order: BTreeMap::new(), values: HashMap::default() }
    }
    fn item(&mut self, open: &mut Open<K, A>, (key, item): (K, T), made: &mut Vec<Self::Out>) -> ControlFlow<Stop> {
        let at = (self.time)(&item);
        let is_late = match self.windows.step {
            Some(step) => self.add_fixed(open, (&key, &item), at, step),
            None => self.add_session(open, (&key, &item), at),
        };
        if is_late {
            made.push(Windowed::Late(key, item));
        }
        let watermark = at.saturating_sub(self.windows.lateness);
        if watermark > open.watermark {
            open.watermark = watermark;
            open.close(watermark, made);
        }
        ControlFlow::Continue(())
    }
    fn end(&mut self, mut open: Open<K, A>, made: &mut Vec<Self::Out>) {
        open.close(u64::MAX, made);
    }
}

//! What each step of an explored run touches.
//!
//! The explorer of schedules runs all of a graph on one thread: the closure of the test and the jobs are *processes* that take
//! turns. A step of a process ends where it is about to touch something that others may touch as well. Two steps that touch
//! nothing in common come to the same in either order, so only one order has to be tried.
//!
//! Each word and each lock of the door has a name: which process has made it, and as which of its things. So a thing has the same
//! name in every schedule in which its process makes it. What was made elsewhere has none, and is not watched: the pool, which the
//! explorer does without.

mod step_under_way;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::thread::{self, LocalKey};

use step_under_way::Calls;
pub(crate) use step_under_way::SharedCalls;

use super::call::Call;
use super::recorder::{self, Act, Current, Does};
use super::seam::{self, Point};

/// The name of a thing; 0: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tag(u32);

/// How a step has touched a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Touch {
    /// It goes with others that only read.
    Read,
    /// It goes with others that only add: what each leaves is the same in either order, and none looks at it.
    Add,
    /// It takes all that is there, of which nothing tells one from another, and there was so much. It makes no difference whether more
    /// comes before or behind it, unless it would then find nothing.
    Take(u32),
    /// It looks at what all have added that come before: they cannot come behind it.
    Join,
    Write,
}

thread_local! {
    /// Whether a process runs, and what it touches counts.
    static IS_WATCHED: Cell<bool> = const { Cell::new(false) };
    /// Whether what it touches only adds.
    static ADDS: Cell<bool> = const { Cell::new(false) };
    static IS_PURE: Cell<bool> = const { Cell::new(false) };
    /// Whether the process is in user code: then each step of it is a step of the call.
    static IS_IN_CALL: Cell<bool> = const { Cell::new(false) };
    static IS_TOLD: Cell<bool> = const { Cell::new(false) };
    /// Whether a recording is followed: then others may come in before each use of what calls share.
    static IS_FOLLOWED: Cell<bool> = const { Cell::new(false) };
    /// What the next job that is queued calls first, if that is known.
    static WILL: Cell<Option<Call>> = const { Cell::new(None) };
    /// The call or use that the step begins with that comes next.
    static NEXT: Cell<Option<Act>> = const { Cell::new(None) };
    /// Whether others may come in before any access at all.
    #[cfg(test)]
    static IS_FINE: Cell<bool> = const { Cell::new(false) };
    static WATCHER: RefCell<Watcher> = RefCell::default();
}

/// What a process is at.
#[derive(Clone, Copy)]
struct Mode {
    is_watched: bool,
    adds: bool,
    is_in_call: bool,
    current: Current,
    next: Option<Act>,
}

impl Mode {
    const BEGINS: Self = Self { is_watched: true, adds: false, is_in_call: false, current: Current::JOB, next: None };
    /// No process runs.
    const NOBODY: Self = Self { is_watched: false, current: Current::TEST, ..Self::BEGINS };

    /// This thread is at this from now on. Returns what it was at.
    fn swap_in(self) -> Self {
        Self {
            is_watched: IS_WATCHED.replace(self.is_watched),
            adds: ADDS.replace(self.adds),
            is_in_call: IS_IN_CALL.replace(self.is_in_call),
            current: self.current.swap_in(),
            next: NEXT.replace(self.next),
        }
    }
}

#[derive(Default)]
struct Watcher {
    process: u32,
    /// What the next job that each process queues is about.
    about: Vec<Option<Tag>>,
    /// How many things each process has made.
    made: Vec<u32>,
    /// What each process was at when its last step ended.
    paused: Vec<Option<Mode>>,
    /// The names so far, in all schedules.
    names: HashMap<Name, u32>,
    /// The targets of jobs that have names, by address.
    targets: Vec<(usize, Tag)>,
    /// What has happened so far, if that is told.
    story: Vec<String>,
    /// What the step under way has touched.
    touched: Vec<(u32, Touch)>,
    calls: Arc<SharedCalls>,
}

/// What this thread is at, for another one.
pub(crate) fn calls() -> Arc<SharedCalls> {
    WATCHER.with_borrow(|watcher| Arc::clone(&watcher.calls))
}

/// Changes what others see of this thread. They look for a moment only, and leave it whole.
fn with_calls<R>(change: impl FnOnce(&mut Calls) -> R) -> R {
    let calls = calls();
    let mut calls = calls.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    change(&mut calls)
}

/// What a thing is known by in all schedules.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Name {
    /// A process has made it as its how-manyth.
    Made { by: u32, nth: u32 },
    /// It is a part of another one.
    Part { of: u32, part: u64 },
}

impl Watcher {
    fn next_about(&mut self) -> &mut Option<Tag> {
        let process = self.process as usize;
        let known = self.about.len().max(process + 1);
        self.about.resize(known, None);
        &mut self.about[process]
    }

    fn name(&mut self, name: Name) -> Tag {
        let next = u32::try_from(self.names.len()).expect("few") + 2; // behind `Tag::USER`
        Tag(*self.names.entry(name).or_insert(next))
    }
}

impl Tag {
    pub(crate) const NONE: Self = Self(0);
    /// What calls of user code touch, of which nobody knows what they share.
    const USER: Self = Self(1);

    /// The name of the next thing that this process makes.
    pub(crate) fn new() -> Self {
        if !IS_WATCHED.get() {
            return Self::NONE;
        }
        WATCHER.with_borrow_mut(|watcher| {
            let process = watcher.process;
            let made = watcher.made.len().max(process as usize + 1);
            watcher.made.resize(made, 0);
            let nth = &mut watcher.made[process as usize];
            *nth += 1;
            let nth = *nth;
            watcher.name(Name::Made { by: process, nth })
        })
    }

    /// The step under way ends, and the next one begins with a touch of this.
    #[inline]
    pub(crate) fn touch(self, touch: Touch) {
        self.touch_as(|| touch);
    }

    /// The same. How it is touched is seen as soon as the step has begun.
    #[inline]
    pub(crate) fn touch_as(self, touch: impl FnOnce() -> Touch) {
        if self != Self::NONE && IS_WATCHED.get() {
            self.touch_watched(touch);
        }
        #[cfg(test)]
        if IS_FINE.get() {
            others_come_in(Point::Race);
        }
    }

    #[cold]
    fn touch_watched(self, touch: impl FnOnce() -> Touch) {
        others_come_in(Point::Touch);
        let touch = if ADDS.get() { Touch::Add } else { unwatched(touch) };
        let is_call = self != Self::USER && IS_IN_CALL.get() && !IS_PURE.get();
        WATCHER.with_borrow_mut(|watcher| {
            watcher.touched.push((self.0, touch));
            if is_call {
                watcher.touched.push((Self::USER.0, Touch::Write));
            }
        });
    }

    /// The name of a part of this thing.
    pub(crate) fn part(self, part: u64) -> Self {
        if self == Self::NONE || !IS_WATCHED.get() {
            return Self::NONE;
        }
        WATCHER.with_borrow_mut(|watcher| watcher.name(Name::Part { of: self.0, part }))
    }
}

/// Others may make steps here, which do not only add because this one does.
fn others_come_in(point: Point) {
    let adds = ADDS.replace(false);
    seam::point(point);
    ADDS.set(adds);
}

/// The next job that is queued is about this thing: so it is known in all schedules, whoever queues it.
pub(crate) fn say_about(tag: Tag) {
    if tag != Tag::NONE {
        WATCHER.with_borrow_mut(|watcher| *watcher.next_about() = Some(tag));
    }
}

/// Jobs of this target are known by it and their payloads, whoever queues them.
pub(crate) fn name_target<T>(target: *const T) {
    let tag = Tag::new();
    if tag != Tag::NONE {
        WATCHER.with_borrow_mut(|watcher| watcher.targets.push((target.addr(), tag)));
    }
}

/// The next job that is queued makes this call first.
pub(crate) fn will_call(call: impl FnOnce() -> Call) {
    if IS_WATCHED.get() {
        WILL.set(Some(call()));
    }
}

/// What the job that is queued now is about, and what it calls first, if that is known.
pub(crate) fn take_about(target: usize, payload: u64) -> (Option<u32>, Option<Call>) {
    let about = WATCHER.with_borrow_mut(|watcher| {
        let by_target = |watcher: &mut Watcher| {
            let (_, tag) = *watcher.targets.iter().rev().find(|(known, _)| *known == target)?;
            Some(watcher.name(Name::Part { of: tag.0, part: payload }))
        };
        watcher.next_about().take().or_else(|| by_target(watcher)).map(|tag| tag.0)
    });
    (about, WILL.take())
}

/// Calls `work`, which only adds to what it touches: in either order of two such calls all is the same afterwards, and so is who goes
/// on how. If the last one does something on its own account, that must be a job.
pub(crate) fn adding<R>(work: impl FnOnce() -> R) -> R {
    let outer = ADDS.replace(true);
    let result = work();
    ADDS.set(outer);
    result
}

/// A thing with a name.
pub(crate) trait Named {
    fn tag(&self) -> Tag;
}

/// Whether this thread explores.
pub(crate) fn explores() -> bool {
    IS_WATCHED.get()
}

/// A part of a thing is written.
pub(crate) fn write_part(thing: &impl Named, part: u64) {
    thing.tag().part(part).touch(Touch::Write);
}

/// A part of a thing is read.
pub(crate) fn read_part(thing: &impl Named, part: u64) {
    thing.tag().part(part).touch(Touch::Read);
}

/// Calls `work`, which is one step: it touches this thing, and nothing else that matters to others.
pub(crate) fn at_once<R>(thing: &impl Named, work: impl FnOnce() -> R) -> R {
    thing.tag().touch(Touch::Write);
    unwatched(work)
}

/// What is done now only adds to a thing: see [`adding`].
pub(crate) fn add_to(thing: &impl Named) {
    thing.tag().touch(Touch::Add);
}

/// The same, unless it is the one that makes something begin.
pub(crate) fn add_unless(thing: &impl Named, begins: impl FnOnce() -> bool) {
    thing.tag().touch_as(|| if begins() { Touch::Write } else { Touch::Add });
}

/// All that is at a thing is about to be taken: so much, of which nothing tells one from another.
pub(crate) fn take_from(thing: &impl Named, amount: impl FnOnce() -> u32) {
    thing.tag().touch_as(|| Touch::Take(amount()));
}

/// The step that begins now comes behind all that have added to this part of a thing.
pub(crate) fn join_part(thing: &impl Named, part: u64) {
    thing.tag().part(part).touch(Touch::Join);
}

/// The job that is queued next is about this part of a thing.
pub(crate) fn say_about_part(thing: &impl Named, part: u64) {
    say_about(thing.tag().part(part));
}

/// The step that begins now comes behind all that have added to this.
pub(crate) fn join(thing: &impl Named) {
    thing.tag().touch(Touch::Join);
}

/// User code is about to be called, which may share anything with other user code, unless the test says that it does not. `what` says
/// what is called, for the story.
#[inline]
pub(crate) fn user_call(call: Call, what: impl FnOnce() -> String) {
    watched_call(call, what);
    recorder::begins(call);
}

/// The same, where the calls that are recorded are smaller ones.
#[inline]
pub(crate) fn watched_call(call: Call, what: impl FnOnce() -> String) {
    if IS_WATCHED.get() {
        watch_call(call, what);
    }
}

#[cold]
fn watch_call(call: Call, what: impl FnOnce() -> String) {
    if !IS_PURE.get() {
        before(Act { does: Does::Begin, call }, || Tag::USER.touch(Touch::Write));
    }
    let call = unwatched(what);
    if IS_TOLD.get() {
        WATCHER.with_borrow_mut(|watcher| watcher.story.push(call.clone()));
    }
    with_calls(|calls| calls.note(call));
}

/// Calls `work`, which begins with this once others have come in.
fn before<R>(act: Act, work: impl FnOnce() -> R) -> R {
    NEXT.set(Some(act).filter(|act| act.call.has_name()));
    let result = work();
    NEXT.set(None);
    result
}

/// Calls `work`, by which others find out in which order those came that do this. It has a name, as calls have.
pub(crate) fn named<R>(call: Call, work: impl FnOnce() -> R) -> R {
    if IS_WATCHED.get() { before(Act { does: Does::Begin, call }, work) } else { recorder::in_order(call, work) }
}

/// The call under way is about to do this.
pub(crate) fn about_to(does: Does) {
    if IS_FOLLOWED.get() && IS_WATCHED.get() {
        before(Act { does, call: recorder::current() }, || others_come_in(Point::Touch));
    }
}

/// This process is in user code until the result is dropped: what it does between two touches is a part of a call.
pub(crate) fn user_code() -> InCall {
    InCall(IS_IN_CALL.replace(IS_WATCHED.get()))
}

/// See [`user_code`].
pub(crate) struct InCall(bool);

impl Drop for InCall {
    fn drop(&mut self) {
        IS_IN_CALL.set(self.0);
    }
}

/// User code calls the library: until the result is dropped this process is not in user code. Then that goes on, and others may have come
/// in between. `what` says what is done, for the story.
pub(crate) fn library_call(what: &'static str) -> LibraryCall {
    about_to(Does::Ask);
    recorder::notes(Does::Ask);
    tell_use(|| what.to_owned());
    wait_for(|| Some(what.to_owned()));
    LibraryCall(IS_IN_CALL.replace(false))
}

/// See [`library_call`].
pub(crate) struct LibraryCall(bool);

impl Drop for LibraryCall {
    fn drop(&mut self) {
        IS_IN_CALL.set(self.0);
        wait_for(|| None);
        if thread::panicking() {
            // It may be another process that unwinds. Nobody can come in, but what comes now may not go with all.
            go_on_in_call();
        } else {
            user_goes_on();
        }
    }
}

/// The step under way is a part of a call from here on.
fn go_on_in_call() {
    if IS_WATCHED.get() && !IS_PURE.get() {
        WATCHER.with_borrow_mut(|watcher| watcher.touched.push((Tag::USER.0, Touch::Write)));
    }
}

/// User code goes on behind a call of the library, which may have let others go on.
pub(crate) fn user_goes_on() {
    if IS_WATCHED.get() && !IS_PURE.get() {
        Tag::USER.touch(Touch::Write);
    }
}

/// Adds to the story of a schedule, if one is told.
pub(crate) fn tell(what: impl FnOnce() -> String) {
    if IS_WATCHED.get() && IS_TOLD.get() {
        let line = unwatched(what);
        WATCHER.with_borrow_mut(|watcher| watcher.story.push(line));
    }
}

/// The call under way does this with a thing that the user shares.
pub(crate) fn tell_use(what: impl FnOnce() -> String) {
    tell(|| with_calls(|calls| format!("{} {}", calls.call(), what())));
}

/// The call under way does this from now on, in which it may have to wait; none: it does not any more.
fn wait_for(what: impl FnOnce() -> Option<String>) {
    if IS_WATCHED.get() && IS_TOLD.get() {
        let what = unwatched(what);
        with_calls(|calls| calls.wait_for(what));
    }
}

/// Calls `work`, in which the call under way may wait for this.
pub(crate) fn waiting_for<R>(thing: impl fmt::Display, work: impl FnOnce() -> R) -> R {
    wait_for(|| Some(format!("waits for {thing}")));
    let result = work();
    wait_for(|| None);
    result
}

/// Tells what each of these processes does, which cannot go on.
pub(crate) fn tell_who_waits(processes: impl Iterator<Item = usize>) {
    if IS_TOLD.get() {
        let lines = with_calls(|calls| {
            let line = |process| format!("{} cannot go on: it {}", calls.call_of(process), calls.wait_of(process));
            processes.map(line).collect::<Vec<_>>()
        });
        WATCHER.with_borrow_mut(|watcher| watcher.story.extend(lines));
    }
}

/// Calls `work`, in which calls of user code share nothing but through the types of `check`, if they are pure.
pub(crate) fn pure_if<R>(is_pure: bool, work: impl FnOnce() -> R) -> R {
    let _restore = Restore(&IS_PURE, IS_PURE.replace(is_pure));
    work()
}

/// Calls `work`, in which others may come in before each use of what calls share.
pub(crate) fn followed<R>(work: impl FnOnce() -> R) -> R {
    let _restore = Restore(&IS_FOLLOWED, IS_FOLLOWED.replace(true));
    work()
}

/// What a process begins its next step with, if that is a call with a name, or a use in one.
pub(crate) fn next_of(process: usize) -> Option<Act> {
    WATCHER.with_borrow(|watcher| watcher.paused.get(process)?.as_ref()?.next)
}

/// What a process is in, if it has begun.
pub(crate) fn call_of(process: usize) -> Option<Call> {
    WATCHER.with_borrow(|watcher| Some(watcher.paused.get(process)?.as_ref()?.current.call()))
}

/// Calls `work`, of which nothing is told.
pub(crate) fn untold<R>(work: impl FnOnce() -> R) -> R {
    let _restore = Restore(&IS_TOLD, IS_TOLD.replace(false));
    work()
}

/// Calls `work`, and returns the story of what happens in it.
pub(crate) fn told<R>(work: impl FnOnce() -> R) -> (R, Vec<String>) {
    let restore = Restore(&IS_TOLD, IS_TOLD.replace(true));
    let result = work();
    drop(restore);
    (result, WATCHER.with_borrow_mut(|watcher| std::mem::take(&mut watcher.story)))
}

/// Something is about to happen that the explorer has no orders for yet.
///
/// # Panics
/// If this thread explores.
pub(crate) fn refuse(what: &str) {
    assert!(!IS_WATCHED.get(), "millstream::check cannot explore {what}");
}

/// A thread that does not explore queues a job for what another one explores.
///
/// # Panics
/// Always, but if it panics already.
pub(crate) fn refuse_thread() {
    if !thread::panicking() {
        panic!("millstream::check cannot explore what other threads do: let a closure of a join or a scope do it");
    }
}

/// Calls `work`. Meanwhile virtual workers of this thread may be interleaved before any access to a word or a lock.
#[cfg(test)]
pub(crate) fn at_every_access<R>(work: impl FnOnce() -> R) -> R {
    let _restore = Restore(&IS_FINE, IS_FINE.replace(true));
    work()
}

/// Calls `work`, which touches nothing that matters to others.
pub(crate) fn unwatched<R>(work: impl FnOnce() -> R) -> R {
    let _restore = Restore(&IS_WATCHED, IS_WATCHED.replace(false));
    work()
}

/// Makes a mark again what it was.
struct Restore(&'static LocalKey<Cell<bool>>, bool);

impl Drop for Restore {
    fn drop(&mut self) {
        self.0.set(self.1);
    }
}

/// Lets `step` do a step of a process, and returns what it has touched.
pub(crate) fn watch(process: u32, touched: &mut Vec<(u32, Touch)>, step: impl FnOnce()) {
    let at = process as usize;
    let current = if process == 0 { Current::TEST } else { Current::JOB };
    let mode = WATCHER.with_borrow_mut(|watcher| {
        watcher.process = process;
        let known = watcher.paused.len().max(at + 1);
        watcher.paused.resize(known, None);
        let paused = watcher.paused[at].unwrap_or(Mode { current, ..Mode::BEGINS });
        Mode { next: None, ..paused }
    });
    with_calls(|calls| calls.step(at));
    mode.swap_in();
    step();
    let mode = Mode::NOBODY.swap_in();
    with_calls(Calls::end_step);
    WATCHER.with_borrow_mut(|watcher| {
        watcher.paused[at] = Some(mode);
        std::mem::swap(&mut watcher.touched, touched);
        watcher.touched.clear();
    });
}

/// A schedule begins: no process has made anything.
pub(crate) fn begin() {
    WATCHER.with_borrow_mut(|watcher| {
        watcher.made.clear();
        watcher.paused.clear();
        drop(watcher.calls.lock().map(|mut calls| calls.clear()));
        watcher.about.clear();
        watcher.targets.clear();
    });
}

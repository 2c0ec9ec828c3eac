//! Options for a pool.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::{fmt, io};

use super::placement::register::{self, Claim, CpuClaims};
use super::placement::{Pinning, Placement, Wish, WorkerPlace};
use super::spawn::PanicHandler;
use super::threads::elastic::{Watch, Watcher};
use super::work::layout::Layout;
use super::work::patience::Idle;
use super::work::worker::Worker;
use super::{Pool, Shared};
use crate::error::{Error, PoolError};
use crate::sync::event_count::MAX_THREADS;
#[cfg(feature = "check")]
use crate::sync::recorder::Records;
use crate::sync::{asymmetric, refuse, thread};
use crate::topology::{CpuSet, Topology, Usable, bind};
use crate::unwind;

/// Options for a [`Pool`].
///
/// Each method sets one option, and [`build`](Self::build) makes the pool.
///
/// ```
/// let pool = millstream::Pool::builder().workers(2).name("render").build()?;
/// assert_eq!(pool.workers(), 2);
/// # Ok::<(), millstream::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "`build` makes the pool"]
pub struct PoolBuilder {
    wish: Wish,
    strict: bool,
    elastic: bool,
    name: String,
    stack_size: Option<usize>,
    topology: Option<Topology>,
    hooks: Hooks,
    panic_handler: Option<PanicHandler>,
    idle: Idle,
    #[cfg(feature = "check")]
    records: bool,
}

/// What the threads call at their start and at their end.
#[derive(Clone, Default)]
struct Hooks {
    start: Option<Hook>,
    exit: Option<Hook>,
}

type Hook = Arc<dyn Fn(usize) + Send + Sync>;

/// What a worker's thread reports once it has started.
struct Started {
    worker: usize,
    thread: bind::Thread,
    /// If it is not bound: why.
    bound: Result<(), String>,
    /// If the start hook panicked: what the panic says.
    hook: Result<(), String>,
}

impl PoolBuilder {
    pub(super) fn new() -> Self {
        Self {
            wish: Wish::default(),
            strict: false,
            elastic: false,
            name: "millstream".to_owned(),
            stack_size: None,
            topology: None,
            hooks: Hooks::default(),
            panic_handler: None,
            idle: Idle::default(),
            #[cfg(feature = "check")]
            records: false,
        }
    }

    /// How many workers the pool has. Default: one for every core that this process may use.
    ///
    /// With fewer workers than cores, the default [`Pinning::Auto`] binds none of them to a core: a worker may run on any
    /// core of its node, so its L3 cache is not known, and it steals from the whole node as if all were equally near. On
    /// a large machine where a few cores are to stay free, ask for [`Pinning::Cores`] as well.
    pub fn workers(mut self, workers: usize) -> Self {
        self.wish.workers = Some(workers);
        self
    }

    /// Whether the default is a worker for every CPU (PU, hardware thread) that this process may use, not for every
    /// core. Default: `false`.
    ///
    /// With [`workers`](Self::workers) it only decides how many workers [`Pinning::Auto`] takes for enough to bind
    /// them.
    pub fn smt(mut self, smt: bool) -> Self {
        self.wish.smt = smt;
        self
    }

    /// How long workers, and threads that wait for a run, scope or join, look for work before they sleep. Default:
    /// [`Idle::Balanced`].
    ///
    /// ```
    /// let pool = millstream::Pool::builder().idle(millstream::Idle::Latency).build()?;
    /// assert_eq!(pool.join(|| 1, || 2), (1, 2));
    /// # Ok::<(), millstream::Error>(())
    /// ```
    pub fn idle(mut self, idle: Idle) -> Self {
        self.idle = idle;
        self
    }

    /// Whether all workers may be active at once. Default: `false`.
    ///
    /// Without it the pool wakes no more workers at a time than this process may use CPUs, or than its CPU quota gives,
    /// rounded up. For tests, and for operators that block.
    ///
    /// ```
    /// let pool = millstream::Pool::builder().workers(64).oversubscribe(true).build()?;
    /// assert_eq!(pool.placement().active(), 64);
    /// # Ok::<(), millstream::Error>(())
    /// ```
    pub fn oversubscribe(mut self, oversubscribe: bool) -> Self {
        self.wish.oversubscribe = oversubscribe;
        self
    }

    /// Whether the pool follows what the process may use while it lives. Default: `false`.
    ///
    /// As many of its workers are active as there are CPUs in the process's affinity mask, or as its CPU quota gives,
    /// rounded up. When these change, workers park after their current job, or are woken. A worker that is bound keeps
    /// to those of its CPUs that are left, or to the whole mask if none is. [`Pool::placement`] says what holds now.
    ///
    /// A thread of its own looks once a second, at the main thread's mask and the control group of the process. It
    /// takes about half a millisecond of CPU time a second, 0.05 % of a CPU, on a virtual machine with two CPUs.
    ///
    /// ```
    /// // As many workers as there may ever be CPUs. As many are active as there are CPUs now.
    /// let pool = millstream::Pool::builder().workers(16).elastic(true).build()?;
    /// assert!((1..=16).contains(&pool.placement().active()));
    /// # Ok::<(), millstream::Error>(())
    /// ```
    pub fn elastic(mut self, elastic: bool) -> Self {
        self.elastic = elastic;
        self
    }

    /// Which workers are bound to CPUs. Default: [`Pinning::Auto`].
    pub fn pinning(mut self, pinning: Pinning) -> Self {
        self.wish.pinning = pinning;
        self
    }

    /// Whether [`build`](Self::build) fails if the system refuses to bind a worker. Default: `false`; then
    /// [`Pool::placement`] says which worker is not bound, and why.
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// Places the workers on this machine instead of the one that [`Topology::detect`] finds.
    ///
    /// Workers are bound only if it [is this machine](Topology::is_this_machine), and never to CPUs that the process
    /// may not use when the pool is made. For another machine the pool has the workers that it would have there,
    /// unbound, and no more of them are active at once than this process may use CPUs.
    pub fn topology(mut self, topology: Topology) -> Self {
        self.topology = Some(topology);
        self
    }

    /// The name of the pool's threads, before their number. Default: `millstream`, so that worker 0 is `millstream-0`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The stack size of each worker, and of each compensating thread, in bytes. Default: what the standard library
    /// gives a thread. Joins, and operators that call themselves, take place there.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// Each worker's thread calls `hook` with the worker's number, when it is bound and before it works.
    ///
    /// If the hook panics the pool is not made. A [compensating thread](Pool::block_in_place) calls it too, with a
    /// number from the number of workers on; a panic there goes no further.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicUsize, Ordering};
    ///
    /// let started = Arc::new(AtomicUsize::new(0));
    /// let count = Arc::clone(&started);
    /// let builder = millstream::Pool::builder().workers(3);
    /// let pool = builder.on_thread_start(move |_worker| _ = count.fetch_add(1, Ordering::Relaxed)).build()?;
    /// assert_eq!(started.load(Ordering::Relaxed), pool.workers());
    /// # Ok::<(), millstream::Error>(())
    /// ```
    pub fn on_thread_start(mut self, hook: impl Fn(usize) + Send + Sync + 'static) -> Self {
        self.hooks.start = Some(Arc::new(hook));
        self
    }

    /// Each worker's thread calls `hook` with the worker's number, when it has worked for the last time.
    ///
    /// A panic of the hook goes no further. A worker whose start hook panicked does not call it. A
    /// [compensating thread](Pool::block_in_place) calls it in any case, with the number that it gave its start hook.
    pub fn on_thread_exit(mut self, hook: impl Fn(usize) + Send + Sync + 'static) -> Self {
        self.hooks.exit = Some(Arc::new(hook));
        self
    }

    /// Says where the workers would run, without making a pool.
    ///
    /// # Errors
    /// If the machine cannot be read, or there are no workers, or more than 32 712.
    ///
    /// ```
    /// use millstream::{Pool, Topology};
    ///
    /// let server = Topology::synthetic("numa:4 core:16 pu:2")?;
    /// let placement = Pool::builder().topology(server).workers(8).placement()?;
    /// assert_eq!(placement.reason(), "8 workers for 64 cores: the system spreads them");
    /// assert_eq!(placement.workers()[7].cpus().map(|cpus| cpus.to_string()), Some("96-127".to_owned()));
    /// # Ok::<(), millstream::Error>(())
    /// ```
    pub fn placement(&self) -> Result<Placement, Error> {
        let topology = self.machine()?;
        let decide = |claims: &CpuClaims| Placement::decide(&self.wish, &topology, claims);
        let (mut placement, why) = if topology.is_this_machine() {
            (register::look(decide), "no thread was asked for")
        } else {
            (decide(&CpuClaims::default()), ANOTHER_MACHINE)
        };
        placement.leave_unbound(why);
        Ok(placement)
    }

    /// Gives `handler` the payload when a [spawned](Pool::spawn) closure panics, on the worker that called the closure.
    ///
    /// Default: the payload is dropped. A panic of the handler goes no further.
    ///
    /// ```
    /// use std::sync::mpsc;
    ///
    /// let (send, panics) = mpsc::channel();
    /// let pool = millstream::Pool::builder().panic_handler(move |payload| _ = send.send(payload)).build()?;
    /// pool.spawn(|| std::panic::panic_any(7));
    /// assert_eq!(panics.recv().expect("one panic").downcast_ref(), Some(&7));
    /// # Ok::<(), millstream::Error>(())
    /// ```
    pub fn panic_handler(mut self, handler: impl Fn(Box<dyn Any + Send>) + Send + Sync + 'static) -> Self {
        self.panic_handler = Some(PanicHandler(Arc::new(handler)));
        self
    }

    /// Whether the pool records what its runs call, and in which order. Default: `false`. With the feature `check`.
    ///
    /// [`Pool::take_recording`] gives it, and [`check::replay`](crate::check::replay) makes the same calls in the same order on one
    /// thread. What the thread that makes the pool does outside of it is recorded, too. A call that is recorded costs some 50 ns and
    /// 40 bytes: each batch in a stage is one, each task, each leaf of a loop, and each use of what is shared by a type of
    /// [`check`](crate::check). At most 4 Mi of them are kept. Batches do not get smaller where items take long.
    #[cfg(feature = "check")]
    pub fn record(mut self, record: bool) -> Self {
        self.records = record;
        self
    }

    /// Makes the pool, and waits until its threads run.
    ///
    /// # Errors
    /// In each case no thread is left:
    /// * the machine cannot be read;
    /// * there are no workers, or more than 32 712;
    /// * the name has a zero byte, which a thread's name cannot have;
    /// * the system refuses a thread;
    /// * the [start hook](Self::on_thread_start) of a worker panics;
    /// * the pool is [strict](Self::strict), and a worker of this machine cannot be bound to its CPUs.
    pub fn build(self) -> Result<Pool, Error> {
        refuse("a pool beside the one it gives");
        if self.name.contains('\0') {
            return Err(PoolError::name(&self.name).into());
        }
        let topology = Arc::new(self.machine()?);
        let here = self.usable(&topology);
        let (mut placement, claim) = self.claim(&topology, &here);
        let workers = placement.workers().len();
        let at = |place: &WorkerPlace| (place.node().filter(|_| place.is_bound()), l3_of(place, &topology));
        let layout: Vec<_> = placement.workers().iter().map(at).collect();
        let one_cpu = |place: &WorkerPlace| place.cpus().filter(|cpus| place.is_bound() && cpus.len() == 1)?.first();
        let cpus = placement.workers().iter().map(one_cpu).collect();
        let layout = Layout::new(&layout, &topology).bound_to(cpus);
        asymmetric::prepare();
        let mut shared = Shared::new(layout, if self.elastic { workers } else { placement.active() });
        shared.panic_handler = self.panic_handler.clone();
        shared.patience = self.idle;
        #[cfg(feature = "check")]
        {
            shared.records = self.records.then(|| Records::new(shared.seats.len()));
        }
        let mut pool = Pool::new_empty(Arc::new(shared), placement.clone(), claim, Arc::clone(&topology));
        pool.shared.set_active(placement.active());
        let (report, reports) = mpsc::channel();
        for place in placement.workers() {
            let (worker, thread) = (place.worker(), self.start(place, &pool.shared, report.clone()));
            pool.threads.push(thread.map_err(|error| PoolError::thread(worker, error))?);
        }
        drop(report);
        let mut started: Vec<Started> = reports.into_iter().collect();
        started.sort_by_key(|started| started.worker);
        let threads = started.iter().map(|started| started.thread).collect();
        for Started { worker, bound, hook, .. } in started {
            hook.map_err(|text| PoolError::hook(worker, &text))?;
            if let Err(why) = bound {
                placement.refuse(worker, why);
            }
        }
        if self.strict
            && topology.is_this_machine()
            && let Some(place) = placement.workers().iter().find(|place| place.why_not().is_some())
        {
            return Err(PoolError::unbound(place).into());
        }
        *pool.placement.lock() = placement.clone();
        let cpus = here.cpus.clone();
        if self.elastic {
            let watch = Watch {
                root: ROOT.into(),
                shared: Arc::clone(&pool.shared),
                placement: Arc::clone(&pool.placement),
                asked: placement,
                threads,
                oversubscribe: self.wish.oversubscribe,
                last: here,
            };
            pool.watcher = Some(Watcher::start(&self.name, watch).map_err(PoolError::watcher)?);
        }
        self.open_compensation(&pool.shared, cpus);
        Ok(pool)
    }

    /// The machine on which to place the workers, if a pool may have as many as are wanted there.
    fn machine(&self) -> Result<Topology, Error> {
        let topology = self.topology.clone().map_or_else(Topology::detect, Ok)?;
        match self.wish.workers_on(&topology) {
            1..=MAX_WORKERS => Ok(topology),
            workers => Err(PoolError::workers(workers, MAX_WORKERS).into()),
        }
    }

    /// What the process may use here and now.
    fn usable(&self, topology: &Topology) -> Usable {
        let of_machine = || Usable { cpus: topology.allowed_cpus().clone(), quota: topology.cpu_quota() };
        // A topology that was not given has just been detected: what it says holds here and now.
        self.topology.as_ref().and_then(|_| Usable::read(ROOT.as_ref())).unwrap_or_else(of_machine)
    }

    /// Decides where the workers go, and claims their CPUs.
    fn claim(&self, topology: &Topology, here: &Usable) -> (Placement, Claim) {
        let decide = |claims: &CpuClaims| {
            let mut placement = Placement::decide(&self.wish, topology, claims);
            placement.confine(&self.wish, here);
            placement
        };
        if topology.is_this_machine() {
            return register::claim(decide);
        }
        let mut placement = decide(&CpuClaims::default());
        placement.leave_unbound(ANOTHER_MACHINE);
        (placement, Claim::default())
    }

    /// Starts a worker's thread.
    fn start(
        &self,
        place: &WorkerPlace,
        shared: &Arc<Shared>,
        report: mpsc::Sender<Started>,
    ) -> io::Result<thread::JoinHandle<()>> {
        let (worker, cpus) = (place.worker(), place.cpus().filter(|_| place.is_bound()).cloned());
        let (shared, hooks) = (Arc::clone(shared), self.hooks.clone());
        let body = move || {
            let thread = bind::Thread::current();
            let bound = cpus.map_or(Ok(()), |cpus| thread.bind(&cpus));
            let hook = Hooks::call(hooks.start.as_ref(), worker);
            let is_well = hook.is_ok();
            let _ = report.send(Started { worker, thread, bound, hook }); // nobody receives if a later thread failed
            drop(report);
            if is_well {
                Worker::at(&shared, &shared.seats[worker], Worker::live);
                let _ = Hooks::call(hooks.exit.as_ref(), worker);
            }
        };
        self.spawn(worker, body)
    }

    /// Lets the pool make compensating threads. They are like workers' threads, and may run on any of these CPUs.
    fn open_compensation(self, shared: &Arc<Shared>, cpus: CpuSet) {
        let workers = shared.workers();
        shared.open_compensation(move |compensator, live| {
            let (hooks, cpus) = (self.hooks.clone(), cpus.clone());
            let body = move || {
                let _ = bind::Thread::current().bind(&cpus); // if not, it stays where the thread is that made it
                let _ = Hooks::call(hooks.start.as_ref(), workers + compensator);
                live();
                let _ = Hooks::call(hooks.exit.as_ref(), workers + compensator);
            };
            self.spawn(format_args!("compensator-{compensator}"), body).map(Some)
        });
    }

    /// Starts a thread whose name ends in `suffix`. The system hardly prolongs its naps ([`super::work::raid`]).
    fn spawn(
        &self,
        suffix: impl fmt::Display,
        body: impl FnOnce() + Send + 'static,
    ) -> io::Result<thread::JoinHandle<()>> {
        let thread = thread::Builder::new().name(format!("{}-{suffix}", self.name));
        let thread = self.stack_size.into_iter().fold(thread, thread::Builder::stack_size);
        thread.spawn(|| {
            thread::be_on_time();
            body();
        })
    }
}

/// The L3 domain where a bound worker stays.
fn l3_of(place: &WorkerPlace, topology: &Topology) -> Option<usize> {
    let cpus = place.cpus().filter(|_| place.is_bound())?;
    topology.l3_domains().iter().position(|l3| cpus.is_subset(l3.cpus()))
}

/// Where the system's files are.
const ROOT: &str = "/";

/// Why no worker is bound if the topology is of another machine.
const ANOTHER_MACHINE: &str = "another machine";

const MAX_WORKERS: usize = MAX_THREADS - super::MOST_GUESTS;

impl Drop for Hooks {
    fn drop(&mut self) {
        // A value that the hooks hold is dropped with the last copy of them: a panic of its drop goes no further.
        unwind::drop_value(self.start.take());
        unwind::drop_value(self.exit.take());
    }
}

impl Hooks {
    /// Calls a hook if there is one.
    ///
    /// # Errors
    /// What its panic says.
    fn call(hook: Option<&Hook>, worker: usize) -> Result<(), String> {
        let Some(hook) = hook else { return Ok(()) };
        catch_unwind(AssertUnwindSafe(|| hook(worker))).map_err(|payload| {
            let text = unwind::text(&*payload).to_owned();
            unwind::drop_payload(payload);
            text
        })
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, exit) = (self.start.is_some(), self.exit.is_some());
        f.debug_struct("Hooks").field("start", &start).field("exit", &exit).finish()
    }
}

/// A pool without threads of its own, on a machine with four nodes: the checker's driver lets its virtual workers live.
#[cfg(any(feature = "check", all(test, not(loom))))]
pub(crate) fn without_threads(workers: usize) -> Pool {
    // Spread over the nodes, however few.
    let spread = |worker: usize, cores: usize| worker * cores / workers % cores;
    without_threads_at("numa:4 core:16 pu:1", workers, |cores, worker| {
        (cores[spread(worker, cores.len())].node(), None)
    })
}

/// A pool whose workers the test drives itself, one on each of the first cores of a made-up machine.
#[cfg(all(test, coherence))]
pub(crate) fn without_threads_on(machine: &str, workers: usize) -> Pool {
    without_threads_at(machine, workers, |cores, worker| (cores[worker].node(), cores[worker].l3()))
}

#[cfg(any(feature = "check", all(test, not(loom))))]
fn without_threads_at(
    machine: &str,
    workers: usize,
    at: impl Fn(&[crate::topology::Core], usize) -> (Option<usize>, Option<usize>),
) -> Pool {
    let topology = Topology::synthetic(machine).expect("a machine");
    let wish = Wish { workers: Some(workers), pinning: Pinning::Off, oversubscribe: true, smt: false };
    let placement = Placement::decide(&wish, &topology, &CpuClaims::default());
    let at = |worker| at(topology.cores(), worker);
    let layout = Layout::new(&(0..workers).map(at).collect::<Vec<_>>(), &topology);
    let shared = Arc::new(Shared::new(layout, placement.active()));
    Pool::new_empty(shared, placement, Claim::default(), Arc::new(topology))
}

//! What can go wrong. Each error names the thing that it is about, and says what to do.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::panic::Location;
use std::path::Path;

use crate::report::Report;
use crate::sync::Mutex;

/// Any error of this crate.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A machine cannot be read, or its description makes none.
    Topology(TopologyError),
    /// Memory cannot be had on a NUMA node, or cannot be moved there.
    Memory(MemoryError),
    /// A pool cannot be made.
    Pool(PoolError),
    /// A graph has defects, and nothing was run.
    Build(BuildError),
    /// A run has failed.
    Run(RunError),
    /// A handle's pool was dropped.
    Closed(Closed),
}

impl Error {
    /// The failure of a run, if the error is one.
    #[must_use]
    pub fn as_run(&self) -> Option<&RunError> {
        if let Self::Run(error) = self { Some(error) } else { None }
    }

    /// The defects of a graph, if the error is about these.
    #[must_use]
    pub fn as_build(&self) -> Option<&BuildError> {
        if let Self::Build(error) = self { Some(error) } else { None }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topology(error) => error.fmt(f),
            Self::Memory(error) => error.fmt(f),
            Self::Pool(error) => error.fmt(f),
            Self::Build(error) => error.fmt(f),
            Self::Run(error) => error.fmt(f),
            Self::Closed(error) => error.fmt(f),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Topology(error) => error.source(),
            Self::Memory(error) => error.source(),
            Self::Pool(error) => error.source(),
            Self::Build(error) => error.source(),
            Self::Run(error) => error.source(),
            Self::Closed(error) => error.source(),
        }
    }
}

impl From<TopologyError> for Error {
    fn from(error: TopologyError) -> Self {
        Self::Topology(error)
    }
}
impl From<MemoryError> for Error {
    fn from(error: MemoryError) -> Self {
        Self::Memory(error)
    }
}
impl From<PoolError> for Error {
    fn from(error: PoolError) -> Self {
        Self::Pool(error)
    }
}
impl From<BuildError> for Error {
    fn from(error: BuildError) -> Self {
        Self::Build(error)
    }
}
impl From<RunError> for Error {
    fn from(error: RunError) -> Self {
        Self::Run(error)
    }
}

impl From<Closed> for Error {
    fn from(error: Closed) -> Self {
        Self::Closed(error)
    }
}

/// What was asked of a [`PoolHandle`](crate::PoolHandle) was not done, because its pool has no threads.
///
/// The pool was dropped, or this is a child process that was forked after the pool was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the pool is closed: it was dropped while handles to it were kept, or made before a fork")
    }
}

impl StdError for Closed {}

/// The kind of a [`TopologyError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopologyErrorKind {
    /// The folder cannot be read; the source says why.
    Unreadable,
    /// The folder is no recorded machine, because it has no CPUs.
    NoCpus,
    /// The description of a machine has a mistake.
    Description,
    /// hwloc cannot read the machine, or the text is not its XML.
    Hwloc,
}

/// The reason why a machine cannot be read, or why its description makes none.
#[derive(Debug)]
pub struct TopologyError {
    kind: TopologyErrorKind,
    message: String,
    source: Option<io::Error>,
}

impl TopologyError {
    fn new(kind: TopologyErrorKind, message: String) -> Self {
        Self { kind, message, source: None }
    }
    pub(crate) fn folder(root: &Path, source: io::Error) -> Self {
        let message = format!("no machine can be read from '{}'", root.display());
        Self { source: Some(source), ..Self::new(TopologyErrorKind::Unreadable, message) }
    }
    pub(crate) fn no_cpus(root: &Path) -> Self {
        let files = "sys/devices/system/cpu, nor in proc/self/status";
        let message = format!("no machine is recorded in '{}': it has no CPUs in {files}", root.display());
        Self::new(TopologyErrorKind::NoCpus, message)
    }
    pub(crate) fn synthetic(description: &str, what: &str) -> Self {
        let message = format!("the description \"{description}\" makes no machine: {what}");
        Self::new(TopologyErrorKind::Description, message)
    }
    #[cfg(feature = "hwloc")]
    pub(crate) fn hwloc(message: &str, what: &str) -> Self {
        Self::new(TopologyErrorKind::Hwloc, format!("{message}: {what}"))
    }

    /// The kind of the error.
    #[must_use]
    pub fn kind(&self) -> TopologyErrorKind {
        self.kind
    }
}

impl fmt::Display for TopologyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for TopologyError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|error| error as _)
    }
}

/// The kind of a [`MemoryError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemoryErrorKind {
    /// The machine has no such NUMA node.
    NoNode,
    /// The node has no memory, only CPUs.
    NoMemory,
    /// The process may not allocate memory on the node.
    NotAllowed,
    /// The node, or the machine, has too little memory left; the source is the system's answer.
    OutOfMemory,
    /// The system refuses to move pages there; the source says why.
    Refused,
}

/// The reason why memory cannot be had on a NUMA node, or cannot be moved there.
#[derive(Debug)]
pub struct MemoryError {
    kind: MemoryErrorKind,
    message: String,
    source: Option<io::Error>,
}

impl MemoryError {
    fn new(kind: MemoryErrorKind, message: String) -> Self {
        Self { kind, message, source: None }
    }
    pub(crate) fn no_node(node: usize, all: &dyn fmt::Display) -> Self {
        let message = format!("there is no NUMA node {node}: this machine has {all}");
        Self::new(MemoryErrorKind::NoNode, message)
    }
    pub(crate) fn no_memory(node: usize) -> Self {
        Self::new(MemoryErrorKind::NoMemory, format!("NUMA node {node} has no memory"))
    }
    pub(crate) fn not_allowed(node: usize, allowed: &dyn fmt::Display) -> Self {
        let message = format!("this process may not allocate on NUMA node {node}: its cpuset leaves it {allowed}");
        Self::new(MemoryErrorKind::NotAllowed, message)
    }
    pub(crate) fn bytes(len: usize, size: usize, source: io::Error) -> Self {
        let message = format!("memory for {len} numbers of {size} bytes cannot be had");
        Self { source: Some(source), ..Self::new(MemoryErrorKind::OutOfMemory, message) }
    }
    pub(crate) fn refused(node: usize, source: io::Error) -> Self {
        let message = format!("the system moves no pages to NUMA node {node}");
        Self { source: Some(source), ..Self::new(MemoryErrorKind::Refused, message) }
    }

    /// The kind of the error.
    #[must_use]
    pub fn kind(&self) -> MemoryErrorKind {
        self.kind
    }
}

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for MemoryError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|error| error as _)
    }
}

/// The kind of a [`PoolError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolErrorKind {
    /// There are no workers, or too many.
    Workers,
    /// The name cannot be the name of a thread.
    Name,
    /// The system refuses to make a thread; the source says why.
    Thread,
    /// The pool is [strict](crate::PoolBuilder::strict), and a worker cannot be bound to its CPUs.
    Unbound,
    /// The [start hook](crate::PoolBuilder::on_thread_start) of a worker panicked.
    Hook,
}

/// The reason why a pool cannot be made.
#[derive(Debug)]
pub struct PoolError {
    kind: PoolErrorKind,
    message: String,
    source: Option<io::Error>,
}

impl PoolError {
    fn new(kind: PoolErrorKind, message: String) -> Self {
        Self { kind, message, source: None }
    }
    pub(crate) fn workers(asked: usize, most: usize) -> Self {
        Self::new(PoolErrorKind::Workers, format!("a pool has 1 to {most} workers, not {asked}"))
    }
    pub(crate) fn name(name: &str) -> Self {
        let message = format!("the pool's name {name:?} has a zero byte, which a thread's name cannot have");
        Self::new(PoolErrorKind::Name, message)
    }
    pub(crate) fn thread(worker: usize, source: io::Error) -> Self {
        let message = format!("the thread of worker {worker} cannot be made");
        Self { source: Some(source), ..Self::new(PoolErrorKind::Thread, message) }
    }
    pub(crate) fn watcher(source: io::Error) -> Self {
        let message = "the thread that an elastic pool needs cannot be made".to_owned();
        Self { source: Some(source), ..Self::new(PoolErrorKind::Thread, message) }
    }
    pub(crate) fn unbound(place: &impl fmt::Display) -> Self {
        Self::new(PoolErrorKind::Unbound, format!("the pool is strict, and {place}"))
    }
    pub(crate) fn hook(worker: usize, text: &str) -> Self {
        Self::new(PoolErrorKind::Hook, format!("the hook at the start of worker {worker} panicked: {text}"))
    }

    /// The kind of the error.
    #[must_use]
    pub fn kind(&self) -> PoolErrorKind {
        self.kind
    }
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for PoolError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|error| error as _)
    }
}

/// Everything that is wrong with a graph, by operator and source line.
#[derive(Debug)]
pub struct BuildError {
    defects: Vec<Defect>,
}

/// One thing that is wrong with a graph.
#[derive(Clone, Debug)]
pub struct Defect {
    operator: String,
    location: &'static Location<'static>,
    what: String,
}

impl Defect {
    pub(crate) fn new(operator: String, location: &'static Location<'static>, what: String) -> Self {
        Self { operator, location, what }
    }

    /// The name of the operator that the defect is about.
    #[must_use]
    pub fn operator(&self) -> &str {
        &self.operator
    }

    /// Where the operator was added to the graph.
    #[must_use]
    pub fn location(&self) -> &'static Location<'static> {
        self.location
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' ({}): {}", self.operator, self.location, self.what)
    }
}

impl BuildError {
    pub(crate) fn new(defects: Vec<Defect>) -> Self {
        debug_assert!(!defects.is_empty(), "an error needs a defect");
        Self { defects }
    }

    /// The defects, in the order in which the operators were added.
    #[must_use]
    pub fn defects(&self) -> &[Defect] {
        &self.defects
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.defects[..] {
            [defect] => write!(f, "the graph cannot run: {defect}"),
            defects => {
                write!(f, "the graph cannot run, it has {} defects:", defects.len())?;
                defects.iter().try_for_each(|defect| write!(f, "\n  {defect}"))
            }
        }
    }
}

impl StdError for BuildError {}

/// The kind of a [`RunError`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunErrorKind {
    /// A closure of an operator panicked.
    Panicked,
    /// A closure of an operator returned an error.
    Failed,
    /// The run was [cancelled](crate::Running::cancel), or the pool was dropped while it was under way.
    Cancelled,
    /// The run was not over by its [deadline](crate::Running::deadline).
    DeadlineExceeded,
    /// The run cannot go on: every source waits for credits, and nothing in flight can move. The error's text says what waits
    /// for what. If one source alone lacks credits, it says how many that source needs at least: with fewer the run stalls
    /// again. It may need more, but never more than it has batches.
    Stalled,
    /// A source is used up, or data is absent; nothing was run.
    NotReady {
        /// The name of the source or data.
        name: String,
    },
    /// The graph meets threads from outside while it runs, by an [`input`](crate::Graph::input) or an
    /// [`output`](crate::Stream::output). Only [`start`](crate::Plan::start) and
    /// [`run_while`](crate::Plan::run_while) leave the calling thread free to serve it. Nothing was run.
    NeedsStart {
        /// The name of the input or output.
        name: String,
    },
    /// The pool was dropped before the run began.
    Closed,
    /// The pool was made before this process was forked. It has no threads here, and nothing was run.
    Forked,
}

/// The failure of a run: the earliest one in stream order.
///
/// Batches before the failure were finished, and batches after it were dropped. The plan and the pool can be used
/// again, unless the pool was dropped or is of another process.
pub struct RunError(Box<Inner>);

struct Inner {
    kind: RunErrorKind,
    /// `None`: no operator has failed.
    operator: Option<String>,
    item: Option<u64>,
    /// Whether the operator is a task that is repeated.
    repeated: bool,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
    /// Under a lock only so that the error is `Sync`.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    report: Report,
}

impl RunError {
    pub(crate) fn new(kind: RunErrorKind, message: String, report: Report) -> Self {
        let (operator, item, source, panic) = (None, None, None, Mutex::new(None));
        Self(Box::new(Inner { kind, operator, item, repeated: false, message, source, panic, report }))
    }

    pub(crate) fn at(mut self, operator: String, item: Option<u64>) -> Self {
        (self.0.operator, self.0.item) = (Some(operator), item);
        self
    }

    pub(crate) fn repeated(mut self, repeated: bool) -> Self {
        self.0.repeated = repeated;
        self
    }

    pub(crate) fn with_source(mut self, source: Box<dyn StdError + Send + Sync>) -> Self {
        self.0.source = Some(source);
        self
    }

    pub(crate) fn with_panic(mut self, payload: Box<dyn Any + Send>) -> Self {
        *self.0.panic.get_mut() = Some(payload);
        self
    }

    /// The kind of the failure.
    #[must_use]
    pub fn kind(&self) -> &RunErrorKind {
        &self.0.kind
    }

    /// The name of the operator that failed. `None`: the run did not end by an operator.
    #[must_use]
    pub fn operator(&self) -> Option<&str> {
        self.0.operator.as_deref()
    }

    /// How many items the operator was given before the one at which it failed, in stream order. Of a task in a
    /// [`repeat`](crate::Graph::repeat): how many times it had run before in this run.
    ///
    /// `None`: the operator is another task, or the order of its items depends on timing (after `merge` or `unordered`), or
    /// the run was cancelled as well, so that items before this one may have been dropped.
    #[must_use]
    pub fn item(&self) -> Option<u64> {
        self.0.item
    }

    /// What the run had done until it failed.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.0.report
    }

    /// The error that a closure returned, if one did: the caller's own, which may be downcast.
    ///
    /// [`source`](StdError::source) lends the same error; this gives it back.
    ///
    /// ```
    /// # use std::num::ParseIntError;
    /// # use millstream::{Error, Graph, Pool};
    /// # let pool = Pool::builder().workers(2).build()?;
    /// let g = Graph::new();
    /// let sum = g.source(["1", "two", "3"]).try_map(str::parse::<u32>).sum::<u32>();
    /// let Err(Error::Run(error)) = pool.run(g).map(|mut run| run.take(sum)) else { panic!("\"two\" is no number") };
    /// let own = error.into_source().and_then(|source| source.downcast::<ParseIntError>().ok());
    /// assert_eq!(own.map(|own| *own), "two".parse::<u32>().err());
    /// # Ok::<(), millstream::Error>(())
    /// ```
    #[must_use]
    pub fn into_source(self) -> Option<Box<dyn StdError + Send + Sync>> {
        self.0.source
    }

    /// The payload of the panic, if a closure panicked; [`std::panic::resume_unwind`] goes on with it.
    #[must_use]
    pub fn into_panic(self) -> Option<Box<dyn Any + Send>> {
        let mut inner = self.0;
        inner.panic.get_mut().take()
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        if let Some(operator) = &inner.operator {
            write!(f, "'{operator}' ")?;
        }
        match &inner.kind {
            RunErrorKind::Panicked => f.write_str("panicked")?,
            RunErrorKind::Failed => f.write_str("failed")?,
            RunErrorKind::Cancelled => f.write_str("the run was cancelled")?,
            RunErrorKind::DeadlineExceeded => f.write_str("the run's deadline has passed")?,
            RunErrorKind::NeedsStart { name } => write!(f, "'{name}' is served from outside")?,
            RunErrorKind::Stalled => f.write_str("the run stalled")?,
            RunErrorKind::NotReady { name } => write!(f, "'{name}' is not ready")?,
            RunErrorKind::Closed => f.write_str("the pool is closed")?,
            RunErrorKind::Forked => f.write_str("the pool is of another process")?,
        }
        match inner.item {
            Some(times) if inner.repeated => write!(f, " in time {}", times + 1)?,
            Some(item) => write!(f, " at item {item}")?,
            None => {}
        }
        if inner.message.is_empty() { Ok(()) } else { write!(f, ": {}", inner.message) }
    }
}

impl fmt::Debug for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        f.debug_struct("RunError")
            .field("kind", &inner.kind)
            .field("operator", &inner.operator)
            .field("item", &inner.item)
            .field("message", &inner.message)
            .finish_non_exhaustive()
    }
}

impl StdError for RunError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|source| &**source as _)
    }
}

const _: () = {
    const fn sendable<T: Send + Sync>() {}
    sendable::<Error>();
};

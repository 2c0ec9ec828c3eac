//! Who takes part, and their pools.

use std::fmt;
use std::num::NonZero;

use clap::ValueEnum;

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Peer {
    /// The same function without any library
    Serial,
    /// This project
    Millstream,
    /// The same where each task is a job
    MillstreamOff,
    /// Parallel iterators, join, scope
    Rayon,
    /// rayon's parallel iterator over an iterator that is pulled one item at a time
    ParBridge,
    /// Join with a heartbeat
    Chili,
    /// Join with a split deque; its threads never sleep
    LaceWs,
    /// Spawned futures on a multi-threaded runtime
    Tokio,
    /// Spawned futures in a scope
    BevyTasks,
    /// A graph of asynchronous nodes with channels between them
    Dagrs,
    /// A thread for each stage, with the bounded channels of the standard library between them
    StdChannels,
    /// The same with the channels of crossbeam
    Crossbeam,
    /// Two threads with a ring between them
    Rtrb,
    /// A dataflow in one process
    Timely,
    /// A loop over crossbeam-deque, written for just this graph
    ByHand,
    /// Two threads that wake each other
    FutexWake,
    /// oneTBB
    #[cfg(feature = "tbb")]
    Tbb,
}

impl Peer {
    pub fn name(self) -> &'static str {
        match self {
            Self::Serial => "serial",
            Self::Millstream => "millstream",
            Self::MillstreamOff => "millstream-off",
            Self::Rayon => "rayon",
            Self::ParBridge => "par-bridge",
            Self::Chili => "chili",
            Self::LaceWs => "lace-ws",
            Self::Tokio => "tokio",
            Self::BevyTasks => "bevy-tasks",
            Self::Dagrs => "dagrs",
            Self::StdChannels => "std-channels",
            Self::Crossbeam => "crossbeam",
            Self::Rtrb => "rtrb",
            Self::Timely => "timely",
            Self::ByHand => "by-hand",
            Self::FutexWake => "futex-wake",
            #[cfg(feature = "tbb")]
            Self::Tbb => "tbb",
        }
    }

    /// Whether it is there to compare others with, and takes no part in who is best.
    pub fn is_yardstick(self) -> bool {
        matches!(self, Self::Serial | Self::FutexWake)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

pub fn rayon_pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads for a pool")
}

/// The calling thread is one of the threads.
pub fn chili_pool(threads: usize) -> chili::ThreadPool {
    chili::ThreadPool::with_config(chili::Config { thread_count: NonZero::new(threads), ..chili::Config::default() })
}

pub fn tokio_runtime(threads: usize) -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(threads).build().expect("threads for a runtime")
}

/// The calling thread is one of the threads.
pub fn bevy_pool(threads: usize) -> bevy_tasks::TaskPool {
    bevy_tasks::TaskPoolBuilder::new().num_threads(threads - 1).build()
}

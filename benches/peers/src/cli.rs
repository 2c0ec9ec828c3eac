//! What to run.

use clap::{Parser, ValueEnum};
use millstream::{Pinning, Pool};

use crate::peers::Peer;

/// Runs the same workloads with millstream and with other libraries, in turns, in one process.
#[derive(Clone, Debug, Parser)]
#[command(version, about)]
pub struct Options {
    /// Workloads, by their whole name or the beginning of it (W3, W3c, W5a-diamond); all without it
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    workload: Vec<String>,
    /// Who takes part; all without it
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAMES")]
    peer: Vec<Peer>,
    /// Numbers of worker threads
    #[arg(long, value_delimiter = ',', default_value = "1,2", value_parser = parse_threads, value_name = "NUMBERS")]
    pub threads: Vec<usize>,
    /// Runs of each peer, after a warm-up
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    pub runs: u32,
    /// Rows for programs: workload,peer,threads,metric,median,min,max
    #[arg(long)]
    pub csv: bool,
    /// Tiny sizes: shows that everything works, measures nothing
    #[arg(long)]
    pub quick: bool,
    /// How millstream's workers, and the thread of the bare futex wake, are bound
    #[arg(long, value_enum, default_value = "auto")]
    pub pinning: Binding,
    /// Has an idle pool and says what it cost; the program starts itself with this
    #[arg(long, value_enum, hide = true)]
    pub idle_child: Option<Peer>,
    /// Runs a long stream and says what memory it took; the program starts itself with this
    #[arg(long, value_enum, hide = true)]
    pub memory_child: Option<Peer>,
}

/// Of [`Options::pinning`].
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Binding {
    /// As the pool decides
    Auto,
    /// Each worker on a core of its own
    Cores,
    /// None
    Off,
}

fn parse_threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(threads @ 1..=1024) => Ok(threads),
        _ => Err("a number from 1 to 1024 is needed".to_owned()),
    }
}

impl Options {
    /// Whether a workload was asked for. `W2` stands for `W2-10`, `W3` for `W3a`, but `W1` not for a `W10`.
    pub fn wants(&self, name: &str) -> bool {
        let begins = |asked: &String| match name.strip_prefix(asked.as_str()) {
            Some(rest) => !rest.starts_with(|next: char| next.is_ascii_digit()),
            None => false,
        };
        self.workload.is_empty() || self.workload.iter().any(begins)
    }

    /// Whether a peer was asked for.
    pub fn has(&self, peer: Peer) -> bool {
        self.peer.is_empty() || self.peer.contains(&peer)
    }

    /// `full`, or `quick` if it shall be quick.
    pub fn size<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// The most threads that were asked for.
    pub fn most_threads(&self) -> usize {
        self.threads.iter().copied().max().expect("clap has a default")
    }

    /// millstream's pool.
    pub fn millstream(&self, workers: usize) -> Pool {
        let pinning = match self.pinning {
            Binding::Auto => Pinning::Auto,
            Binding::Cores => Pinning::Cores,
            Binding::Off => Pinning::Off,
        };
        Pool::builder().workers(workers).pinning(pinning).build().expect("threads for a pool")
    }
}

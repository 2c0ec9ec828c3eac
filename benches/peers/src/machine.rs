//! What machine this is, how busy it is with other things, and what this process has used.

use std::fs;
use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

use crate::cli::Options;

/// One line each about the machine and the options.
pub fn describe(options: &Options) -> String {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let model = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1)).unwrap_or("?");
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut text = format!("{model}, {cpus} CPUs; load average {}", load.trim_end());
    for threads in &options.threads {
        let pool = options.millstream(*threads);
        text += &format!("\nmillstream, {threads} workers, {}", pool.placement().to_string().trim_end());
    }
    text
}

/// How much CPU time others use while something runs.
pub struct Busy {
    begin: Instant,
    all: Duration,
    own: Duration,
}

impl Busy {
    pub fn now() -> Self {
        Self { begin: Instant::now(), all: all_time(), own: own_time() + children_time() }
    }

    /// In words, since then.
    pub fn since(&self) -> String {
        let now = Self::now();
        let (all, own) = (now.all.saturating_sub(self.all), now.own.saturating_sub(self.own));
        let wall = self.begin.elapsed();
        let others = all.saturating_sub(own).as_secs_f64() / wall.as_secs_f64().max(1e-9);
        format!("{:.1} s, the machine was busy with other things by {others:.2} CPUs", wall.as_secs_f64())
    }
}

/// CPU time of all processes, from the first line of `/proc/stat`.
fn all_time() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let first = stat.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = first.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    // user nice system idle iowait irq softirq
    let busy: u64 = [0, 1, 2, 5, 6].iter().filter_map(|field| ticks.get(*field)).sum();
    // SAFETY: a question without a pointer.
    let hertz = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    Duration::from_secs_f64(busy as f64 / hertz as f64)
}

/// CPU time of this process.
pub fn own_time() -> Duration {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the pointer is to a timespec.
    let answer = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, time.as_mut_ptr()) };
    assert_eq!(answer, 0, "the clock of the process");
    // SAFETY: it was written: the call succeeded.
    let time = unsafe { time.assume_init() };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// CPU time of children that have ended.
fn children_time() -> Duration {
    let mut usage = MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: the pointer is to an rusage.
    let answer = unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr()) };
    assert_eq!(answer, 0, "the times of children");
    // SAFETY: it was written: the call succeeded.
    let usage = unsafe { usage.assume_init() };
    let time =
        |time: libc::timeval| Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64);
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// The most memory that this process has had, in MiB.
pub fn peak_rss_mib() -> f64 {
    status_mib("VmHWM:")
}

/// The memory that this process has now, in MiB.
pub fn rss_mib() -> f64 {
    status_mib("VmRSS:")
}

fn status_mib(name: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("a /proc");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel says it");
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib / 1024.0
}

/// Bytes that are allocated from the system's allocator now.
pub fn allocated_bytes() -> usize {
    // SAFETY: a question without a pointer.
    let info = unsafe { libc::mallinfo2() };
    info.uordblks + info.hblkhd
}

//! What an access, a wake-up and a system call cost, and where the figures come from.
//!
//! The figures are those of a large server. They set the scale. Which word hurts most depends on them little: a word
//! that all cores write is the worst one with any of them.

/// Nanoseconds, one table for all loads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Costs {
    /// A line that is in the core's own cache.
    pub(crate) hit: u64,
    /// A locked instruction on such a line: 18 to 20 cycles (A. Fog, "Instruction tables").
    pub(crate) rmw: u64,
    /// A full fence with nothing to wait for: as long as a locked instruction (A. Fog).
    pub(crate) fence: u64,
    /// A line from a core of the same L3 domain. 25 ns and more on AMD EPYC 7003, 40 to 60 on Intel Xeon of the third
    /// generation (N. Viennot, "core-to-core-latency", 2022).
    pub(crate) near: u64,
    /// From another L3 domain of the socket: 80 to 110 ns on AMD EPYC 7003 (the same).
    pub(crate) socket: u64,
    /// From another socket: 110 to 140 ns on Intel, 190 to 210 on AMD (the same).
    pub(crate) far: u64,
    /// For so long a read of a line that several cores share keeps others from it.
    pub(crate) share: u64,
    /// From the wake-up to the first instruction of the woken thread. 10 to 50 us were measured where this crate is
    /// developed; the lower end is that of a core that does not sleep deeply.
    pub(crate) wake: u64,
    /// The same wake-up, for the thread that makes it: a `futex` call with a thread to wake.
    pub(crate) waker: u64,
    /// To fall asleep: a `futex` call.
    pub(crate) fall_asleep: u64,
    /// A spin-loop hint: 10 to 60 ns, by processor.
    pub(crate) pause: u64,
    /// To offer the core to another thread, if there is none.
    pub(crate) yield_now: u64,
    /// To read the clock.
    pub(crate) clock: u64,
    /// The system call of a heavy fence ([`crate::sync::asymmetric`]).
    pub(crate) heavy: u64,
    /// What an interrupt costs each running thread of the process; the caller sends them one after the other.
    pub(crate) interrupt: u64,
    pub(crate) send_interrupt: u64,
    /// The instructions of a find, a steal and a publication, without their misses.
    pub(crate) find: u64,
    pub(crate) steal: u64,
    pub(crate) publish: u64,
}

impl Default for Costs {
    fn default() -> Self {
        Self {
            hit: 2,
            rmw: 6,
            fence: 8,
            near: 40,
            socket: 90,
            far: 200,
            share: 12,
            wake: 10_000,
            waker: 2_000,
            fall_asleep: 1_000,
            pause: 35,
            yield_now: 500,
            clock: 20,
            heavy: 1_000,
            interrupt: 1_000,
            send_interrupt: 100,
            find: 3,
            steal: 15,
            publish: 3,
        }
    }
}

/// Where the virtual cores are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    /// The number of cores that share an L3 cache.
    pub(crate) l3: usize,
    /// The number of cores of a socket, which is a NUMA node.
    pub(crate) socket: usize,
}

impl Costs {
    /// What a line costs that comes from core `from` to core `to`.
    pub(super) fn line(&self, machine: Machine, from: usize, to: usize) -> u64 {
        if from / machine.l3 == to / machine.l3 {
            self.near
        } else if from / machine.socket == to / machine.socket {
            self.socket
        } else {
            self.far
        }
    }
}

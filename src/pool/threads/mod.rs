//! When threads are more or fewer than planned: some block, some are in each other's way, and the machine changes.
//!
//! A pool has as many active workers as the process may use CPUs. Three things change who they are:
//! * a worker blocks: it lends its place, and a spare thread or a parked worker takes it ([`blocking`]);
//! * a guest, a thread from outside, runs on the CPU that a worker is bound to: the worker makes way ([`cpu_conflict`]);
//! * the affinity mask or the CPU quota of the process changes: an elastic pool follows ([`elastic`]).

pub(super) mod blocking;
pub(super) mod cpu_conflict;
pub(super) mod elastic;

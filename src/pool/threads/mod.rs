//! Which threads work when the plan does not hold: some block, some are in each other's way, and the machine changes.
//!
//! A pool has as many active workers as the process may use CPUs. Three things change which threads these are:
//! * A worker blocks. It lends its slot, and a compensating thread or a parked worker takes it ([`blocking`]).
//! * A guest, a thread from outside, runs on the CPU that a worker is bound to. That worker makes way
//!   ([`cpu_conflict`]).
//! * The affinity mask or the CPU quota of the process changes. An elastic pool follows ([`elastic`]).

pub(super) mod blocking;
pub(super) mod cpu_conflict;
pub(super) mod elastic;
